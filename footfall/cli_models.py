"""`footfall models`: how good the models of scores are."""

import argparse
from pathlib import Path
from typing import Any

_EXAMPLES = """\
examples:
  footfall models evaluate sessions.csv --label Revenue
  footfall models evaluate churn.csv.gz --label churned --time ordered_at --model churn --report churn.html
  footfall models evaluate sessions.csv --label Revenue --json
"""


def add_models(commands: Any) -> None:
    """Add the command and those below it."""
    models = commands.add_parser(
        "models",
        help="how good the models of scores are",
        description="How good the models of scores are.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_evaluate(models.add_subparsers(metavar="COMMAND", required=True))


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
