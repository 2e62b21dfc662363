"""What is wrong with a file of patterns, in words and with its line, from the error that running it raised."""

import inspect
import re
import traceback
from difflib import get_close_matches
from pathlib import Path

import footfall
from footfall.errors import PatternError
from footfall.pattern import Pattern

_UNKNOWN_ARGUMENT = re.compile(r"Pattern\.__init__\(\) got an unexpected keyword argument '(\w+)'")


def fault_words(error: BaseException) -> str:
    """What is wrong, and what to do where that can be told."""
    if isinstance(error, PatternError):
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
    argument = _UNKNOWN_ARGUMENT.search(str(error)) if isinstance(error, TypeError) else None
    return (argument[1] if argument else None), list(inspect.signature(Pattern).parameters)


def _did_you_mean(name: str, known: list[str]) -> str:
    public = [each for each in known if not each.startswith("_")]
    close = get_close_matches(name, public, n=3) or [each for each in public if each.startswith(name)][:3]
    return f"did you mean {' or '.join(close)}?" if close else ""
