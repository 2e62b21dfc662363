"""Events that a partial match would have wanted, had they its value of the pattern's `same` field."""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence

_MOST_VALUES = 3


class Elsewhere:
    """For each partial match, the events that fit its stages and came with another value of the field, or none.

    Args:
        field: the pattern's `same` field; empty without one.
    """

    def __init__(self, field: str) -> None:
        self._field = field
        self._noted: dict[int, Counter[tuple[str, bool, bool]]] = {}

    def note(self, partial: int, stage: str, *, forbids: bool, missing: bool) -> None:
        """Note an event.

        Args:
            partial: the partial match's number.
            stage: the stage that it fits.
            forbids: the stage must not come.
            missing: the event has no value at all.
        """
        self._noted.setdefault(partial, Counter())[stage, forbids, missing] += 1

    def split(self, parent: int, child: int) -> None:
        """A partial match splits: what was noted of the one is so of the other."""
        if parent in self._noted:
            self._noted[child] = self._noted[parent].copy()

    def forbidden(self, partial: int) -> tuple[str, ...]:
        """What fits stages that must not come, in words."""
        return self._words(partial, lambda _, forbids: forbids)

    def awaited(self, partial: int, stages: Container[str]) -> tuple[str, ...]:
        """What fits those stages, which are waited for, in words."""
        return self._words(partial, lambda stage, forbids: not forbids and stage in stages)

    def _words(self, partial: int, chosen: Callable[[str, bool], bool]) -> tuple[str, ...]:
        said = []
        noted = self._noted.get(partial, Counter[tuple[str, bool, bool]]())
        for (stage, forbids, missing), count in noted.items():
            if chosen(stage, forbids):
                many = "1 event that fits" if count == 1 else f"{count:,} events that fit"
                value = f"without any {self._field}" if missing else f"with another {self._field}"
                said.append(f"{many} {stage!r} came {value}")
        return tuple(said)


def elsewhere_words(event: str, fits: Mapping[str, Iterable[str]], field: str, value: str) -> tuple[str, ...]:
    """Why an event that fits stages takes no part in partial matches: they run for other values of the field.

    Args:
        event: the event's name.
        fits: for each stage that it fits, the values, in words, that the partial matches run for.
        field: the pattern's `same` field.
        value: the event's value of it in words; empty for none.
    """
    alike: dict[tuple[str, ...], list[str]] = {}
    for stage, others in fits.items():
        alike.setdefault(tuple(dict.fromkeys(others)) if value else (), []).append(stage)
    said = []
    for listed, stages in alike.items():
        why = (
            f"its {field} is {value}, not {_any_of(listed)}"
            if value
            else f"it has no {field}, so it takes no part"
        )
        said.append(f"{event} fits {' and '.join(map(repr, stages))}, but {why}")
    return tuple(said)


def _any_of(values: Sequence[str]) -> str:
    shown = list(values[:_MOST_VALUES])
    if len(values) > _MOST_VALUES:
        shown.append(f"any of {len(values) - _MOST_VALUES:,} more")
    last = shown.pop()
    return f"{', '.join(shown)} or {last}" if shown else last
