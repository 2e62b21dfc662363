"""The control records that a worker is handed while it runs."""

import threading
from collections.abc import Sequence

import polars as pl
import pytest
from control_records import control_record

from footfall.dataflow import plan_in_force
from footfall.errors import PatternError
from footfall.run_messages import ControlTaken, Message, Pacer
from footfall.settings import Settings
from footfall.sink import Sink
from footfall.tables import Table
from footfall.trigger_rule import TriggerRule
from footfall.worker import Taken


class Hearing(Sink):
    """A sink that notes what rules it is told of, and the plan's generation by then."""

    def __init__(self) -> None:
        self.rules: list[Sequence[TriggerRule]] = []

    def open_part(self, part: str, resume: object | None) -> None:
        raise AssertionError

    def write(self, part: str, table: Table, frame: pl.DataFrame) -> None:
        raise AssertionError

    def flush(self, part: str) -> object:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError

    def go_by(self, rules: Sequence[TriggerRule]) -> None:
        self.rules.append(rules)


def test_a_record_that_comes_before_the_plan_waits_for_it() -> None:
    told: list[Message] = []
    taken = Taken(3, Pacer(told.append, worker=3))
    thread = threading.Thread(target=taken, args=(control_record(1),))
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    assert told == []
    in_force, sinks = plan_in_force(Settings(), (control_record(0),), live=True), [Hearing(), Hearing()]
    taken.begin(in_force, sinks)
    thread.join(10)
    assert told == [ControlTaken(3, 1)]
    assert in_force.now.records == (control_record(0), control_record(1))
    assert [sink.rules for sink in sinks] == [[control_record(1).rules]] * 2
    taken(control_record(2))
    assert told == [ControlTaken(3, 1), ControlTaken(3, 2)]


def test_one_that_cannot_be_taken_up_is_not_said_to_be() -> None:
    told: list[Message] = []
    taken = Taken(0, Pacer(told.append))
    sink = Hearing()
    taken.begin(plan_in_force(Settings(), (control_record(0), control_record(2)), live=True), [sink])
    with pytest.raises(PatternError, match="must come into force after the one before it"):
        taken(control_record(1))
    assert (told, sink.rules) == ([], [])
