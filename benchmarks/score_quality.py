"""How good the scores are: the shipped models through the whole engine, beside gradient boosting on the same features.

    python benchmarks/score_quality.py [retail shop lives change] [--visitors N] [--days N] [--seed N] [--json]

Every prediction counts as it was made, before anything came of it. Boosting (scikit-learn) is tuned and trained anew
before each month on all predictions whose horizons are over by then; compared are the months in which both
predict, at moments whose label is known in the end. Intervals are a bootstrap by visitor. `retail` and `shop` are read
from `--data`; `lives` and `change` are simulated (`footfall simulate --lives`), so the true probability is known.
Exit status 1: a bar is missed.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table
from score_boosting import boosted
from score_compare import Change, Comparison, Interval, compare, over_change
from score_moments import Replay, replayed

from footfall.scoring.feature import DAY_MS
from footfall.simulate_lives import simulate_lives
from footfall.simulate_lives_plan import LivesPlan

HERE = Path(__file__).resolve().parent
PARTS = ("retail", "shop", "lives", "change")


def measured(replay: Replay, model: str, truth: Path | None = None) -> Comparison:
    """A model beside boosting."""
    moments = replay.moments(model, truth)
    return compare(moments, boosted(moments))


def simulated(plan: LivesPlan, folder: Path) -> tuple[Replay, Path]:
    """The replay of simulated lives, and their truth."""
    summary = simulate_lives(plan, folder / "lives.ndjson")
    return replayed(summary.records[0]), summary.truth_file


def show(comparisons: dict[str, Comparison], changes: dict[str, Change]) -> None:
    """Print the figures as tables."""
    console = Console()
    if comparisons:
        console.print(
            _table(
                "Predicted first, learnt afterwards",
                {name: _compared(each) for name, each in comparisons.items()},
            )
        )
    if changes:
        console.print(
            _table("A change of what visitors do", {name: _changed(each) for name, each in changes.items()})
        )


def _table(title: str, columns: dict[str, dict[str, str]]) -> Table:
    table = Table(title=title)
    for heading in ("", *columns):
        table.add_column(heading)
    for figure in next(iter(columns.values())):
        table.add_row(figure, *(each[figure] for each in columns.values()))
    return table


def _compared(found: Comparison) -> dict[str, str]:
    return {
        "predictions": f"{found.moments:,} of {found.visitors:,} visitors",
        "positive": f"{found.positives:.3f}",
        "ROC AUC": _interval(found.auc),
        "less boosting's": _interval(found.auc_more, "+"),
        "true probability's": _figure(found.ceiling_auc),
        "log loss": _interval(found.log_loss),
        "less boosting's ": _interval(found.log_loss_more, "+"),
        "true probability's ": _figure(found.ceiling_log_loss),
        "calibration error": _figure(found.ece),
        "boosting's": _figure(found.boosting_ece),
        "against the truth": _figure(found.true_error),
        "other learners": ", ".join(f"{other} {auc:.3f}" for other, auc in found.others.items()),
        "bars missed": ", ".join(found.misses()) or "none",
    }


def _changed(change: Change) -> dict[str, str]:
    flagged = change.flagged_after
    return {
        "flagged after": "never" if flagged is None else f"{flagged:,} labels",
        "flagged before": f"{change.flags_before} times",
        "AUC before": _figure(change.auc_before),
        "of each 5,000 after": " ".join(f"{each:.3f}" for each in change.auc_after),
        "true probability's before": _figure(change.truth_before),
        "after": " ".join(f"{each:.3f}" for each in change.truth_after),
        "bars missed": ", ".join(change.misses()) or "none",
    }


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(interval: Interval, sign: str = "") -> str:
    return f"{interval.value:{sign}.4f} [{interval.low:{sign}.4f}, {interval.high:{sign}.4f}]"


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--visitors", type=int, default=30_000)
    parser.add_argument("--days", type=int, default=150)
    parser.add_argument("--change-at", type=int, default=75)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    parts = arguments.parts or list(PARTS)
    comparisons: dict[str, Comparison] = {}
    changes: dict[str, Change] = {}
    if "retail" in parts:
        replay = replayed(arguments.data / "retail-orders.ndjson.gz", HERE / "quality_models")
        comparisons["retail-orders churn"] = measured(replay, "churn")
    if "shop" in parts:
        replay = replayed(arguments.data / "shop-segment.ndjson.gz")
        comparisons["shop-segment lead"] = measured(replay, "lead")
    plan = {"visitors": arguments.visitors, "duration": arguments.days * DAY_MS, "seed": arguments.seed}
    with tempfile.TemporaryDirectory() as folder:
        if "lives" in parts:
            replay, truth = simulated(LivesPlan(**plan), Path(folder))
            for model in ("lead", "churn"):
                comparisons[f"lives {model}"] = measured(replay, model, truth)
        if "change" in parts:
            changed = LivesPlan(**plan, change_at=arguments.change_at)
            replay, truth = simulated(changed, Path(folder))
            at = changed.start + arguments.change_at * DAY_MS
            for model in ("lead", "churn"):
                rows = replay.quality.filter((pl.col("model") == model) & pl.col("champion"))
                changes[f"lives {model}"] = over_change(replay.moments(model, truth), rows, at)
    if arguments.json:
        figures: dict[str, Any] = {name: asdict(each) for name, each in comparisons.items()}
        figures |= {f"{name}, change": asdict(each) for name, each in changes.items()}
        print(json.dumps(figures))
    else:
        show(comparisons, changes)
    missed = [each.misses() for each in comparisons.values()]
    missed += [each.misses() for each in changes.values()]
    return 1 if any(missed) else 0


if __name__ == "__main__":
    sys.exit(main())
