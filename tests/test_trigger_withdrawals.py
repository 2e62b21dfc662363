import pickle

import polars as pl
from reference_triggers import Happened
from trigger_rounds import event_frame

from footfall import event, field, property_
from footfall.trigger_withdrawals import (
    WITHDRAWAL_SCHEMA,
    Withdrawals,
    withdrawal_columns,
    withdrawing_events,
)


def test_events_are_taken_with_a_bit_for_each_condition() -> None:
    conditions = [event == "buy", event.is_in(["buy", "pay"]), field("visitor_id") == "w"]
    frame = event_frame([Happened("v", 5, "look"), Happened("v", 3, "pay"), Happened("w", 4, "buy")])
    taken = withdrawing_events(conditions, frame)
    assert taken.schema == WITHDRAWAL_SCHEMA
    assert taken.rows() == [("v", 3, 0b010), ("w", 4, 0b111)]
    assert withdrawing_events([], frame).height == 0
    many = [event == f"e{number}" for number in range(64)]
    assert withdrawing_events(many, event_frame([Happened("v", 1, "e63")])).rows() == [("v", 1, 1 << 63)]


def test_the_columns_that_conditions_read() -> None:
    conditions = [event == "buy", property_("price", "number") > 3]
    assert withdrawal_columns(conditions) == {"visitor_id", "event_time", "event", "properties"}


def test_what_is_unknown_takes_no_event() -> None:
    frame = event_frame([Happened("v", 1, "a")]).with_columns(path=pl.lit(None, pl.String))
    assert withdrawing_events([field("path") != "x"], frame).height == 0


def test_the_last_events_are_kept_as_long_as_they_can_matter() -> None:
    condition = event == "buy"
    key = condition.key()
    seen = Withdrawals()
    seen.use([(condition, 10), (event == "buy", 100), (event == "pay", 0)])
    assert list(seen.conditions) == [key, (event == "pay").key()]
    seen.take("v", 50, [key, (event == "pay").key()])
    assert seen.since(key, "v", 49)
    assert not seen.since(key, "v", 50)
    assert not seen.since(key, "w", 0)
    assert not seen.since((event == "pay").key(), "v", 0)
    again: Withdrawals = pickle.loads(pickle.dumps(seen))
    again.use([(condition, 100)])
    assert again.since(key, "v", 49)
    for number in range(5000):
        again.take(f"old {number}", 51, [key])
    again.forget(151)
    assert again.since(key, "old 1", 50)
    assert again.since(key, "v", 49) is False
