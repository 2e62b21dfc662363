"""`footfall live` and `footfall topics`: the run on Kafka, and the topics that it needs."""

import argparse
import sys
import time
from typing import Any, Literal

from footfall.cli_flags import KAFKA_SETTINGS, LIVE_SETTINGS, LIVE_STATE, add_settings, chosen_settings
from footfall.errors import UsageError
from footfall.settings import Settings

_EXAMPLES = """\
examples:
  footfall topics apply --kafka broker:9092          make the topics
  footfall live --kafka broker:9092 --early --keyed-by-visitor
  footfall live --config live.toml --workers 2       continue after a stop: give the same command again
  footfall live --kafka broker:9092 --from-history chdb://footfall-store --state new
                                                     begin anew, with what the store has of the past
"""


def add_live(commands: Any) -> None:
    """Add the commands."""
    live = commands.add_parser(
        "live",
        help="run on Kafka until it is stopped",
        description="Read the input topics as records come, and send sessions, matches and triggers to the store and "
        "to topics. SIGINT and SIGTERM end it with a snapshot; given again, it goes on from there.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    live.add_argument(
        "--json", action="store_true", help="print one JSON object at the end instead of a summary"
    )
    live.add_argument("--quiet", action="store_true", help="show no progress")
    live.add_argument(
        "--from-history",
        dest="history",
        action="append",
        default=[],
        metavar="INPUT",
        help="build the state from the past first: a store (chdb://FOLDER, clickhouse://...) or files; may be given "
        "several times, for an empty --state folder",
    )
    add_settings(live, LIVE_SETTINGS, {"state": LIVE_STATE})
    live.set_defaults(command=_live)

    topics = commands.add_parser(
        "topics",
        help="the topics that are declared, and those that there are",
        description="Compare the topics of a cluster with those that are declared, and make the difference.",
    )
    topic_commands = topics.add_subparsers(metavar="COMMAND", required=True)
    for name, about, apply in (
        ("plan", "show what is to be made or changed", False),
        ("apply", "make it; nothing shrinks and nothing is deleted", True),
    ):
        command = topic_commands.add_parser(name, help=about, description=about.capitalize() + ".")
        command.add_argument("--json", action="store_true", help="as JSON")
        add_settings(command, KAFKA_SETTINGS)
        command.set_defaults(command=_topics, apply=apply)


def _live(arguments: argparse.Namespace) -> int:
    settings = chosen_settings(arguments, LIVE_SETTINGS)
    if settings.kafka and not arguments.quiet:
        _tell_start(settings)
    from footfall.live_command import live  # noqa: PLC0415 - wrong settings are told before the engine loads

    return live(settings, as_json=arguments.json, quiet=arguments.quiet, history=arguments.history)


def _tell_start(settings: Settings) -> None:
    """Say that the run begins: the engine takes seconds to load, and a cluster that is away some more."""
    text = f"starting: reads patterns, topics at {settings.kafka}, and the state in {settings.state or LIVE_STATE}"
    if settings.log_format == "auto" and sys.stderr.isatty():
        print(f"footfall live {text}", file=sys.stderr)
        return
    from footfall.run_events import RunEvent  # noqa: PLC0415 - a terminal doesn't need the log
    from footfall.structured_log import StructuredLog  # noqa: PLC0415

    log_format: Literal["text", "json"] = "text" if settings.log_format == "text" else "json"
    log = StructuredLog(sys.stderr, log_format=log_format, level=settings.log_level)
    log(RunEvent(int(time.time() * 1000), "info", "run_starting", text))


def _topics(arguments: argparse.Namespace) -> int:
    settings = chosen_settings(arguments, KAFKA_SETTINGS)
    if not settings.kafka:
        raise UsageError("footfall topics needs a cluster: write --kafka HOST:PORT")
    from footfall.kafka_client import KafkaClient  # noqa: PLC0415
    from footfall.topics_command import apply_topics, plan_topics  # noqa: PLC0415

    client = KafkaClient(settings.kafka, settings.kafka_properties)
    run = apply_topics if arguments.apply else plan_topics
    return run(client, settings.topics_file, as_json=arguments.json)
