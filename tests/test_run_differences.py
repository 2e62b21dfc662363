"""What a person reads when a state folder belongs to another run."""

from typing import Any

import pytest

from footfall.run_differences import differences, what_to_do
from footfall.settings import Settings

LIVE: dict[str, Any] = {
    "footfall": "1.0",
    "flow": "journeys",
    "settings": Settings().identity(),
    "inputs": {"kind": "kafka", "cluster": "abc", "topics": {"events": "t-1", "orders": "t-2"}},
    "shards": ["s0"],
    "store": "chdb:///data/store, footfall",
}


def changed(**entries: Any) -> dict[str, Any]:
    return {**LIVE, **entries}


def test_the_same_run_differs_in_nothing() -> None:
    assert differences(LIVE, changed()) == []


def test_settings_are_written_as_people_write_them() -> None:
    other = Settings(
        gap=20 * 60_000, shards=4, early=True, clicks=(), topic_formats=("a=segment",)
    ).identity()
    lines = differences(LIVE, changed(settings=other | {"event_names": "0123456789abcdef"}, shards=["s1"]))
    assert lines == [
        "clicks: click in the folder's run, none in this one",
        "early: false in the folder's run, true in this one",
        "event_names: the shipped table in the folder's run, a table of digest 01234567 in this one",
        "gap: 30 min in the folder's run, 20 min in this one",
        "shards: 8 in the folder's run, 4 in this one",
        "topic_formats: none in the folder's run, a=segment in this one",
    ]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"store": None}, "store: chdb:///data/store, footfall in the folder's run, none in this one"),
        ({"footfall": "1.1"}, "Footfall's version: 1.0 in the folder's run, 1.1 in this one"),
        ({"history": ["a", "b"]}, "--from-history: none in the folder's run, a, b in this one"),
        ({"inputs": LIVE["inputs"] | {"cluster": "x"}}, "kafka: another cluster"),
        (
            {"inputs": LIVE["inputs"] | {"topics": {"events": "t-9", "new": "t-3"}}},
            "input_topics: new new; events made anew; orders gone",
        ),
        ({"inputs": {"kind": "files"}}, "inputs: kafka in the folder's run, files in this one"),
        ({"inputs": LIVE["inputs"] | {"ends": {"a": 5}}}, "inputs: ends differ"),
        ({"shards": ["s1"]}, "shards: not the same"),
    ],
)
def test_all_else_is_one_line_each(entry: dict[str, Any], said: str) -> None:
    assert differences(LIVE, changed(**entry)) == [said]


def test_many_names_and_lines_are_cut() -> None:
    old = {f"p{number}": "1" for number in range(20)}
    assert differences({"patterns": old}, {"patterns": {}}) == ["patterns: p0, p1, p10 and 17 more gone"]
    lines = differences({f"n{number:02}": 1 for number in range(40)}, {})
    assert len(lines) == 12
    assert lines[-1] == "and 29 more"
    assert len(differences({"out": "x" * 500}, {"out": "y"})[0]) < 120


def test_a_live_run_is_led_to_its_history() -> None:
    said = what_to_do(LIVE)
    assert said.endswith("--state NEW --from-history chdb:///data/store")
    secret = what_to_do(changed(store="clickhouse://ann:***@host/db, footfall"))
    assert secret.endswith("--from-history STORE")
    assert what_to_do(changed(store=None)).endswith("--from-history STORE")
    assert "--from-history" not in what_to_do(changed(out=None, out_format="parquet"))
