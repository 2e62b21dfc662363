"""`footfall models`: what models of scores there are, how good they are, and who is their champion."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from footfall.cli_flags import LIVE_STATE, STORE_SETTINGS, add_settings, chosen_settings

_WAIT_SECONDS = 60.0
_LIST_SETTINGS = ("patterns", "state", *STORE_SETTINGS)
_EXAMPLES = """\
examples:
  footfall models list                              the models, their learners, and how good each has been
  footfall models show lead                         what a model predicts, and from what
  footfall models compare lead                      champion and challengers on the same predictions
  footfall models promote lead scaled_logistic --state run/
                                                    have a live run make a challenger champion
  footfall models rollback lead --state run/        and take it back
  footfall models export lead lead.json --state run/
  footfall models evaluate sessions.csv --label Revenue
  footfall models evaluate churn.csv.gz --label churned --time ordered_at --model churn --report churn.html
  footfall models evaluate sessions.csv --label Revenue --json
"""


def add_models(commands: Any) -> None:
    """Add the command and those below it."""
    models = commands.add_parser(
        "models",
        help="list, show, compare, promote and export the models of scores",
        description="What models of scores there are, how good they are, and who is their champion.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    model_commands = models.add_subparsers(metavar="COMMAND", required=True)
    add_reading(model_commands)
    add_evaluate(model_commands)
    add_champions(model_commands)


def add_evaluate(model_commands: Any) -> None:
    """Add `models evaluate`."""
    evaluate = model_commands.add_parser(
        "evaluate",
        help="run a labelled table through a model's learner",
        description="Predict each row of a table first and learn its label afterwards, in file order, and say how "
        "good the predictions were.\nThe columns are typed automatically: numbers, truth values, and texts as "
        "categories. Labels are true or false, yes or no, 1 or 0; rows without one are left out, and counted.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    evaluate.add_argument("file", metavar="FILE", help="a table: .csv, .csv.gz, .tsv or .parquet")
    evaluate.add_argument("--label", required=True, metavar="COLUMN", help="the column to be predicted")
    evaluate.add_argument(
        "--time",
        metavar="COLUMN",
        help="when a row was; only for the AUC over time, the order stays the file's",
    )
    evaluate.add_argument(
        "--model",
        choices=("lead", "churn"),
        default="lead",
        help="whose learner (default: lead; both have the same)",
    )
    evaluate.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    evaluate.add_argument(
        "--report",
        metavar="FILE",
        help="write a picture as one HTML page: ROC, calibration, AUC over time (default: none)",
    )
    evaluate.set_defaults(command=_evaluate)


def add_reading(model_commands: Any) -> None:
    """Add `models list`, `models show`, `models compare` and `models export`."""

    def add(name: str, about: str, description: str, command: object, settings: Sequence[str]) -> Any:
        parser = model_commands.add_parser(
            name,
            help=about,
            description=description,
            epilog=_EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name != "list":
            parser.add_argument("model", metavar="MODEL", help="the model's name")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        add_settings(parser, settings, {"state": LIVE_STATE})
        parser.set_defaults(command=command)
        return parser

    add(
        "list",
        "list them with their learners, and how good each has been",
        "List the models of the patterns' folder: their learners, who is champion, how many labels each has learnt, "
        "and how good it has been lately.\nChampions are those of a live run's state folder, or else of the store, "
        "and figures are the store's. Without either the models are listed as they are declared.",
        _list,
        _LIST_SETTINGS,
    )
    add(
        "show",
        "say what one predicts, and from what",
        "Say when a model predicts, what counts as true, its bands, features and learners, and how good these are.",
        _show,
        _LIST_SETTINGS,
    )
    compare = add(
        "compare",
        "compare champion and challengers on the same predictions",
        "Compare a model's champion with its challengers on the predictions that both have made and whose outcome is "
        "known, as the store has them: the figures of both, and the difference with its 95 % interval.",
        _compare,
        _LIST_SETTINGS,
    )
    export = add(
        "export",
        "write the champion's parameters to a file",
        "Write a learner as the last snapshot in a run's state folder has it, the champion unless --learner names "
        "another.\nFILE.json: its weights in words, a bin or a cross of bins each. FILE.pkl: River's models with the "
        "same weights, pickled; open only pickles that you made.",
        _export,
        ("patterns", "state"),
    )
    export.add_argument("file", metavar="FILE", help="where to; its ending, .json or .pkl, says as what")
    export.add_argument(
        "--learner", metavar="LEARNER", default=None, help="which one (default: the champion)"
    )
    compare.add_argument(
        "--against", metavar="LEARNER", default=None, help="the challenger (default: each of them)"
    )


def add_champions(model_commands: Any) -> None:
    """Add `models promote` and `models rollback`."""
    promote = model_commands.add_parser(
        "promote",
        help="make a challenger champion of a live run",
        description="Ask the live run of a state folder to make one of a model's learners its champion, and wait until "
        "it has taken that up.\nFrom the first tick on that begins a minute of event time after the latest event, its "
        "predictions are the scores. The run keeps it in a control record, which a replay goes by, too.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    rollback = model_commands.add_parser(
        "rollback",
        help="make the champion before the present one champion again",
        description="Ask the live run of a state folder to make the learner champion that was it before, as promote "
        "does.",
    )
    for parser in (promote, rollback):
        parser.add_argument("model", metavar="MODEL", help="the model's name")
        parser.add_argument(
            "--wait",
            type=_seconds,
            default=_WAIT_SECONDS,
            metavar="SECONDS",
            help=f"how long to wait for the run (default: {_WAIT_SECONDS:g})",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        add_settings(parser, ("state",), {"state": LIVE_STATE})
        parser.set_defaults(command=_promote, learner=None)
    promote.add_argument("learner", metavar="LEARNER", help="the learner's name")


def _list(arguments: argparse.Namespace) -> int:
    settings = chosen_settings(arguments, _LIST_SETTINGS)
    from footfall.scoring.model_list import list_models  # noqa: PLC0415

    return list_models(settings, settings.state or Path(LIVE_STATE), as_json=arguments.json)


def _show(arguments: argparse.Namespace) -> int:
    settings = chosen_settings(arguments, _LIST_SETTINGS)
    from footfall.scoring.model_list import show_model  # noqa: PLC0415

    return show_model(settings, settings.state or Path(LIVE_STATE), arguments.model, as_json=arguments.json)


def _compare(arguments: argparse.Namespace) -> int:
    settings = chosen_settings(arguments, _LIST_SETTINGS)
    from footfall.scoring.model_compare import compare_model  # noqa: PLC0415

    state = settings.state or Path(LIVE_STATE)
    return compare_model(settings, state, arguments.model, arguments.against, as_json=arguments.json)


def _export(arguments: argparse.Namespace) -> int:
    settings = chosen_settings(arguments, ("patterns", "state"))
    from footfall.scoring.model_export import export_model  # noqa: PLC0415

    return export_model(
        settings,
        settings.state or Path(LIVE_STATE),
        arguments.model,
        arguments.learner,
        Path(arguments.file),
        as_json=arguments.json,
    )


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 86_400:
        raise ValueError(text)
    return seconds


def _promote(arguments: argparse.Namespace) -> int:
    state = chosen_settings(arguments, ("state",)).state or Path(LIVE_STATE)
    from footfall.scoring.promote_command import promote  # noqa: PLC0415

    return promote(state, arguments.model, arguments.learner, wait=arguments.wait, as_json=arguments.json)


def _evaluate(arguments: argparse.Namespace) -> int:
    # The engine takes a second to load; wrong arguments are told before.
    from footfall.scoring.evaluate_run import evaluate  # noqa: PLC0415

    return evaluate(
        Path(arguments.file),
        arguments.label,
        arguments.time,
        arguments.model,
        as_json=arguments.json,
        report=None if arguments.report is None else Path(arguments.report),
    )
