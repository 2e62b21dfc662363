"""Every setting of a run: its name, meaning, default and bounds, and the one place that reads them.

Three layers, the later one winning: the file `footfall.toml`, the environment (`FOOTFALL_GAP` sets `gap`),
the command line's flags. All layers are read and checked before anything is said, so that every wrong or
unknown setting is reported at once. Lengths of time are held in milliseconds.
"""

import hashlib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from footfall import setting_kinds as kinds
from footfall.duration import format_duration
from footfall.errors import SettingsError, UsageError

FILE = "footfall.toml"
PREFIX = "FOOTFALL_"
CONFIG_VARIABLE = "FOOTFALL_CONFIG"

redacted = kinds.redacted


class SettingInfo(NamedTuple):
    """One setting, for the command's help and the documentation; `default` is as a person writes it."""

    name: str
    variable: str
    flag: str
    kind: str
    default: str
    about: str


def _facts(kind: kinds.Kind, about: str, *, fixes_answers: bool = False) -> dict[str, Any]:
    return {"kind": kind, "about": about, "fixes_answers": fixes_answers}


_TOPIC = r"[A-Za-z0-9._-]{1,249}"
_S, _MIN, _H, _D = 1000, 60_000, 3_600_000, 86_400_000


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """A run's settings, checked. Lengths of time are ints of milliseconds; `load_settings` reads them."""

    store: str = field(
        default="chdb://footfall-store",
        metadata=_facts(kinds.store(), "where rows go: chdb://FOLDER, clickhouse://..., or none"),
    )
    database: str = field(
        default="footfall",
        metadata=_facts(
            kinds.text(r"[A-Za-z_][A-Za-z0-9_]{0,62}", "letters, digits and _, not starting with a digit"),
            "the database in the store",
        ),
    )
    out: Path | None = field(
        default=None, metadata=_facts(kinds.path("new folder"), "folder to write the answers to as files")
    )
    out_format: str = field(
        default="parquet", metadata=_facts(kinds.choice("parquet", "ndjson"), "format of the files in `out`")
    )
    patterns: Path | str | None = field(
        default=None,
        metadata=_facts(
            kinds.patterns(),
            "folder of patterns, the shipped ones if empty; a replay takes control records, too: kafka://TOPIC, a "
            "store's DSN, or a file",
        ),
    )
    event_names: Path | None = field(
        default=None, metadata=_facts(kinds.path("file"), "table of event names; the shipped one if empty")
    )
    format: str = field(
        default="footfall",
        metadata=_facts(kinds.choice("footfall", "segment"), "format of the records", fixes_answers=True),
    )
    gap: int = field(
        default=30 * _MIN,
        metadata=_facts(
            kinds.duration(1, _D),
            "a session ends when more than this passes without an event",
            fixes_answers=True,
        ),
    )
    max_session: int = field(
        default=_D,
        metadata=_facts(kinds.duration(1, 30 * _D), "the longest a session can be", fixes_answers=True),
    )
    split_on_campaign: bool = field(
        default=False,
        metadata=_facts(
            kinds.switch(), "whether an event with another campaign begins a new session", fixes_answers=True
        ),
    )
    conversions: tuple[str, ...] = field(
        default=("order_completed", "booking_completed"),
        metadata=_facts(kinds.names(), "events that count as conversions", fixes_answers=True),
    )
    page_views: tuple[str, ...] = field(
        default=("page_view", "screen_view"),
        metadata=_facts(kinds.names(), "events that count as page views", fixes_answers=True),
    )
    clicks: tuple[str, ...] = field(
        default=("click",), metadata=_facts(kinds.names(), "events that count as clicks", fixes_answers=True)
    )
    lateness: int = field(
        default=5 * _S,
        metadata=_facts(
            kinds.duration(0, _D), "how far behind its partition's latest an event may be", fixes_answers=True
        ),
    )
    idle_bound: int = field(
        default=60 * _S,
        metadata=_facts(
            kinds.duration(0, 7 * _D), "how far behind its arrival an event may be", fixes_answers=True
        ),
    )
    future_jump: int = field(
        default=_H,
        metadata=_facts(
            kinds.duration(1, 365 * _D),
            "without arrival times: how far ahead an event may jump unconfirmed",
            fixes_answers=True,
        ),
    )
    read_ahead: int = field(
        default=10 * _MIN,
        metadata=_facts(kinds.duration(1, _D), "how far a partition may be read ahead of the slowest"),
    )
    workers: int = field(default=1, metadata=_facts(kinds.integer(1, 64), "processes that do the work"))
    shards: int = field(
        default=8,
        metadata=_facts(kinds.integer(1, 1024), "parts that the visitors are split into", fixes_answers=True),
    )
    batch_size: int = field(
        default=65_536, metadata=_facts(kinds.integer(1, 10_000_000), "records in a batch")
    )
    state: Path | None = field(
        default=None,
        metadata=_facts(
            kinds.path("new folder"),
            "folder of the recovery data; if empty, a replay keeps none and a live run uses footfall-live",
        ),
    )
    snapshot_interval: int = field(
        default=10 * _S, metadata=_facts(kinds.duration(0, _H), "time between two snapshots of the state")
    )
    partitioned: bool = field(
        default=False,
        metadata=_facts(
            kinds.switch(), "whether each file of a folder is a partition of its own", fixes_answers=True
        ),
    )
    early: bool = field(
        default=False,
        metadata=_facts(
            kinds.switch(),
            "whether matches are told as their last event comes, and taken back if they turn out wrong",
            fixes_answers=True,
        ),
    )
    keyed_by_visitor: bool = field(
        default=False,
        metadata=_facts(
            kinds.switch(),
            "whether all records of a visitor come from one partition, so that several can have early answers",
            fixes_answers=True,
        ),
    )
    partial_limit: int = field(
        default=1_000,
        metadata=_facts(
            kinds.integer(1, 1_000_000),
            "partial matches of a visitor and pattern at most; beyond it the oldest are dropped, counted and logged",
            fixes_answers=True,
        ),
    )
    kafka: str = field(
        default="",
        metadata=_facts(
            kinds.text(
                r"|[^\s,:/@]+:[0-9]{1,5}(,[^\s,:/@]+:[0-9]{1,5})*", "HOST:PORT, with commas between several"
            ),
            "the Kafka cluster's brokers, HOST:PORT with commas between",
        ),
    )
    kafka_properties: Path | None = field(
        default=None,
        metadata=_facts(
            kinds.path("file"),
            "file of client properties for Kafka (TLS, SASL); ${env:NAME} and ${file:PATH} for secrets",
        ),
    )
    input_topics: tuple[str, ...] = field(
        default=("events",),
        metadata=_facts(
            kinds.listing(_TOPIC, "names of topics, with commas between", "topics"), "topics that are read"
        ),
    )
    topic_formats: tuple[str, ...] = field(
        default=(),
        metadata=_facts(
            kinds.listing(
                f"{_TOPIC}=(footfall|segment)", "TOPIC=FORMAT, with commas between", "topic=format"
            ),
            "formats of topics that differ from `format`; a record's header `format` goes before",
            fixes_answers=True,
        ),
    )
    arrival: str = field(
        default="record",
        metadata=_facts(
            kinds.choice("record", "broker"),
            "when a record of a topic arrived: by its own field or header if it has one, or by the broker alone",
            fixes_answers=True,
        ),
    )
    topics_file: Path | None = field(
        default=None,
        metadata=_facts(kinds.path("file"), "declares the topics; the shipped topics.toml if empty"),
    )
    start: str = field(
        default="earliest",
        metadata=_facts(
            kinds.moment("earliest", "latest"), "where a new live run begins: earliest, latest, or a time"
        ),
    )
    publish: bool = field(
        default=True,
        metadata=_facts(kinds.switch(), "whether a live run writes to Kafka topics and webhooks"),
    )
    webhook: str = field(
        default="", metadata=_facts(kinds.url("https", "http"), "address that triggers are posted to, too")
    )
    webhook_secret: Path | None = field(
        default=None, metadata=_facts(kinds.path("file"), "file with the secret that signs webhooks")
    )
    spool_limit: int = field(
        default=10_000,
        metadata=_facts(kinds.integer(1, 10_000_000), "MB on disk for rows that the store hasn't taken yet"),
    )
    profile_horizon: int = field(
        default=400 * _D,
        metadata=_facts(
            kinds.duration(_D, 4_000 * _D),
            "how long a visitor's profile outlives their last event",
            fixes_answers=True,
        ),
    )
    scores: bool = field(
        default=True,
        metadata=_facts(
            kinds.switch(), "whether the models of the patterns' folder score", fixes_answers=True
        ),
    )
    tick: int = field(
        default=120 * _S,
        metadata=_facts(
            kinds.duration(_S, _D),
            "models learn in steps of so much event time; at least lateness and idle bound together",
            fixes_answers=True,
        ),
    )
    partition_check: int = field(
        default=30 * _S,
        metadata=_facts(
            kinds.duration(100, _H), "how often a live run looks for new partitions of its topics"
        ),
    )
    pattern_check: int = field(
        default=2 * _S,
        metadata=_facts(
            kinds.duration(100, _H), "how often a live run looks whether its patterns and rules have changed"
        ),
    )
    metrics: str = field(
        default="127.0.0.1:9464",
        metadata=_facts(
            kinds.text(r"|none|[^\s:/@]+:[0-9]{1,5}", "HOST:PORT, or none"),
            "where a live run answers /metrics, /healthz and /readyz: HOST:PORT, or none",
        ),
    )
    log_format: str = field(
        default="auto",
        metadata=_facts(
            kinds.choice("auto", "text", "json"), "how a live run logs; auto: JSON off a terminal"
        ),
    )
    log_level: str = field(
        default="info",
        metadata=_facts(kinds.choice("debug", "info", "warning", "error"), "the least that is logged"),
    )

    def __repr__(self) -> str:
        shown = (
            f"{setting.name}={getattr(self, setting.name)!r}"
            for setting in fields(self)
            if setting.name not in {"store", "webhook", "patterns"}
        )
        secret = f"store={redacted(self.store)!r}, webhook={redacted(self.webhook)!r}"
        patterns = f"patterns={_kind('patterns').show(self.patterns)!r}"
        return f"Settings({secret}, {patterns}, {', '.join(shown)})"

    @property
    def pattern_folder(self) -> Path | None:
        """The folder of `patterns`, None for that of the shipped ones: for whatever needs the files themselves.

        Raises:
            UsageError: control records are named instead.
        """
        if self.patterns is None or (isinstance(self.patterns, Path) and not self.patterns.is_file()):
            return self.patterns
        raise UsageError(
            f"patterns: {redacted(str(self.patterns))} holds control records, which only a replay takes; name the "
            "folder of patterns"
        )

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


