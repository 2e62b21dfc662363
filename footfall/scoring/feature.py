"""Features: what is known of a visitor at a moment, declared once as expressions over what they did.

    page_views = Feature("page_views", count(event == "page_view"), description="Pages seen, ever")
    pages_per_session = Feature("pages_per_session", count(event == "page_view") / sessions())

Each is a number, or the code of a category. What is not known is NaN, and so is what is divided by 0. A feature as of a
moment counts the visitor's events up to it, in event-time order, without duplicates; nothing of it lies in the future.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from footfall.duration import parse_duration
from footfall.errors import FeatureError
from footfall.expression import Expression
from footfall.scoring.feature_column import FeatureColumn

DAY_MS = 86_400_000
MOST_DAYS = 32
"""Events are counted by day for so many days back."""

Over = Literal["ever", "session"] | int
"""What is counted: everything, the latest session (that of the visitor's last event), or so many days: the moment's own
day (UTC) and those before it."""


class Quantity:
    """A number that is kept for each visitor, or made of such numbers with + - * /."""

    def __add__(self, other: "Quantity | float") -> "Quantity":
        return Combined("+", self, _quantity(other))

    def __sub__(self, other: "Quantity | float") -> "Quantity":
        return Combined("-", self, _quantity(other))

    def __mul__(self, other: "Quantity | float") -> "Quantity":
        return Combined("*", self, _quantity(other))

    def __truediv__(self, other: "Quantity | float") -> "Quantity":
        return Combined("/", self, _quantity(other))

    def parts(self) -> Iterator["Quantity"]:
        """It, and all that it is made of."""
        yield self


@dataclass(frozen=True, slots=True, eq=False)
class Number(Quantity):
    """A constant."""

    value: float

    def __str__(self) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True, slots=True, eq=False)
class Combined(Quantity):
    """Two quantities, joined by `+`, `-`, `*` or `/`."""

    operator: Literal["+", "-", "*", "/"]
    left: Quantity
    right: Quantity

    def parts(self) -> Iterator[Quantity]:
        """It, and all that it is made of."""
        yield self
        yield from self.left.parts()
        yield from self.right.parts()

    def __str__(self) -> str:
        return f"({self.left} {self.operator} {self.right})"


@dataclass(frozen=True, slots=True, eq=False)
class Count(Quantity):
    """How many events fulfil a condition; `condition` None: all of them. Made by `count`."""

    condition: Expression | None
    over: Over

    def __str__(self) -> str:
        return f"count of {_words(self.condition)}{_over(self.over)}"


@dataclass(frozen=True, slots=True, eq=False)
class Sessions(Quantity):
    """How many sessions have begun. Made by `sessions`."""

    over: Over

    def __str__(self) -> str:
        return f"sessions{_over(self.over)}"


@dataclass(frozen=True, slots=True, eq=False)
class Total(Quantity):
    """The sum of `value` (in units of money) over the events that fulfil a condition. Made by `total`."""

    condition: Expression
    over: Over

    def __str__(self) -> str:
        return f"value of {_words(self.condition)}{_over(self.over)}"


@dataclass(frozen=True, slots=True, eq=False)
class Highest(Quantity):
    """The highest that a number was, over the events that fulfil a condition; NaN before. Made by `highest`."""

    number: Expression
    condition: Expression
    over: Over

    def __str__(self) -> str:
        return f"highest {self.number} of {_words(self.condition)}{_over(self.over)}"


@dataclass(frozen=True, slots=True, eq=False)
class DaysSince(Quantity):
    """Days from an event that fulfils a condition to the moment; NaN without one. Made by `days_since`."""

    condition: Expression | None
    first: bool

    def __str__(self) -> str:
        return f"days since the {'first' if self.first else 'last'} {_words(self.condition)}"


@dataclass(frozen=True, slots=True, eq=False)
class SecondsOnSite(Quantity):
    """Seconds from each session's first event to its last. Made by `seconds_on_site`."""

    over: Over

    def __str__(self) -> str:
        return f"seconds on site{_over(self.over)}"


@dataclass(frozen=True, slots=True, eq=False)
class MatchCount(Quantity):
    """How many settled matches patterns of these names had. Made by `matches`."""

    patterns: tuple[str, ...]

    def __str__(self) -> str:
        return f"matches of {', '.join(self.patterns)}"


@dataclass(frozen=True, slots=True, eq=False)
class Category(Quantity):
    """The first of these words whose condition the first event of a session fulfils: its place. Made by `category`.

    A last word without a condition is for all others.
    """

    words: tuple[str, ...]
    conditions: tuple[Expression, ...]
    session: Literal["first", "latest"]

    @property
    def otherwise(self) -> int:
        """The code where no condition is fulfilled; -1 for none."""
        return len(self.conditions) if len(self.words) > len(self.conditions) else -1

    def __str__(self) -> str:
        return f"{' | '.join(self.words)} of the {self.session} session"


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """A feature of a model.

    Attributes:
        name: how reports and reasons call it; lower case with underscores.
        value: what it is.
        unit: what it counts in, such as `days`; empty for a plain count or a category.
        description: one sentence for people.

    Raises:
        FeatureError: what is declared makes no sense.
    """

    name: str
    value: Quantity
    unit: str = ""
    description: str = ""
    column: FeatureColumn = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name != self.name.lower():
            raise FeatureError(
                f"a feature's name is lower case letters, digits and underscores, not {self.name!r}"
            )
        for part in self.value.parts():
            if isinstance(part, Category) and part is not self.value:
                raise FeatureError(
                    f"feature {self.name}: a category can't be calculated with; make it a feature"
                )
        words = self.value.words if isinstance(self.value, Category) else ()
        column = FeatureColumn(
            self.name,
            "category" if words else "number",
            self.unit,
            self.description or str(self.value),
            words,
        )
        object.__setattr__(self, "column", column)


def count(condition: Expression | None = None, *, over: str = "ever") -> Quantity:
    """How many events fulfil a condition; over all time, the latest `session`, or days such as `7 d`."""
    return Count(condition, _checked(over))


def sessions(*, over: str = "ever") -> Quantity:
    """How many sessions have begun, ever or over days such as `7 d`."""
    if over == "session":
        raise FeatureError("sessions(over='session') is always 1; count over days, or ever")
    return Sessions(_checked(over))


def total(condition: Expression, *, over: Literal["ever", "session"] = "ever") -> Quantity:
    """The sum of `value` over the events that fulfil a condition, whatever their currencies."""
    return Total(condition, over)


def highest(
    number: Expression, condition: Expression, *, over: Literal["ever", "session"] = "ever"
) -> Quantity:
    """The highest that a number of an event was; to a millionth."""
    return Highest(number, condition, over)


def days_since(condition: Expression | None = None) -> Quantity:
    """Days since the last event that fulfils a condition."""
    return DaysSince(condition, first=False)


def days_since_first(condition: Expression | None = None) -> Quantity:
    """Days since the first event that fulfils a condition."""
    return DaysSince(condition, first=True)


def seconds_on_site(*, over: Literal["ever", "session"] = "ever") -> Quantity:
    """Seconds from each session's first event to its last."""
    return SecondsOnSite(over)


def matches(*patterns: str) -> Quantity:
    """How many settled matches of these patterns there were; a pattern that a run doesn't have has none."""
    if not patterns:
        raise FeatureError("matches() needs the name of a pattern")
    return MatchCount(patterns)


def category(
    words: Mapping[str, Expression | None], *, session: Literal["first", "latest"] = "latest"
) -> Quantity:
    """The first of these words whose condition the first event of the first or latest session fulfils.

    The last word's condition may be None: it is for all others.
    """
    if not 1 <= len(words) <= MOST_DAYS:
        raise FeatureError(f"a category has 1 to {MOST_DAYS} words, not {len(words)}")
    conditions = tuple(condition for condition in words.values() if condition is not None)
    if len(conditions) < len(words) and (
        len(conditions) < len(words) - 1 or list(words.values())[-1] is not None
    ):
        raise FeatureError("only the last word of a category may be without a condition")
    return Category(tuple(words), conditions, session)


def _quantity(value: Quantity | float) -> Quantity:
    return value if isinstance(value, Quantity) else Number(float(value))


def _checked(over: str) -> Over:
    if over == "ever":
        return "ever"
    if over == "session":
        return "session"
    try:
        ms = parse_duration(over)
    except ValueError as error:
        raise FeatureError(
            f"over={over!r}: write ever, session, or whole days up to {MOST_DAYS} d"
        ) from error
    if ms % DAY_MS or not 1 <= ms // DAY_MS <= MOST_DAYS:
        raise FeatureError(f"over={over!r}: write ever, session, or whole days up to {MOST_DAYS} d")
    return ms // DAY_MS


def _words(condition: Expression | None) -> str:
    return "events" if condition is None else str(condition)


def _over(over: Over) -> str:
    if over == "ever":
        return ""
    return " in the latest session" if over == "session" else f" in {over} days"
