import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall import Pattern, event, field, last, taken
from footfall.errors import TriggerRuleError, UsageError
from footfall.match_output import output
from footfall.trigger_rule import TriggerRule
from footfall.trigger_rule_check import misfits


def rule(name: str = "reminder", **more: Any) -> TriggerRule:
    return TriggerRule(name, **{"pattern": "left", "action": "mail", **more})


FULL = rule(
    delay="60 min",
    withdrawn_by=(event == "bought") | (event == "paid"),
    condition=(field("conversions") == 0) & (field("first_seen") > datetime(2026, 1, 1, tzinfo=UTC)),
    cooldown=timedelta(days=1),
    cap=(2, "168 h"),
    cap_group="mails",
    fields={"form": output("form"), "campaign": "spring", "step": 1, "share": 0.5, "first": True},
    topic="triggers.mail",
    active_from="2026-01-31T09:00:00+01:00",
    expires_after="90 min",
    mode="shadow",
    description="A mail",
    owner="marketing",
    tags=["a", "b"],
)


def problems(**more: Any) -> tuple[str, ...]:
    with pytest.raises(TriggerRuleError) as caught:
        rule(**more)
    assert isinstance(caught.value, UsageError)
    assert str(caught.value) == "\n".join(
        f"rule {caught.value.rule!r}, {problem}" for problem in caught.value.problems
    )
    return caught.value.problems


def test_lengths_and_times_are_kept_in_one_writing() -> None:
    assert (FULL.delay, FULL.cooldown, FULL.cap, FULL.expires_after) == ("1 h", "1 d", (2, "7 d"), "90 min")
    assert (FULL.delay_ms, FULL.cooldown_ms, FULL.cap_count, FULL.cap_ms) == (
        3_600_000,
        86_400_000,
        2,
        604_800_000,
    )
    assert FULL.expires_after_ms == 5_400_000
    assert FULL.active_from == "2026-01-31T08:00:00.000+00:00"
    assert FULL.active_from_ms == 1_769_846_400_000
    zone = timezone(timedelta(hours=1))
    assert rule(active_from=datetime(2026, 1, 31, 9, tzinfo=zone)).active_from == FULL.active_from
    bare = rule()
    assert (bare.delay_ms, bare.cooldown_ms, bare.cap_count, bare.cap_ms) == (0, 0, 0, 0)
    assert (bare.active_from_ms, bare.withdrawal, bare.profile_condition) == (None, None, None)
    assert (bare.kind, bare.mode, bare.topic, bare.expires_after) == ("settled", "live", "triggers", "1 d")


def test_rules_are_values() -> None:
    same = TriggerRule.from_json(FULL.to_json())
    assert same == FULL
    assert hash(same) == hash(FULL)
    assert same != rule()
    assert rule() != "rule"
    assert rule(tags=("a",)) != rule()
    with pytest.raises(AttributeError):
        FULL.name = "other"  # type: ignore[misc]  # what is tried
    assert rule(condition=pl.col("events") > 3).version == rule(condition=pl.col("events") > 3).version


CHANGES: list[dict[str, Any]] = [
    {"pattern": "other"}, {"action": "call"}, {"delay": "1 h"}, {"kind": "early"}, {"withdrawn_by": event == "a"},
    {"condition": field("events") > 1}, {"cooldown": "1 h"}, {"cap": (1, "1 h")}, {"fields": {"a": 1}},
    {"fields": {"a": True}}, {"fields": {"a": "1"}}, {"fields": {"a": output("1")}}, {"topic": "t"},
    {"active_from": "2026-01-01T00:00:00Z"}, {"expires_after": "1 h"}, {"mode": "shadow"},
    {"cap": (1, "1 h"), "cap_group": "g"},
]  # fmt: skip


