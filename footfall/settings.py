"""Every setting of a run: its name, meaning, default and bounds, and the one place that reads them.

Three layers, the later one winning: the file `footfall.toml`, the environment (`FOOTFALL_GAP` sets `gap`),
the command line's flags. All layers are read and checked before anything is said, so that every wrong or
unknown setting is reported at once. Lengths of time are held in milliseconds.
"""

import difflib
import hashlib
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

from footfall.duration import HOW_TO_WRITE, LONGEST_MS, format_duration, parse_duration
from footfall.errors import SettingsError

FILE = "footfall.toml"
PREFIX = "FOOTFALL_"
CONFIG_VARIABLE = "FOOTFALL_CONFIG"

_STORE_SCHEMES = ("chdb", "clickhouse", "clickhouses")
_SECRET_PARAMETER = re.compile(r"((?:password|passwd|pwd|secret|token|key)=)[^&#\s]*", re.IGNORECASE)


class _WrongValueError(ValueError):
    """What a person wrote for a setting won't do."""


class Kind(NamedTuple):
    """How values of one kind are read and shown.

    `read` takes what a file, a variable or a flag holds and gives the value, or raises a ValueError that says
    what to write instead. `show` gives the text that `read` reads back.
    """

    name: str
    read: Callable[[object], Any]
    show: Callable[[Any], str]


class SettingInfo(NamedTuple):
    """One setting, for the command's help and the documentation; `default` is as a person writes it."""

    name: str
    variable: str
    flag: str
    kind: str
    default: str
    about: str


def redacted(dsn: str) -> str:
    """The DSN without its password, for messages: `clickhouse://ann:***@host/db`. Any text is taken."""
    head, found, rest = dsn.rpartition("@")
    if found:
        scheme, slashes, login = head.rpartition("://") if "://" not in head else head.partition("://")
        user, colon, _ = login.partition(":")
        rest = f"{scheme}{slashes}{user}{':***' if colon else ''}@{rest}"
    return _SECRET_PARAMETER.sub(r"\1***", rest)


def _duration(least: int = 0, most: int = LONGEST_MS) -> Kind:
    def read(value: object) -> int:
        if not isinstance(value, (str, int)):
            raise _WrongValueError(f"{value!r} is no length of time; {HOW_TO_WRITE}")
        ms = parse_duration(value)
        if not least <= ms <= most:
            bounds = f"{format_duration(least)} to {format_duration(most)}"
            raise _WrongValueError(f"{format_duration(ms)} is out of bounds; write {bounds}")
        return ms

    return Kind("duration", read, format_duration)


def _integer(least: int, most: int) -> Kind:
    def read(value: object) -> int:
        text = value.strip().replace("_", "") if isinstance(value, str) else value
        if isinstance(text, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", text, re.ASCII):
            text = int(text)
        if isinstance(text, bool) or not isinstance(text, int):
            raise _WrongValueError(f"{value!r} is no whole number; write {least:,} to {most:,}")
        if not least <= text <= most:
            raise _WrongValueError(f"{text:,} is out of bounds; write {least:,} to {most:,}")
        return text

    return Kind("integer", read, str)


def _switch() -> Kind:
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
            raise _WrongValueError(f"{value!r} is neither true nor false; write one of them")
        return found

    return Kind("true or false", read, lambda value: str(value).lower())


def _choice(*words: str) -> Kind:
    def read(value: object) -> str:
        text = str(value).strip().lower()
        if text not in words:
            raise _WrongValueError(f"{value!r} is none of {', '.join(words)}{_closest(text, words)}")
        return text

    return Kind(" or ".join(words), read, str)


def _text(pattern: str, rule: str) -> Kind:
    def read(value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
            raise _WrongValueError(f"{value!r} won't do; write {rule}")
        return value

    return Kind("name", read, str)


def _names() -> Kind:
    def read(value: object) -> tuple[str, ...]:
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)) or not all(isinstance(part, str) for part in parts):
            raise _WrongValueError(f"{value!r} is no list of event names; write them with commas between")
        return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))

    return Kind("event names", read, ",".join)


