"""Rows and names of answers: ids are constants of the data, and stay so from version to version."""

from dataclasses import replace

import pytest
from engine_harness import Outcome, run_parts
from reference import Record

from footfall.expression import event
from footfall.pattern import Pattern
from footfall.sessions import SessionSettings
from footfall.tables import MATCHES, SESSIONS

START = 1_760_000_000_000
AB = Pattern("ab").begin("first", event == "a").followed_by("second", event == "b")
RECORDS = (
    Record("ann", "m0", "a", START),
    Record("ann", "m1", "b", START + 5),
    Record("ann", "m2", "c", START + 9),
)


def run(records: tuple[Record, ...] = RECORDS, pattern: Pattern = AB) -> Outcome:
    return run_parts(records, [pattern])


def ids(outcome: Outcome) -> tuple[list[str], list[str]]:
    return outcome.sessions["session_id"].to_list(), outcome.matches["match_id"].to_list()


def test_ids_are_what_they_always_were() -> None:
    # Consumers keep these; if this test fails, the names of all answers ever given have changed.
    assert ids(run()) == (["02370a8fce1b04395b1aabc8f1155de3"], ["e2dfdbf78b911c5ff758c63c671a6f0d"])


def test_rows_fit_their_tables() -> None:
    outcome = run()
    assert outcome.sessions.schema == SESSIONS.schema
    assert outcome.matches.schema == MATCHES.schema
    assert outcome.matches["stages"].to_list() == ['{"first":["m0"],"second":["m1"]}']


@pytest.mark.parametrize(
    ("change", "session", "match"),
    [
        ((0, {"visitor": "bob"}), False, False),
        ((0, {"message": "other"}), False, False),
        ((0, {"time": START - 1}), False, False),
        ((1, {"message": "other"}), True, False),
        ((1, {"time": START + 6}), True, False),
        ((2, {"message": "other", "name": "d"}), True, True),
        ((0, {"path": "/", "value": 5}), True, True),
    ],
    ids=str,
)
def test_what_an_id_depends_on(change: tuple[int, dict[str, object]], *, session: bool, match: bool) -> None:
    place, fields = change
    records = list(RECORDS)
    if "visitor" in fields:
        records = [replace(record, visitor="bob") for record in records]
    else:
        records[place] = replace(records[place], **fields)  # type: ignore[arg-type]  # the test's own fields
    one, other = ids(run()), ids(run(tuple(records)))
    assert (one[0] == other[0], one[1] == other[1]) == (session, match)


def test_a_match_id_depends_on_the_pattern_its_version_and_its_stages() -> None:
    renamed = replace(AB, name="other")
    version = AB.within(1000)
    stages = Pattern("ab").begin("first", event == "a").followed_by("third", event == "b")
    names = {ids(run(pattern=pattern))[1][0] for pattern in (AB, renamed, version, stages)}
    assert len(names) == 4
    described = replace(AB, description="told in other words", severity="critical")
    assert ids(run(pattern=described)) == ids(run())


def test_matches_over_the_same_events_by_other_stages_have_other_ids() -> None:
    either = event.is_in(("a", "b"))
    loops = Pattern("p").begin("one", either).followed_by("two", either).times(2)
    found = run((*RECORDS[:2], replace(RECORDS[2], name="a")), loops)
    other = Pattern("p").begin("one", either).times(2).followed_by("two", either)
    assert (
        found.matches.height == run((*RECORDS[:2], replace(RECORDS[2], name="a")), other).matches.height == 1
    )
    assert ids(found)[1] != ids(run((*RECORDS[:2], replace(RECORDS[2], name="a")), other))[1]


def test_equal_matches_are_told_apart_by_their_ordinals() -> None:
    # The copy at the same time stands in another session, as a campaign came between them.
    records = (
        Record("ann", "x", "c", START - 1),
        Record("ann", "m0", "a", START),
        Record("ann", "m9", "c", START, campaign="spring"),
        Record("ann", "m0", "a", START),
        Record("ann", "m1", "b", START + 5),
    )
    outcome = run_parts(records, [AB], sessions=SessionSettings(split_on_campaign=True))
    assert sorted(outcome.matches["ordinal"].to_list()) == [0, 1]
    assert outcome.matches["match_id"].n_unique() == 2
    assert outcome.matches["stages"].n_unique() == 1


def test_rows_come_in_the_order_of_the_time_they_were_certain_at() -> None:
    records = tuple(Record(f"v{n % 7}", f"m{n}", "ab"[n % 2], START + 37 * n % 100) for n in range(60))
    outcome = run(records, AB.within(30))
    times = outcome.matches["settled_time"].to_list()
    assert times == sorted(times)
    assert len(times) > 10
