import pickle
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_triggers import Decided, Found, Happened, early_decisions, settled_decisions
from trigger_rounds import decisions, event_frame, match_frame, plain, rounds

from footfall import Pattern, event, field, trigger_book, trigger_early, trigger_limits, trigger_withdrawals
from footfall.clock import FOREVER, NEVER
from footfall.errors import StateError, UsageError
from footfall.match_output import output
from footfall.profile_schema import ProfileAt
from footfall.trigger_book import TriggerBook, TriggerRound
from footfall.trigger_rows import trigger_matches
from footfall.trigger_rule import TriggerRule

LEFT = Pattern("left").begin("a", event == "a").not_followed_by("b", event == "b").within(30)
SEEN = Pattern("seen").begin("a", event == "a")
TWICE = Pattern("twice").begin("a", event == "a").followed_by_any("b", event == "b")
HELD = Pattern("held").begin("a", event == "a").followed_by_any("b", event == "b").within(20).skip_past_last()
PATTERNS = (LEFT, SEEN, TWICE, HELD)


def rule(name: str = "r", pattern: str = "left", **more: Any) -> TriggerRule:
    return TriggerRule(name, **{"pattern": pattern, "action": "mail", **more})


def left(first: int, visitor: str = "v", **more: Any) -> Found:
    values: dict[str, Any] = {
        "pattern": "left", "match_id": f"m{first}", "visitor": visitor, "first": first, "last": first,
        "settled": first + 30, "message": f"e{first}", **more,
    }  # fmt: skip
    return Found(**values)


def decide(
    rules: Sequence[TriggerRule],
    matches: Sequence[Found],
    events: Sequence[Happened] = (),
    until: int = 100_000,
    deployed: Mapping[str, int] | None = None,
) -> list[tuple[str, str, int]]:
    """(rule, status, decided at) of each decision."""
    book = TriggerBook(rules, PATTERNS, deployed)
    found = plain(decisions(book, rounds(book, matches, events, [until])))
    return [(one.rule, one.status, one.decided) for one in found]


def test_a_trigger_is_due_a_delay_after_the_first_event_but_not_before_the_match_is_settled() -> None:
    matches = [left(100)]
    assert decide([rule(delay=1000)], matches) == [("r", "fired", 1100)]
    assert decide([rule(delay=10)], matches) == [("r", "fired", 130)]
    assert decide([rule()], matches) == [("r", "fired", 130)]
    assert decide([rule(delay=1000)], matches, until=1099) == []
    assert decide([rule(delay=1000)], matches, until=1100) == [("r", "fired", 1100)]


def test_a_row_says_everything() -> None:
    said = rule(
        delay=1000, action="mail", topic="mails", expires_after="1 min", fields={"x": 1, "form": output("form")}
    )  # fmt: skip
    book = TriggerBook([said], PATTERNS)
    frame = match_frame([(True, 0, left(100))], outputs='{"form":"#f","other":2}')
    profile = {"lead_score": 0.5, "churn_score": None}
    row = book.take(TriggerRound(5000, frame, frame, profile_at=lambda visitor, at: profile)).to_dicts()[0]
    assert {name: value for name, value in row.items() if not name.endswith(("_time", "trigger_id"))} == {
        "rule": "r",
        "rule_version": said.version,
        "pattern": "left",
        "pattern_version": "v1",
        "match_id": "m100",
        "visitor_id": "v",
        "user_id": "user of v",
        "session_id": "s",
        "topic": "mails",
        "action": "mail",
        "evidence": '{"a":["e100"]}',
        "fields": '{"x":1,"form":"#f"}',
        "scores": '{"lead_score":0.5}',
        "status": "fired",
        "revision": 0,
    }
    assert len(row["trigger_id"]) == 32
    times = [row[f"{name}_time"].timestamp() * 1000 for name in ("event", "due", "expires", "decided")]
    assert times == [100, 1100, 61_100, 1100]
    assert book.counts() == {"r": {"fired": 1}}