def shown_setting(name: str, value: Any) -> str:
    """A setting's value, or what `Settings.identity` made of it, as a person writes it.

    The name may be one that an earlier version had.
    """
    if name not in SETTING_NAMES:
        return str(value)
    return _kind(name).show(tuple(value) if isinstance(value, list) else value)


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
    lag = sum(values.get(name, getattr(Settings, name)) for name in ("lateness", "idle_bound"))
    if values.get("tick", lag) < lag:
        problems.append(
            f"{origins['tick']}: tick ({format_duration(values['tick'])}) is shorter than lateness and idle_bound "
            f"together ({format_duration(lag)}); write a longer tick, or none"
        )
    if problems:
        raise SettingsError(problems)
    return Settings(**{"tick": max(Settings.tick, lag), **values})


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
            problems.append(
                f"{origin}: there is no such setting{kinds.closest(name, SETTING_NAMES)}{grouped}"
            )


def _from_environment(variables: Mapping[str, str], problems: list[str]) -> _Layer:
    names = {_variable(name): name for name in SETTING_NAMES}
    for variable in sorted(variables):
        if variable in names:
            yield names[variable], variables[variable], f"environment variable {variable}"
        elif variable.startswith(PREFIX) and variable != CONFIG_VARIABLE:
            known = kinds.closest(variable, (*names, CONFIG_VARIABLE))
            problems.append(f"environment variable {variable}: there is no such setting{known}")


def _from_flags(flags: Mapping[str, object]) -> _Layer:
    for name, value in flags.items():
        if name not in SETTING_NAMES:
            raise TypeError(f"{name!r} names no setting")
        if value is not None:
            yield name, value, f"flag {_flag(name)}"


def _kind(name: str) -> kinds.Kind:
    kind: kinds.Kind = Settings.__dataclass_fields__[name].metadata["kind"]
    return kind


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _line_of(key: str, text: str) -> int | None:
    pattern = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[\]=.]""")
    return next((number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)), None)
