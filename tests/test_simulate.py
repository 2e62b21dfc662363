"""The simulator is checked against what anyone can read off its files, by rules stated here anew."""

import gzip
import io
import json
import re
import zlib
from collections import defaultdict
from dataclasses import replace
from datetime import datetime
from math import hypot
from pathlib import Path
from typing import Any

import pytest
import zstandard

from footfall.errors import SettingsError, UsageError
from footfall.event_names import EventNames
from footfall.formats import format_by_name
from footfall.records import KEPT_BYTES, MAX_RECORD_BYTES, RecordBlock
from footfall.simulate import MONDAY, Simulation, SimulationSummary, simulate
from footfall.simulate_plants import PATTERNS, Plant, Seen, plants
from footfall.simulate_records import RecordFormat

HOUR, MINUTE = 3_600_000, 60_000
NOISY = Simulation(
    visitors=900,
    bots=0.1,
    dirty=0.05,
    clock_errors=0.2,
    duplicates=0.1,
    late=0.05,
    duration=12 * HOUR,
    start=MONDAY + 8 * HOUR,
)
# What this file's reference finds by rules of its own; the others are held against their case files.
FIVE = {"booking_abandoned", "cart_abandoned", "checkout_abandoned", "exit_intent", "rage_click"}
DAY = 24 * HOUR
WAITS = {"quote_viewed_not_booked": DAY, "dead_click": 2_500, "high_engagement_no_conversion": 30 * MINUTE}
FAST_CONTROL = re.compile(r"next|prev|plus|minus|^input|^textarea")  # as far as the simulated site has them
POINTER = {"rage_click", "thrashed_cursor"}
Record = dict[str, Any]


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def near(first: Record, click: Record) -> bool:
    return (
        click["element"] == first["element"] or hypot(click["x"] - first["x"], click["y"] - first["y"]) <= 30
    )


def good_records(path: Path) -> list[Record]:
    """The records of a flat file that hold what a record must, in the order of the file."""
    found = []
    for line in path.read_bytes().split(b"\n"):
        try:
            record = json.loads(line)
            record["at"], record["arrival"] = ms(record["event_time"]), ms(record["arrival_time"])
            if not all(isinstance(record[name], str) for name in ("visitor_id", "event", "message_id")):
                continue
            if not isinstance(record.get("properties", {}), dict):
                continue
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        found.append(record)
    return found


class Reference:
    """What the design makes of a flat file: watermark, capped clocks, late events, copies, sessions."""

    def __init__(self, path: Path) -> None:
        self.late = self.capped = self.duplicates = 0
        self.visits: dict[str, list[Record]] = defaultdict(list)
        latest = 0
        for record in good_records(path):
            if record["at"] > record["arrival"]:
                record["at"] = record["arrival"]
                self.capped += 1
            watermark = max(latest - 5_000, record["arrival"] - 60_000) - 1
            latest = max(latest, record["at"])
            if record["at"] <= watermark:
                self.late += 1
            else:
                self.visits[record["visitor_id"]].append(record)
        self.sessions: list[list[Record]] = []
        for events in self.visits.values():
            self._cut(sorted(events, key=lambda record: record["at"]))

    def _cut(self, events: list[Record]) -> None:
        session: list[Record] = []
        for record in events:
            if not session or record["at"] - session[-1]["at"] > 30 * MINUTE:
                session = []
                self.sessions.append(session)
            if any(record["message_id"] == earlier["message_id"] for earlier in session):
                self.duplicates += 1
            else:
                session.append(record)

    def plants(self) -> set[tuple[str, ...]]:
        found: set[tuple[str, ...]] = set()
        by_visitor: dict[str, list[Record]] = defaultdict(list)
        for session in self.sessions:
            by_visitor[session[0]["visitor_id"]] += session
        for events in by_visitor.values():
            times: dict[str, list[int]] = defaultdict(list)
            for record in events:
                times[record["event"]].append(record["at"])
            for record in events:
                found |= self._of(record, events, times)
            found |= self._bursts(events)
        return found

    @staticmethod
    def _of(first: Record, events: list[Record], times: dict[str, list[int]]) -> set[tuple[str, ...]]:
        at = first["at"]
        found: set[tuple[str, ...]] = set()
        for pattern, begun, completed in (
            ("booking_abandoned", "booking_started", "booking_completed"),
            ("cart_abandoned", "product_added", "order_completed"),
            ("checkout_abandoned", "checkout_started", "order_completed"),
        ):
            if first["event"] == begun and not [t for t in times[completed] if at <= t < at + 30 * MINUTE]:
                found.add((pattern, first["message_id"]))
        if first["event"] == "price_checked":
            leaving = [r for r in events if r["event"] == "exit_intent" and at <= r["at"] < at + 10 * MINUTE]
            if leaving and not [t for t in times["booking_started"] if at <= t <= leaving[0]["at"]]:
                found.add(("exit_intent", first["message_id"], leaving[0]["message_id"]))
        return found

    @staticmethod
    def _bursts(events: list[Record]) -> set[tuple[str, ...]]:
        clicks = [r for r in events if r["event"] == "click" and not FAST_CONTROL.search(r["element"])]
        triples = []
        for number, first in enumerate(clicks):
            hits = [place for place in range(number + 1, len(clicks)) if near(first, clicks[place])][:2]
            if len(hits) == 2 and clicks[hits[1]]["at"] - first["at"] < 1_000:
                triples.append((number, *hits))
        found: set[tuple[str, ...]] = set()
        free_from = 0
        for triple in triples:
            if triple[0] >= free_from:
                free_from = triple[-1] + 1
                found.add(("rage_click", *(clicks[place]["message_id"] for place in triple)))
        return found