def test_an_event_after_the_match_withdraws_it_up_to_the_due_time() -> None:
    rules = [rule(delay=1000, withdrawn_by=event == "buy")]

    def bought(at: int, visitor: str = "v") -> list[tuple[str, str, int]]:
        return decide(rules, [left(100)], [Happened(visitor, at, "buy"), Happened("v", at, "look")])

    fired, withdrawn = [("r", "fired", 1100)], "withdrawn"
    assert bought(100) == fired
    assert bought(101) == [("r", withdrawn, 130)]
    assert bought(130) == [("r", withdrawn, 130)]
    assert bought(1100) == [("r", withdrawn, 1100)]
    assert bought(1101) == fired
    assert bought(500, "w") == fired


def test_a_withdrawal_takes_only_what_it_is_about() -> None:
    rules = [
        rule("a", delay=1000, withdrawn_by=event == "buy"),
        rule("b", delay=1000, withdrawn_by=event == "pay"),
        rule("c", delay=1000),
    ]
    matches = [left(100), left(200), left(150, "w")]
    found = decide(rules, matches, [Happened("v", 300, "buy")])
    assert [one for one in found if one[1] == "withdrawn"] == [("a", "withdrawn", 300)] * 2
    assert (
        sorted(one[:2] for one in found[2:]) == [("a", "fired")] + [("b", "fired")] * 3 + [("c", "fired")] * 3
    )


def test_an_event_between_those_of_a_match_withdraws_nothing() -> None:
    rules = [rule(pattern="twice", delay=1000, withdrawn_by=event == "buy")]
    matches = [left(100, pattern="twice", last=150, settled=150)]
    assert decide(rules, matches, [Happened("v", 150, "buy")]) == [("r", "fired", 1100)]
    assert decide(rules, matches, [Happened("v", 151, "buy")]) == [("r", "withdrawn", 151)]


@pytest.mark.parametrize("message", "abcdef")
def test_a_match_comes_before_what_is_due_at_its_time_and_the_lesser_name_first(message: str) -> None:
    waiting = left(70, pattern="twice", last=80, settled=80, message=message)
    coming = left(60, pattern="twice", last=100, settled=100, message=message, match_id="n")
    book = TriggerBook([rule(pattern="twice", delay=30, cooldown=100)], PATTERNS)
    rows = decisions(book, rounds(book, [waiting, coming], [], [500]))
    assert rows["status"].to_list() == ["fired", "cooled"]
    assert rows["trigger_id"].is_sorted()


def test_what_is_due_before_a_rule_is_active_is_suppressed() -> None:
    matches = [left(100)]
    assert decide([rule(delay=1000)], matches, deployed={"r": 1101}) == [("r", "suppressed", 130)]
    assert decide([rule(delay=1000)], matches, deployed={"r": 1100}) == [("r", "fired", 1100)]
    asked = rule(delay=1000, active_from="1970-01-01T00:00:02Z")
    assert decide([asked], matches, deployed={"r": 0}) == [("r", "suppressed", 130)]


def test_the_condition_asks_the_profile_as_of_the_due_time() -> None:
    asked: list[tuple[str, int]] = []

    def profile_at(visitor: str, at: int) -> Mapping[str, object] | None:
        asked.append((visitor, at))
        return {"v": {"conversions": 0, "first_seen": 50}, "w": {"conversions": 1}}.get(visitor)

    book = TriggerBook([rule(delay=1000, condition=field("conversions") == 0)], PATTERNS)
    matches = [left(100), left(101, "w"), left(102, "unknown")]
    found = decisions(book, rounds(book, matches, [], [5000], profile_at))
    assert found["status"].to_list() == ["fired", "unmet", "unmet"]
    assert asked == [("v", 1100), ("w", 1101), ("unknown", 1102)]
    book = TriggerBook(
        [rule(condition=field("user_id").is_null() & field("last_conversion").is_null())], PATTERNS
    )
    assert decisions(book, rounds(book, matches, [], [5000]))["status"].to_list() == ["fired"] * 3


