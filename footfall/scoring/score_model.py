"""Models of scores, declared: when they predict, what of, from which features, and what then counts as true.

    lead = ScoreModel(
        "lead",
        "Books within a week",
        features=BEHAVIOUR,
        predict=[at_session_end()],
        label=happens(event == "booking_completed", within="7 d"),
    )

A model predicts at moments of event time and learns later, when it is known what came of it: `happens` is true as soon
as the event comes, and false once its horizon has passed; `stays_away` is the other way round; `earns` is the money of
the events within the horizon, known when it has passed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from footfall.duration import format_duration, parse_duration
from footfall.errors import FeatureError
from footfall.expression import Expression
from footfall.scoring.feature import DAY_MS, Feature
from footfall.scoring.feature_column import FeatureColumn

LabelKind = Literal["happens", "stays_away", "earns"]


@dataclass(frozen=True, slots=True, eq=False)
class AtSessionEnd:
    """When a session is over: its last event and the gap, or where it was cut."""


@dataclass(frozen=True, slots=True, eq=False)
class AtEvent:
    """At each event that fulfils a condition, itself included."""

    condition: Expression


@dataclass(frozen=True, slots=True, eq=False)
class DaysAfter:
    """So many days (ms) after a visitor's last event, for those who ever had an event that fulfils a condition."""

    delays: tuple[int, ...]
    once: Expression


Moment = AtSessionEnd | AtEvent | DaysAfter


@dataclass(frozen=True, slots=True, eq=False)
class Label:
    """What a prediction is judged by.

    Attributes:
        kind: what counts; see the module.
        event: the event that counts; None: the beginning of a session.
        or_session: the beginning of a session counts, too.
        within: the horizon in ms, its last millisecond included. It begins at the moment of the prediction; after
            `DaysAfter`, at the visitor's last event.
    """

    kind: LabelKind
    event: Expression | None
    or_session: bool
    within: int


@dataclass(frozen=True, slots=True, eq=False)
class ScoreModel:
    """A model of scores.

    Attributes:
        name: what scores and predictions call it; lower case with underscores.
        title: what it predicts, in a few words.
        features: what it predicts from.
        predict: when it predicts.
        label: what counts as true.
        changed_by: a score is told when it has moved by so much (of 100) since it was told last.
        bands: from which probability (or value) on each band begins; the lowest one begins at 0.
        challengers: names of learners that run beside the champion (see `footfall.scoring.learners`).
        learner: the champion's learner.

    Raises:
        FeatureError: what is declared makes no sense.
    """

    name: str
    title: str
    features: Sequence[Feature]
    predict: Sequence[Moment]
    label: Label
    changed_by: float = 5.0
    bands: Mapping[str, float] = field(default_factory=lambda: {"low": 0.0, "medium": 0.2, "high": 0.5})
    learner: str = ""
    challengers: Sequence[str] = ()
    columns: tuple[FeatureColumn, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name != self.name.lower():
            raise FeatureError(
                f"a model's name is lower case letters, digits and underscores, not {self.name!r}"
            )
        names = [feature.name for feature in self.features]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise FeatureError(f"model {self.name}: two features are called {', '.join(twice)}")
        if not names:
            raise FeatureError(f"model {self.name} has no features; give it some")
        if not self.predict:
            raise FeatureError(
                f"model {self.name} never predicts; give it a moment, such as at_session_end()"
            )
        for kind in (AtSessionEnd, AtEvent, DaysAfter):
            if sum(isinstance(moment, kind) for moment in self.predict) > 1:
                raise FeatureError(
                    f"model {self.name} has two moments of the kind {kind.__name__}; join them"
                )
        for moment in self.predict:
            if isinstance(moment, DaysAfter) and moment.delays[-1] >= self.label.within:
                raise FeatureError(
                    f"model {self.name}: {moment.delays[-1] // DAY_MS} days after the last event, its horizon "
                    f"({format_duration(self.label.within)}) is over; predict earlier, or give it a longer one"
                )
        if not 0 <= self.changed_by <= 100:
            raise FeatureError(f"model {self.name}: changed_by is 0 to 100, not {self.changed_by}")
        _check_bands(self.name, list(self.bands.values()))
        object.__setattr__(self, "columns", tuple(feature.column for feature in self.features))


def _check_bands(model: str, edges: list[float]) -> None:
    if not edges or edges[0] != 0 or edges != sorted(set(edges)):
        raise FeatureError(
            f"model {model}: the first band begins at 0, and each later one higher, not {edges}"
        )


def at_session_end() -> Moment:
    """Predict when a session is over."""
    return AtSessionEnd()


def at_event(condition: Expression) -> Moment:
    """Predict at each event that fulfils a condition, the event included."""
    return AtEvent(condition)


def days_after_last_event(*days: int, once: Expression) -> Moment:
    """Predict so many days after a visitor's last event, for those who ever had an event that fulfils `once`."""
    if not days or list(days) != sorted(set(days)) or days[0] < 1:
        raise FeatureError(f"days_after_last_event: write rising whole days from 1 on, not {days}")
    return DaysAfter(tuple(day * DAY_MS for day in days), once)


def happens(event: Expression, *, within: str) -> Label:
    """True as soon as the event comes, false once the horizon has passed without it."""
    return Label("happens", event, or_session=False, within=_horizon(within))


def stays_away(*, within: str, event: Expression | None = None, sessions: bool = True) -> Label:
    """True once the horizon has passed without the event or, unless `sessions` is False, a new session."""
    if event is None and not sessions:
        raise FeatureError("stays_away needs an event, or sessions=True: else nobody ever returns")
    return Label("stays_away", event, sessions, _horizon(within))


def earns(event: Expression, *, within: str) -> Label:
    """The sum of `value` over the events within the horizon."""
    return Label("earns", event, or_session=False, within=_horizon(within))


def _horizon(within: str) -> int:
    try:
        ms = parse_duration(within)
    except ValueError as error:
        raise FeatureError(f"within: {error}") from error
    if ms < 1:
        raise FeatureError("within: a horizon is longer than nothing")
    return ms


def models_digest(models: Sequence[ScoreModel]) -> str:
    """Names models by all that is declared of them; the order of features counts."""
    return sha256("\n".join(map(repr, models)).encode()).hexdigest()
