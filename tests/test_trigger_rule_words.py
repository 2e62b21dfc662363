from footfall import TriggerRule, event, field, output
from footfall.trigger_rule_words import acting_on, due_words, rule_facts, rule_json, rule_summary, rule_words

PLAIN = TriggerRule("plain", pattern="left", action="mail")
RICH = TriggerRule(
    "rich",
    pattern="left",
    action="mail",
    delay="1 h",
    withdrawn_by=event == "bought",
    condition=field("conversions") == 0,
    cooldown="1 d",
    cap=(2, "7 d"),
    cap_group="mails",
    fields={"form": output("form"), "size": 3},
    topic="reminders",
    active_from="2026-01-01T00:00Z",
    expires_after="2 h",
    mode="shadow",
    owner="ann",
    tags=("a", "b"),
)
EARLY = TriggerRule("early", pattern="gone", action="chat", kind="early", cap=None)


def test_what_is_as_usual_is_left_out() -> None:
    assert list(rule_words(PLAIN)) == [
        "acts on a match of left",
        "is due at once, but never before the match is settled",
        "asks for the action mail",
        "goes to the topic triggers, until 1 d after it was due",
    ]
    assert rule_facts(PLAIN) == ""
    assert "fires with the early match, and retracts what turns out wrong" in list(rule_words(EARLY))


def test_all_else_is_said() -> None:
    assert list(rule_words(RICH)) == [
        "acts on a match of left",
        "is due 1 h after the first event, but never before the match is settled",
        "is withdrawn if, by then, event is 'bought'",
        "is fired only if, of the visitor's profile, conversions is 0",
        "is not fired again for the visitor within 1 d",
        "is fired at most 2 times in 7 d for the visitor, counted together with all rules of mails",
        "asks for the action mail",
        "says form: the match's output form",
        "says size: 3",
        "goes to the topic reminders, until 2 h after it was due",
        "is active from 2026-01-01T00:00:00.000+00:00",
        "is only counted, and not sent (mode shadow)",
    ]
    assert rule_facts(RICH) == "owner ann; tags a, b"
    assert rule_summary(RICH) == "on left · settled · due 1 h after the first event · action mail"
    assert due_words(EARLY) == "due at once"


def test_json_says_what_is_as_usual_too_and_reads_back() -> None:
    said = rule_json(PLAIN)
    assert (said["kind"], said["delay"], said["topic"], said["mode"]) == (
        "settled",
        "0 ms",
        "triggers",
        "live",
    )
    for rule in (PLAIN, RICH, EARLY):
        said = rule_json(rule)
        assert said.pop("version") == rule.version
        assert TriggerRule.from_dict(said) == rule


def test_rules_are_found_by_their_pattern() -> None:
    assert acting_on([PLAIN, RICH, EARLY], "left") == ["plain", "rich"]
    assert acting_on([PLAIN], "other") == []