def constant(profile: Mapping[str, object]) -> ProfileAt:
    return lambda visitor, at: profile


def test_money_and_times_of_profiles_read_as_in_patterns() -> None:
    condition = (field("value") > 9.5) & (field("first_seen") < datetime(1971, 1, 1, tzinfo=UTC))
    for value, status in ((9_500_000, "unmet"), (9_500_001, "fired")):
        for first_seen in (5, datetime(1970, 1, 2, tzinfo=UTC)):
            profile = {"value": value, "first_seen": first_seen}
            book = TriggerBook([rule(condition=condition)], PATTERNS)
            found = decisions(book, rounds(book, [left(1)], [], [99], constant(profile)))
            assert found["status"].to_list() == [status]


def test_a_cooldown_and_a_cap_count_what_was_fired_of_a_visitor() -> None:
    matches = [left(at) for at in (0, 40, 99, 100, 300)] + [left(50, "w")]
    found = decide([rule(cooldown=100)], matches)
    assert found == [
        ("r", "fired", 30), ("r", "cooled", 70), ("r", "fired", 80), ("r", "cooled", 129), ("r", "fired", 130),
        ("r", "fired", 330),
    ]  # fmt: skip
    found = decide([rule(cap=(2, 100))], matches)
    assert [one[1] for one in found] == ["fired", "fired", "fired", "capped", "fired", "fired"]
    both = [rule("a", cap=(1, 100), cap_group="g"), rule("b", "seen", cap=(3, 100), cap_group="g"), rule("c")]
    seen = [left(at, pattern="seen", settled=at, match_id=f"s{at}") for at in (20, 40, 50, 60)]
    found = decide(both, [left(0), *seen])
    assert found == [
        ("b", "fired", 20), *sorted([("a", "capped", 30), ("c", "fired", 30)], key=found.index),
        ("b", "fired", 40), ("b", "fired", 50), ("b", "capped", 60),
    ]  # fmt: skip


def test_a_shadow_rule_counts_as_if_it_were_sent_and_takes_nothing_from_others() -> None:
    shadow = rule("a", cap=(1, 100), cap_group="g", mode="shadow")
    live = rule("b", cap=(1, 100), cap_group="g", delay=50)
    found = decide([shadow, live], [left(0), left(10)])
    assert found == [("a", "shadow", 30), ("a", "capped", 40), ("b", "fired", 50), ("b", "capped", 60)]
    found = decide([rule("b", cooldown=100, mode="shadow")], [left(0), left(10)])
    assert found == [("b", "shadow", 30), ("b", "cooled", 40)]


def test_the_same_first_event_is_decided_once_whatever_the_rules_version() -> None:
    twice = [left(0, pattern="twice", settled=at, last=at, match_id=f"m{at}") for at in (10, 20, 3000)]
    book = TriggerBook([rule(pattern="twice")], PATTERNS)
    first = decisions(book, rounds(book, twice[:1], [], [15]))
    book.switch([rule(pattern="twice", delay=100, action="call")], PATTERNS)
    later = decisions(book, [TriggerRound(5000, match_frame((True, 0, one) for one in twice[1:]))])
    assert (first.height, later.height) == (1, 0)
    fresh = TriggerBook([rule(pattern="twice", action="call")], PATTERNS)
    again = decisions(fresh, rounds(fresh, twice, [], [5000]))
    assert again["trigger_id"].to_list() == first["trigger_id"].to_list()
    assert again["rule_version"].to_list() != first["rule_version"].to_list()


