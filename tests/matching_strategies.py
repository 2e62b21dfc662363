"""Random patterns, all features together, and random streams of a visitor's events, for Hypothesis.

The patterns are those that Flink's rules allow: not-stages neither first, nor optional or looping, nor behind an
optional stage; greedy on single stages alone and without combinations, no optional stage directly behind a greedy
one; until on unbounded loops alone; a trailing not_followed_by with `within` or a time of its own; a group has a stage
that must come. What comes first may be absences.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from footfall.pattern_spec import Contiguity, Inner, LoopSpec, PartialView, PatternSpec, Skip, StageSpec, Test

BITS = 4
Draw = st.DrawFn

_POSITIVE: tuple[Contiguity, ...] = ("relaxed", "strict", "any")
_INNER: tuple[Inner, ...] = ("relaxed", "strict", "any")
_SKIPS: tuple[Skip, ...] = ("no_skip", "to_next", "past_last", "to_first", "to_last")


@dataclass(frozen=True)
class Near:
    """The event's number is at most `most` above that of the stage's last event, or the stage took none."""

    stage: str
    most: int

    def __call__(self, event: int, partial: PartialView) -> bool:
        taken = partial.taken(self.stage)
        return not taken or event - taken[-1] <= self.most


@dataclass(frozen=True)
class Fewer:
    """The stage took fewer than `most` events so far, and the event's number isn't a multiple of `step`."""

    stage: str
    most: int
    step: int

    def __call__(self, event: int, partial: PartialView) -> bool:
        return len(partial.taken(self.stage)) < self.most and event % self.step != 0


@dataclass(frozen=True)
class Total:
    """The sum of the numbers of the stage's events, the event at hand's added if asked for, is at least `least`."""

    stage: str
    least: int
    plus_current: bool

    def __call__(self, event: int, partial: PartialView) -> bool:
        return sum(partial.taken(self.stage)) + (event if self.plus_current else 0) >= self.least


@dataclass(frozen=True)
class Marked:
    """Another test, of events with a bit: the matcher needn't ask it of others.

    Attributes:
        masks: the masks of the stream's events, in their order; filled by whoever has the stream.
    """

    bit: int
    test: Near | Fewer | Total
    masks: list[int] = field(default_factory=list, compare=False, repr=False)

    def __call__(self, event: int, partial: PartialView) -> bool:
        return bool(self.masks[event] >> self.bit & 1) and self.test(event, partial)


@dataclass(frozen=True)
class BeforeTaken:
    """The visitor's `count`-th event before is one that the stage took."""

    stage: str
    count: int

    def __call__(self, event: int, partial: PartialView) -> bool:
        return partial.before(self.count) in partial.taken(self.stage)


@dataclass(frozen=True)
class Features:
    """What may occur in a pattern: turn some off to look at the others."""

    groups: bool = True
    choices: bool = True
    permutations: bool = True
    loops: bool = True
    optional: bool = True
    greedy: bool = True
    until: bool = True
    nots: bool = True
    absence: bool = True
    bounds: bool = True
    steps: bool = True
    skips: bool = True
    partial_tests: bool = True
    reluctant: bool = True


EVERYTHING = Features()


@dataclass
class _Names:
    """Gives stages their names; remembers those that take events."""

    count: int = 0
    taking: tuple[str, ...] = ()

    def next(self, *, takes: bool = True) -> str:
        name = f"s{self.count}"
        self.count += 1
        if takes:
            self.taking = (*self.taking, name)
        return name


def _rarely(draw: Draw, one_in: int) -> bool:
    return draw(st.integers(0, one_in - 1)) == one_in - 1


def _test(draw: Draw, names: _Names, features: Features) -> Test:
    if _rarely(draw, 12):
        return None
    if features.partial_tests and names.taking and _rarely(draw, 8):
        stage = st.just(draw(st.sampled_from(names.taking)))
        looking = st.one_of(
            st.builds(Near, stage, st.integers(1, 3)),
            st.builds(Fewer, stage, st.integers(1, 3), st.integers(2, 4)),
            st.builds(Total, stage, st.integers(0, 5), st.booleans()),
        )
        marked = st.builds(Marked, st.integers(0, BITS - 1), looking)
        return draw(st.one_of(looking, marked, st.builds(BeforeTaken, stage, st.integers(1, 2))))
    return 1 << draw(st.integers(0, BITS - 1))