def test_the_version_names_the_meaning_alone() -> None:
    versions = [rule().version, *(rule(**change).version for change in CHANGES)]
    assert len(set(versions)) == len(versions)
    assert all(len(version) == 12 for version in versions)
    told = rule(
        "other", description="d", owner="o", tags=("t",), delay="0 s", expires_after="24 h", fields={}
    )
    assert told.version == rule().version
    one, other = (field("events") > 1), (field("clicks") > 1)
    assert rule(condition=one & other).version == rule(condition=other & one).version
    assert rule(fields={"a": 1, "b": 2}).version == rule(fields={"b": 2, "a": 1}).version


@pytest.mark.parametrize(
    "said", [FULL, rule(), *(rule(**change) for change in CHANGES)], ids=lambda one: str(one.version)
)
def test_json_and_back(said: TriggerRule) -> None:
    again = TriggerRule.from_json(said.to_json())
    assert (again, again.version, again.to_json()) == (said, said.version, said.to_json())
    assert TriggerRule.from_dict(json.loads(json.dumps(said.to_dict()))) == said


def test_json_leaves_out_what_is_as_usual() -> None:
    assert rule().to_dict() == {"name": "reminder", "pattern": "left", "action": "mail"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "rule '(unnamed)', JSON: it isn't any"),
        ("[]", "JSON: a rule is a JSON object"),
        ('{"name": "a"}', "rule 'a', pattern: it is missing"),
        ('{"name": "a", "pattern": "p", "action": "x", "dely": 3}', "dely: a rule has no such field"),
        (
            '{"name": "a", "pattern": "p", "action": "x", "condition": {"x": 3}}',
            "condition: it isn't written as",
        ),
        ('{"name": "a", "pattern": "p", "action": "x", "fields": [3]}', "fields: it isn't written as"),
        ('{"name": "a", "pattern": "p", "action": "x", "cap": [3]}', "cap: "),
        ('{"name": "a", "pattern": "p", "action": "x", "delay": "x"}', "delay: 'x' is no length of time"),
    ],
)
def test_wrong_json_is_refused(text: str, words: str) -> None:
    with pytest.raises(TriggerRuleError) as caught:
        TriggerRule.from_json(text)
    assert words in str(caught.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    ),
    st.sampled_from(sorted(FULL.to_dict())),
)
def test_any_other_json_makes_a_rule_or_an_error_of_ours(value: object, name: str) -> None:
    data = {**FULL.to_dict(), name: value}
    try:
        made = TriggerRule.from_dict(data)
    except TriggerRuleError:
        return
    assert TriggerRule.from_json(made.to_json()) == made