def test_a_triggers_name_is_of_rule_visitor_and_first_event_alone() -> None:
    def name(one: Found, of: str = "r") -> bytes:
        (match,) = trigger_matches(
            match_frame([(True, 0, one)]).with_columns(first_message_id=pl.lit(None, pl.String))
        )
        assert match._replace(first_message_id=one.message).trigger_id(of) == match.trigger_id(of)
        return match.trigger_id(of)

    base = left(100)
    assert name(base) == name(left(100, match_id="other", settled=500, last=400, pattern="twice"))
    others = [
        name(left(100, "w")),
        name(left(100, message="x")),
        name(left(101, message="e100")),
        name(base, "s"),
    ]
    assert len({name(base), *others}) == 5
    # Names are for good: consumers have them.
    assert name(base).hex() == "48bb16c8ab288c45ab35bc917feefefb"


def test_the_input_s_end_decides_nothing() -> None:
    book = TriggerBook([rule(), rule("e", "seen", kind="early")], PATTERNS)
    seen = match_frame([(True, 0, left(100, pattern="seen"))])
    assert book.take(TriggerRound(NEVER, messages=seen.with_columns(at_end=pl.lit(True)))).height == 0
    assert book.take(TriggerRound(NEVER, messages=seen)).height == 1
    book = TriggerBook([rule(delay=1000)], PATTERNS)
    assert book.take(TriggerRound(200, match_frame([(True, 0, left(150))]))).height == 0
    assert (book.waiting, book.next_due) == (1, 1150)
    assert book.take(TriggerRound(NEVER, messages=seen)).height == 0
    assert book.waiting == 1


def test_partial_matches_that_time_out_trigger_nothing() -> None:
    frame = match_frame([(True, 0, left(100))]).with_columns(status=pl.lit("timed_out"))
    book = TriggerBook([rule(), rule("e", kind="early")], PATTERNS)
    assert book.take(TriggerRound(9000, frame, frame)).height == 0


def test_an_early_rule_fires_with_the_match_and_retracts() -> None:
    early = rule(kind="early", pattern="twice")
    one, other = left(0, pattern="twice", settled=10), left(0, pattern="twice", settled=20, match_id="n")
    book = TriggerBook([early], PATTERNS)
    told = [(True, one), (True, other), (False, one), (False, other), (True, one), (False, one), (True, one)]
    rows = book.take(TriggerRound(5, messages=match_frame((fires, 0, match) for fires, match in told)))
    assert rows["status"].to_list() == ["fired", "retracted", "fired", "retracted", "fired"]
    assert rows["revision"].to_list() == [0, 1, 2, 3, 4]
    assert rows["trigger_id"].n_unique() == 1
    assert rows["match_id"].to_list() == ["m0", "n", "m0", "m0", "m0"]
    assert book.counts() == {"r": {"fired": 3, "retracted": 2}}


def test_the_early_rows_of_a_round_stand_before_the_settled_ones() -> None:
    book = TriggerBook([rule("a"), rule("z", "seen", kind="early")], PATTERNS)
    seen = match_frame([(True, 0, left(190, pattern="seen", settled=190))])
    rows = book.take(TriggerRound(200, match_frame([(True, 0, left(150))]), seen))
    assert rows["rule"].to_list() == ["z", "a"]


def test_what_waits_is_decided_by_the_rule_it_began_under() -> None:
    old = rule(delay=1000, withdrawn_by=event == "buy")
    book = TriggerBook([old], PATTERNS)
    book.take(TriggerRound(200, match_frame([(True, 0, left(100)), (True, 0, left(101, "w"))])))
    book.switch([rule(delay=10, withdrawn_by=event == "pay"), rule("n")], PATTERNS, {"n": 500})
    book = pickle.loads(pickle.dumps(book))
    assert [str(one) for one in book.withdrawals] == ["event is 'buy'", "event is 'pay'"]
    events = withdrawing(book, [Happened("w", 700, "buy"), Happened("v", 700, "pay")])
    rows = book.take(TriggerRound(5000, match_frame([(True, 0, left(800))]), events=events))
    said = [(one.rule, one.status, one.decided) for one in plain(rows)]
    assert said == [("r", "withdrawn", 700), *sorted(said[1:3]), ("r", "fired", 1100)]
    assert rows["rule_version"].n_unique() == 3
    book.switch([rule(delay=10, withdrawn_by=event == "pay")], PATTERNS)
    assert [str(one) for one in book.withdrawals] == ["event is 'pay'"]


