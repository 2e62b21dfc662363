"""Control records: what makes one, what its digest says, and which of many stand."""

import hashlib
import json
import pickle
from dataclasses import replace
from typing import Any

import pytest
from control_records import LEFT, REMIND, T0, clicks, control_record
from hypothesis import given
from hypothesis import strategies as st
from pattern_samples import ABSENCE, LOOP, PLAIN, RICH

from footfall.control_record import ControlRecord, content_digest, require_history, standing_records
from footfall.envelope import LATEST_TIME_MS
from footfall.errors import ControlError
from footfall.expression import event
from footfall.pattern import Pattern
from footfall.pattern_files import read_folder
from footfall.trigger_rule import TriggerRule

SHIPPED = read_folder()
TIMES = st.integers(0, LATEST_TIME_MS - 1)


def message_of(record: ControlRecord) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(record.to_json())
    return read


def refusal(data: object) -> str:
    with pytest.raises(ControlError) as caught:
        ControlRecord.from_dict(data, where="topic control, offset 7")
    assert caught.value.where == "topic control, offset 7"
    assert str(caught.value).startswith("topic control, offset 7: ")
    return str(caught.value)


def test_a_record_reads_back_as_it_was() -> None:
    record = control_record(3)
    message = record.to_json()
    assert b"\n" not in message
    read = ControlRecord.from_json(message)
    assert read == record
    assert read.to_json() == message
    assert (read.digest, read.since, read.written_at) == (record.digest, T0 + 180_000, T0 + 3)
    assert message_of(record)["from"] == "2025-10-09T08:56:20.123Z"
    assert read.pattern_versions == {"clicks": clicks(5).version, "left": LEFT.version}
    assert read.rule_versions == {"remind": REMIND.version}


def test_a_record_pickles() -> None:
    record = control_record(1)
    assert pickle.loads(pickle.dumps(record)) == record


def test_the_shipped_patterns_and_rules_read_back() -> None:
    deployed = {rule.name: T0 for rule in SHIPPED.rules}
    record = ControlRecord(0, None, SHIPPED.patterns, SHIPPED.rules, deployed, T0)
    read = ControlRecord.from_json(record.to_json())
    assert read == record
    assert read.digest == content_digest(SHIPPED.patterns, SHIPPED.rules)
    assert read.pattern_versions == {pattern.name: pattern.version for pattern in SHIPPED.patterns}


@given(
    number=st.integers(1, 99_999_999),
    since=TIMES,
    written_at=TIMES,
    deployed=TIMES,
    text=st.text(),
    values=st.dictionaries(
        st.text(min_size=1),
        st.text() | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
    ),
)
def test_whatever_is_said_reads_back(
    number: int, since: int, written_at: int, deployed: int, text: str, values: dict[str, Any]
) -> None:
    rule = TriggerRule("r", pattern="rich", action="act", fields=values, description=text)
    pattern = replace(RICH, description=text)
    patterns = (PLAIN, pattern, ABSENCE, LOOP)
    record = ControlRecord(number, since, patterns, (rule,), {"r": deployed}, written_at)
    read = ControlRecord.from_json(record.to_json())
    assert read == record
    assert read.digest == record.digest == content_digest(patterns[::-1], [rule])


def test_order_of_patterns_and_rules_does_not_count() -> None:
    other = TriggerRule("other", pattern="clicks", action="x")
    one = ControlRecord(0, None, (LEFT, clicks(3)), (REMIND, other), {"b": 1, "a": 2}, 5)
    two = ControlRecord(0, None, (clicks(3), LEFT), (other, REMIND), {"a": 2, "b": 1}, 5)
    assert one == two
    assert one.to_json() == two.to_json()
    assert [pattern.name for pattern in one.patterns] == ["clicks", "left"]


def test_the_digest_names_patterns_and_rules_alone() -> None:
    record = control_record(1)
    assert replace(record, number=2, since=5, deployed={}, written_at=0).digest == record.digest
    assert replace(record, patterns=(LEFT, clicks(4))).digest != record.digest
    described = replace(LEFT, description="in other words")
    assert replace(record, patterns=(described, clicks(3))).digest != record.digest
    mailed = replace(REMIND, action="post")
    assert replace(record, rules=(mailed,)).digest != record.digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"number": -1, "since": 5}, "isn't within 0 and 99999999"),
        ({"number": 10**8, "since": 5}, "isn't within 0 and 99999999"),
        ({"since": None}, "number 0 has no `from`"),
        ({"number": 0}, "number 0 has no `from`"),
        ({"patterns": (LEFT, LEFT, clicks(3))}, "pattern 'left' is there twice"),
        ({"rules": (REMIND, REMIND)}, "rule 'remind' is there twice"),
        ({"patterns": (clicks(3),)}, "rule 'remind', pattern: there is no pattern 'left'"),
        ({"patterns": (Pattern("left").begin("a", event == "a"),)}, "pattern 'left' has no output 'form'"),
    ],
)
def test_what_makes_no_record(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ControlError, match=said):
        replace(control_record(1), **change)