def listed(summary: SimulationSummary) -> list[dict[str, Any]]:
    return [json.loads(line) for line in summary.plants_file.read_bytes().splitlines()]


def as_tuple(plant: dict[str, Any]) -> tuple[str, ...]:
    return (plant["pattern"], *(message for ids in plant["stages"].values() for message in ids))


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> SimulationSummary:
    return simulate(NOISY, tmp_path_factory.mktemp("noisy") / "site.ndjson")


def test_the_counts_are_those_of_the_file(noisy: SimulationSummary) -> None:
    (path,) = noisy.records
    records = good_records(path)
    reference = Reference(path)
    assert path.read_bytes().count(b"\n") == noisy.lines == noisy.events + noisy.duplicates + noisy.dirty
    assert len(records) == noisy.events + noisy.duplicates
    assert reference.late == noisy.late > 100
    assert reference.capped == noisy.clock_capped > 100
    assert reference.duplicates == noisy.duplicates > 100
    assert len(reference.sessions) == noisy.sessions > 100
    assert len({record["visitor_id"] for record in records}) == noisy.visitors
    assert sum(noisy.by_event.values()) == noisy.events
    assert noisy.bot_events > 100


def test_the_plants_are_the_whole_truth(noisy: SimulationSummary) -> None:
    planted = [as_tuple(plant) for plant in listed(noisy)]
    assert len(planted) == len(set(planted)) == sum(noisy.plants.values())
    assert {plant for plant in planted if plant[0] in FIVE} == Reference(noisy.records[0]).plants()
    assert list(noisy.plants) == list(PATTERNS)
    assert noisy.plants["customer_inactive"] == 0  # in half a day
    assert min(count for name, count in noisy.plants.items() if name != "customer_inactive") > 0


def test_a_plant_names_its_visitor_and_its_times(noisy: SimulationSummary) -> None:
    at: dict[str, tuple[str, int]] = {}
    for record in good_records(noisy.records[0]):
        at.setdefault(record["message_id"], (record["visitor_id"], min(record["at"], record["arrival"])))
    for plant in listed(noisy):
        seen = [at[message] for ids in plant["stages"].values() for message in ids]
        assert {visitor for visitor, _ in seen} == {plant["visitor_id"]}
        assert (ms(plant["first_time"]), ms(plant["last_time"])) == (seen[0][1], seen[-1][1])


def test_only_absences_that_reach_beyond_the_end_are_at_its_end(tmp_path: Path) -> None:
    summary = simulate(replace(NOISY, duration=2 * HOUR, start=MONDAY + 18 * HOUR), tmp_path / "cut.ndjson")
    records = good_records(summary.records[0])
    latest = max(min(record["at"], record["arrival"]) for record in records)
    end = max(latest - 5_000, records[-1]["arrival"] - MINUTE) - 1
    assert end > MONDAY + 20 * HOUR - MINUTE
    kinds: dict[bool, int] = defaultdict(int)
    for plant in listed(summary):
        absent = 30 * MINUTE if plant["pattern"].endswith("_abandoned") else WAITS.get(plant["pattern"], 0)
        due = ms(plant["first_time"]) + absent
        assert plant["at_end"] is (bool(absent) and due > end)
        kinds[plant["at_end"]] += 1
    assert min(kinds[True], kinds[False]) > 0