def test_what_waits_under_a_rule_that_is_gone_is_suppressed() -> None:
    book = TriggerBook([rule(delay=1000)], PATTERNS)
    book.take(TriggerRound(200, match_frame([(True, 0, left(100))])))
    book.switch([], PATTERNS)
    rows = book.take(TriggerRound(5000))
    assert rows["status"].to_list() == ["suppressed"]
    assert book.next_due == FOREVER


SHORT = (
    Pattern("left").begin("a", event == "a").not_followed_by("b", event == "b").within(5),
    Pattern("held").begin("a", event == "a").followed_by_any("b", event == "b").within(5),
)


def shortened(said: TriggerRule, monkeypatch: pytest.MonkeyPatch) -> TriggerBook:
    """A book whose patterns have become shorter; it forgets what it may at every round."""
    for module in (trigger_book, trigger_early, trigger_limits, trigger_withdrawals):
        monkeypatch.setattr(module, "_FEW", -1_000_000)
    book = TriggerBook([said], PATTERNS)
    book.switch([said], (*PATTERNS, *SHORT))
    kept: TriggerBook = pickle.loads(pickle.dumps(book))
    return kept


def test_a_match_begun_before_a_switch_is_withdrawn_by_what_came_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    book = shortened(rule(withdrawn_by=event == "buy"), monkeypatch)
    for name, at in (("v", 10), ("w", 20)):
        book.take(TriggerRound(at, events=withdrawing(book, [Happened(name, at, "buy")])))
    rows = book.take(TriggerRound(40, match_frame([(True, 0, left(0))])))
    assert rows["status"].to_list() == ["withdrawn"]


def test_matches_begun_before_a_switch_make_one_trigger(monkeypatch: pytest.MonkeyPatch) -> None:
    book = shortened(rule(pattern="held"), monkeypatch)
    told = [left(0, pattern="held", last=at, settled=at, match_id=f"m{at}") for at in (15, 18)]
    found = decisions(book, rounds(book, told, [], [16, 20]))
    assert found["match_id"].to_list() == ["m15"]


@pytest.mark.parametrize("announced", [False, True])
def test_an_early_match_begun_before_a_switch_can_be_retracted(*, announced: bool) -> None:
    said = rule(pattern="held", kind="early")
    book = TriggerBook([said], PATTERNS)
    if announced:
        book.announce([(15, [said], (*PATTERNS, *SHORT), {})])
    else:
        book.switch([said], (*PATTERNS, *SHORT))
    one = left(0, pattern="held", last=18, settled=18)
    rows = book.take(TriggerRound(2, messages=match_frame([(True, 0, one), (False, 1, one)])))
    assert rows.select("status", "revision").rows() == [("fired", 0), ("retracted", 1)]


def test_a_message_names_the_user_who_has_become_known_since() -> None:
    book = TriggerBook([rule(delay=1000)], PATTERNS)
    frame = match_frame([(True, 0, left(100)), (True, 0, left(101, "w"))])
    frame = frame.with_columns(user_id=pl.Series(["own", None]))
    rows = book.take(TriggerRound(5000, frame, profile_at=constant({"user_id": "later"})))
    assert rows["user_id"].to_list() == ["own", "later"]


def test_too_many_conditions_are_refused_and_change_nothing() -> None:
    rules = [rule(f"r{number}", withdrawn_by=event == f"e{number}") for number in range(62)]
    book = TriggerBook(rules[:61], PATTERNS)
    with pytest.raises(UsageError, match="62 different withdrawn_by, and 61 is the most"):
        book.switch(rules, PATTERNS)
    assert len(book.withdrawals) == 61
    events = withdrawing(book, [Happened("v", 140, "e60")])
    rows = book.take(TriggerRound(5000, match_frame([(True, 0, left(135))]), events=events))
    assert rows.filter(pl.col("status") == "withdrawn")["rule"].to_list() == ["r60"]


