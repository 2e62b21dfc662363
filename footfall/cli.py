"""The command line: `footfall replay | query | simulate | demo | patterns | store`.

Exit codes: 0 done, 1 the run failed, 2 wrong usage, 130 interrupted. Results go to standard output, everything
else to standard error.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from footfall import __version__
from footfall.duration import parse_duration
from footfall.errors import FootfallError, UsageError
from footfall.settings import SettingInfo, Settings, load_settings, setting_infos

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

_EXAMPLES = """\
examples:
  footfall demo                                       simulate a day, replay it, look at what is found
  footfall replay export.ndjson.gz --format segment   a Segment export into the embedded store
  footfall replay events/ --store none --json         count only, one JSON object
  footfall replay big.ndjson --workers 2 --state run  continue after an interruption: give it again
  footfall query "SELECT pattern, count() FROM matches GROUP BY pattern"
  footfall store serve                                let Grafana and others read the embedded store
"""

_PATTERN_EXAMPLES = """\
examples:
  footfall patterns list                                  the shipped ones
  footfall patterns show rage_click                       draw one, and say it in words
  footfall patterns new left_the_cart --patterns mine     begin one of your own
  footfall patterns check mine/left_the_cart.py           all that is wrong with it
  footfall patterns test left_the_cart --patterns mine    run its cases
  footfall patterns explain rage_click --visitor v17 events.ndjson
                                                          why it fired, or not
"""

_RUN_SETTINGS = (
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
)
_STORE_SETTINGS = ("store", "database")
_EXPLAIN_SETTINGS = (
    "format",
    "patterns",
    "event_names",
    "gap",
    "max_session",
    "split_on_campaign",
    "lateness",
    "idle_bound",
    "future_jump",
    "partial_limit",
    "partitioned",
)


class _Parser(argparse.ArgumentParser):
    """Argument errors as everywhere: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message} (see {self.prog} --help)")