def test_records_stand_in_the_order_of_their_arrival(tmp_path: Path) -> None:
    summary = simulate(replace(NOISY, partitions=3), tmp_path / "parts")
    assert [path.name for path in summary.records] == [f"events-0{n}.ndjson" for n in range(3)]
    visitors: list[set[str]] = []
    for path in summary.records:
        records = good_records(path)
        arrivals = [record["arrival"] for record in records]
        assert arrivals == sorted(arrivals)
        visitors.append({record["visitor_id"] for record in records})
    assert sum(map(len, visitors)) == len(set().union(*visitors)) == summary.visitors
    references = [Reference(path) for path in summary.records]
    assert sum(reference.late for reference in references) == summary.late
    assert set().union(*(reference.plants() for reference in references)) == {
        as_tuple(p) for p in listed(summary) if p["pattern"] in FIVE
    }


@pytest.mark.parametrize("record_format", ["footfall", "segment"])
def test_every_malformed_record_is_a_dead_letter_and_no_other(
    tmp_path: Path, record_format: RecordFormat
) -> None:
    summary = simulate(replace(NOISY, format=record_format, dirty=0.3), tmp_path / "site.ndjson")
    lines = summary.records[0].read_bytes().split(b"\n")[:-1]
    large = {index: len(line) for index, line in enumerate(lines) if len(line) > MAX_RECORD_BYTES}
    data = b"".join(
        (line[:KEPT_BYTES] if index in large else line) + b"\n" for index, line in enumerate(lines)
    )
    decoder = format_by_name(record_format)(EventNames.load())
    decoded = decoder.decode(RecordBlock("p", 0, len(lines), data, "site.ndjson", 1, large))
    assert decoded.dead.height == summary.dirty
    assert decoded.events.height == summary.events + summary.duplicates
    assert decoded.dead["reason"].n_unique() >= 10
    events = decoded.events.unique("message_id")
    counts = dict(events["event"].value_counts().iter_rows())
    late_copies = summary.events - events.height
    assert sum(abs(counts[name] - count) for name, count in summary.by_event.items()) == late_copies
    assert late_copies < 0.02 * summary.events
    assert events["bot"].sum() == pytest.approx(summary.bot_events, abs=late_copies)


def test_segments_timestamps_put_every_clock_right(tmp_path: Path) -> None:
    flat = simulate(replace(NOISY, clock_errors=0), tmp_path / "flat.ndjson")
    segment = simulate(replace(NOISY, clock_errors=0.5, format="segment"), tmp_path / "segment.ndjson")
    # The same seed plays the same visits, until chance is drawn for a wrong clock, which Segment never needs.
    assert (segment.clock_capped, segment.sessions) == (0, flat.sessions)
    # Segment's messages don't say where the pointer was.
    assert (segment.plants["thrashed_cursor"], segment.plants["rage_click"] < flat.plants["rage_click"]) == (
        0,
        True,
    )
    same = [[plant for plant in listed(plan) if plant["pattern"] not in POINTER] for plan in (flat, segment)]
    assert same[0] == same[1]


@pytest.mark.parametrize("name", ["a.ndjson", "a.ndjson.gz", "a.jsonl.zst", "a", "a.gz", "a.zst"])
def test_one_plan_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    plan = replace(NOISY, visitors=60, dirty=0.01)
    first, again = (simulate(plan, tmp_path / folder / name) for folder in ("one", "two"))
    other = simulate(replace(plan, seed=8), tmp_path / "three" / name)
    written = [path.read_bytes() for path in (*first.records, first.plants_file)]
    assert [path.read_bytes() for path in (*again.records, again.plants_file)] == written
    assert [path.read_bytes() for path in (*other.records, other.plants_file)] != written
    plain = written[0]
    if "gz" in name:
        plain = gzip.decompress(plain)
    if "zst" in name:
        plain = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(plain)).read()
    assert zlib.crc32(plain) == zlib.crc32(simulate(plan, tmp_path / "plain.ndjson").records[0].read_bytes())


