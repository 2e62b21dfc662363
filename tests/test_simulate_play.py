"""The pace, by a clock of the test's own: nothing here waits."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

import pytest

from footfall.simulate_plan import MONDAY, Simulation, slices
from footfall.simulate_play import Played, Player, stretch_ms
from footfall.simulate_records import RecordFormat
from footfall.simulate_traffic import Traffic

MINUTE, HOUR = 60_000, 3_600_000
PLAN = Simulation(visitors=20_000, rate=40, duration=10 * MINUTE, start=MONDAY + 12 * HOUR, seed=3)


@dataclass
class Desk:
    """An outlet, and the clock that runs while it is served: `taken` holds time, record and key."""

    now: float = 1_000.0
    taken: list[tuple[float, bytes, bytes]] = field(default_factory=list)
    longest_wait: float = 0.0
    each_takes: float = 0.0
    room: Callable[[], bool] = lambda: True

    def send(self, value: bytes, key: bytes) -> bool:
        if not self.room():
            return False
        self.taken.append((self.now, value, key))
        self.now += self.each_takes
        return True

    def serve(self, seconds: float) -> None:
        self.longest_wait = max(self.longest_wait, seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


def arrival(value: bytes) -> int:
    record = json.loads(value)
    return round(
        datetime.fromisoformat(record.get("arrival_time") or record["receivedAt"]).timestamp() * 1000
    )


def message_id(value: bytes, key: bytes) -> str | None:
    """A record's id; None if it is malformed."""
    try:
        record = json.loads(value)
        if not (isinstance(record["event"], str) and isinstance(record.get("properties", {}), dict)):
            return None
        datetime.fromisoformat(record["event_time"])
        return str(record["message_id"]) if record["visitor_id"].encode() == key else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


@pytest.mark.parametrize("speed", [1.0, 60.0])
@pytest.mark.parametrize("written", ["footfall", "segment"])
def test_each_record_is_sent_when_it_arrives(speed: float, written: RecordFormat) -> None:
    plan, desk = replace(PLAN, dirty=0, format=written), Desk()
    player = Player(plan, desk, clock=desk.clock, speed=speed)
    player.play()
    assert player.played.records == len(desk.taken) > 0.7 * plan.visits * 11
    for sent, value, _ in desk.taken:
        assert sent == pytest.approx(1_000 + (arrival(value) - plan.start) / 1000 / speed, abs=0.001)
    assert desk.longest_wait <= 0.1
    assert player.played.behind == pytest.approx(0, abs=0.001)
    assert player.played.time == arrival(desk.taken[-1][1]) < plan.stop + 4_001


def test_the_first_record_comes_at_once_even_at_night() -> None:
    desk = Desk()
    night = replace(PLAN, rate=0.1, start=MONDAY + 3 * HOUR, duration=24 * HOUR)
    Player(night, desk, clock=desk.clock, stopped=lambda: bool(desk.taken)).play()
    assert desk.taken[0][0] - 1_000 < 4


def test_what_is_made_ahead_stays_small_however_long_the_plan() -> None:
    desk = Desk()
    endless = replace(PLAN, duration=3_650 * 24 * HOUR)
    made: list[int] = []

    def watch(played: Played) -> None:
        made.append(player._traffic.counts["lines"] - played.records)

    player = Player(endless, desk, clock=desk.clock, stopped=lambda: desk.now > 1_000 + 900, watch=watch)
    player.play()
    assert player.played.records > 10_000
    # At 40 a second, visits of two minutes.
    assert max(made) < 10_000
    assert sum(map(len, player._traffic._waiting.values())) < 10_000


def test_the_same_records_come_at_every_speed() -> None:
    slow, fast = Desk(), Desk()
    Player(PLAN, slow, clock=slow.clock).play()
    Player(PLAN, fast, clock=fast.clock, speed=1_000).play()
    assert [value for _, value, _ in slow.taken] == [value for _, value, _ in fast.taken]


def test_what_comes_too_slowly_is_sent_at_once_and_told() -> None:
    desk = Desk(each_takes=0.1)
    behind: list[float] = []
    player = Player(PLAN, desk, clock=desk.clock, watch=lambda played: behind.append(played.behind))
    player.play()
    assert max(behind) > 60
    times = [sent for sent, _, _ in desk.taken]
    assert times[-1] - times[len(times) // 2] == pytest.approx((len(times) - 1 - len(times) // 2) * 0.1)


@pytest.mark.parametrize("written", ["footfall", "segment"])
def test_records_that_the_broker_dates_tell_no_arrival(written: RecordFormat) -> None:
    plan, told, untold = replace(PLAN, format=written, dirty=0), Desk(), Desk()
    Player(plan, told, clock=told.clock).play()
    Player(plan, untold, clock=untold.clock, dated=False).play()
    assert len([arrival(value) for _, value, _ in told.taken]) == len(told.taken)
    assert not [value for _, value, _ in untold.taken if b"arrival_time" in value or b"receivedAt" in value]
    assert len(told.taken) == len(untold.taken)
    assert [key for _, _, key in told.taken] == [key for _, _, key in untold.taken]


def test_counts_are_those_of_what_was_sent() -> None:
    desk = Desk()
    plan = replace(PLAN, dirty=0.1, duplicates=0.1)
    player = Player(plan, desk, clock=desk.clock, stopped=lambda: len(desk.taken) >= 2_000)
    player.play()
    played = player.played
    assert played.records == len(desk.taken) == 2_000
    assert played.visitors == len({key for _, _, key in desk.taken}) > 100
    good = [message for _, value, key in desk.taken if (message := message_id(value, key)) is not None]
    assert (len(good), len(set(good))) == (played.events + played.duplicates, played.events)
    assert played.dirty == 2_000 - len(good) > 100
    assert played.duplicates > 100


def test_no_malformed_record_is_larger_than_a_broker_takes() -> None:
    desk = Desk()
    Player(replace(PLAN, dirty=1.0), desk, clock=desk.clock).play()
    assert len(desk.taken) > 20_000
    assert max(len(value) for _, value, _ in desk.taken) < 100_000


def test_plants_are_those_that_the_whole_traffic_has() -> None:
    plan = replace(PLAN, duration=2 * HOUR, rate=5, dirty=0)
    desk = Desk()
    player = Player(plan, desk, clock=desk.clock, speed=1_000)
    player.play()
    whole = Traffic(plan, every=stretch_ms(plan), oversized=False)
    whole.play(plan.start, plan.start + 1, 1)
    for begin, end, visits in slices(plan, stretch_ms(plan)):
        whole.play(begin, end, visits)
        list(whole.arrived(end))
        whole.certain_plants(last=False)
    certain = +whole.planted
    assert player.played.plants == certain
    assert certain["booking_abandoned"] > 10


def test_it_stops_where_there_is_no_room() -> None:
    desk = Desk()
    desk.room = lambda: len(desk.taken) < 50
    player = Player(PLAN, desk, clock=desk.clock)
    player.play()
    assert player.played.records == len(desk.taken) == 50


@pytest.mark.parametrize(("rate", "ms"), [(0.001, 600_000), (40.0, 4_000), (5_000.0, 1_000), (0.0, 600_000)])
def test_a_stretch_holds_some_hundred_records_or_a_second(rate: float, ms: int) -> None:
    found = stretch_ms(replace(PLAN, rate=rate, duration=24 * HOUR))
    assert found == ms if ms != 4_000 else 3_000 < found < 6_000
