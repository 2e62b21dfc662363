"""The kinds of settings: how a value of each is read from text, checked, and shown again."""

import difflib
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from footfall.duration import HOW_TO_WRITE, LONGEST_MS, format_duration, parse_duration

_STORE_SCHEMES = ("chdb", "clickhouse", "clickhouses")
_RECORD_SCHEMES = ("kafka", *_STORE_SCHEMES)
_RECORD_FILES = (".json", ".ndjson")
_LEAST_BEGINNING = 3
_SECRET_PARAMETER = re.compile(r"((?:password|passwd|pwd|secret|token|key)=)[^&#\s]*", re.IGNORECASE)


class WrongValueError(ValueError):
    """What a person wrote for a setting won't do."""


class Kind(NamedTuple):
    """How values of one kind are read and shown.

    `read` takes what a file, a variable or a flag holds and gives the value, or raises a ValueError that says
    what to write instead. `show` gives the text that `read` reads back.
    """

    name: str
    read: Callable[[object], Any]
    show: Callable[[Any], str]


def redacted(dsn: str) -> str:
    """The DSN without its password, for messages: `clickhouse://ann:***@host/db`. Any text is taken."""
    head, found, rest = dsn.rpartition("@")
    if found:
        scheme, slashes, login = head.rpartition("://") if "://" not in head else head.partition("://")
        user, colon, _ = login.partition(":")
        rest = f"{scheme}{slashes}{user}{':***' if colon else ''}@{rest}"
    return _SECRET_PARAMETER.sub(r"\1***", rest)


def duration(least: int = 0, most: int = LONGEST_MS) -> Kind:
    """A length of time, in ms."""

    def read(value: object) -> int:
        if not isinstance(value, (str, int)):
            raise WrongValueError(f"{value!r} is no length of time; {HOW_TO_WRITE}")
        ms = parse_duration(value)
        if not least <= ms <= most:
            bounds = f"{format_duration(least)} to {format_duration(most)}"
            raise WrongValueError(f"{format_duration(ms)} is out of bounds; write {bounds}")
        return ms

    return Kind("duration", read, format_duration)