def test_a_rate_is_kept_about(tmp_path: Path) -> None:
    summary = simulate(Simulation(visitors=20_000, rate=4, duration=2 * HOUR), tmp_path / "rate.ndjson")
    assert summary.events == pytest.approx(4 * 7_200, rel=0.25)


def test_without_noise_there_is_none(tmp_path: Path) -> None:
    plan = Simulation(visitors=100, bots=0, dirty=0, clock_errors=0, duplicates=0, late=0)
    summary = simulate(plan, tmp_path / "clean.ndjson")
    assert (summary.dirty, summary.duplicates, summary.late, summary.clock_capped, summary.bot_events) == (
        0,
    ) * 5
    assert summary.lines == summary.events == len(good_records(summary.records[0]))


def test_a_folder_is_written_anew_but_never_over_other_things(tmp_path: Path) -> None:
    plan = replace(NOISY, visitors=20, partitions=3)
    simulate(plan, tmp_path / "day")
    simulate(replace(plan, partitions=2), tmp_path / "day")
    assert sorted(path.name for path in (tmp_path / "day").iterdir()) == [
        "events-00.ndjson",
        "events-01.ndjson",
    ]
    (tmp_path / "day" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds other things \(notes.txt\)"):
        simulate(plan, tmp_path / "day")
    assert (tmp_path / "day" / "notes.txt").read_text() == "mine"
    with pytest.raises(UsageError, match="3 partitions need a folder"):
        simulate(plan, tmp_path / "day.ndjson")
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(UsageError, match="is a file without"):
        simulate(plan, tmp_path / "taken")


def test_every_number_out_of_bounds_is_reported() -> None:
    with pytest.raises(SettingsError) as caught:
        Simulation(visitors=0, dirty=2, late=-1, rate=-3, partitions=0)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "visitors", "dirty", "late", "partitions", "rate",
    ]  # fmt: skip


def found(*events: tuple[int, str] | tuple[int, str, str]) -> list[tuple[str, int, int]]:
    seen = [
        Seen(event[0], event[1], event[2] if len(event) == 3 else None, f"m{number}")
        for number, event in enumerate(events)
    ]
    own = [plant for plant in plants(seen) if plant.pattern in FIVE]
    return [(plant.pattern, plant.first_time, plant.last_time) for plant in own]


def test_an_absence_ends_just_before_its_deadline() -> None:
    started, deadline = (0, "booking_started"), 30 * MINUTE
    assert found(started, (deadline - 1, "booking_completed")) == []
    assert found(started, (deadline, "booking_completed")) == [("booking_abandoned", 0, 0)]
    assert found((0, "booking_completed"), (1, "booking_started")) == [("booking_abandoned", 1, 1)]
    assert found((0, "product_added"), (9, "product_added"), (deadline, "order_completed")) == [
        ("cart_abandoned", 0, 0)
    ]


def test_rage_clicks_are_three_on_one_element_within_a_second() -> None:
    assert found((0, "click", "a"), (500, "click", "a"), (999, "click", "a")) == [("rage_click", 0, 999)]
    assert found((0, "click", "a"), (500, "click", "a"), (1_000, "click", "a")) == []
    assert found((0, "click", "a"), (500, "click", "b"), (999, "click", "a")) == []
    assert found((0, "click"), (1, "click"), (2, "click")) == []
    burst = [(at, "click", "a") for at in range(0, 700, 100)]
    assert found(*burst) == [("rage_click", 0, 200), ("rage_click", 300, 500)]


def test_each_price_check_goes_with_the_next_exit_unless_a_booking_stands_between() -> None:
    twice = found((0, "price_checked"), (5, "price_checked"), (9, "exit_intent"), (10, "exit_intent"))
    assert twice == [("exit_intent", 0, 9), ("exit_intent", 5, 9)]
    within = 10 * MINUTE
    assert found((0, "price_checked"), (within - 1, "exit_intent")) == [("exit_intent", 0, within - 1)]
    assert found((0, "price_checked"), (within, "exit_intent")) == []
    booked = found((0, "price_checked"), (1, "booking_started"), (2, "exit_intent"), (3, "booking_completed"))
    assert booked == []


def test_a_plant_is_due_when_it_is_certain() -> None:
    (absence,) = plants([Seen(7, "checkout_started", None, "m")])
    assert absence == Plant("checkout_abandoned", {"started": ("m",)}, 7, 7, 7 + 30 * MINUTE)