def _add_settings(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    infos = {info.name: info for info in setting_infos()}
    group = parser.add_argument_group("settings", "each can also stand in footfall.toml or in FOOTFALL_*")
    group.add_argument(
        "--config", metavar="FILE", help="the settings file (default: footfall.toml, if it is there)"
    )
    for name in names:
        _add_setting(group, infos[name])


def _add_setting(group: Any, info: SettingInfo) -> None:
    help_text = f"{info.about} (default: {info.default or 'none'})".replace("%", "%%")
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


def _settings(arguments: argparse.Namespace, names: Sequence[str], **defaults: object) -> Settings:
    flags = {name: getattr(arguments, name) for name in names}
    flags |= {name: value for name, value in defaults.items() if flags.get(name) is None}
    return load_settings(flags, config=arguments.config)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="footfall",
        description="A stream-processing engine for customer journeys.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"footfall {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    replay = commands.add_parser(
        "replay",
        help="run the main job over files",
        description="Read records, cut sessions, find patterns, and write all of it to the store. "
        "An INPUT is a file (.ndjson, .gz, .zst, .parquet), a directory of them, or - for standard input.",
    )
    replay.add_argument("inputs", nargs="+", metavar="INPUT")
    replay.add_argument("--json", action="store_true", help="print one JSON object instead of a summary")
    replay.add_argument("--quiet", action="store_true", help="show no progress")
    _add_settings(replay, _RUN_SETTINGS)
    replay.set_defaults(command=_replay)

    query = commands.add_parser(
        "query", help="ask the store", description="Run one SQL statement on the store."
    )
    query.add_argument("sql", metavar="SQL")
    form = query.add_mutually_exclusive_group()
    form.add_argument("--csv", dest="form", action="store_const", const="csv", help="as CSV with a header")
    form.add_argument(
        "--json", dest="form", action="store_const", const="json", help="as JSON, one row a line"
    )
    _add_settings(query, _STORE_SETTINGS)
    query.set_defaults(command=_query, form="table")

    _add_simulate(commands)

    demo = commands.add_parser(
        "demo",
        help="simulate a day, replay it, check what is found",
        description="Simulate a day of a repair shop's traffic, replay it into a store of its own, and compare "
        "what is found with what was planted.",
    )
    demo.add_argument(
        "--folder", default="footfall-demo", help="where everything goes (default: footfall-demo)"
    )
    demo.add_argument(
        "--visitors", type=_count, default=None, help="how many visitors (default: a large day's)"
    )
    demo.add_argument("--seed", type=int, default=7)
    demo.set_defaults(command=_demo)

    _add_patterns(commands)

    store = commands.add_parser("store", help="the embedded store")
    store_commands = store.add_subparsers(metavar="COMMAND", required=True)
    serve = store_commands.add_parser(
        "serve",
        help="own the embedded store's folder and speak ClickHouse's HTTP interface",
        description="Open the embedded store and speak ClickHouse's HTTP interface, so that runs, Grafana, "
        "clickhouse-connect and curl can use it at once. There is no password: it listens on this machine only.",
    )
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8123, help="0 for any free one (default: 8123)")
    _add_settings(serve, _STORE_SETTINGS)
    serve.set_defaults(command=_store_serve)
    return parser


def _add_patterns(commands: Any) -> None:
    patterns = commands.add_parser(
        "patterns",
        help="list, draw, test, check, explain and begin patterns",
        description="What patterns there are, and what helps to write them.",
        epilog=_PATTERN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    pattern_commands = patterns.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, about: str, description: str, command: object, *examples: str) -> Any:
        parser = pattern_commands.add_parser(
            name,
            help=about,
            description=description,
            epilog="\n  ".join(["examples:", *(f"footfall patterns {example}" for example in examples)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.set_defaults(command=command)
        return parser

    listing = add(
        "list", "list them", "List the patterns of a run.", _patterns_list, "list --patterns my_patterns"
    )
    show = add(
        "show",
        "draw one, and say it in words",
        "Draw a pattern's stages and say them in words.",
        _patterns_show,
        "show rage_click",
        "show rage_click --svg rage_click.svg",
        "show my_pattern --patterns my_patterns --json",
    )
    show.add_argument("name", metavar="NAME", help="the pattern's name")
    show.add_argument("--svg", metavar="FILE", help="write the picture as SVG (-: to standard output)")
    test = add(
        "test",
        "run their cases",
        "Run the cases in the folder cases/ beside the patterns, and exit with 1 if one fails.",
        _patterns_test,
        "test",
        "test rage_click",
        "test --patterns my_patterns --json",
    )
    test.add_argument("name", metavar="NAME", nargs="?", default=None, help="one pattern (default: all)")
    check = add(
        "check",
        "tell all that is wrong with a file",
        "Read one file of patterns and tell every problem in it with line, pattern and stage; exit with 1 if "
        "there is one.\nThe other files of its folder and the patterns' cases are looked at too.",
        _patterns_check,
        "check my_patterns/leaving.py",
        "check my_patterns/leaving.py --json",
    )
    check.add_argument("file", metavar="FILE", help="a file of patterns (.py, .json)")
    explain = add(
        "explain",
        "say why one fired, or not, for a visitor",
        "Read records as a replay does, and say event by event what a pattern made of one visitor: which stage took "
        "it, what was waited for, and what ended each partial match.\n"
        "An INPUT is a file (.ndjson, .gz, .zst, .parquet), a directory of them, or - for standard input.",
        _patterns_explain,
        "explain booking_abandoned --visitor v17 events.ndjson",
        "explain rage_click --visitor v17 events/ --partitioned --picture why.svg",
        "explain my_pattern --patterns my_patterns --visitor v17 export.ndjson.gz --format segment --json",
    )
    explain.add_argument("name", metavar="NAME", help="the pattern's name")
    explain.add_argument("inputs", nargs="+", metavar="INPUT")
    explain.add_argument("--visitor", required=True, metavar="V", help="the visitor, by visitor_id")
    explain.add_argument(
        "--picture", metavar="FILE", help="write a picture of it as SVG (-: to standard output)"
    )
    explain.add_argument("--all", action="store_true", help="fold no events, and list all there is")
    _add_settings(explain, _EXPLAIN_SETTINGS)
    for parser in (listing, show, test, check, explain):
        parser.add_argument("--json", action="store_true", help="as JSON")
    new = add(
        "new",
        "begin one, with cases",
        "Write a pattern and its cases, which pass as they are and are there to be changed. "
        "Files that are there stay.",
        _patterns_new,
        "new left_the_cart --patterns my_patterns",
    )
    new.add_argument("name", metavar="NAME", help="the pattern's name: letters, digits and _")
    for parser in (listing, show, test, new):
        _add_settings(parser, ("patterns",))


def _add_simulate(commands: Any) -> None:
    simulate = commands.add_parser(
        "simulate",
        help="write a site's traffic with planted patterns",
        description="Write a repair shop's traffic as NDJSON in the order of its arrival, and beside it "
        "the list of the patterns planted in it.",
    )
    simulate.add_argument("output", help="a file (.ndjson, .gz, .zst), or a folder for several partitions")
    simulate.add_argument("--format", choices=("footfall", "segment"), default=None)
    simulate.add_argument("--visitors", type=_count, default=None)
    simulate.add_argument(
        "--duration", type=_duration, default=None, metavar="DURATION", help='such as "2 h"'
    )
    simulate.add_argument("--rate", type=float, default=None, help="events per second, about")
    simulate.add_argument("--seed", type=int, default=None)
    simulate.add_argument("--partitions", type=_count, default=None)
    for name, about in (
        ("bots", "share of visitors that are robots"),
        ("dirty", "malformed records, as a share of the good ones"),
        ("clock-errors", "share of visitors whose clock is wrong"),
        ("duplicates", "copies, as a share of the records"),
        ("late", "share of events that come more than a minute late"),
    ):
        simulate.add_argument(f"--{name}", type=float, default=None, metavar="SHARE", help=about)
    simulate.add_argument("--json", action="store_true", help="print what was written as JSON")
    simulate.set_defaults(command=_simulate)


def _count(text: str) -> int:
    digits = text.replace("_", "")
    if not digits.isdecimal() or int(digits) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; write a whole number, 1 or more")
    return int(digits)


def _duration(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _replay(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments, _RUN_SETTINGS)
    # The engine takes a second to load; wrong settings are told before.
    from footfall.replay_command import replay  # noqa: PLC0415

    return replay(settings, tuple(arguments.inputs), as_json=arguments.json, quiet=arguments.quiet)


def _query(arguments: argparse.Namespace) -> int:
    from footfall.query_output import run_query  # noqa: PLC0415
    from footfall.store import parse_dsn  # noqa: PLC0415

    settings = _settings(arguments, _STORE_SETTINGS)
    if settings.store == "none":
        raise UsageError('footfall query needs a store: write --store "chdb://FOLDER"')
    run_query(
        parse_dsn(settings.store, database=settings.database),
        arguments.sql,
        arguments.form,
        sys.stdout.buffer,
    )
    return DONE


def _simulate(arguments: argparse.Namespace) -> int:
    from footfall.simulate_command import write_traffic  # noqa: PLC0415

    chosen = {
        name: getattr(arguments, name)
        for name in (
            "format", "visitors", "duration", "rate", "seed", "partitions",
            "bots", "dirty", "clock_errors", "duplicates", "late",
        )
        if getattr(arguments, name) is not None
    }  # fmt: skip
    write_traffic(chosen, Path(arguments.output), as_json=arguments.json)
    return DONE


def _demo(arguments: argparse.Namespace) -> int:
    from footfall.demo import demo  # noqa: PLC0415

    return demo(Path(arguments.folder), visitors=arguments.visitors, seed=arguments.seed)


def _patterns_list(arguments: argparse.Namespace) -> int:
    from footfall.pattern_list import print_patterns  # noqa: PLC0415

    print_patterns(_settings(arguments, ("patterns",)).patterns, as_json=arguments.json)
    return DONE


def _patterns_show(arguments: argparse.Namespace) -> int:
    from footfall.pattern_show import show_pattern  # noqa: PLC0415

    folder = _settings(arguments, ("patterns",)).patterns
    show_pattern(folder, arguments.name, svg=arguments.svg, as_json=arguments.json)
    return DONE


def _patterns_test(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments, ("patterns",))
    from footfall.pattern_test import run_cases  # noqa: PLC0415

    return run_cases(settings, arguments.name, as_json=arguments.json)


def _patterns_check(arguments: argparse.Namespace) -> int:
    from footfall.pattern_file_check import check_patterns  # noqa: PLC0415

    return check_patterns(Path(arguments.file), as_json=arguments.json)


def _patterns_explain(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments, _EXPLAIN_SETTINGS)
    from footfall.pattern_explain import explain_pattern  # noqa: PLC0415

    return explain_pattern(
        settings,
        arguments.name,
        arguments.visitor,
        arguments.inputs,
        picture=arguments.picture,
        as_json=arguments.json,
        show_all=arguments.all,
    )


def _patterns_new(arguments: argparse.Namespace) -> int:
    from footfall.pattern_new import write_pattern  # noqa: PLC0415

    # As a setting the folder must be there; here it is made.
    given = arguments.patterns
    folder = Path(given) if given else _settings(arguments, ("patterns",)).patterns
    write_pattern(folder, arguments.name)
    return DONE


def _store_serve(arguments: argparse.Namespace) -> int:
    from footfall.store import parse_dsn  # noqa: PLC0415
    from footfall.store_owner import serve  # noqa: PLC0415

    settings = _settings(arguments, _STORE_SETTINGS)
    address = None if settings.store == "none" else parse_dsn(settings.store, database=settings.database)
    if address is None or address.folder is None:
        raise UsageError('footfall store serve owns an embedded store: write --store "chdb://FOLDER"')
    serve(address.folder, arguments.host, arguments.port)
    return DONE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    # The store's driver logs what it raises as well, and those errors are told here.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    try:
        parsed = _parser().parse_args(arguments)
        command: Callable[[argparse.Namespace], int] = parsed.command
        code = command(parsed)
        sys.stdout.flush()
    except FootfallError as error:
        print(f"footfall: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("footfall: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); that is no fault.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return code


if __name__ == "__main__":
    sys.exit(main())