def _path(what: Literal["file", "folder", "new folder"]) -> Kind:
    def read(value: object) -> Path | None:
        if not isinstance(value, (str, Path)):
            raise _WrongValueError(f"{value!r} is no path; write it as text")
        if not str(value):
            return None
        path = Path(value).expanduser()
        if what == "file" and not path.is_file():
            raise _WrongValueError(f"there is no file {str(value)!r}; name one that exists")
        if what == "folder" and not path.is_dir():
            raise _WrongValueError(f"there is no folder {str(value)!r}; name one that exists")
        if what == "new folder" and path.exists() and not path.is_dir():
            raise _WrongValueError(f"{str(value)!r} is a file; name a folder, which may be new")
        return path

    return Kind("path", read, lambda value: "" if value is None else str(value))


def _store() -> Kind:
    how = 'write "chdb://FOLDER", "clickhouse://USER:PASSWORD@HOST:PORT" or "none"'

    def read(value: object) -> str:
        text = value.strip() if isinstance(value, str) else ""
        if text.lower() == "none":
            return "none"
        scheme, found, rest = text.partition("://")
        if not found or not rest:
            raise _WrongValueError(f"{redacted(str(value))!r} is no store; {how}")
        if scheme.lower() not in _STORE_SCHEMES:
            raise _WrongValueError(
                f"{redacted(text)!r} has a scheme that no store has{_closest(scheme, _STORE_SCHEMES)}; {how}"
            )
        return f"{scheme.lower()}://{rest}"

    return Kind("DSN or none", read, redacted)


def _facts(kind: Kind, about: str, *, fixes_answers: bool = False) -> dict[str, Any]:
    return {"kind": kind, "about": about, "fixes_answers": fixes_answers}


