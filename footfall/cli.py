"""The command line: `footfall replay | live | topics | query | simulate | demo | patterns | models | store`.

Exit codes: 0 done, 1 the run failed, 2 wrong usage, 130 interrupted, 143 terminated. Results go to standard output,
everything else to standard error.
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
from footfall.cli_flags import RUN_SETTINGS, STORE_SETTINGS, add_settings, chosen_settings
from footfall.cli_live import add_live
from footfall.cli_models import add_models
from footfall.cli_patterns import add_patterns
from footfall.cli_simulate import add_simulate, count
from footfall.errors import FootfallError, UsageError
from footfall.setting_kinds import closest

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


class _Parser(argparse.ArgumentParser):
    """Argument errors as everywhere: one line, exit code 2. Flags are written in full."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False, **options})

    def parse_known_args(self, *arguments: Any, **options: Any) -> tuple[Any, list[str]]:
        """Parse as the base class does, but tell here, where the subcommand is known, what it can't use."""
        parsed, rest = super().parse_known_args(*arguments, **options)
        if rest:
            flag = next((each.partition("=")[0] for each in rest if each.startswith("--")), None)
            near = "" if flag is None else closest(flag, [*self._option_string_actions])
            self.error(f"unrecognized arguments: {' '.join(rest)}{near}")
        return parsed, rest

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message} (see {self.prog} --help)")


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
    add_settings(replay, RUN_SETTINGS)
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
    add_settings(query, STORE_SETTINGS)
    query.set_defaults(command=_query, form="table")

    add_simulate(commands)

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
        "--visitors", type=count, default=None, help="how many visitors (default: a large day's)"
    )
    demo.add_argument("--seed", type=int, default=7)
    demo.set_defaults(command=_demo)

    add_live(commands)
    add_patterns(commands)
    add_models(commands)

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
    add_settings(serve, STORE_SETTINGS)
    serve.set_defaults(command=_store_serve)
    return parser


def _replay(arguments: argparse.Namespace) -> int:
    settings = chosen_settings(arguments, RUN_SETTINGS)
    # The engine takes a second to load; wrong settings are told before.
    from footfall.replay_command import replay  # noqa: PLC0415

    return replay(settings, tuple(arguments.inputs), as_json=arguments.json, quiet=arguments.quiet)


def _query(arguments: argparse.Namespace) -> int:
    from footfall.query_output import run_query  # noqa: PLC0415
    from footfall.store import parse_dsn  # noqa: PLC0415

    settings = chosen_settings(arguments, STORE_SETTINGS)
    if settings.store == "none":
        raise UsageError('footfall query needs a store: write --store "chdb://FOLDER"')
    run_query(
        parse_dsn(settings.store, database=settings.database),
        arguments.sql,
        arguments.form,
        sys.stdout.buffer,
    )
    return DONE


def _demo(arguments: argparse.Namespace) -> int:
    from footfall.demo import demo  # noqa: PLC0415

    return demo(Path(arguments.folder), visitors=arguments.visitors, seed=arguments.seed)


def _store_serve(arguments: argparse.Namespace) -> int:
    from footfall.store import parse_dsn  # noqa: PLC0415
    from footfall.store_owner import serve  # noqa: PLC0415

    settings = chosen_settings(arguments, STORE_SETTINGS)
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