def _loop(draw: Draw, names: _Names, features: Features, *, may_be_optional: bool, single: bool) -> LoopSpec:
    optional = features.optional and may_be_optional and _rarely(draw, 3)
    if not features.loops or draw(st.booleans()):
        return LoopSpec(optional=optional)
    least = draw(st.integers(1, 2))
    most = draw(st.sampled_from((None, None, least, least + 1)))
    has_until = features.until and most is None and _rarely(draw, 3)
    inner = draw(st.sampled_from(_INNER))
    greedy = features.greedy and single and inner != "any" and _rarely(draw, 3)
    return LoopSpec(
        least=least,
        most=most,
        optional=optional,
        inner=inner,
        greedy=greedy,
        reluctant=features.reluctant and single and not greedy and _rarely(draw, 4),
        until=_test(draw, names, features) if has_until else None,
        has_until=has_until,
        step_within_ms=draw(st.integers(1, 4)) if features.steps and _rarely(draw, 5) else None,
    )


def _single(draw: Draw, names: _Names, features: Features, contiguity: Contiguity) -> StageSpec:
    test = _test(draw, names, features)
    return StageSpec(names.next(), contiguity, test)


def _stage(
    draw: Draw,
    names: _Names,
    features: Features,
    contiguity: Contiguity,
    depth: int,
    *,
    may_be_optional: bool,
) -> StageSpec:
    kinds = ["single"] * 5
    kinds += ["group"] * 2 if features.groups and depth < 2 else []
    kinds += ["choices"] if features.choices else []
    kinds += ["members"] if features.permutations else []
    kind = draw(st.sampled_from(kinds))
    single = kind in {"single", "choices"}
    loop = _loop(draw, names, features, may_be_optional=may_be_optional, single=single)
    step = draw(st.integers(1, 5)) if features.steps and _rarely(draw, 8) else None
    if kind == "single":
        return replace(_single(draw, names, features, contiguity), loop=loop, step_within_ms=step)
    stage = StageSpec(names.next(takes=False), contiguity, loop=loop, step_within_ms=step)
    if kind == "group":
        return replace(stage, group=tuple(_sequence(draw, names, features, depth + 1, most=2)))
    how: tuple[Contiguity, ...] = ("begin",) if kind == "choices" else ("relaxed", "relaxed", "strict", "any")
    parts = tuple(
        _single(draw, names, features, draw(st.sampled_from(how))) for _ in range(draw(st.integers(2, 3)))
    )
    if kind == "members":
        return replace(stage, members=parts)
    return replace(stage, choices=parts)


def _sequence(draw: Draw, names: _Names, features: Features, depth: int, *, most: int) -> list[StageSpec]:
    """Stages that take events, with not-stages between them; one of them must come, in a group."""
    stages: list[StageSpec] = []
    count = draw(st.integers(1, most))
    for number in range(count):
        before = stages[-1] if stages else None
        needed = depth > 0 and number == count - 1 and all(stage.loop.optional for stage in stages)
        contiguity: Contiguity = "begin" if number == 0 else draw(st.sampled_from(_POSITIVE))
        if before is not None and features.nots and may_precede_not(before) and _rarely(draw, 4):
            stages.append(_absence(draw, names, features))
        may_be_optional = not needed and not (stages and stages[-1].loop.greedy)
        stages.append(_stage(draw, names, features, contiguity, depth, may_be_optional=may_be_optional))
    if depth > 0 and features.nots and _may_end_absent(stages[-1]) and _rarely(draw, 6):
        stages.append(_absence(draw, names, features))
    return stages


def may_precede_not(stage: StageSpec) -> bool:
    """Whether a not-stage may stand behind this one."""
    return not stage.loop.optional


def _absence(draw: Draw, names: _Names, features: Features) -> StageSpec:
    contiguity: Contiguity = draw(st.sampled_from(("not_next", "not_followed_by")))
    tests = [_test(draw, names, features) for _ in range(2)]
    stage = StageSpec(names.next(takes=False), contiguity, tests[0])
    return stage if tests[0] is not None else replace(stage, test=1 if tests[1] is None else tests[1])


