"""What trigger rules decide, in plain Python: over all that ever comes at once, without rounds and without state."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from footfall.trigger_rule import TriggerRule

Profile = Callable[[str, int], Mapping[str, object]]


@dataclass(frozen=True)
class Found:
    """A match; `told` says at which arrivals it is told as fired, disproved, fired again and so on."""

    pattern: str
    match_id: str
    visitor: str
    first: int
    last: int
    settled: int
    message: str
    told: tuple[int, ...] = ()


@dataclass(frozen=True)
class Happened:
    """An event: who, when, and its name."""

    visitor: str
    time: int
    name: str


@dataclass(frozen=True)
class Decided:
    """A decision, without its id: the trigger is named by rule, visitor, first event and its time."""

    rule: str
    visitor: str
    message: str
    first: int
    match_id: str
    due: int
    status: str
    revision: int
    decided: int

    @property
    def trigger(self) -> tuple[object, ...]:
        return (self.rule, self.visitor, self.message, self.first)


@dataclass
class _Candidate:
    rule: TriggerRule
    match: Found
    due: int
    name: str


def settled_decisions(
    rules: Sequence[TriggerRule],
    matches: Iterable[Found],
    events: Sequence[Happened],
    profile: Profile,
    until: int,
    active_from: Mapping[str, int],
    ids: Callable[[str, Found], str],
) -> list[Decided]:
    """The decisions of settled rules up to `until`, in no order. `ids` gives trigger ids, which break ties."""
    decided: list[Decided] = []
    waiting: list[_Candidate] = []
    for rule in rules:
        first_of: dict[tuple[object, ...], Found] = {}
        for match in sorted(matches, key=lambda match: (match.settled, match.match_id)):
            if rule.kind == "settled" and match.pattern == rule.pattern and match.settled <= until:
                first_of.setdefault((match.visitor, match.message, match.first), match)
        for match in first_of.values():
            due = max(match.first + rule.delay_ms, match.settled)
            if due < active_from.get(rule.name, 0):
                decided.append(_decided(rule, match, due, "suppressed", match.settled))
                continue
            withdrawing = [
                event.time
                for event in events
                if event.visitor == match.visitor
                and rule.withdrawn_by is not None
                and str(rule.withdrawn_by) == f"event is {event.name!r}"
                and match.last < event.time <= min(due, until)
            ]
            if withdrawing:
                decided.append(_decided(rule, match, due, "withdrawn", max(min(withdrawing), match.settled)))
            elif due <= until:
                waiting.append(_Candidate(rule, match, due, ids(rule.name, match)))
    fired: list[_Candidate] = []
    for one in sorted(waiting, key=lambda one: (one.due, one.name)):
        status = _status(one, fired, profile)
        if status in {"fired", "shadow"}:
            fired.append(one)
        decided.append(_decided(one.rule, one.match, one.due, status, one.due))
    return decided


def _status(one: _Candidate, fired: Sequence[_Candidate], profile: Profile) -> str:
    rule = one.rule
    if rule.profile_condition is not None and not _holds(
        str(rule.profile_condition), profile(one.match.visitor, one.due)
    ):
        return "unmet"
    mine = [
        each
        for each in fired
        if each.match.visitor == one.match.visitor
        and (each.rule.name == rule.name or each.rule.mode == "live")
    ]
    own = [each for each in mine if each.rule.name == rule.name]
    if rule.cooldown_ms and any(one.due - each.due < rule.cooldown_ms for each in own):
        return "cooled"
    if rule.cap is not None:
        group = [
            each
            for each in mine
            if each.rule.name == rule.name
            or (rule.cap_group is not None and each.rule.cap_group == rule.cap_group)
        ]
        if sum(one.due - each.due < rule.cap_ms for each in group) >= rule.cap_count:
            return "capped"
    return "shadow" if rule.mode == "shadow" else "fired"


def _holds(condition: str, profile: Mapping[str, Any]) -> bool:
    if condition == "conversions is 0":
        return profile.get("conversions") == 0
    raise AssertionError(condition)


def early_decisions(
    rules: Sequence[TriggerRule], matches: Sequence[Found], until: int, active_from: Mapping[str, int]
) -> dict[tuple[object, ...], list[tuple[str, int]]]:
    """For each trigger of an early rule the (status, revision) of its messages, up to an arrival, in their order."""
    said: dict[tuple[object, ...], list[tuple[str, int]]] = {}
    for rule in rules:
        if rule.kind != "early":
            continue
        standing: dict[tuple[object, ...], set[str]] = {}
        for _, fires, match in messages(matches, until):
            if match.pattern != rule.pattern:
                continue
            trigger = (rule.name, match.visitor, match.message, match.first)
            told = said.setdefault(trigger, [])
            before = standing.setdefault(trigger, set())
            if match.settled < active_from.get(rule.name, 0):
                if fires and not told:
                    told.append(("suppressed", 0))
                continue
            after = before | {match.match_id} if fires else before - {match.match_id}
            shadow = rule.mode == "shadow"
            if bool(before) != bool(after):
                words = ("shadow", "withdrawn") if shadow else ("fired", "retracted")
                told.append((words[0] if after else words[1], len(told)))
            standing[trigger] = after
    return {trigger: told for trigger, told in said.items() if told}


def messages(matches: Sequence[Found], until: int) -> list[tuple[int, bool, Found]]:
    """What is told of matches up to an arrival: when, whether it fires, and which, in the order of arrival."""
    told = [
        (arrival, number % 2 == 0, match)
        for match in matches
        for number, arrival in enumerate(match.told or (match.settled,))
        if arrival <= until
    ]
    return sorted(told, key=lambda one: (one[0], one[2].match_id))


def _decided(rule: TriggerRule, match: Found, due: int, status: str, now: int) -> Decided:
    return Decided(rule.name, match.visitor, match.message, match.first, match.match_id, due, status, 0, now)
