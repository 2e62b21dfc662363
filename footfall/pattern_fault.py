"""What is wrong with a file of patterns, in words and with its line, from the error that running it raised."""

import inspect
import re
import traceback
from difflib import get_close_matches
from pathlib import Path
from types import FunctionType

import footfall
from footfall.envelope import FIELD_BY_NAME
from footfall.errors import PatternError, TriggerRuleError
from footfall.pattern import Pattern
from footfall.taken_events import TakenEvent
from footfall.trigger_rule import TriggerRule

_UNKNOWN_ARGUMENT = re.compile(r"Pattern\.(\w+)\(\) got an unexpected keyword argument '(\w+)'")
_NOT_OF_A_RULE = re.compile(r"TriggerRule\.__init__\(\) got an unexpected keyword argument '(\w+)'")
_COUNTS = ("times", "at_least", "one_or_more")


def fault_words(error: BaseException) -> str:
    """What is wrong, and what to do where that can be told."""
    if isinstance(error, (PatternError, TriggerRuleError)):
        return str(error)
    if isinstance(error, SyntaxError):
        return f"it isn't Python: {error.msg}"
    if isinstance(error, OSError):
        return f"it can't be read: {error.strerror or error}"
    hint = _hint(error)
    return f"{type(error).__name__}: {error}" + (f"; {hint}" if hint else "")


def fault_line(path: Path, error: BaseException) -> int | None:
    """The line of the file at which running it failed, from 1; None if it failed elsewhere."""
    if isinstance(error, SyntaxError) and error.lineno is not None and error.filename == str(path):
        return error.lineno
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return frames[-1].lineno if frames else None


def _hint(error: BaseException) -> str:
    if isinstance(error, NameError) and error.name in footfall.__all__:
        return f"write: from footfall import {error.name}"
    known_mistake = _attribute_hint(error) if isinstance(error, AttributeError) else _argument_hint(error)
    if known_mistake:
        return known_mistake
    name, known = _wrong_name(error)
    return _did_you_mean(name, known) if name else ""


def _wrong_name(error: BaseException) -> tuple[str | None, list[str]]:
    """The name that isn't there, and those that are; None where the error is of another kind."""
    if isinstance(error, AttributeError):
        return error.name, dir(error.obj)
    if isinstance(error, NameError):
        return error.name, footfall.__all__
    if isinstance(error, ImportError) and error.name == "footfall":
        # Python has the name as an attribute from 3.12 on only.
        quoted = str(error).split("'")
        return (quoted[1] if len(quoted) > 1 else None), footfall.__all__
    of_rule = _NOT_OF_A_RULE.search(str(error)) if isinstance(error, TypeError) else None
    if of_rule:
        return of_rule[1], list(inspect.signature(TriggerRule).parameters)
    method, argument = _unknown_argument(error)
    if argument is None or method is None:
        return None, []
    return argument, list(inspect.signature(getattr(Pattern, method)).parameters)


def _attribute_hint(error: AttributeError) -> str:
    """What to write where an attribute was meant as something else; "" if that can't be told."""
    # Python names the function for the method that it belongs to.
    method = getattr(error.obj, "__name__", "")
    if isinstance(error.obj, FunctionType) and getattr(Pattern, method, None) is error.obj:
        return f"{method} is a method: write .{method}()"
    if isinstance(error.obj, Pattern) and error.name == "where":
        return "put it into the stage's condition with &"
    if isinstance(error.obj, TakenEvent) and error.name in FIELD_BY_NAME:
        return f'write .field("{error.name}")'
    return ""


def _argument_hint(error: BaseException) -> str:
    method, argument = _unknown_argument(error)
    if method not in _COUNTS or argument != "within":
        return ""
    return (
        f"write .{method}(..., each_within=...) for the time from each occurrence to the next, "
        "and .within(...) for that of the whole match"
    )


def _unknown_argument(error: BaseException) -> tuple[str | None, str | None]:
    """The method of `Pattern` and the argument that it doesn't have."""
    found = _UNKNOWN_ARGUMENT.search(str(error)) if isinstance(error, TypeError) else None
    return (found[1], found[2]) if found else (None, None)


def _did_you_mean(name: str, known: list[str]) -> str:
    public = [each for each in known if not each.startswith("_")]
    close = get_close_matches(name, public, n=3) or [each for each in public if each.startswith(name)][:3]
    return f"did you mean {' or '.join(close)}?" if close else ""