def _may_end_absent(stage: StageSpec) -> bool:
    """Whether a not-stage may stand behind this one at the end; it is none itself."""
    return may_precede_not(stage) and not _forbids(stage)


def _ends_absent(stage: StageSpec) -> bool:
    """Whether an absence that only time can prove ends it."""
    return stage.contiguity == "not_followed_by" or (bool(stage.group) and _ends_absent(stage.group[-1]))


def _forbids(stage: StageSpec) -> bool:
    return stage.contiguity in {"not_next", "not_followed_by"} or any(map(_forbids, stage.group[-1:]))


def _has_steps(stages: Iterable[StageSpec]) -> bool:
    return any(
        stage.step_within_ms is not None or stage.loop.step_within_ms is not None or _has_steps(stage.group)
        for stage in stages
    )


def _has_not_next(stages: Iterable[StageSpec]) -> bool:
    return any(stage.contiguity == "not_next" or _has_not_next(stage.group) for stage in stages)


@st.composite
def patterns(draw: Draw, features: Features = EVERYTHING) -> PatternSpec:
    """A pattern of up to three stages that take events, groups and permutations counting as one."""
    names = _Names()
    absences: list[StageSpec] = []
    while features.absence and len(absences) < 2 and _rarely(draw, 8):
        gone = draw(st.sampled_from((None, 1, 2, 3, 5)))
        bit = 1 << draw(st.integers(0, BITS - 1))
        absences.append(StageSpec(names.next(takes=False), "not_followed_by", bit, absent_ms=gone))
    stages = _sequence(draw, names, features, 0, most=3)
    if absences:
        stages[0] = replace(stages[0], contiguity="relaxed")
    within = draw(st.integers(2, 9)) if features.bounds and draw(st.booleans()) else None
    if features.nots and _may_end_absent(stages[-1]) and _rarely(draw, 4):
        last = _absence(draw, names, features)
        if last.contiguity == "not_followed_by" and features.steps and _rarely(draw, 3):
            last = replace(last, step_within_ms=draw(st.integers(1, 5)))
        if last.contiguity == "not_next" and _rarely(draw, 3):
            stages.append(replace(_absence(draw, names, features), contiguity="not_followed_by"))
        stages.append(last)
    own_time = not stages[-1].group and stages[-1].step_within_ms is not None
    if within is None and _ends_absent(stages[-1]) and not own_time:
        within = draw(st.integers(2, 9))
    skip: Skip = draw(st.sampled_from(_SKIPS)) if features.skips else "no_skip"
    to_stage = skip in {"to_first", "to_last"}
    may_time_out = within is not None and not _forbids(stages[-1])
    # A way on that asks for what not_next forbids ends by a bound of its own, or is never there: not worth telling.
    may_time_out = may_time_out and not (_has_steps(stages) and _has_not_next(stages))
    return PatternSpec(
        name="random",
        stages=(*absences, *stages),
        within_ms=within,
        skip=skip,
        skip_stage=draw(st.sampled_from(names.taking)) if to_stage else None,
        skip_must_hit=to_stage and _rarely(draw, 4),
        looks_back=2 if features.partial_tests else 0,
        gives_timeouts=may_time_out and draw(st.booleans()),
    )


@dataclass(frozen=True)
class Stream:
    """A visitor's events (number, time, mask) in their final order, and where the clock goes after the last."""

    events: tuple[tuple[int, int, int], ...]
    end: int | None


@st.composite
def streams(draw: Draw, most: int = 8) -> Stream:
    """Up to `most` events of three to five kinds, some at the same time."""
    masks = draw(st.lists(st.integers(0, 2**BITS - 1), min_size=3, max_size=5, unique=True))
    kinds = draw(st.lists(st.sampled_from(masks), max_size=most))
    events = []
    time = 100
    for number, mask in enumerate(kinds):
        time += draw(st.sampled_from((0, 1, 1, 2, 3)))
        events.append((number, time, mask))
    end = draw(st.sampled_from((None, time, time + 3, time + 1000)))
    return Stream(tuple(events), end)
