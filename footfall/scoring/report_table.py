"""What a run's report says of its models, as a table for people: one line a learner, the champion first."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

_FIGURES = (
    ("roc_auc", "ROC AUC"),
    ("log_loss", "log loss"),
    ("ece", "ece"),
    ("mean_absolute_error", "mean abs. error"),
)


def report_table(scores: Mapping[str, Any]) -> Table | None:
    """The table of a report's `scores`; None where nothing was predicted.

    Figures are those of the window of labels learnt last, as in the table `model_quality`; "-" where labels don't say.
    """
    if not any(model["predictions"] for model in scores.values()):
        return None
    table = Table(box=None, pad_edge=False)
    table.add_column("model")
    table.add_column("learner")
    for name in ("predictions", "labels learnt"):
        table.add_column(name, justify="right")
    shown = [(name, words) for name, words in _FIGURES if _is_known(scores, name)]
    for _, words in shown:
        table.add_column(words, justify="right")
    for model, told in sorted(scores.items()):
        champion = told["champion"]
        for learner in (champion, *sorted(told["labels"].keys() - {champion})):
            figures = told["quality"].get(learner, {})
            table.add_row(
                model if learner == champion else "",
                f"{learner} (champion)" if learner == champion and len(told["labels"]) > 1 else learner,
                f"{told['predictions']:,}",
                f"{told['labels'][learner]:,}",
                *(f"{figures[name]:.3f}" if name in figures else "-" for name, _ in shown),
            )
    return table


def _is_known(scores: Mapping[str, Any], figure: str) -> bool:
    return any(figure in figures for model in scores.values() for figures in model["quality"].values())
