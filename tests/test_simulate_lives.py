"""Simulated lives are held against what anyone can read off their files, and against themselves."""

import io
import json
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest
import zstandard

from footfall.cli import main
from footfall.errors import SettingsError, UsageError
from footfall.event_names import EventNames
from footfall.formats import format_by_name
from footfall.records import RecordBlock
from footfall.run import Run, RunRequest
from footfall.settings import Settings
from footfall.simulate_lives import simulate_lives
from footfall.simulate_lives_people import newcomer
from footfall.simulate_lives_plan import DAY_MS, LivesPlan, LivesSummary
from footfall.simulate_lives_states import TRAITS, State, Traits
from footfall.simulate_lives_visit import Setting, visit_actions
from footfall.simulate_records import RecordFormat

GAP = 30 * 60_000
DAYS_AFTER = (1, 3, 7, 14, 21, 27)
PLAN = LivesPlan(visitors=7_000, change_at=50, duration=100 * DAY_MS, seed=3)
SMALL = LivesPlan(visitors=150, change_at=20, duration=45 * DAY_MS, seed=4)
Row = dict[str, Any]


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> LivesSummary:
    return simulate_lives(PLAN, tmp_path_factory.mktemp("lives") / "lives.ndjson")


@pytest.fixture(scope="module")
def truth(lives: LivesSummary) -> pl.DataFrame:
    return pl.read_ndjson(lives.truth_file, schema_overrides={"days": pl.Int64})


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> LivesSummary:
    return simulate_lives(SMALL, tmp_path_factory.mktemp("few") / "few.ndjson")


def worst(found: pl.DataFrame, bins: int) -> float:
    """The largest |z| of outcomes against probabilities, in bins of the probability.

    A visitor's moments share outcomes, so the spread is that of visitors' sums.
    """
    p = found["probability"].to_numpy()
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)))
    binned = found.with_columns(
        bin=pl.Series(np.searchsorted(edges[1:-1], p, side="right")),
        off=pl.col("outcome").cast(pl.Float64) - pl.col("probability"),
    )
    sums = binned.group_by("bin", "visitor_id").agg(pl.col("off").sum())
    z = sums.group_by("bin").agg(
        z=pl.col("off").sum() / (pl.col("off") ** 2).sum().sqrt(), n=pl.len()
    )  # fmt: skip
    assert z["n"].min() > 50  # type: ignore[operator]  # a number: the column has integers
    return float(z["z"].abs().max())  # type: ignore[arg-type]  # a number: the column has floats


@pytest.mark.parametrize(("moment", "bins"), [("session_end", 10), ("order", 4), ("days_after", 6)])
def test_outcomes_come_as_often_as_the_probabilities_say(truth: pl.DataFrame, moment: str, bins: int) -> None:
    known = truth.filter((pl.col("moment") == moment) & pl.col("outcome").is_not_null())
    assert known["probability"].is_between(0, 1).all()
    assert worst(known, bins) < 3.5
    # It would be seen if they were only a little off.
    off = known.with_columns(pl.col("probability") * 0.7)
    assert worst(off, bins) > 3.5


def test_lives_are_of_the_kind_that_was_planned(lives: LivesSummary, truth: pl.DataFrame) -> None:
    assert lives.visitors == PLAN.visitors
    assert 0.02 < lives.orders / lives.sessions < 0.06
    assert lives.by_event["booking_completed"] == lives.orders
    assert set(truth["state"]) == {state.name.lower() for state in State}
    assert lives.moments == dict(sorted(truth["moment"].value_counts().iter_rows()))


class Reference:
    """What the moments of one visitor are, by the visitor's events: (moment, days, time, outcome)."""

    def __init__(self, events: list[tuple[int, str]], plan: LivesPlan) -> None:
        self._plan = plan
        self._times = [at for at, _ in events]
        self._orders = [at for at, name in events if name == "booking_completed"]
        self.sessions = 0
        self.moments: list[tuple[str, int | None, int, bool | None]] = [
            ("order", None, at, self._churns(at)) for at in self._orders
        ]
        for at, following in pairwise((*self._times, plan.stop + 90 * DAY_MS)):
            if following - at > GAP:
                self.sessions += 1
                self._silence(at, following)
        self.moments = [moment for moment in self.moments if moment[2] < plan.stop]

    def _silence(self, at: int, following: int) -> None:
        self.moments.append(("session_end", None, at + GAP, self._leads(at + GAP)))
        for days in DAYS_AFTER if self._orders and self._orders[0] <= at else ():
            since = at + days * DAY_MS
            if since < following:
                self.moments.append(("days_after", days, since, self._churns(since, 30 - days)))

    def _leads(self, since: int) -> bool | None:
        until = since + 7 * DAY_MS
        return any(since < at <= until for at in self._orders) if until <= self._plan.stop else None

    def _churns(self, since: int, days: int = 30) -> bool | None:
        until = since + days * DAY_MS
        return not any(since < at <= until for at in self._times) if until <= self._plan.stop else None


