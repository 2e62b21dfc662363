"""Event names: a rule that brings them to one form, and a table that says which of them mean the same."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from footfall.content import content_folder
from footfall.errors import SettingsError, UsageError

_HUMP = re.compile(r"([^\W_A-Z])([A-Z])|([A-Z])(?=[A-Z][^\W\d_A-Z])")
_OTHER = re.compile(r"[\W_]+")


def snake_name(name: str) -> str:
    """The name in lower_snake_case; "" where it has neither letter nor digit.

    camelCase is split, and every run of anything but letters and digits (of any script) is one "_".
    """
    split = _HUMP.sub(lambda found: f"{found[1]}_{found[2]}" if found[1] else f"{found[3]}_", name)
    return _OTHER.sub("_", split.lower()).strip("_")


class EventNames:
    """What a sent event name becomes: `snake_name`, then the table.

    Args:
        names: sent name -> name to use, both as `snake_name` makes them.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self.names = dict(names or {})

    def normalise(self, name: str) -> str:
        """The name that Footfall uses; "" where nothing is left of it."""
        snake = snake_name(name)
        return self.names.get(snake, snake)

    @classmethod
    def load(cls, path: Path | None = None) -> "EventNames":
        """Read a table (`[names]` in a TOML file), or the one that Footfall ships.

        Raises:
            UsageError: the file can't be read.
            SettingsError: the file isn't TOML, or some of its names are wrong; all of them are listed.
        """
        source = str(path) if path else "schemas/event_names.toml"
        try:
            text = (path or content_folder("schemas") / "event_names.toml").read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the table of event names {source} can't be read: {error}") from error
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise SettingsError([f"{source} isn't TOML: {error}"]) from error
        problems = list(_problems(table))
        if problems:
            raise SettingsError([f"{source}: {problem}" for problem in problems])
        return cls(table.get("names", {}))


def _problems(table: Mapping[str, Any]) -> list[str]:
    found = [f"unknown section or key {key!r}; only [names] is read" for key in table if key != "names"]
    names = table.get("names", {})
    if not isinstance(names, dict):
        return [*found, '"names" must be a section, [names]']
    for sent, used in names.items():
        if not isinstance(used, str):
            found.append(f"{sent} must be given a name in quotes")
            continue
        found += [
            f"{name!r} must be in lower_snake_case: write {snake_name(name) or 'a name'!r}"
            for name in (sent, used)
            if name != snake_name(name) or not name
        ]
        if used != sent and used in names and names[used] != used:
            found.append(f"{sent} becomes {used}, which is renamed too: write {sent} = {names[used]!r}")
    return found