@pytest.mark.parametrize(
    ("field_", "value", "words"),
    [
        ("pattern", "a b", "pattern: 'a b' won't do; it is a letter, then letters, digits and _"),
        ("pattern", 3, "pattern: 3 won't do"),
        ("action", "", "action: it says nothing; write what the receiver is to do"),
        ("action", None, "action: None is no text"),
        ("description", 3, "description: 3 is no text"),
        ("kind", "late", "kind: 'late' is unknown; use settled or early"),
        ("mode", "off", "mode: 'off' is unknown; use live or shadow"),
        ("action", "\ud800", r"action: '\ud800' is no text"),
        ("topic", "a b", "topic: 'a b' is no topic's name"),
        ("topic", "..", "topic: '..' is no topic's name"),
        ("delay", "soon", "delay: 'soon' is no length of time; write a number and a unit"),
        ("delay", None, "delay: None is no length of time"),
        ("delay", "401 d", "delay: '401 d' is not within 0 and 400 days"),
        ("cooldown", 0, "cooldown: 0 is not within 1 ms and 400 days"),
        ("expires_after", "0 s", "expires_after: '0 s' is not within 1 ms and 400 days"),
        ("cap", 3, "cap: 3 won't do; write how many from 1, and in how long, as in (2, \"7 d\")"),
        ("cap", (0, "1 d"), "cap: (0, '1 d') won't do"),
        ("cap", (1.5, "1 d"), "cap: (1.5, '1 d') won't do"),
        ("cap", (1, "x"), "cap: 'x' is no length of time"),
        ("cap_group", "g", 'cap_group: it is counted together, so it needs a cap, as in cap=(1, "1 d")'),
        ("active_from", "soon", "active_from: 'soon' is no time; write a time with its zone"),
        ("active_from", "2026-01-01T00:00:00", "has no time zone"),
        ("active_from", 3, "active_from: 3 is no time"),
        ("active_from", "1969-01-01T00:00:00Z", "is no time that events have: 1970 to 2199"),
        ("withdrawn_by", "buy", "withdrawn_by: 'buy' is no condition; write one, as in event == \"booking_completed\""),
        ("withdrawn_by", field("name") == "a", "withdrawn_by: events have no field 'name'"),
        ("withdrawn_by", field("path"), "withdrawn_by: 'path' is a text, and a condition must be true or false"),
        ("withdrawn_by", taken("a").count() > 1, "is asked of a partial match, and there is none any more"),
        ("withdrawn_by", pl.col("value").sum() > 1, "withdrawn_by: "),
        ("condition", True, 'condition: True is no condition; write one, as in field("conversions") == 0'),
        ("condition", field("conversion") == 0, "profiles have no field 'conversion'; did you mean 'conversions'?"),
        ("condition", field("user_id") > 3, "condition: "),
        ("condition", event == "a", "condition: profiles have no field 'event'"),
        ("fields", 3, "fields: 3 won't do; write a dict"),
        ("fields", {"a": None}, "fields: 'a' can't be None; it is a text, a number, True, False or output(...)"),
        ("fields", {"a": float("nan")}, "fields: 'a' can't be nan"),
        ("fields", {"": 1}, "fields: '' is no name"),
        ("fields", {"\ud800": 1}, r"fields: '\ud800' is no name"),
        ("fields", {"a": "\ud800"}, r"fields: 'a' can't be '\ud800'"),
        ("fields", [("a", 1), ("a", 2)], "fields: a name is given twice"),
        ("tags", "a", 'tags: they are a tuple of words; write tags=("a",)'),
        ("tags", (1,), "tags: (1,) is no tuple of words"),
        ("tags", ("\ud800",), r"tags: ('\ud800',) is no tuple of words"),
    ],
)  # fmt: skip
def test_what_is_no_rule_is_told_with_its_field(field_: str, value: object, words: str) -> None:
    (problem,) = problems(**{field_: value})
    assert words in problem
    assert problem.startswith(f"{field_}: ")


@pytest.mark.parametrize("name", ["", "1a", "a b", "a" * 65, 3])
def test_a_name_names(name: str) -> None:
    with pytest.raises(TriggerRuleError, match=r"name: .* won't do"):
        rule(name)


def test_all_that_is_wrong_is_told_at_once() -> None:
    said = problems(delay="x", condition=3, topic="", mode="y")
    assert [one.split(":")[0] for one in said] == ["topic", "mode", "delay", "condition"]


@pytest.mark.parametrize(
    "more",
    [
        {"delay": "1 h"},
        {"withdrawn_by": event == "a"},
        {"condition": field("events") > 1},
        {"cooldown": "1 h"},
        {"cap": (1, "1 h")},
    ],
)
def test_an_early_rule_only_fires(more: dict[str, Any]) -> None:
    (problem,) = problems(kind="early", **more)
    assert problem == (
        f"{next(iter(more))}: an early rule fires at once, so it has none; leave it out, or make the rule settled"
    )


def test_a_rule_fits_its_pattern() -> None:
    left = Pattern("left").begin("a", event == "a").output(form=last("a").field("element"))
    patterns = {"left": left}
    assert misfits(rule(fields={"a": output("form"), "b": "x"}), patterns) == []
    assert misfits(rule(pattern="lef"), patterns) == [
        "pattern: there is no pattern 'lef'; did you mean 'left'? There are left"
    ]
    assert misfits(rule(fields={"a": output("from")}), patterns) == [
        "fields: pattern 'left' has no output 'from', which 'a' takes; did you mean 'form'? There are form"
    ]
