"""In what a run differs from the one that a state folder belongs to, and what to do then, in words for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from footfall.settings import shown_setting

_MOST_LINES = 12
_MOST_NAMES = 3
_MOST_TEXT = 60
_DIGEST_SIGNS = 8


def differences(kept: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """What differs between the identities of two runs, a line each, the settings first; no line where nothing does.

    Args:
        kept: the identity in the state folder, as JSON types.
        given: that of this run.
    """
    names = sorted({*kept, *given} - {"settings", "shards"}, key=lambda name: (name == "footfall", name))
    lines = [*_settings(_part(kept, "settings"), _part(given, "settings"))]
    for name in names:
        if kept.get(name) != given.get(name):
            lines += _entry(name, kept.get(name), given.get(name))
    if not lines:
        # The names of shards follow from a setting, and are told only where that doesn't explain them.
        lines += [
            f"{name}: not the same" for name in sorted({*kept, *given}) if kept.get(name) != given.get(name)
        ]
    if len(lines) > _MOST_LINES:
        more = len(lines) - _MOST_LINES + 1
        lines = [*lines[: _MOST_LINES - 1], f"and {more} more"]
    return lines


def what_to_do(kept: Mapping[str, Any]) -> str:
    """How to go on from a folder that belongs to the run with that identity."""
    go_on = "To continue that run, give its command again."
    if "out" in kept:  # a replay, which may write its answers to files
        return f"{go_on} To begin another one, name an empty folder: --state NEW."
    store = str(kept.get("store") or "").partition(", ")[0]
    place = store if store and "***" not in store else "STORE"
    return (
        f"{go_on} A live run with these settings begins with an empty folder: --state NEW; or build a new state from "
        f"what is stored: --state NEW --from-history {place}"
    )


def _part(identity: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = identity.get(name)
    return part if isinstance(part, dict) else {}


def _settings(kept: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*kept, *given}):
        there, here = kept.get(name), given.get(name)
        if there == here:
            continue
        if name == "event_names":
            yield f"{name}: {_table(there)} in the folder's run, {_table(here)} in this one"
        else:
            shown = (
                _cut(shown_setting(name, value)) if value is not None else "none" for value in (there, here)
            )
            yield _line(name, *shown)


def _table(digest: object) -> str:
    return "the shipped table" if digest is None else f"a table of digest {str(digest)[:_DIGEST_SIGNS]}"


def _entry(name: str, there: Any, here: Any) -> Iterator[str]:
    if name == "inputs" and isinstance(there, dict) and isinstance(here, dict):
        yield from _inputs(there, here)
    elif name in ("patterns", "rules") and isinstance(there, dict) and isinstance(here, dict):
        yield f"{name}: {_changes(there, here)}"
    elif name == "footfall":
        yield _line("Footfall's version", _value(there), _value(here))
    elif name == "later":
        yield "patterns: the control records differ"
    elif name == "history":
        yield _line("--from-history", _value(there), _value(here))
    else:
        yield _line(name, _value(there), _value(here))


def _inputs(there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    told = False
    if there.get("kind") != here.get("kind"):
        yield _line("inputs", _value(there.get("kind")), _value(here.get("kind")))
        return
    if there.get("cluster") != here.get("cluster"):
        told = True
        yield "kafka: another cluster"
    for part, name in (("topics", "input_topics"), ("partitions", "inputs")):
        old, new = _part(there, part), _part(here, part)
        if old != new:
            told = True
            anew = "made anew" if part == "topics" else "changed"
            yield f"{name}: {_changes(old, new, changed=anew)}"
    if not told:
        names = sorted(name for name in {*there, *here} if there.get(name) != here.get(name))
        yield f"inputs: {', '.join(names)} differ"


def _changes(there: Mapping[str, Any], here: Mapping[str, Any], *, changed: str = "changed") -> str:
    """Which names are in one of two only, or in both with other values."""
    said = [
        f"{_some(names)} {what}"
        for names, what in (
            ([name for name in here if name not in there], "new"),
            ([name for name in there if name in here and there[name] != here[name]], changed),
            ([name for name in there if name not in here], "gone"),
        )
        if names
    ]
    return "; ".join(said)


def _some(names: list[str]) -> str:
    names = sorted(names)
    more = len(names) - _MOST_NAMES
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:_MOST_NAMES])} and {more} more"


def _line(name: str, there: str, here: str) -> str:
    return f"{name}: {there} in the folder's run, {here} in this one"


def _value(value: object) -> str:
    """A value as a person writes it."""
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return _cut(", ".join(map(_value, value)))
    return _cut(str(value))


def _cut(text: str) -> str:
    text = text or "none"
    return text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 1] + "…"
