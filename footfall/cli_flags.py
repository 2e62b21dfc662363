"""Settings as flags of a command, and what the commands share."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from footfall.settings import SettingInfo, Settings, load_settings, setting_infos

RUN_SETTINGS = (
    "format",
    "store",
    "database",
    "out",
    "out_format",
    "patterns",
    "event_names",
    "gap",
    "max_session",
    "split_on_campaign",
    "conversions",
    "page_views",
    "clicks",
    "lateness",
    "idle_bound",
    "future_jump",
    "read_ahead",
    "workers",
    "shards",
    "batch_size",
    "state",
    "snapshot_interval",
    "partitioned",
    "early",
    "keyed_by_visitor",
    "partial_limit",
    "log_level",
    "kafka",
    "kafka_properties",
    "topic_formats",
    "arrival",
    "profile_horizon",
    "scores",
    "tick",
)
STORE_SETTINGS = ("store", "database")
"""The settings of a run, and of a command on the store."""


KAFKA_SETTINGS = ("kafka", "kafka_properties", "topics_file")
LIVE_SETTINGS = (
    *(name for name in RUN_SETTINGS if name not in {"out", "out_format", "partitioned"}),
    "topics_file",
    "input_topics",
    "start",
    "publish",
    "webhook",
    "webhook_secret",
    "spool_limit",
    "partition_check",
    "pattern_check",
    "metrics",
    "log_format",
)
"""The settings of a command on Kafka, and of a live run."""

LIVE_STATE = "footfall-live"
"""The state folder of a live run that names none."""


def add_settings(
    parser: argparse.ArgumentParser, names: Sequence[str], defaults: Mapping[str, str] | None = None
) -> None:
    """Give a command the flags of these settings; `defaults` are shown for those that it has others for."""
    infos = {info.name: info for info in setting_infos()}
    group = parser.add_argument_group("settings", "each can also stand in footfall.toml or in FOOTFALL_*")
    group.add_argument(
        "--config", metavar="FILE", help="the settings file (default: footfall.toml, if it is there)"
    )
    for name in names:
        info = infos[name]
        _add_setting(group, info, (defaults or {}).get(name, info.default))


def _add_setting(group: Any, info: SettingInfo, default: str) -> None:
    help_text = f"{info.about} (default: {default or 'none'})".replace("%", "%%")
    if info.kind == "true or false":
        group.add_argument(
            info.flag,
            dest=info.name,
            nargs="?",
            const="true",
            default=None,
            metavar="true|false",
            help=help_text,
        )
    else:
        metavar = info.kind.replace(" ", "-").upper() if len(info.kind) < 16 else "VALUE"
        group.add_argument(info.flag, dest=info.name, default=None, metavar=metavar, help=help_text)


def chosen_settings(arguments: argparse.Namespace, names: Sequence[str], **defaults: object) -> Settings:
    """The settings of a command that has these flags; `defaults` stand where no flag is given."""
    flags = {name: getattr(arguments, name) for name in names}
    flags |= {name: value for name, value in defaults.items() if flags.get(name) is None}
    return load_settings(flags, config=arguments.config)
