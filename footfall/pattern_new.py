"""`footfall patterns new`: a pattern and its cases to begin with, which work as they are."""

import json
import keyword
from pathlib import Path

from rich.console import Console
from rich.text import Text

from footfall.content import content_folder
from footfall.errors import PatternFilesError, UsageError
from footfall.pattern import Pattern
from footfall.pattern_cases import case_file
from footfall.pattern_files import load_patterns

_PATTERN = '''\
"""What this pattern is for, and who acts on it."""

from footfall import Pattern, event

{variable} = (
    Pattern(
        "{name}",
        "A price was checked and no booking started within 10 minutes",
        severity="info",  # info, warning or critical
        tags=("example",),
        owner="marketing",
    )
    .begin("checked", event == "price_checked")
    .not_followed_by("booked", event == "booking_started")
    .within("10 min")
)
'''

_CASES = """\
{{
  "pattern": {name},
  "cases": [
    {{
      "name": "nothing follows",
      "events": [
        {{"t": 0, "event": "price_checked"}}
      ],
      "matches": [{{"checked": [0]}}]
    }},
    {{
      "name": "a booking is started in time",
      "events": [
        {{"t": 0, "event": "price_checked"}},
        {{"t": "5 min", "event": "booking_started"}}
      ],
      "matches": []
    }},
    {{
      "name": "a booking that starts after exactly 10 minutes is too late",
      "events": [
        {{"t": 0, "event": "price_checked"}},
        {{"t": "10 min", "event": "booking_started"}}
      ],
      "matches": [{{"checked": [0]}}]
    }}
  ]
}}
"""


def new_pattern(folder: Path | None, name: str) -> tuple[Path, Path]:
    """Write a pattern and its cases, both to be changed, into a folder, which is made if it isn't there.

    Args:
        folder: where to; None stands for `patterns` in the working directory if the shipped ones are there.
        name: the pattern's name.

    Returns:
        The pattern's file and the cases' file.

    Raises:
        UsageError: the name won't do or is taken, a file is there already, or the folder can't be written.
    """
    Pattern(name)
    folder = _own_folder() if folder is None else folder
    source, cases = folder / f"{name}.py", case_file(folder, name)
    for path in (source, folder / f"{name}.json", cases):
        if path.exists():
            raise UsageError(f"{path} is there already; nothing was written")
    if name in _names(folder):
        raise UsageError(f"{folder} has a pattern {name!r} already; nothing was written")
    try:
        cases.parent.mkdir(parents=True, exist_ok=True)
        _write(source, _PATTERN.format(name=name, variable=_variable(name)))
        _write(cases, _CASES.format(name=json.dumps(name)))
    except OSError as error:
        raise UsageError(f"{error.filename or folder} can't be written: {error.strerror}") from error
    return source, cases


def write_pattern(folder: Path | None, name: str) -> None:
    """Write a new pattern with its cases, and say what to do next.

    Raises:
        UsageError: as `new_pattern` raises it.
    """
    source, cases = new_pattern(folder, name)
    option = "" if folder is None else f" --patterns {source.parent}"
    console = Console(highlight=False)
    console.print(
        Text.assemble("wrote ", (str(source), "bold"), " and ", (str(cases), "bold")), soft_wrap=True
    )
    console.print(Text("change both, and look at what they say:"))
    for command in (f"show {name}{option}", f"check {source}", f"test {name}{option}"):
        console.print(Text(f"  footfall patterns {command}"), soft_wrap=True)


def _own_folder() -> Path:
    # The patterns of an installed package aren't a place to write to; those of a checkout that one works in are.
    here = Path("patterns")
    if here.is_dir() and here.samefile(content_folder("patterns")):
        return here
    raise UsageError("say which folder the pattern goes into: --patterns DIR (it is made if it isn't there)")


def _names(folder: Path) -> set[str]:
    try:
        return {pattern.name for pattern in load_patterns(folder)}
    except PatternFilesError as error:
        raise UsageError(f"the names in {folder} aren't known until its files are right: {error}") from error
    except UsageError:
        return set()  # it isn't there, or is empty


def _variable(name: str) -> str:
    taken = keyword.iskeyword(name) or name in ("Pattern", "event")
    return f"{name}_pattern" if taken else name


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