def test_moments_and_outcomes_are_those_of_the_file(few: LivesSummary) -> None:
    """Sessions, orders and days of silence are found anew from the records, and what came after them."""
    visits: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for record in rows(few.records[0]):
        visits[record["visitor_id"]].append((ms(record["event_time"]), record["event"]))
    references = {visitor: Reference(sorted(events), SMALL) for visitor, events in visits.items()}
    listed = rows(few.truth_file)
    found = [
        (row["visitor_id"], row["moment"], row["days"], ms(row["time"]), row["outcome"]) for row in listed
    ]
    expected = {(visitor, *moment) for visitor, of in references.items() for moment in of.moments}
    assert set(found) == expected
    assert len(found) == len(expected) == sum(few.moments.values())
    assert sum(of.sessions for of in references.values()) == few.sessions
    assert [row["time"] for row in listed] == sorted(row["time"] for row in listed)
    assert {(row["label"], row["days"], row["horizon_ms"]) for row in listed} == {
        ("lead", None, 7 * DAY_MS),
        ("churn", None, 30 * DAY_MS),
        *(("churn", days, (30 - days) * DAY_MS) for days in DAYS_AFTER),
    }
    assert len({(row["label"], row["outcome"]) for row in listed}) == 6


def test_a_replay_finds_the_visits_as_sessions(few: LivesSummary, tmp_path: Path) -> None:
    settings = Settings(store="none", out=tmp_path / "out", workers=1)
    report = Run(RunRequest(settings, (str(few.records[0]),))).execute().report
    assert report is not None
    assert (report.late, report.dead, report.duplicates) == (0, 0, 0)
    sessions = pl.read_parquet(tmp_path / "out" / "sessions" / "**" / "*.parquet")
    found = {
        (visitor, round(end.timestamp() * 1000) + GAP)
        for visitor, end in sessions.select("visitor_id", "end_time").iter_rows()
    }
    ends = {
        (row["visitor_id"], ms(row["time"])) for row in rows(few.truth_file) if row["moment"] == "session_end"
    }
    assert {each for each in found if each[1] < SMALL.stop} == ends
    assert len(found) == sessions.height == few.sessions


@pytest.mark.parametrize("name", ["a.ndjson", "a.ndjson.zst", "a"])
def test_one_plan_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    plan = replace(SMALL, visitors=30, dirty=0.02, duplicates=0.02)
    first, again = (simulate_lives(plan, tmp_path / folder / name) for folder in ("one", "two"))
    other = simulate_lives(replace(plan, seed=5), tmp_path / "three" / name)
    written = [path.read_bytes() for path in (*first.records, first.truth_file)]
    assert [path.read_bytes() for path in (*again.records, again.truth_file)] == written
    assert [path.read_bytes() for path in (*other.records, other.truth_file)] != written
    if name.endswith(".zst"):
        plain = simulate_lives(plan, tmp_path / "plain.ndjson")
        for packed, path in zip(written, (*plain.records, plain.truth_file), strict=True):
            unpacked = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)).read()
            assert unpacked == path.read_bytes()


def test_records_stand_in_the_order_of_their_arrival(tmp_path: Path) -> None:
    whole = simulate_lives(SMALL, tmp_path / "whole.ndjson")
    parts = simulate_lives(replace(SMALL, partitions=3), tmp_path / "parts")
    together = []
    for path in parts.records:
        records = rows(path)
        arrivals = [record["arrival_time"] for record in records]
        assert arrivals == sorted(arrivals)
        assert all(0 < ms(each["arrival_time"]) - ms(each["event_time"]) <= 4_000 for each in records)
        together += records
    assert sorted(record["message_id"] for record in together) == sorted(
        record["message_id"] for record in rows(whole.records[0])
    )
    assert parts.truth_file.read_bytes() == whole.truth_file.read_bytes()


