"""`footfall models compare`: champion and challengers by the same stored predictions and outcomes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from footfall.errors import UsageError
from footfall.scoring import quality
from footfall.scoring.champions import learners_of, prediction_kind, reigns
from footfall.scoring.model_list import models_of, named_model
from footfall.scoring.paired_bootstrap import DRAWS, Interval, Paired
from footfall.scoring.promote_command import kept_records
from footfall.scoring.stored_quality import stored_quality
from footfall.settings import Settings
from footfall.store import parse_dsn


@dataclass(frozen=True, slots=True)
class Comparison:
    """A champion and a challenger over the predictions that both have made and whose outcome is known.

    Attributes:
        champion: the one learner.
        challenger: the other.
        rows: how many predictions.
        visitors: of how many visitors.
        figures: learner -> figure -> its value.
        differences: figure -> the champion's minus the challenger's.
    """

    champion: str
    challenger: str
    rows: int
    visitors: int
    figures: Mapping[str, Mapping[str, float | None]]
    differences: Mapping[str, Interval]


def compared(frame: pl.DataFrame, champion: str, challenger: str, *, values: bool) -> Comparison:
    """Compare two learners by the rows of `StoredQuality.judged`."""
    labels, one, other = (
        frame[name].cast(pl.Float64).to_numpy().astype(np.float64) for name in ("outcome", "one", "other")
    )
    visitors = frame["visitor_id"].rank("dense").cast(pl.Int64).to_numpy() - 1
    figures = {
        champion: quality.figures(one, labels, values=values),
        challenger: quality.figures(other, labels, values=values),
    }
    differences = Paired(labels, one, other, visitors).intervals(values=values)
    return Comparison(champion, challenger, frame.height, int(visitors.max()) + 1, figures, differences)


def compare_model(settings: Settings, state: Path, name: str, against: str | None, *, as_json: bool) -> int:
    """Run the command; the exit code.

    Args:
        settings: say the models and the store.
        state: the state folder of a live run, whose champion counts; it need not be there.
        name: the model.
        against: the challenger; None for all that there are.
        as_json: print one JSON object.

    Raises:
        UsageError: there is no such model or learner, or nothing that both have predicted and that is known.
        StoreError: the store can't be read.
    """
    model = named_model(models_of(settings), name)
    names, values = learners_of(model), prediction_kind(model) == "value"
    if settings.store == "none":
        raise UsageError('footfall models compare needs a store: write --store "chdb://FOLDER"')
    found = []
    with stored_quality(parse_dsn(settings.store, database=settings.database)) as stored:
        champion = reigns(model, kept_records(state) or stored.controls())[-1].learner
        if against is not None and (against == champion or against not in names):
            others = ", ".join(each for each in names if each != champion) or "none"
            raise UsageError(
                f"model {name} has no challenger {against!r}: its champion is {champion}, its challengers are {others}"
            )
        for learner in names if against is None else (against,):
            if learner == champion:
                continue
            frame = stored.judged(name, champion, learner)
            if frame.height:
                found.append(compared(frame, champion, learner, values=values))
    if not found:
        raise UsageError(
            f"the store has no outcome of a prediction that {champion} and a challenger of model {name} have both made "
            "(challengers are declared with the model, and outcomes come when its horizon has passed)"
        )
    if as_json:
        print(
            json.dumps({"model": name, "champion": champion, "comparisons": [_told(each) for each in found]})
        )
    else:
        for each in found:
            _print(each, name)
    return 0


def _told(found: Comparison) -> dict[str, object]:
    return {
        "challenger": found.challenger,
        "predictions": found.rows,
        "visitors": found.visitors,
        "figures": found.figures,
        "differences": {
            name: {
                "difference": each.difference,
                "low": each.low,
                "high": each.high,
                "better": _better(name, each),
            }
            for name, each in found.differences.items()
        },
    }


def _better(name: str, interval: Interval) -> str | None:
    """Whom the interval says to be better: `champion`, `challenger`, or None where it can't tell."""
    if interval.low <= 0 <= interval.high:
        return None
    return "champion" if (interval.difference > 0) == (name == "roc_auc") else "challenger"


def _print(found: Comparison, model: str) -> None:
    console = Console(highlight=False)
    console.print(
        f"{model}: {found.champion} (champion) and {found.challenger} on the same {found.rows:,} predictions of "
        f"{found.visitors:,} visitors"
    )
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for head in ("figure", "champion", "challenger", "difference", "95 % interval"):
        table.add_column(head, justify="left" if head == "figure" else "right", no_wrap=True)
    for name, one in found.figures[found.champion].items():
        interval = found.differences.get(name)
        table.add_row(
            name.replace("_", " "),
            _number(one),
            _number(found.figures[found.challenger][name]),
            *(
                ("", "")
                if interval is None
                else (f"{interval.difference:+.4f}", f"{interval.low:+.4f} to {interval.high:+.4f}")
            ),
        )
    console.print(table)
    for role, learner in (("champion", found.champion), ("challenger", found.challenger)):
        better = [
            name.replace("_", " ") for name, each in found.differences.items() if _better(name, each) == role
        ]
        if better:
            console.print(f"The {role}, {learner}, is better by {', '.join(better)}.")
    console.print(f"The interval is of {DRAWS:,} draws of visitors, with all their predictions.", style="dim")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
