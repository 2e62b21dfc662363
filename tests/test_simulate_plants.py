"""The simulator's own idea of each pattern, held against the patterns' case files, with no engine between them."""

import json
from collections import Counter
from typing import Any

import pytest

from footfall.content import content_folder
from footfall.duration import parse_duration
from footfall.simulate_plants import PATTERNS, plants
from footfall.simulate_plants_long import LongPlants
from footfall.simulate_seen import Plant, Seen

DAY = 86_400_000
FILES = [
    json.loads(path.read_bytes()) for path in sorted((content_folder("patterns") / "cases").glob("*.json"))
]
CASES = [(file["pattern"], case) for file in FILES for case in file["cases"]]
FOREVER = 10**15


def visits_of(case: dict[str, Any]) -> dict[str, list[Seen]]:
    """The events by visitor, in the order of their times; the message id is the event's number."""
    visits: dict[str, list[Seen]] = {}
    for number, event in enumerate(case["events"]):
        seen = Seen(
            parse_duration(event["t"]),
            event["event"],
            event.get("element"),
            str(number),
            event.get("path"),
            event.get("x"),
            event.get("y"),
            event.get("field"),
            event.get("percent"),
            event.get("bot", False),
            event.get("service"),
            event.get("branch"),
        )
        visits.setdefault(event.get("visitor", "v"), []).append(seen)
    return {visitor: sorted(visit, key=lambda seen: seen.at) for visitor, visit in visits.items()}


def all_plants(visits: dict[str, list[Seen]]) -> list[Plant]:
    long = LongPlants()
    for visitor, visit in visits.items():
        for seen in visit:
            long.add(visitor, [seen])
    within_a_visit = [found for visit in visits.values() for found in plants(visit)]
    return within_a_visit + [found for _, found in long.certain(FOREVER, settled_to=FOREVER)]


@pytest.mark.parametrize(
    ("pattern", "case"), CASES, ids=lambda value: value if isinstance(value, str) else value["name"]
)
def test_the_plants_of_a_case_are_its_matches(pattern: str, case: dict[str, Any]) -> None:
    end = parse_duration(case["end"]) if "end" in case else FOREVER
    found = [plant for plant in all_plants(visits_of(case)) if plant.pattern == pattern and plant.due <= end]
    stages = [
        {stage: [int(number) for number in ids] for stage, ids in plant.stages.items()} for plant in found
    ]
    assert Counter(map(_text, stages)) == Counter(map(_text, case["matches"]))
    for match, fields in zip(case["matches"], case.get("outputs", ()), strict=False):
        (plant,) = (plant for plant, named in zip(found, stages, strict=True) if named == match)
        assert {name: plant.output[name] for name in fields} == fields


def test_each_pattern_has_cases_that_must_and_must_not_match() -> None:
    assert sorted(file["pattern"] for file in FILES) == sorted(PATTERNS)
    for file in FILES:
        assert any(case["matches"] for case in file["cases"]), file["pattern"]
        assert any(not case["matches"] for case in file["cases"]), file["pattern"]


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def test_an_abandoned_form_names_the_field_touched_last() -> None:
    visit = [
        Seen(at, "form_field_changed", "form.contact", str(at), field=field)
        for at, field in ((0, "name"), (5, "email"))
    ]
    (found,) = plants(visit)
    assert found.output == {"form": "form.contact", "last_field": "email"}
    assert found.stages == {"touched": ("5",)}


def test_a_plant_over_several_visits_is_given_once_and_when_it_is_certain() -> None:
    long = LongPlants()
    long.add("v", [Seen(0, "quote_viewed", None, "a"), Seen(5, "page_view", None, "b")])
    assert list(long.certain(DAY - 1)) == []
    ((visitor, quote),) = long.certain(DAY)
    assert (visitor, quote.pattern, quote.due) == ("v", "quote_viewed_not_booked", DAY)
    long.add("v", [Seen(2 * DAY, "quote_viewed", None, "c")])
    long.add("v", [Seen(3 * DAY - 1, "booking_completed", None, "d")])
    assert list(long.certain(20 * DAY)) == []
    ((_, inactive),) = long.certain(33 * DAY - 1)
    assert (inactive.pattern, inactive.stages) == ("customer_inactive", {"last": ("d",)})
    assert list(long.certain(100 * DAY, settled_to=100 * DAY)) == []


def test_at_the_end_quotes_are_released_and_the_inactive_only_if_it_is_time() -> None:
    long = LongPlants()
    long.add("a", [Seen(0, "quote_viewed", None, "a")])
    long.add("b", [Seen(DAY, "page_view", None, "b")])
    ended = [plant.pattern for _, plant in long.certain(0, settled_to=30 * DAY)]
    assert sorted(ended) == ["customer_inactive", "quote_viewed_not_booked"]


def test_a_robot_that_names_itself_is_neither_inactive_nor_bot_like() -> None:
    visit = [Seen(n * 100, "page_view", None, str(n), f"/{n}", bot=True) for n in range(30)]
    people = [seen._replace(bot=False) for seen in visit]
    assert {plant.pattern for plant in all_plants({"v": visit})} == set()
    assert {plant.pattern for plant in all_plants({"v": people})} == {"bot_like_traffic", "customer_inactive"}
