"""Rules that change: what a book knows of those that are to come, and what it keeps of those that go."""

import pickle
from typing import Any

import pytest
from reference_triggers import Found
from test_trigger_book import HELD, LEFT, PATTERNS, SEEN, left, rule
from trigger_rounds import match_frame, plain

from footfall import Pattern, event, trigger_book, trigger_early
from footfall.trigger_book import TriggerBook, TriggerRound

PAIR = Pattern("pair").begin("a", event == "a").followed_by_any("b", event == "b")
LONG, SHORT = PAIR.within(100), PAIR.within(10)
Said = tuple[str, str, int, int]
"""Rule, status, revision, and when it was decided."""


def seen(at: int, **more: Any) -> Found:
    return left(at, pattern="seen", settled=at, **more)


def pair(first: int, last: int) -> Found:
    return left(first, pattern="pair", last=last, settled=last, match_id=f"m{first} {last}")


def take(book: TriggerBook, until: int, *messages: tuple[bool, Found], settled: bool = False) -> list[Said]:
    """What a round decides: of messages, whether each fires and its match; or of matches that have settled."""
    frame = match_frame([(fires, 0, match) for fires, match in messages])
    rows = book.take(TriggerRound(until, frame if settled else None, None if settled else frame))
    return [(one.rule, one.status, one.revision, one.decided) for one in plain(rows)]


def test_a_message_is_for_the_early_rules_in_force_at_its_matchs_time() -> None:
    early = rule("e", "seen", kind="early")
    book = TriggerBook([rule("old", "seen", kind="early")], PATTERNS)
    book.announce([(100, [early], PATTERNS, {}), (200, [], PATTERNS, {})])
    messages = [(True, seen(at)) for at in (99, 100, 199, 200)]
    expected = [("old", "fired", 0, 99), ("e", "fired", 0, 100), ("e", "fired", 0, 199)]
    assert take(book, 50, *messages) == expected
    assert take(book, 50, *((False, match) for _, match in messages)) == [
        ("old", "retracted", 1, 99),
        ("e", "retracted", 1, 100),
        ("e", "retracted", 1, 199),
    ]


def test_what_is_announced_counts_for_settled_rules_only_when_they_are_switched_to() -> None:
    book = TriggerBook([rule("old", "seen")], PATTERNS)
    book.announce([(100, [rule("new", "seen")], PATTERNS, {})])
    assert book.patterns == {"seen"}
    assert take(book, 150, (True, seen(120)), settled=True) == [("old", "fired", 0, 120)]
    book.switch([rule("new", "seen")], PATTERNS)
    assert take(book, 300, (True, seen(220)), settled=True) == [("new", "fired", 0, 220)]


def test_an_announced_rule_is_the_one_that_it_is_after_the_switch() -> None:
    """What was said before the switch is known after it; when the rule was deployed counts."""
    early = [rule("e", "seen", kind="early"), rule("late", "seen", kind="early")]
    book = TriggerBook([], PATTERNS)
    book.announce([(100, early, PATTERNS, {"late": 150})])
    assert take(book, 50, (True, seen(120))) == [("e", "fired", 0, 120), ("late", "suppressed", 0, 120)]
    book.switch(early, PATTERNS, {"late": 150})
    book.announce([])
    assert take(book, 110, (True, seen(120))) == []
    assert take(book, 110, (False, seen(120)), (True, seen(160))) == [
        ("e", "retracted", 1, 120),
        ("e", "fired", 0, 160),
        ("late", "fired", 0, 160),
    ]


def test_what_is_announced_is_told_anew_after_a_restart() -> None:
    later = [(100, [rule("e", "seen", kind="early")], PATTERNS, dict[str, int]())]
    book = TriggerBook([], PATTERNS)
    book.announce(later)
    again = pickle.loads(pickle.dumps(book))
    assert take(again, 50, (True, seen(120))) == []
    again.announce(later)
    assert take(again, 50, (True, seen(120))) == [("e", "fired", 0, 120)]
    again.announce([])
    assert take(again, 50, (True, seen(130))) == []


@pytest.mark.parametrize("kind", ["settled", "early"])
@pytest.mark.parametrize("forgetful", [False, True])
def test_all_versions_of_a_pattern_say_how_long_a_decision_matters(
    kind: Any, *, forgetful: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Matches of the old version come for longer than those of the new one may take."""
    if forgetful:
        monkeypatch.setattr(trigger_book, "_FEW", -1_000_000)
        monkeypatch.setattr(trigger_early, "_FEW", -1_000_000)
    said = [rule(pattern="pair", kind=kind)]
    book = TriggerBook(said, [LONG])
    book.switch(said, [LONG, SHORT])
    settled = kind == "settled"
    assert take(book, 20, (True, pair(0, 15)), settled=settled) == [("r", "fired", 0, 15)]
    assert take(book, 30, (True, left(25)), settled=settled) == []
    assert take(book, 60, (True, pair(0, 50)), settled=settled) == []


def test_a_rule_in_force_that_stays_the_same_goes_on_under_its_number() -> None:
    said = rule("r", "seen", delay=1000)
    book = TriggerBook([said], PATTERNS)
    assert take(book, 20, (True, seen(10)), settled=True) == []
    book.switch([said, rule("n")], PATTERNS)
    book.switch([said], (LEFT, SEEN, HELD))
    assert book.waiting == 1
    assert take(book, 2000, (True, seen(10)), settled=True) == [("r", "fired", 0, 1010)]