def integer(least: int, most: int) -> Kind:
    """A whole number."""

    def read(value: object) -> int:
        text = value.strip().replace("_", "") if isinstance(value, str) else value
        if isinstance(text, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", text, re.ASCII):
            text = int(text)
        if isinstance(text, bool) or not isinstance(text, int):
            raise WrongValueError(f"{value!r} is no whole number; write {least:,} to {most:,}")
        if not least <= text <= most:
            raise WrongValueError(f"{text:,} is out of bounds; write {least:,} to {most:,}")
        return text

    return Kind("integer", read, str)


def switch() -> Kind:
    """True or false."""
    words = {
        "true": True,
        "yes": True,
        "on": True,
        "1": True,
        "false": False,
        "no": False,
        "off": False,
        "0": False,
    }

    def read(value: object) -> bool:
        found = value if isinstance(value, bool) else words.get(str(value).strip().lower())
        if found is None:
            raise WrongValueError(f"{value!r} is neither true nor false; write one of them")
        return found

    return Kind("true or false", read, lambda value: str(value).lower())


def choice(*words: str) -> Kind:
    """One of some words."""

    def read(value: object) -> str:
        text = str(value).strip().lower()
        if text not in words:
            raise WrongValueError(f"{value!r} is none of {', '.join(words)}{closest(text, words)}")
        return text

    return Kind(" or ".join(words), read, str)


def text(pattern: str, rule: str) -> Kind:
    """A text of that pattern (a regular expression); `rule` says it to people."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
            raise WrongValueError(f"{value!r} won't do; write {rule}")
        return value

    return Kind("name", read, str)


def names() -> Kind:
    """Event names, with commas between."""

    def read(value: object) -> tuple[str, ...]:
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)) or not all(isinstance(part, str) for part in parts):
            raise WrongValueError(f"{value!r} is no list of event names; write them with commas between")
        return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))

    return Kind("event names", read, ",".join)


def path(what: Literal["file", "folder", "new folder"]) -> Kind:
    """A place in the file system; nothing where the text is empty."""

    def read(value: object) -> Path | None:
        if not isinstance(value, (str, Path)):
            raise WrongValueError(f"{value!r} is no path; write it as text")
        if not str(value):
            return None
        path = Path(value).expanduser()
        try:
            _check_place(path, str(value), what)
        except OSError as error:
            raise WrongValueError(
                f"{str(value)!r} can't be looked at: {error.strerror}; name another"
            ) from error
        return path

    return Kind("path", read, lambda value: "" if value is None else str(value))


def _check_place(path: Path, text: str, what: str) -> None:
    if what == "file" and not path.is_file():
        raise WrongValueError(f"there is no file {text!r}; name one that exists")
    if what == "folder" and not path.is_dir():
        raise WrongValueError(f"there is no folder {text!r}; name one that exists")
    if what == "new folder":
        for place in (path, *path.parents):
            if place.exists() and not place.is_dir():
                raise WrongValueError(f"{str(place)!r} is a file; name a folder, which may be new")


def patterns() -> Kind:
    """A folder of patterns, or where control records are: a topic or store as text, or a file of them."""
    how = "name a folder, kafka://TOPIC, chdb://FOLDER, clickhouse://..., or a file of control records"

    def read(value: object) -> Path | str | None:
        if not isinstance(value, (str, Path)):
            raise WrongValueError(f"{value!r} is no place of patterns; {how}")
        if not str(value):
            return None
        scheme, found, rest = str(value).strip().partition("://")
        if isinstance(value, str) and found:
            if scheme.lower() not in _RECORD_SCHEMES or not rest:
                raise WrongValueError(f"{redacted(value)!r} is no place of patterns; {how}")
            return f"{scheme.lower()}://{rest}"
        path = Path(value).expanduser()
        if not path.is_dir() and not (path.is_file() and path.suffix in _RECORD_FILES):
            raise WrongValueError(
                f"there is no folder or {' or '.join(_RECORD_FILES)} file {str(value)!r}; {how}"
            )
        return path

    return Kind("place", read, lambda value: "" if value is None else redacted(str(value)))


def store() -> Kind:
    """Where rows go."""
    how = 'write "chdb://FOLDER", "clickhouse://USER:PASSWORD@HOST:PORT" or "none"'

    def read(value: object) -> str:
        text = value.strip() if isinstance(value, str) else ""
        if text.lower() == "none":
            return "none"
        scheme, found, rest = text.partition("://")
        if not found or not rest:
            raise WrongValueError(f"{redacted(str(value))!r} is no store; {how}")
        if scheme.lower() not in _STORE_SCHEMES:
            raise WrongValueError(
                f"{redacted(text)!r} has a scheme that no store has{closest(scheme, _STORE_SCHEMES)}; {how}"
            )
        return f"{scheme.lower()}://{rest}"

    return Kind("DSN or none", read, redacted)


def closest(word: str, known: Sequence[str]) -> str:
    """The known word that is nearest, as the end of a sentence; nothing where none is near.

    A word that begins as it does is nearer than one that looks like it.
    """
    words = {name.lower(): name for name in known}
    begun = sorted(name for name in words if len(word) >= _LEAST_BEGINNING and name.startswith(word.lower()))
    near = begun[:1] or difflib.get_close_matches(word.lower(), list(words), n=1, cutoff=0.6)
    return f"; did you mean {words[near[0]]}?" if near else ""


def listing(pattern: str, rule: str, about: str) -> Kind:
    """Texts of that pattern, with commas between; `rule` says it to people, `about` names the kind."""

    def read(value: object) -> tuple[str, ...]:
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)):
            raise WrongValueError(f"{value!r} won't do; write {rule}")
        found = tuple(dict.fromkeys(str(part).strip() for part in parts if str(part).strip()))
        wrong = [part for part in found if not re.fullmatch(pattern, part, re.ASCII)]
        if wrong:
            raise WrongValueError(f"{', '.join(map(repr, wrong))} won't do; write {rule}")
        return found

    return Kind(about, read, ",".join)


def moment(*words: str) -> Kind:
    """One of some words, or a time: ISO 8601 (UTC where it has no zone), or epoch ms; held as text."""

    def read(value: object) -> str:
        text = str(value).strip()
        if text.lower() in words:
            return text.lower()
        if isinstance(value, (str, int)) and not isinstance(value, bool) and as_moment(text) is not None:
            return text
        raise WrongValueError(f"{value!r} is no time; write {', '.join(words)}, or such as 2026-11-21T09:00Z")

    return Kind("time", read, str)


def as_moment(text: str) -> int | None:
    """The time (ms) that a text says as ISO 8601 or in epoch ms; None if it is neither."""
    if re.fullmatch(r"[0-9]{1,15}", text, re.ASCII):
        return int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def url(*schemes: str) -> Kind:
    """A web address, or nothing."""

    def read(value: object) -> str:
        text = value.strip() if isinstance(value, str) else ""
        if value == "":
            return ""
        scheme, found, rest = text.partition("://")
        if not found or not rest or scheme.lower() not in schemes:
            raise WrongValueError(f"{redacted(str(value))!r} won't do; write {schemes[0]}://HOST/PATH")
        return text

    return Kind("URL", read, redacted)
