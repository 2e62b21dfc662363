"""A replay that goes by the control records of a live run."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from control_records import LEFT, REMIND, T0, clicks
from engine_harness import Engine, line_of
from polars.testing import assert_frame_equal
from reference import Record

from footfall.control_record import ControlRecord
from footfall.dataflow import plan_in_force
from footfall.errors import ControlError, StateError, UsageError
from footfall.run import Run, RunRequest
from footfall.settings import Settings
from footfall.tables import CONTROLS, MATCHES, TRIGGERS, Table

VISITORS = 10
MINUTE = 60_000
HOUR = 60 * MINUTE
SWITCHES = (T0 + 2 * HOUR, T0 + 4 * HOUR)
CONTENTS = ((clicks(2), (REMIND,)), (clicks(3), ()), (clicks(2), (REMIND,)))
RECORDS = tuple(
    ControlRecord(number, since, (LEFT, pattern), rules, {}, T0 + number)
    for number, (since, (pattern, rules)) in enumerate(zip((None, *SWITCHES), CONTENTS, strict=True))
)
SOON = 10_000
BURSTS = (T0, SWITCHES[0] - 1, SWITCHES[0] + SOON, SWITCHES[1] - 2, SWITCHES[1] + SOON, T0 + 7 * HOUR)
FOUND = ((0, "01"), (0, "12"), (1, "01"), (2, "012"), (3, "012"), (4, "01"), (4, "12"), (5, "01"), (5, "12"))
"""What is found of each visitor: burst, and its clicks; a match goes on to its end under the set it began with."""


def traffic() -> list[Record]:
    """Of each of ten visitors bursts of three clicks, a millisecond apart, around the switches, and carts between."""
    records = []
    for visitor in range(VISITORS):
        name = f"v{visitor}"
        for number, start in enumerate(BURSTS):
            for click in range(3):
                message = f"{name}-{number}-{click}"
                records.append(Record(name, message, "click", start + click, element="a"))
        records += [
            Record(name, f"{name}-cart-{hour}", "cart", T0 + hour * HOUR + visitor * MINUTE)
            for hour in range(6)
        ]
        records.append(Record(name, f"{name}-end", "page_view", T0 + 20 * HOUR))
    return sorted(records, key=lambda record: record.time)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "in.ndjson").write_bytes(b"\n".join(map(line_of, traffic())) + b"\n")
    return Settings(
        store="none",
        out=tmp_path / "out",
        patterns=written(tmp_path, RECORDS),
        batch_size=50,
        shards=3,
        workers=2,
    )


def written(folder: Path, records: Sequence[ControlRecord]) -> Path:
    """A file of control messages."""
    path = folder / "control.ndjson"
    path.write_bytes(b"".join(record.to_json() + b"\n" for record in records))
    return path


def run_of(settings: Settings, tmp_path: Path) -> Run:
    return Run(RunRequest(settings, (str(tmp_path / "in.ndjson"),)))


def rows(settings: Settings, table: Table) -> pl.DataFrame:
    """The rows of a table in the folder of answers, by their key."""
    assert settings.out is not None
    files = sorted((settings.out / table.name).glob("*.parquet"))
    return pl.concat([table.empty(), *map(pl.read_parquet, files)]).sort(table.key)


def engine_matches(settings: Settings) -> pl.DataFrame:
    """The matches of the engine alone, by their key."""
    engine = Engine(plan_in_force(settings, RECORDS).now.plan)
    engine.read(0, traffic())
    engine.read(0, [], ended=True)
    engine.feed()
    return engine.outcome().matches.select(MATCHES.schema.names()).sort(MATCHES.key)


def test_a_replay_finds_what_each_set_found(settings: Settings, tmp_path: Path) -> None:
    run = run_of(settings, tmp_path)
    report = run.execute().report
    assert report is not None
    matches = rows(settings, MATCHES)
    assert_frame_equal(matches, engine_matches(settings))
    of_clicks = matches.filter(pl.col("pattern") == "clicks")
    found = Counter(
        (version, *json.loads(stages)["click"])
        for version, stages in of_clicks.select("pattern_version", "stages").iter_rows()
    )
    assert found == Counter(
        (clicks(len(taken)).version, *(f"v{visitor}-{burst}-{click}" for click in taken))
        for visitor in range(VISITORS)
        for burst, taken in FOUND
    )
    assert report.matches["clicks"] == len(FOUND) * VISITORS
    assert report.pattern_versions == {"left": LEFT.version, "clicks": clicks(2).version}
    assert rows(settings, CONTROLS).is_empty(), "only a live run writes them"
    # Of the carts those of the third and fourth hour settle while there is no rule, and that of the second is due then.
    triggers = rows(settings, TRIGGERS).sort("visitor_id", "event_time")
    assert triggers["status"].to_list() == ["fired", "suppressed", "fired", "capped"] * VISITORS
    assert triggers["event_time"].to_physical().to_list() == [
        T0 + hour * HOUR + visitor * MINUTE for visitor in range(VISITORS) for hour in (0, 1, 4, 5)
    ]


def test_a_state_folder_is_of_the_records_it_was_begun_with(settings: Settings, tmp_path: Path) -> None:
    settings = replace(settings, state=tmp_path / "state", out=None)
    ended = run_of(settings, tmp_path).execute().report
    assert ended is not None
    again = run_of(settings, tmp_path).execute()
    assert again.report == ended
    assert again.records == 0, "it was done"
    first, second, third = RECORDS
    for other, said in [
        ((first, second), "patterns: the control records differ"),
        ((first, second, replace(third, since=SWITCHES[1] + 1)), "patterns: the control records differ"),
        ((first, replace(second, patterns=(LEFT, clicks(4))), third), "patterns: the control records differ"),
        ((replace(first, patterns=(LEFT, clicks(4))), second, third), "patterns: clicks changed"),
        ((replace(first, rules=()), second, third), "rules: remind gone"),
    ]:
        written(tmp_path, other)
        with pytest.raises(StateError, match=rf"\n  - {said}\n"):
            run_of(settings, tmp_path).execute()
    written(tmp_path, [replace(each, written_at=5) for each in RECORDS])
    assert run_of(settings, tmp_path).execute().report == ended, "when they were written is no matter"


@pytest.mark.parametrize(
    ("records", "said"),
    [(RECORDS[1:], "control record 0 is missing"), ((), "it holds no control records")],
)
def test_records_that_are_not_a_whole_history_are_refused(
    settings: Settings, tmp_path: Path, records: Sequence[ControlRecord], said: str
) -> None:
    written(tmp_path, records)
    with pytest.raises(ControlError, match=said):
        run_of(settings, tmp_path)


def test_a_place_that_holds_nothing_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder"):
        run_of(replace(settings, patterns=tmp_path / "none"), tmp_path)
