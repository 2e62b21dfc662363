"""The stages of a pattern: single events, groups, alternations and permutations, and how often each comes.

    stage("call", event == "call_started") | stage("chat", event == "chat_started")
    all_of_any_order(stage("price", event == "price_checked"), stage("terms", event == "terms_viewed"))

A stage is a value. `Pattern`'s methods place it and say how often it comes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import get_args

from footfall.duration import format_duration
from footfall.errors import ExpressionError, PatternError
from footfall.expression import Condition, Expression, as_condition, expression_from_dict
from footfall.expression_values import canonical_json
from footfall.pattern_spec import Contiguity, Inner
from footfall.polars_condition import JsonValue

LONGEST_STAGE_NAME = 64

STAGE_WORDS: dict[Contiguity, str] = {
    "begin": "starts with",
    "strict": "directly followed by",
    "relaxed": "followed by",
    "any": "followed by any",
    "not_next": "not directly followed by",
    "not_followed_by": "not followed by",
}
_INNER_WORDS: dict[Inner, str] = {"relaxed": "", "strict": " in a row", "any": " in any combination"}


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """One stage of a pattern.

    Attributes:
        name: names the stage's events in a match; unique in its pattern.
        contiguity: how it joins on to what comes before it.
        condition: what its events must be like; None takes every event.
        times: how often it comes, at least.
        inner: what may come between its occurrences: what isn't like it (`relaxed`), nothing (`strict`), anything
            (`any`). Between the members of a permutation likewise.
        more: how often it may come beyond `times`; None for no bound.
        optional: it may also not come at all.
        greedy: it takes all it can before what follows may begin.
        reluctant: what follows begins as soon as it can.
        until: an event like this ends the loop, and isn't taken.
        step_within_ms: exclusive bound on the time from the last event taken before it to its first one.
        each_within_ms: exclusive bound on the time from each occurrence's last event to the next one's first.
        absent_ms: before the first stage that takes events: how long no such event may have come.
        group: the stages of which it is made; their first one joins on as this one does.
        choices: its event is like one of these; the first of them that fits names it.
        members: each of these comes once, in any order.
    """

    name: str
    contiguity: Contiguity
    condition: Expression | None = None
    times: int = 1
    inner: Inner = "relaxed"
    more: int | None = 0
    optional: bool = False
    greedy: bool = False
    reluctant: bool = False
    until: Expression | None = None
    step_within_ms: int | None = None
    each_within_ms: int | None = None
    absent_ms: int | None = None
    group: tuple["Stage", ...] = ()
    choices: tuple["Stage", ...] = ()
    members: tuple["Stage", ...] = ()

    @property
    def forbids(self) -> bool:
        """Whether it says what must not come; such a stage takes no event."""
        return self.contiguity in ("not_next", "not_followed_by")

    @property
    def most(self) -> int | None:
        """How often it comes at most; None for no bound."""
        return None if self.more is None else self.times + self.more

    @property
    def loops(self) -> bool:
        """Whether it may come more than once."""
        return self.most != 1

    @property
    def parts(self) -> tuple["Stage", ...]:
        """The stages that it is made of; none if it is one of single events."""
        return self.group or self.choices or self.members

    def walk(self) -> Iterator["Stage"]:
        """The stage, and all that it is made of, in order."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def takers(self) -> Iterator["Stage"]:
        """The stages in it, or itself, under whose names events are taken."""
        for one in self.walk():
            if not one.parts and not one.forbids:
                yield one

    def conditions(self) -> Iterator[Expression]:
        """All conditions in it."""
        for one in self.walk():
            for condition in (one.condition, one.until):
                if condition is not None:
                    yield condition

    def __or__(self, other: "Stage") -> "Stage":
        """The alternation of both."""
        return either(*(self.choices or (self,)), *(getattr(other, "choices", ()) or (other,)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stage) and canonical_json(self.meaning()) == canonical_json(other.meaning())

    def __hash__(self) -> int:
        return hash(canonical_json(self.meaning()))

    def __str__(self) -> str:
        joins = STAGE_WORDS[self.contiguity]
        if self.absent_ms is not None:
            return f"not preceded for {format_duration(self.absent_ms)} by {_what(self)}"
        return f"{joins} {_what(self)}{self._how_often()}"

    def meaning(self) -> JsonValue:
        """What versions name: the order of what `&` and `|` join doesn't matter."""
        return self.to_dict(by_key=True)

    def to_dict(self, *, by_key: bool = False) -> JsonValue:
        """The stage as a JSON value; what is as usual is left out. Conditions are objects, or their keys."""
        data: dict[str, JsonValue] = {"name": self.name, "contiguity": self.contiguity}
        for word, condition in (("where", self.condition), ("until", self.until)):
            if condition is not None:
                data[word] = condition.key() if by_key else condition.to_dict()
        if self.times != 1 or self.loops:
            data["times"] = self.times
        if self.times != 1 or self.loops or self.inner != "relaxed":
            data["inner"] = self.inner
        if self.more != 0:
            data["more"] = self.more
        data |= {word: True for word in ("optional", "greedy", "reluctant") if getattr(self, word)}
        for word in ("step_within_ms", "each_within_ms", "absent_ms"):
            if getattr(self, word) is not None:
                data[word] = getattr(self, word)
        for word, parts in (("group", self.group), ("either", self.choices), ("any_order", self.members)):
            if parts:
                data[word] = [part.to_dict(by_key=by_key) for part in parts]
        return data

    def _how_often(self) -> str:
        words = ""
        if self.loops:
            words += f", {_count_words(self.times, self.most)} times"
            words += _INNER_WORDS[self.inner]
        if self.greedy or self.reluctant:
            words += f", as {'often' if self.greedy else 'seldom'} as possible"
        if self.until is not None:
            words += f", until {self.until}"
        if self.each_within_ms is not None:
            words += f", each within less than {format_duration(self.each_within_ms)} of the one before"
        if self.step_within_ms is not None:
            words += f", within less than {format_duration(self.step_within_ms)} of the event before"
        return words + (", or not at all" if self.optional else "")


def _what(stage: Stage) -> str:
    if stage.group:
        return f"{stage.name!r} ({'; '.join(map(str, stage.group))})"
    if stage.choices:
        return f"either {' or '.join(_what(part) for part in stage.choices)}"
    if stage.members:
        parts = " and ".join(_what(part) for part in stage.members)
        return f"all of {parts}, in any order{_INNER_WORDS[stage.inner]}"
    return f"{stage.name!r} ({'any event' if stage.condition is None else stage.condition})"


def _count_words(least: int, most: int | None) -> str:
    if most is None:
        return f"{least} or more"
    return str(least) if least == most else f"{least} to {most}"


_UNPLACED = "(none yet)"


def stage(name: str, condition: Condition | None = None) -> Stage:
    """A stage that isn't placed yet, for `either`, `all_of_any_order` and `|`.

    Raises:
        PatternError: the condition is none.
    """
    try:
        own = None if condition is None else as_condition(condition)
    except ExpressionError as error:
        raise PatternError(str(error), pattern=_UNPLACED, stage=name) from error
    if own is not None and not isinstance(own, Expression):
        raise PatternError(
            f'{own!r} is no condition; write one such as event == "click"', pattern=_UNPLACED, stage=name
        )
    return Stage(name, "begin", own)


def either(*stages: Stage, name: str | None = None) -> Stage:
    """Alternation: an event that is like one of several; the first that fits names it.

    Args:
        stages: two or more stages of single events, made by `stage`.
        name: the alternation's own name, for messages; those of the stages joined with | if it is None.

    Raises:
        PatternError: a stage is none of single events, or there are too few.
    """
    return Stage(_name_of(stages, name, " | "), "begin", choices=_single(stages, "either"))


def all_of_any_order(*stages: Stage, name: str | None = None) -> Stage:
    """Permutation: each of the stages once, in any order. Other events may lie between them.

    After placing it, `consecutive()` lets nothing lie between them, and `combinations()` takes any event that fits.

    Args:
        stages: two or more stages of single events, made by `stage`.
        name: the permutation's own name, for messages; those of the stages joined with & if it is None.

    Raises:
        PatternError: a stage is none of single events, or there are too few.
    """
    return Stage(_name_of(stages, name, " & "), "begin", members=_single(stages, "all_of_any_order"))


def stage_from_dict(data: JsonValue, pattern: str) -> Stage:
    """The stage that `to_dict` wrote; whether it can stand in a pattern isn't checked.

    Raises:
        PatternError: it has a name that stages don't have.
        KeyError, TypeError, AttributeError: it is no such value.
        ExpressionError: a condition is none.
    """
    refuse_unknown(data, _KEYS, pattern)
    if data["contiguity"] not in get_args(Contiguity):
        known = ", ".join(get_args(Contiguity))
        raise PatternError(
            f"contiguity {data['contiguity']!r} is unknown; use {known}", pattern=pattern, stage=data["name"]
        )
    plain = {word: data[word] for word in _PLAIN if word in data}
    return Stage(
        data["name"],
        data["contiguity"],
        _condition(data.get("where")),
        until=_condition(data.get("until")),
        group=_parts(data.get("group", ()), pattern),
        choices=_parts(data.get("either", ()), pattern),
        members=_parts(data.get("any_order", ()), pattern),
        **plain,
    )


def refuse_unknown(data: dict[str, JsonValue], known: frozenset[str], pattern: str) -> None:
    """Refuse names that nothing reads.

    Raises:
        PatternError: there is one.
    """
    unknown = sorted(set(data) - known)
    if unknown:
        raise PatternError(
            f"{', '.join(map(repr, unknown))} is unknown; the names are {', '.join(sorted(known))}",
            pattern=pattern,
        )


_PLAIN = (
    "times", "inner", "more", "optional", "greedy", "reluctant", "step_within_ms", "each_within_ms", "absent_ms",
)  # fmt: skip
_KEYS = frozenset({"name", "contiguity", "where", "until", "group", "either", "any_order", *_PLAIN})


def _condition(data: JsonValue) -> Expression | None:
    return None if data is None else expression_from_dict(data)


def _parts(data: JsonValue, pattern: str) -> tuple[Stage, ...]:
    return tuple(stage_from_dict(part, pattern) for part in data)


def placed(one: Stage, contiguity: Contiguity, step_within_ms: int | None = None) -> Stage:
    """The stage, joined on in that way."""
    return replace(one, contiguity=contiguity, step_within_ms=step_within_ms)


def _name_of(stages: tuple[Stage, ...], name: str | None, between: str) -> str:
    joined = between.join(str(getattr(one, "name", one)) for one in stages)
    return joined[:LONGEST_STAGE_NAME].strip() if name is None else name


def _single(stages: tuple[Stage, ...], word: str) -> tuple[Stage, ...]:
    where = _name_of(stages, None, ", ") or word
    for one in stages:
        if not _is_stage(one) or one != Stage(one.name, "begin", one.condition):
            raise PatternError(
                f'{word} takes stages of single events, written stage("name", condition)', pattern=where
            )
    if len(stages) < 2:
        raise PatternError(f"{word} takes two stages or more", pattern=where)
    return stages


def _is_stage(value: object) -> bool:
    return isinstance(value, Stage)
