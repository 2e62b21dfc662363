"""Patterns with parameters: functions whose arguments are a pattern's thresholds.

    @parameters(
        times="clicks; three in PostHog (`click_count`, posthog.com/docs/references/posthog-js)",
        within="from the first to the last; 1000 ms in PostHog (`timeout_ms`)",
    )
    def rage_click(times: int = 3, within: str = "1 s") -> Pattern:
        return Pattern("rage_click").begin("click", event == "click").times(times).within(within)

Whoever reads a folder of patterns takes the one that the defaults make. `rage_click(times=4)` is a variant: a
pattern of the same name with another version.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from footfall.errors import PatternError
from footfall.pattern import Pattern

ParameterValue = int | float | str
"""What a parameter is set to; a length of time is a text such as "30 min"."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a pattern.

    Attributes:
        name: its name.
        default: what it is unless it is set; values are of the same type.
        about: what it is, and where the default comes from.
    """

    name: str
    default: ParameterValue
    about: str


@dataclass(frozen=True, slots=True)
class ParametricPattern:
    """A function that makes a pattern, and what is known of its parameters.

    Attributes:
        name: the name of the function and of the pattern that it makes.
        parameters: the parameters, in the function's order.
        build: the function.
    """

    name: str
    parameters: tuple[Parameter, ...]
    build: Callable[..., Pattern]

    def __call__(self, **values: ParameterValue) -> Pattern:
        """The pattern with these parameters, and the others as they are by default.

        Raises:
            PatternError: there is no such parameter, a value is of another type than the default, or the pattern
                that comes of it won't do.
        """
        known = {parameter.name: parameter.default for parameter in self.parameters}
        for name, value in values.items():
            if name not in known:
                raise self._error(f"it has no parameter {name!r}; there are {', '.join(known) or 'none'}")
            if not _fits(value, known[name]):
                raise self._error(
                    f"parameter {name!r} can't be {value!r}; write {_KINDS[type(known[name])]} "
                    f"such as {known[name]!r}"
                )
        made = self.build(**{**known, **values})
        if not _is_pattern(made) or made.name != self.name:
            found = f"pattern {made.name!r}" if _is_pattern(made) else repr(made)
            raise self._error(
                f"the function {self.name} has to return a pattern of its own name, not {found}"
            )
        return made

    def _error(self, message: str) -> PatternError:
        return PatternError(message, pattern=self.name)


def parameters(**about: str) -> Callable[[Callable[..., Pattern]], ParametricPattern]:
    """Make a function a pattern with parameters.

    Args:
        about: for each argument of the function, what it is and where its default comes from.

    Raises:
        PatternError: an argument has no default, or one that is no number and no text, or nothing is said about it;
            or something is said about an argument that isn't there.
    """

    def made(build: Callable[..., Pattern]) -> ParametricPattern:
        return ParametricPattern(build.__name__, _parameters(build, about), build)

    return made


def _parameters(build: Callable[..., Pattern], about: Mapping[str, str]) -> tuple[Parameter, ...]:
    arguments = inspect.signature(build).parameters
    for name in about:
        if name not in arguments:
            raise PatternError(
                f"@parameters says something about {name!r}, which is no argument of the function",
                pattern=build.__name__,
            )
    found = []
    for name, argument in arguments.items():
        if type(argument.default) not in _KINDS:
            raise PatternError(
                f"parameter {name!r} needs a default: a number or a text", pattern=build.__name__
            )
        if not about.get(name, "").strip():
            raise PatternError(
                f"nothing is said about parameter {name!r}; write @parameters({name}=...): what it is, and "
                "where the default comes from",
                pattern=build.__name__,
            )
        found.append(Parameter(name, argument.default, about[name]))
    return tuple(found)


_KINDS: dict[type, str] = {int: "a whole number", float: "a number", str: "a text"}


def _fits(value: object, default: ParameterValue) -> bool:
    return type(value) is type(default) or (isinstance(default, float) and type(value) is int)


def _is_pattern(value: object) -> bool:
    return isinstance(value, Pattern)