def test_a_message_that_was_changed_is_refused() -> None:
    message = message_of(control_record(1))
    message["rules"][0]["action"] = "post"
    assert "it was changed after it was written" in refusal(message)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": "footfall.control/2"}, "this version of Footfall reads footfall.control/1"),
        ({"number": "1"}, "number is no whole number"),
        ({"number": True}, "number is no whole number"),
        ({"from": 5}, "from is no time or null"),
        ({"patterns": {}, "rules": None}, "patterns is no list; rules is no list"),
        ({"deployed": []}, "deployed is no object"),
        ({"written_at": "soon"}, "'soon' is no time"),
        ({"from": "2026-01-31T12:00:00"}, "has no time zone"),
        ({"deployed": {"remind": 5}}, "5 is no time"),
        ({"number": 0}, "number 0 has no `from`"),
    ],
)
def test_a_message_of_another_form_is_refused(change: dict[str, Any], said: str) -> None:
    assert said in refusal(message_of(control_record(1)) | change)


@pytest.mark.parametrize("field", ["number", "from", "digest", "patterns", "rules", "deployed", "written_at"])
def test_every_field_is_needed(field: str) -> None:
    message = message_of(control_record(1))
    del message[field]
    assert f"{field} is missing" in refusal(message)


@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_what_is_no_object_is_refused(value: object) -> None:
    assert "it is no JSON object" in refusal(value)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", "[" * 100_000])
def test_what_is_no_json_is_refused(text: bytes | str) -> None:
    with pytest.raises(ControlError, match="here: it is no JSON"):
        ControlRecord.from_json(text, where="here")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("patterns", [3], "read it with the version of Footfall that wrote it"),
        ("patterns", [{"name": "p", "stages": [], "later": 1}], "read it with the version"),
        ("rules", [{"name": "r"}], "rule 'r', pattern: it is missing"),
        ("rules", [{"name": "r", "pattern": "left", "action": "a"}] * 2, "rule 'r' is there twice"),
    ],
)
def test_a_pattern_or_rule_that_cannot_be_read_is_refused(field: str, value: Any, said: str) -> None:
    import hashlib

    message = message_of(control_record(1)) | {field: value}
    content = {"patterns": message["patterns"], "rules": message["rules"]}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    message["digest"] = hashlib.sha256(text.encode()).hexdigest()
    assert said in refusal(message)


def test_unknown_fields_are_ignored() -> None:
    record = control_record(1)
    assert ControlRecord.from_dict(message_of(record) | {"models": []}) == record


# ---- which of many stand


def test_each_number_stands_as_it_was_last_written() -> None:
    first, other = control_record(1), control_record(1, times=9)
    assert standing_records([control_record(0), first, other]) == (control_record(0), other)
    assert standing_records([]) == ()


def test_a_run_that_begins_anew_ends_what_stood() -> None:
    old = [control_record(number) for number in range(4)]
    new = [control_record(number, times=20 + number, written_at=T0 + 10) for number in range(2)]
    assert standing_records([*old, *new]) == tuple(new)
    assert standing_records([*old[2:], *new]) == tuple(new), "after compaction"
    assert standing_records([*old, new[0]]) == (new[0],)


@given(st.lists(st.integers(0, 5), max_size=12), st.data())
def test_compaction_changes_nothing(numbers: list[int], data: st.DataObject) -> None:
    written = [control_record(number, times=2 + place) for place, number in enumerate(numbers)]
    last = {record.number: place for place, record in enumerate(written)}
    kept = [
        record
        for place, record in enumerate(written)
        if last[record.number] == place or data.draw(st.booleans())
    ]
    assert standing_records(kept) == standing_records(written)


def test_a_history_is_whole_and_in_order() -> None:
    records = [control_record(number) for number in range(3)]
    assert require_history(records, "here") == tuple(records)
    for wrong, said in (
        ([], "here: it holds no control records"),
        (records[1:], "control record 0 is missing, and 1 is there"),
        ([records[0], records[2]], "control record 1 is missing, and 2 is there"),
        ([*records[:2], replace(records[2], since=records[1].since)], "isn't later than that of 1"),
    ):
        with pytest.raises(ControlError, match=said):
            require_history(wrong, "here")


# ---- champions


def test_champions_read_back_and_count_in_the_digest() -> None:
    plain = control_record(2)
    record = replace(plain, champions={"next": "b", "lead": "a"})
    read = ControlRecord.from_json(record.to_json())
    assert read == record
    assert list(read.champions) == ["lead", "next"]
    assert (
        read.digest
        == record.digest
        == content_digest(record.patterns, record.rules, {"lead": "a", "next": "b"})
    )
    assert record.digest != plain.digest != replace(record, champions={"lead": "a"}).digest


def test_a_record_of_before_there_were_champions_reads_on() -> None:
    record = control_record(2)
    old = message_of(record)
    assert old.pop("champions") == {}
    assert ControlRecord.from_dict(old) == record
    assert ControlRecord.from_dict(old | {"champions": None}) == record
    # The digest is the one that earlier versions wrote.
    text = json.dumps(
        {"patterns": old["patterns"], "rules": old["rules"]}, sort_keys=True, separators=(",", ":")
    )
    assert old["digest"] == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("champions", [["lead"], "lead", {"lead": 1}, {"lead": None}])
def test_champions_of_another_form_are_refused(champions: object) -> None:
    assert "champions is no object" in refusal(message_of(control_record(1)) | {"champions": champions})


def test_champions_that_were_changed_afterwards_are_refused() -> None:
    changed = message_of(control_record(1)) | {"champions": {"lead": "a"}}
    assert "it was changed after it was written" in refusal(changed)
