"""`footfall patterns new`: a pattern, perhaps a trigger rule, and cases to begin with, which work as they are."""

import json
import keyword
from pathlib import Path

from rich.console import Console
from rich.text import Text

from footfall.content import content_folder
from footfall.errors import PatternFilesError, UsageError
from footfall.pattern import Pattern
from footfall.pattern_cases import case_file
from footfall.pattern_files import read_folder
from footfall.trigger_cases import rule_case_file
from footfall.trigger_rule import TriggerRule

_PATTERN = '''\
"""What this pattern is for, and who acts on it."""

from footfall import {imports}

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

_RULE = """
{rule} = TriggerRule(
    "{rule}",
    pattern="{name}",
    action="send_reminder",  # what the receiver is to do
    delay="1 h",  # from the match's first event
    withdrawn_by=event == "booking_started",
    description="Remind of a price that was checked an hour ago, with no booking since",
    owner="marketing",
)
"""

_RULE_CASES = """\
{{
  "rule": {rule},
  "cases": [
    {{
      "name": "nothing follows",
      "events": [
        {{"t": 0, "event": "price_checked"}}
      ],
      "decisions": [{{"first": 0, "status": "fired", "due": "1 h"}}]
    }},
    {{
      "name": "a booking is started before the hour is over",
      "events": [
        {{"t": 0, "event": "price_checked"}},
        {{"t": "40 min", "event": "booking_started"}}
      ],
      "decisions": [{{"first": 0, "status": "withdrawn", "at": "40 min"}}]
    }}
  ]
}}
"""

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


def new_pattern(folder: Path | None, name: str, *, rule: bool = False) -> tuple[Path, ...]:
    """Write a pattern and its cases, both to be changed, into a folder, which is made if it isn't there.

    Args:
        folder: where to; None stands for `patterns` in the working directory if the shipped ones are there.
        name: the pattern's name.
        rule: whether a trigger rule `<name>_reminder` and its cases are written, too.

    Returns:
        The pattern's file, the cases' file and, with a rule, that of its cases.

    Raises:
        UsageError: the name won't do or is taken, a file is there already, or the folder can't be written.
    """
    Pattern(name)
    reminder = f"{name}_reminder"
    if rule:
        TriggerRule(reminder, pattern=name, action="send_reminder")
    folder = _own_folder() if folder is None else folder
    source, cases, rule_cases = (
        folder / f"{name}.py",
        case_file(folder, name),
        rule_case_file(folder, reminder),
    )
    written = (source, cases, rule_cases) if rule else (source, cases)
    for path in (*written, folder / f"{name}.json"):
        if path.exists():
            raise UsageError(f"{path} is there already; nothing was written")
    patterns, rules = _names(folder)
    if name in patterns:
        raise UsageError(f"{folder} has a pattern {name!r} already; nothing was written")
    if rule and reminder in rules:
        raise UsageError(f"{folder} has a rule {reminder!r} already; nothing was written")
    imports = "Pattern, TriggerRule, event" if rule else "Pattern, event"
    text = _PATTERN.format(name=name, variable=_variable(name), imports=imports)
    text += _RULE.format(name=name, rule=reminder) if rule else ""
    try:
        for path in written:
            path.parent.mkdir(parents=True, exist_ok=True)
        _write(source, text)
        _write(cases, _CASES.format(name=json.dumps(name)))
        if rule:
            _write(rule_cases, _RULE_CASES.format(rule=json.dumps(reminder)))
    except OSError as error:
        raise UsageError(f"{error.filename or folder} can't be written: {error.strerror}") from error
    return written


def write_pattern(folder: Path | None, name: str, *, rule: bool = False) -> None:
    """Write a new pattern with its cases, and say what to do next.

    Raises:
        UsageError: as `new_pattern` raises it.
    """
    written = new_pattern(folder, name, rule=rule)
    source = written[0]
    option = "" if folder is None else f" --patterns {source.parent}"
    console = Console(highlight=False)
    console.print(Text(f"wrote {', '.join(map(str, written))}"), soft_wrap=True)
    console.print(Text("change them, and look at what they say (docs/testing_patterns.md):"))
    tested = f"test{option}" if rule else f"test {name}{option}"
    for command in (f"show {name}{option}", f"check {source}", tested):
        console.print(Text(f"  footfall patterns {command}"), soft_wrap=True)


def _own_folder() -> Path:
    # The patterns of an installed package aren't a place to write to; those of a checkout that one works in are.
    here = Path("patterns")
    if here.is_dir() and here.samefile(content_folder("patterns")):
        return here
    raise UsageError("say which folder the pattern goes into: --patterns DIR (it is made if it isn't there)")


def _names(folder: Path) -> tuple[set[str], set[str]]:
    """The names of the folder's patterns and rules."""
    try:
        read = read_folder(folder)
    except PatternFilesError as error:
        raise UsageError(f"the names in {folder} aren't known until its files are right: {error}") from error
    except UsageError:
        return set(), set()  # it isn't there, or is empty
    return {pattern.name for pattern in read.patterns}, {rule.name for rule in read.rules}


def _variable(name: str) -> str:
    taken = keyword.iskeyword(name) or name in ("Pattern", "TriggerRule", "event")
    return f"{name}_pattern" if taken else name


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