_S, _MIN, _H, _D = 1000, 60_000, 3_600_000, 86_400_000


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """A run's settings, checked. Lengths of time are ints of milliseconds; `load_settings` reads them."""

    store: str = field(
        default="chdb://footfall-store",
        metadata=_facts(_store(), "where rows go: chdb://FOLDER, clickhouse://..., or none"),
    )
    database: str = field(
        default="footfall",
        metadata=_facts(
            _text(r"[A-Za-z_][A-Za-z0-9_]{0,62}", "letters, digits and _, not starting with a digit"),
            "the database in the store",
        ),
    )
    out: Path | None = field(
        default=None, metadata=_facts(_path("new folder"), "folder to write the answers to as files")
    )
    out_format: str = field(
        default="parquet", metadata=_facts(_choice("parquet", "ndjson"), "format of the files in `out`")
    )
    patterns: Path | None = field(
        default=None, metadata=_facts(_path("folder"), "folder of patterns; the shipped ones if empty")
    )
    event_names: Path | None = field(
        default=None, metadata=_facts(_path("file"), "table of event names; the shipped one if empty")
    )
    format: str = field(
        default="footfall",
        metadata=_facts(_choice("footfall", "segment"), "format of the records", fixes_answers=True),
    )
    gap: int = field(
        default=30 * _MIN,
        metadata=_facts(
            _duration(1, _D), "a session ends when more than this passes without an event", fixes_answers=True
        ),
    )
    max_session: int = field(
        default=_D, metadata=_facts(_duration(1, 30 * _D), "the longest a session can be", fixes_answers=True)
    )
    split_on_campaign: bool = field(
        default=False,
        metadata=_facts(
            _switch(), "whether an event with another campaign begins a new session", fixes_answers=True
        ),
    )
    conversions: tuple[str, ...] = field(
        default=("order_completed", "booking_completed"),
        metadata=_facts(_names(), "events that count as conversions", fixes_answers=True),
    )
    page_views: tuple[str, ...] = field(
        default=("page_view", "screen_view"),
        metadata=_facts(_names(), "events that count as page views", fixes_answers=True),
    )
    clicks: tuple[str, ...] = field(
        default=("click",), metadata=_facts(_names(), "events that count as clicks", fixes_answers=True)
    )
    lateness: int = field(
        default=5 * _S,
        metadata=_facts(
            _duration(0, _D), "how far behind its partition's latest an event may be", fixes_answers=True
        ),
    )
    idle_bound: int = field(
        default=60 * _S,
        metadata=_facts(
            _duration(0, 7 * _D), "how far behind its arrival an event may be", fixes_answers=True
        ),
    )
    future_jump: int = field(
        default=_H,
        metadata=_facts(
            _duration(1, 365 * _D),
            "without arrival times: how far ahead an event may jump unconfirmed",
            fixes_answers=True,
        ),
    )
    read_ahead: int = field(
        default=10 * _MIN,
        metadata=_facts(_duration(1, _D), "how far a partition may be read ahead of the slowest"),
    )
    workers: int = field(default=1, metadata=_facts(_integer(1, 64), "processes that do the work"))
    shards: int = field(
        default=8,
        metadata=_facts(_integer(1, 1024), "parts that the visitors are split into", fixes_answers=True),
    )
    batch_size: int = field(default=65_536, metadata=_facts(_integer(1, 10_000_000), "records in a batch"))
    state: Path | None = field(
        default=None,
        metadata=_facts(_path("new folder"), "folder of the recovery data; none is kept if empty"),
    )
    snapshot_interval: int = field(
        default=10 * _S, metadata=_facts(_duration(0, _H), "time between two snapshots of the state")
    )
    partitioned: bool = field(
        default=False,
        metadata=_facts(
            _switch(), "whether each file of a folder is a partition of its own", fixes_answers=True
        ),
    )
    early: bool = field(
        default=False,
        metadata=_facts(
            _switch(),
            "whether matches are told as their last event comes, and taken back if they turn out wrong",
            fixes_answers=True,
        ),
    )
    keyed_by_visitor: bool = field(
        default=False,
        metadata=_facts(
            _switch(),
            "whether all records of a visitor come from one partition, so that several can have early answers",
            fixes_answers=True,
        ),
    )
    partial_limit: int = field(
        default=1_000,
        metadata=_facts(
            _integer(1, 1_000_000),
            "partial matches of a visitor and pattern at most; beyond it the oldest are dropped, counted and logged",
            fixes_answers=True,
        ),
    )
    log_level: str = field(
        default="info",
        metadata=_facts(_choice("debug", "info", "warning", "error"), "the least that is logged"),
    )

    def __repr__(self) -> str:
        shown = (
            f"{setting.name}={getattr(self, setting.name)!r}"
            for setting in fields(self)
            if setting.name != "store"
        )
        return f"Settings(store={redacted(self.store)!r}, {', '.join(shown)})"

    def tells_early(self, partitions: int) -> bool:
        """Whether matches are told early where there are that many source partitions."""
        return self.early and (partitions == 1 or self.keyed_by_visitor)

    def identity(self) -> dict[str, Any]:
        """The settings that fix a run's answers and the shape of its state, as JSON types.

        A state folder is refused when these differ. `event_names` stands for the file's content (a
        digest), so this reads that file. The patterns have versions of their own, and aren't here.
        """
        chosen: dict[str, Any] = {}
        for setting in fields(self):
            if setting.metadata["fixes_answers"]:
                value = getattr(self, setting.name)
                chosen[setting.name] = list(value) if isinstance(value, tuple) else value
        names = self.event_names
        chosen["event_names"] = hashlib.sha256(names.read_bytes()).hexdigest() if names else None
        return chosen


SETTING_NAMES = tuple(setting.name for setting in fields(Settings))


def setting_infos() -> tuple[SettingInfo, ...]:
    """All settings in their order, as help and documentation show them."""
    return tuple(
        SettingInfo(
            name=setting.name,
            variable=_variable(setting.name),
            flag=_flag(setting.name),
            kind=_kind(setting.name).name,
            default=_kind(setting.name).show(setting.default),
            about=setting.metadata["about"],
        )
        for setting in fields(Settings)
        if setting.default is not MISSING
    )


