"""`footfall patterns`: list, show, test, check, explain and begin patterns and trigger rules."""

import argparse
from pathlib import Path
from typing import Any

from footfall.cli_flags import add_settings, chosen_settings

_DONE = 0

_PATTERN_EXAMPLES = """\
examples:
  footfall patterns list                                  the shipped ones
  footfall patterns show rage_click                       draw one, and say it in words
  footfall patterns new left_the_cart --patterns mine     begin one of your own
  footfall patterns check mine                            all that is wrong with its files
  footfall patterns test left_the_cart --patterns mine    run its cases
  footfall patterns explain rage_click --visitor v17 events.ndjson
                                                          why it fired, or not
"""

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


def add_patterns(commands: Any) -> None:
    """Add the command and those below it."""
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
        "list",
        "list them",
        "List the patterns and trigger rules of a run.",
        _patterns_list,
        "list --patterns my_patterns",
    )
    show = add(
        "show",
        "draw one, and say it in words",
        "Draw a pattern's stages and say them in words, or say a trigger rule in words.",
        _patterns_show,
        "show rage_click",
        "show booking_reminder",
        "show rage_click --svg rage_click.svg",
        "show my_pattern --patterns my_patterns --json",
    )
    show.add_argument("name", metavar="NAME", help="the pattern's name, or a rule's")
    show.add_argument("--svg", metavar="FILE", help="write the picture as SVG (-: to standard output)")
    test = add(
        "test",
        "run their cases",
        "Run the cases in the folders cases/ and rule_cases/ beside the patterns, and exit with 1 if one fails.\n"
        "docs/testing_patterns.md says how cases are written.",
        _patterns_test,
        "test",
        "test rage_click",
        "test booking_reminder",
        "test --patterns my_patterns --json",
    )
    test.add_argument(
        "name", metavar="NAME", nargs="?", default=None, help="one pattern or rule (default: all)"
    )
    check = add(
        "check",
        "tell all that is wrong with files",
        "Read files of patterns and trigger rules and tell every problem in them with line, pattern and stage; exit "
        "with 1 if there is one.\nThe other files of their folders, and cases, are looked at too.",
        _patterns_check,
        "check my_patterns",
        "check my_patterns/leaving.py my_patterns/carts.py --json",
    )
    check.add_argument(
        "files", nargs="+", metavar="FILE", help="a file of patterns (.py, .json), or a folder of such"
    )
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
    add_settings(explain, _EXPLAIN_SETTINGS)
    for parser in (listing, show, test, check, explain):
        parser.add_argument("--json", action="store_true", help="as JSON")
    new = add(
        "new",
        "begin one, with cases",
        "Write a pattern and its cases, which pass as they are and are there to be changed. "
        "Files that are there stay.",
        _patterns_new,
        "new left_the_cart --patterns my_patterns",
        "new left_the_cart --patterns my_patterns --rule",
    )
    new.add_argument("--rule", action="store_true", help="write a trigger rule for it and its cases, too")
    new.add_argument("name", metavar="NAME", help="the pattern's name: letters, digits and _")
    for parser in (listing, show, test, new):
        add_settings(parser, ("patterns",))


def _patterns_list(arguments: argparse.Namespace) -> int:
    from footfall.pattern_list import print_patterns  # noqa: PLC0415

    print_patterns(chosen_settings(arguments, ("patterns",)).pattern_folder, as_json=arguments.json)
    return _DONE


def _patterns_show(arguments: argparse.Namespace) -> int:
    from footfall.pattern_show import show_pattern  # noqa: PLC0415

    folder = chosen_settings(arguments, ("patterns",)).pattern_folder
    show_pattern(folder, arguments.name, svg=arguments.svg, as_json=arguments.json)
    return _DONE


def _patterns_test(arguments: argparse.Namespace) -> int:
    settings = chosen_settings(arguments, ("patterns",))
    from footfall.pattern_test import run_cases  # noqa: PLC0415

    return run_cases(settings, arguments.name, as_json=arguments.json)


def _patterns_check(arguments: argparse.Namespace) -> int:
    from footfall.pattern_file_check import check_patterns  # noqa: PLC0415

    return check_patterns([Path(file) for file in arguments.files], as_json=arguments.json)


def _patterns_explain(arguments: argparse.Namespace) -> int:
    settings = chosen_settings(arguments, _EXPLAIN_SETTINGS)
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
    is_new = given and "://" not in given
    folder = Path(given) if is_new else chosen_settings(arguments, ("patterns",)).pattern_folder
    write_pattern(folder, arguments.name, rule=arguments.rule)
    return _DONE