def test_a_book_of_another_version_is_refused() -> None:
    state = TriggerBook([], PATTERNS).__getstate__()
    book = TriggerBook.__new__(TriggerBook)
    with pytest.raises(StateError, match="version 99, this Footfall reads"):
        book.__setstate__({**state, "version": 99})


def withdrawing(book: TriggerBook, events: Sequence[Happened]) -> pl.DataFrame:
    return trigger_withdrawals.withdrawing_events(book.withdrawals, event_frame(events))


# Matches that no rule acts on, in every round: books forget in rounds in which something comes.
NOISE = [Found("noise", f"noise {at}", "n", at, at, at, "n") for at in range(200)]


@pytest.mark.parametrize(
    ("said", "matches", "events", "expected"),
    [
        (rule(withdrawn_by=event == "buy"), [left(0)], [Happened("v", 1, "buy")], ["withdrawn"]),
        (rule(cooldown=100), [left(0), left(99)], [], ["fired", "cooled"]),
        (
            rule(pattern="held"),
            [left(0, pattern="held", settled=at, match_id=f"m{at}") for at in (5, 20)],
            [],
            ["fired"],
        ),
        (
            rule(pattern="held", kind="early"),
            [left(0, pattern="held", settled=at, match_id=f"m{at}") for at in (5, 20)],
            [],
            ["fired"],
        ),
    ],
    ids=["withdrawals", "limits", "decided", "early"],
)
def test_what_may_matter_still_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
    said: TriggerRule,
    matches: list[Found],
    events: list[Happened],
    expected: list[str],
) -> None:
    for module in (trigger_book, trigger_early, trigger_limits, trigger_withdrawals):
        monkeypatch.setattr(module, "_FEW", -1_000_000)
    book = TriggerBook([said], PATTERNS)
    rows = decisions(book, rounds(book, [*matches, *NOISE], events, range(200)))
    assert rows["status"].to_list() == expected


# Few times, so that much comes together.
FIRSTS = [0, 3, 20, 21, 50]
AFTER = [0, 1, 2, 5, 19, 20, 29, 30, 31, 50, 100]
DURATIONS = st.sampled_from([1, 5, 10, 25, 40, 60, 120])


@st.composite
def a_rule(draw: st.DrawFn, name: str) -> TriggerRule:
    pattern = draw(st.sampled_from([one.name for one in PATTERNS]))
    mode = draw(st.sampled_from(["live", "live", "shadow"]))
    if draw(st.integers(0, 3)) == 0:
        return rule(name, pattern, kind="early", mode=mode)
    cap = draw(st.none() | st.tuples(st.integers(1, 2), DURATIONS))
    return rule(
        name,
        pattern,
        mode=mode,
        delay=draw(st.sampled_from([0, 10, 30, 50, 100])),
        withdrawn_by=draw(st.sampled_from([None, event == "buy", event == "pay"])),
        condition=draw(st.sampled_from([None, field("conversions") == 0])),
        cooldown=draw(st.none() | DURATIONS),
        cap=cap,
        cap_group=None if cap is None else draw(st.sampled_from([None, "g"])),
    )


@st.composite
def a_match(draw: st.DrawFn, number: int) -> Found:
    pattern = draw(st.sampled_from([one.name for one in PATTERNS]))
    first = draw(st.sampled_from(FIRSTS))
    last = settled = first
    if pattern == "left":
        settled = first + 30
    elif pattern == "twice":
        last = settled = first + draw(st.integers(0, 60))
    elif pattern == "held":
        last = first + draw(st.integers(0, 19))
        settled = draw(st.integers(last, first + 20) | st.just(first + 20))
    arrivals = draw(st.lists(st.integers(max(0, first), settled), max_size=4))
    visitor = draw(st.sampled_from("vw"))
    # One event has one time: the message says which event it is.
    message = f"{visitor}{first}{draw(st.sampled_from('aab'))}"
    return Found(pattern, f"m{number}", visitor, first, last, settled, message, tuple(sorted(arrivals)))