def load_settings(
    flags: Mapping[str, object] | None = None,
    *,
    config: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Read and check the settings.

    Args:
        flags: setting name -> text or value, as the command line was given them; None stands for "not given".
        config: the file to read. Otherwise `FOOTFALL_CONFIG` names it; otherwise `footfall.toml` is read
            from the working directory, if it is there. Paths, in any layer, start from the working directory.
        environment: the process's own if None.

    Raises:
        SettingsError: with one line for every wrong or unknown setting in any layer; passwords are left out.
    """
    variables = os.environ if environment is None else environment
    problems: list[str] = []
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    layers = (
        _from_file(config, variables, problems),
        _from_environment(variables, problems),
        _from_flags(flags or {}),
    )
    for layer in layers:
        for name, value, origin in layer:
            try:
                values[name] = _kind(name).read(value)
            except ValueError as error:
                problems.append(f"{origin}: {error}")
            else:
                origins[name] = origin
    gap, longest = (values.get(name, getattr(Settings, name)) for name in ("gap", "max_session"))
    if gap > longest:
        origin = origins.get("max_session") or origins["gap"]
        problems.append(
            f"{origin}: max_session ({format_duration(longest)}) is shorter than gap "
            f"({format_duration(gap)}); write a longer max_session or a shorter gap"
        )
    if problems:
        raise SettingsError(problems)
    return Settings(**values)


_Layer = Iterator[tuple[str, object, str]]


def _from_file(config: str | Path | None, variables: Mapping[str, str], problems: list[str]) -> _Layer:
    named = config or variables.get(CONFIG_VARIABLE)
    path = Path(named or FILE)
    if not named and not path.exists():
        return
    who = f"{path}" if config or not named else f"{path} (named by {CONFIG_VARIABLE})"
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except OSError as error:
        problems.append(f"{who}: can't be read ({error.strerror or error}); name a file that can be")
        return
    except UnicodeDecodeError:
        problems.append(f"{who}: isn't UTF-8 text; save it as such")
        return
    except tomllib.TOMLDecodeError as error:
        problems.append(f'{who}: isn\'t TOML: {error}; write lines such as gap = "30 min"')
        return
    for name, value in table.items():
        line = _line_of(name, text)
        origin = f"{who}{f', line {line}' if line else ''}, {name}"
        if name in SETTING_NAMES:
            yield name, value, origin
        else:
            grouped = "; settings stand without a [table]" if isinstance(value, dict) else ""
            problems.append(f"{origin}: there is no such setting{_closest(name, SETTING_NAMES)}{grouped}")


def _from_environment(variables: Mapping[str, str], problems: list[str]) -> _Layer:
    names = {_variable(name): name for name in SETTING_NAMES}
    for variable in sorted(variables):
        if variable in names:
            yield names[variable], variables[variable], f"environment variable {variable}"
        elif variable.startswith(PREFIX) and variable != CONFIG_VARIABLE:
            known = _closest(variable, (*names, CONFIG_VARIABLE))
            problems.append(f"environment variable {variable}: there is no such setting{known}")


def _from_flags(flags: Mapping[str, object]) -> _Layer:
    for name, value in flags.items():
        if name not in SETTING_NAMES:
            raise TypeError(f"{name!r} names no setting")
        if value is not None:
            yield name, value, f"flag {_flag(name)}"


def _kind(name: str) -> Kind:
    kind: Kind = Settings.__dataclass_fields__[name].metadata["kind"]
    return kind


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _line_of(key: str, text: str) -> int | None:
    pattern = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[\]=.]""")
    return next((number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)), None)


def _closest(word: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word.lower(), [name.lower() for name in known], n=1, cutoff=0.6)
    return f"; did you mean {next(name for name in known if name.lower() == near[0])}?" if near else ""
