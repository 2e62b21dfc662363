"""The outputs of matches that the compiled loops found: made when a match is told, from the rows of its events.

The automata have theirs with the match, since they hold the events' values anyway.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from footfall.pattern import Pattern
from footfall.pattern_lowering import EventValues, Output, lower_outputs
from footfall.row_store import RowPool

_encode = msgspec.json.Encoder(enc_hook=str).encode


class FinishedMatch:
    """A finished match as outputs see it: the numbers of the events that each stage took."""

    def __init__(self, stages: Mapping[str, Sequence[int]]) -> None:
        self._stages = stages

    def taken(self, stage: str) -> Sequence[int]:
        """The events of a stage, or of a group of them; none for one that took none."""
        return self._stages.get(stage, [])

    def before(self, count: int) -> int:  # noqa: ARG002 - outputs don't look back
        """No event: outputs don't look back."""
        return -1


def outputs_text(outputs: Mapping[str, Output], stages: Mapping[str, Sequence[int]]) -> str:
    """A match's outputs as JSON; empty where the pattern has none."""
    if not outputs:
        return ""
    view = FinishedMatch(stages)
    return _encode({name: output(view) for name, output in outputs.items()}).decode()


@dataclass(frozen=True, slots=True, eq=False)
class LoopOutputs:
    """The outputs of the patterns of a plan that the compiled loops run.

    Attributes:
        outputs: by pattern's number, those that have any.
        stages: by pattern's number, the names of its stages.
        values: what they read of events.
    """

    outputs: dict[int, dict[str, Output]]
    stages: dict[int, tuple[str, ...]]
    values: EventValues

    @classmethod
    def compile(cls, patterns: Sequence[tuple[int, Pattern]]) -> "LoopOutputs":
        """Those of patterns, each with its number."""
        values = EventValues()
        outputs = {number: lower_outputs(pattern, values) for number, pattern in patterns}
        names = {number: pattern.stage_names() for number, pattern in patterns}
        return cls({number: made for number, made in outputs.items() if made}, names, values)

    @property
    def columns(self) -> frozenset[str]:
        """The event columns that they read, and that rows of events in matches must keep."""
        return self.values.event_columns()

    def texts(
        self, records: npt.NDArray[np.void], nodes: npt.NDArray[np.void], known: Sequence[str], pool: RowPool
    ) -> list[str]:
        """The outputs of each match as JSON; `known` are those of the automata's, or empty."""
        texts = list(known) or [""] * records.size
        numbers = records["pattern"].tolist()
        mine = [place for place, number in enumerate(numbers) if number in self.outputs]
        if not mine:
            return texts
        firsts, counts = (records[name][mine] for name in ("first_node", "node_count"))
        begins = np.cumsum(counts) - counts
        places = np.arange(int(counts.sum())) + np.repeat(firsts - begins, counts)
        read = self._values(nodes["row"][places], pool)
        self.values.read = lambda event, slot: read[event][slot]
        stage_of = nodes["stage"][places].tolist()
        for place, begin, count in zip(mine, begins.tolist(), counts.tolist(), strict=True):
            number = numbers[place]
            stages: dict[str, list[int]] = {}
            for at in range(begin, begin + count):
                stages.setdefault(self.stages[number][stage_of[at]], []).append(at)
            texts[place] = outputs_text(self.outputs[number], stages)
        return texts

    def _values(self, rows: npt.NDArray[np.int64], pool: RowPool) -> list[tuple[Any, ...]]:
        return self.values.rows(pool.take(rows, sorted(self.columns)))