@st.composite
def stories(
    draw: st.DrawFn,
) -> tuple[list[TriggerRule], list[Found], list[Happened], dict[str, int], list[int]]:
    rules = [draw(a_rule(f"r{number}")) for number in range(draw(st.integers(1, 4)))]
    matches = [draw(a_match(number)) for number in range(draw(st.integers(0, 14)))]
    times = st.builds(lambda first, after: first + after, st.sampled_from(FIRSTS), st.sampled_from(AFTER))
    happened = st.builds(Happened, st.sampled_from("vw"), times, st.sampled_from(["buy", "pay", "look"]))
    events = draw(st.lists(happened, max_size=10))
    active = draw(st.dictionaries(st.sampled_from(["r0", "r1"]), st.integers(0, 150)))
    cuts = sorted(draw(st.sets(st.integers(0, 160), min_size=1, max_size=12)))
    return rules, matches, events, active, cuts


@settings(max_examples=80, deadline=None)
@given(stories())
def test_a_book_decides_as_the_reference_does_in_any_batches_and_with_restarts(
    story: tuple[list[TriggerRule], list[Found], list[Happened], dict[str, int], list[int]],
) -> None:
    rules, matches, events, active, cuts = story

    def profile_at(visitor: str, at: int) -> Mapping[str, object]:
        bought = [one for one in events if one.visitor == visitor and one.name == "buy" and one.time <= at]
        return {"conversions": len(bought)}

    def ids(name: str, match: Found) -> str:
        (row,) = trigger_matches(match_frame([(True, 0, match)]))
        return row.trigger_id(name).hex()

    def run(cuts: Sequence[int], *, restarts: bool) -> pl.DataFrame:
        book = TriggerBook(rules, PATTERNS, active)
        story = rounds(book, [*matches, *NOISE] if restarts else matches, events, cuts, profile_at)
        return decisions(book, story, restarts=restarts)

    with pytest.MonkeyPatch.context() as patch:
        for module in (trigger_book, trigger_early, trigger_limits, trigger_withdrawals):
            patch.setattr(module, "_FEW", -1_000_000)  # so that every round forgets what it may
        at_once = run(cuts[-1:], restarts=False)
        in_parts = run(cuts, restarts=False)
        each = run(range(cuts[-1] + 1), restarts=True)
    early = {one.name for one in rules if one.kind == "early"}
    for kind in (pl.col("rule").is_in(list(early)), ~pl.col("rule").is_in(list(early))):
        assert at_once.filter(kind).equals(in_parts.filter(kind))
        assert at_once.filter(kind).equals(each.filter(kind))
    found = plain(at_once)
    expected = settled_decisions(rules, matches, events, profile_at, cuts[-1], active, ids)
    ours = [one for one in found if one.rule not in early]
    assert sorted(ours, key=_order) == sorted(expected, key=_order)
    assert [one.decided for one in ours] == sorted(one.decided for one in ours)
    told: dict[tuple[object, ...], list[tuple[str, int]]] = {}
    for one in found:
        if one.rule in early:
            told.setdefault(one.trigger, []).append((one.status, one.revision))
    assert told == early_decisions(rules, matches, cuts[-1], active)
    assert at_once.select("trigger_id", "revision").is_duplicated().sum() == 0


def _order(one: Decided) -> tuple[str, str, str, int]:
    return (one.rule, one.visitor, one.message, one.first)


def test_a_round_with_nothing_to_do_costs_next_to_nothing() -> None:
    book = TriggerBook([rule(delay=1000)], PATTERNS)
    book.take(TriggerRound(200, match_frame([(True, 0, left(100))])))
    begin = time.perf_counter()
    for until in range(201, 1000):
        assert not book.take(TriggerRound(until)).height
    assert (time.perf_counter() - begin) / 800 < 1e-4