@pytest.mark.parametrize("record_format", ["footfall", "segment"])
def test_noise_is_what_was_asked_for(tmp_path: Path, record_format: RecordFormat) -> None:
    plan = replace(SMALL, visitors=60, dirty=0.1, duplicates=0.1, format=record_format)
    summary = simulate_lives(plan, tmp_path / "noisy.ndjson")
    data = summary.records[0].read_bytes()
    block = RecordBlock("p", 0, data.count(b"\n"), data, "noisy.ndjson", 1, {})
    decoded = format_by_name(record_format)(EventNames.load()).decode(block)
    assert decoded.dead.height == summary.dirty > 50
    assert decoded.events.height == summary.events + summary.duplicates
    events = decoded.events.unique("message_id")
    assert events.height == summary.events
    assert dict(events["event"].value_counts().iter_rows()) == dict(summary.by_event)
    orders = events.filter(pl.col("event") == "booking_completed")
    assert (orders["value"] > 0).all()
    assert set(orders["currency"]) == {"EUR"}


def test_nothing_is_other_before_the_change(tmp_path: Path) -> None:
    changed = simulate_lives(SMALL, tmp_path / "changed.ndjson")
    never = simulate_lives(replace(SMALL, change_at=None), tmp_path / "never.ndjson")
    one, two = (
        [json.loads(line) for line in s.records[0].read_bytes().splitlines()] for s in (changed, never)
    )
    at = SMALL.start + 20 * DAY_MS
    one_before, two_before = ([each for each in found if ms(each["event_time"]) < at] for found in (one, two))
    assert one_before == two_before
    assert len(one_before) > 300
    campaigns = [{each.get("utm_campaign") for each in found} for found in (one, two)]
    assert ["discount_week" in each for each in campaigns] == [True, False]


def price_checks(state: State, *, changed: bool, source: str = "paid") -> float:
    random = Random(1)
    setting = Setting(state, state, Traits(source, "desktop", 1), source, changed)
    visits = [visit_actions(random, 0, setting, None) for _ in range(400)]
    return float(np.mean([sum(act.event == "price_checked" for act in visit) for visit in visits]))


def test_the_change_turns_round_what_price_checks_mean() -> None:
    assert price_checks(State.READY, changed=False) > 5 * price_checks(State.BROWSING, changed=False)
    assert price_checks(State.BROWSING, changed=True) > 3 * price_checks(State.READY, changed=True)


def test_price_checks_mean_nothing_of_who_comes_from_social_media() -> None:
    ready, browsing = (
        price_checks(state, changed=False, source="social") for state in (State.READY, State.BROWSING)
    )
    assert ready == pytest.approx(browsing, rel=0.25)


def test_the_discount_campaign_comes_with_the_change() -> None:
    random = Random(2)
    for changed, share in ((False, 0), (True, 0.4)):
        sources = Counter(TRAITS[newcomer(random, changed=changed)].source for _ in range(4_000))
        assert sources["discount"] / 4_000 == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize("state", list(State)[:-1])
@pytest.mark.parametrize("changed", [False, True])
def test_a_visit_is_one_session_and_ends_with_its_order(state: State, *, changed: bool) -> None:
    random = Random(f"{state} {changed}")
    for _ in range(200):
        traits = TRAITS[int(random.random() * len(TRAITS))]
        setting = Setting(state, State.CUSTOMER, traits, traits.source, changed)
        order_at = None if random.random() < 0.5 else 1_000_000 + 90_000
        actions = visit_actions(random, 1_000_000, setting, order_at)
        times = np.array([action.at for action in actions])
        assert times[0] == 1_000_000
        assert (np.diff(times) > 0).all()
        assert (np.diff(times) < GAP).all()
        orders = [action.at for action in actions if action.event == "booking_completed"]
        assert orders == ([] if order_at is None else [order_at])
        assert order_at in {None, actions[-1].at}


def test_the_command_writes_both_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = str(tmp_path / "lives.ndjson")
    chosen = ["--lives", "--visitors", "20", "--duration", "20 d", "--change-at", "10"]
    assert main(["simulate", output, *chosen, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["events"] == len(rows(tmp_path / "lives.ndjson"))
    assert sum(told["moments"].values()) == len(rows(tmp_path / "lives.truth.ndjson"))
    assert main(["simulate", output, *chosen]) == 0
    assert "20 visitors" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--lives", "--rate", "3", "--late", "0.1"], "--rate, --late: not with --lives"),
        (["--change-at", "3"], "--change-at is for lives; add --lives"),
        (["--lives", "--partitions", "2"], "2 partitions need a folder"),
    ],
)
def test_flags_that_dont_go_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    assert main(["simulate", str(tmp_path / "x.ndjson"), *flags]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_lives_dont_go_to_a_topic(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "kafka://events", "--lives"]) == 2
    assert "written to files, not to a topic" in capsys.readouterr().err


def test_every_number_out_of_bounds_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        LivesPlan(visitors=0, change_at=-1, dirty=2)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "visitors", "dirty", "change_at",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="need a folder"):
        simulate_lives(replace(SMALL, partitions=2), tmp_path / "one.ndjson")
