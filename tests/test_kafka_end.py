"""What a partition's end promises; without a broker."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from footfall.kafka_end import UNSEEN_MS, PartitionEnd


def _at_end(end: PartitionEnd, asked: int) -> PartitionEnd:
    end.ask(asked)
    end.reach(unsettled=False)
    return end


def test_nothing_is_promised_before_the_end() -> None:
    end = PartitionEnd(broker_dated=True)
    assert end.until() is None
    end.ask(10_000)
    assert end.until() is None
    end.reach(unsettled=False)
    assert end.until() == 10_000 - UNSEEN_MS - 1_000
    end.leave()
    assert end.until() is None


def test_open_transactions_hold_the_promise_back() -> None:
    end = PartitionEnd(broker_dated=True)
    end.ask(10_000)
    end.reach(unsettled=True)
    assert end.until() is None


def test_nothing_is_promised_while_nobody_dates_the_records() -> None:
    for dated in (False, None):
        assert _at_end(PartitionEnd(broker_dated=dated, margin_ms=0), 10_000).until() is None
    end = PartitionEnd(broker_dated=None, margin_ms=0)
    end.observe(10_000, broker=9_990, waited=False)
    assert _at_end(end, 20_000).until() == 19_990


def test_what_lay_there_says_nothing_of_the_clocks() -> None:
    end = PartitionEnd(broker_dated=True, margin_ms=0)
    end.observe(10_000_000, broker=10_000, waited=False)
    assert _at_end(end, 10_000_000).until() == 10_000_000 - UNSEEN_MS
    end.observe(10_000_100, broker=9_995_000, waited=True)  # the broker's clock is 5 s behind
    assert _at_end(end, 10_000_200).until() == 10_000_200 - 5_100


def test_nothing_is_promised_after_records_that_date_themselves() -> None:
    end = PartitionEnd(broker_dated=True, margin_ms=0)
    end.observe(10_000, broker=9_990, waited=True)
    assert _at_end(end, 11_000).until() == 10_990
    end.dates_itself = True
    assert end.until() is None
    again = _at_end(PartitionEnd(broker_dated=True, margin_ms=0, dates_itself=True), 50_000)
    assert again.until() is None
    again.dates_itself = False
    assert again.until() is not None


def test_an_old_difference_is_forgotten() -> None:
    end = PartitionEnd(broker_dated=True, margin_ms=0)
    end.observe(1_000_000, broker=1_000_000 + 5_000, waited=True)  # its clock was ahead
    for minute in range(1, 25):
        now = 1_000_000 + 60_000 * minute
        end.observe(now, broker=now - 3, waited=True)
    assert _at_end(end, 10_000_000).until() == 10_000_000 - 3


@dataclass
class _Append:
    gap: int
    wait: int


@given(
    skew=st.integers(-5_000, 900),
    appends=st.lists(st.builds(_Append, st.integers(0, 3_000), st.integers(0, 2_000)), max_size=12),
)
def test_no_later_append_is_earlier_than_the_promise(skew: int, appends: list[_Append]) -> None:
    """The broker's clock is behind this machine's by `skew`; what is appended is read within some time, or later."""
    end = PartitionEnd(broker_dated=True, margin_ms=0)
    now = 1_000_000
    promised = 0
    for each in appends:
        now += each.gap
        _at_end(end, now)
        promised = max(promised, end.until() or 0)
        assert promised <= now - skew
        stamp = now - skew
        assert stamp >= promised
        now += each.wait
        end.leave()
        end.observe(now, broker=stamp, waited=True)
