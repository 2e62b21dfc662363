"""What can be known of simulated lives: the true probability's own AUC, and that of boosting on simple features.

    python benchmarks/lives_ceiling.py [--visitors N] [--change-at DAY] [--seed N] [--json]

Lives are simulated into a folder that is removed afterwards. The ceiling is the ROC AUC of the true probability, which
knows the hidden state. Beside it stands scikit-learn's histogram gradient boosting on counts and recency: out of fold,
visitors apart, once for the moments before the change and once for those after it. `frozen` is the model of before
on the moments after.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from footfall.simulate_lives import simulate_lives
from footfall.simulate_lives_plan import LivesPlan

GAP, DAY = 1_800_000, 86_400_000
COUNTED = (
    "page_view", "price_checked", "products_searched", "booking_started", "booking_completed", "click",
    "exit_intent", "form_field_changed", "service", "review", "help",
)  # fmt: skip
WARM_UP_DAYS = 20


def sessions(path: Path) -> pl.DataFrame:
    """One row a session, in order: visitor, start, last (ms), counts of it, and sums over the visitor's sessions."""
    texts = (
        "visitor_id", "event", "event_time", "path", "utm_source", "utm_campaign", "referrer", "user_agent",
    )  # fmt: skip
    schema = pl.Schema(
        {name: pl.String() for name in texts}
        | {"value": pl.Float64(), "properties": pl.Struct({"percent": pl.Float64()})}
    )
    events = (
        pl.scan_ndjson(path, schema=schema)
        .with_columns(
            at=pl.col("event_time").str.to_datetime(time_unit="ms", time_zone="UTC").dt.epoch("ms"),
            depth=pl.col("properties").struct.field("percent"),
        )
        .collect()
        .sort("visitor_id", "at")
    )
    path_starts = {
        "service": "/services/",
        "review": "/(reviews|branches/)",
        "help": "/(faq|branches$|account)",
    }
    events = events.with_columns(
        ((pl.col("at") - pl.col("at").shift(1).over("visitor_id")).fill_null(GAP + 1) > GAP)
        .cum_sum()
        .alias("session"),
        *(
            (pl.col("event").eq("page_view") & pl.col("path").str.contains(f"^{start}")).alias(name)
            for name, start in path_starts.items()
        ),
        *(pl.col("event").eq(name).alias(name) for name in COUNTED if name not in path_starts),
    )
    counts = [pl.col(name).sum().cast(pl.Int32) for name in COUNTED]
    table = (
        events.group_by("session", maintain_order=True)
        .agg(
            *counts,
            pl.col("visitor_id").first(),
            pl.col("at").first().alias("start"),
            pl.col("at").last().alias("last"),
            pl.len().alias("events"),
            pl.col("depth").mean(),
            pl.col("value").filter(pl.col("event") == "booking_completed").sum().alias("spent"),
            source=pl.concat_str(
                pl.col("utm_source").drop_nulls().first().fill_null("-"),
                pl.col("referrer").drop_nulls().first().fill_null("-"),
                pl.col("utm_campaign").drop_nulls().first().fill_null("-"),
            ),
            phone=pl.col("user_agent").drop_nulls().first().str.contains("Mobile"),
        )
        .with_columns(
            source=pl.col("source").rank("dense").cast(pl.Int32), length=pl.col("last") - pl.col("start")
        )
    )
    summed = ["events", "length", "spent", *COUNTED]
    return table.with_columns(
        *(pl.col(name).cum_sum().over("visitor_id").alias(f"{name}_all") for name in summed),
        *(pl.col(name).shift(1).over("visitor_id").alias(f"{name}_before") for name in COUNTED),
        number=pl.int_range(pl.len()).over("visitor_id"),
        first=pl.col("start").first().over("visitor_id"),
        first_source=pl.col("source").first().over("visitor_id"),
        pause=(pl.col("start") - pl.col("last").shift(1).over("visitor_id")),
        pause_before=(pl.col("last").shift(1) - pl.col("last").shift(2)).over("visitor_id"),
    )


def moments(truth: Path, table: pl.DataFrame, start: int) -> pl.DataFrame:
    """The truth file's rows whose outcome is known, each with the latest session that had begun by then."""
    rows = pl.read_ndjson(truth, schema_overrides={"days": pl.Int64}).filter(pl.col("outcome").is_not_null())
    rows = rows.with_columns(
        at=pl.col("time").str.to_datetime(time_unit="ms", time_zone="UTC").dt.epoch("ms")
    ).sort("at")
    joined = rows.join_asof(
        table.sort("start"), left_on="at", right_on="start", by="visitor_id", check_sortedness=False,
        coalesce=False,
    )  # fmt: skip
    return joined.with_columns(
        since_last=pl.col("at") - pl.col("last"),
        since_first=pl.col("at") - pl.col("first"),
        rate=(pl.col("number") + 1) / (pl.col("at") - pl.col("first") + DAY),
        days=pl.col("days").fill_null(0),
        day=(pl.col("at") - start) / DAY,
    )


def boosting() -> HistGradientBoostingClassifier:
    """The model, with settings that suit tables of this size."""
    return HistGradientBoostingClassifier(
        learning_rate=0.06, max_iter=150, max_leaf_nodes=15, min_samples_leaf=40, l2_regularization=1.0,
        random_state=0,
    )  # fmt: skip


def features(rows: pl.DataFrame) -> npt.NDArray[np.float64]:
    """What the model sees: numbers of the latest session, of all and of the one before, recency, source, device."""
    hidden = {"visitor_id", "moment", "time", "label", "horizon_ms", "probability", "outcome", "state", "at"}
    hidden |= {"session", "start", "last", "first", "day", "visitor_id_right"}
    names = [name for name in rows.columns if name not in hidden]
    return rows.select(pl.col(names).cast(pl.Float64)).to_numpy()


def measure(rows: pl.DataFrame) -> dict[str, float]:
    """The figures of rows of one label and stretch of time."""
    y, probability = rows["outcome"].to_numpy().astype(int), rows["probability"].to_numpy()
    x, groups = features(rows), rows["visitor_id"].to_numpy()
    out = np.zeros(y.size)
    for train, test in GroupKFold(4).split(x, y, groups):
        out[test] = boosting().fit(x[train], y[train]).predict_proba(x[test])[:, 1]
    return {
        "moments": int(y.size),
        "positives": round(float(y.mean()), 4),
        "ceiling_auc": round(float(roc_auc_score(y, probability)), 4),
        "boosted_auc": round(float(roc_auc_score(y, out)), 4),
    }


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--visitors", type=int, default=30_000)
    parser.add_argument("--change-at", type=int, default=60)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    plan = LivesPlan(visitors=arguments.visitors, change_at=arguments.change_at, seed=arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        summary = simulate_lives(plan, Path(folder) / "lives.ndjson")
        seconds = time.process_time() - began
        rows = moments(summary.truth_file, sessions(summary.records[0]), plan.start)
    figures: dict[str, object] = {
        "events": summary.events,
        "events_per_cpu_second": round(summary.events / seconds),
        "orders_per_session": round(summary.orders / summary.sessions, 4),
    }
    for label in ("lead", "churn"):
        own = rows.filter(pl.col("label") == label)
        before = own.filter(pl.col("day").is_between(WARM_UP_DAYS, arguments.change_at, closed="left"))
        after = own.filter(pl.col("day") >= arguments.change_at)
        figures[f"{label}_before"] = measure(before)
        measured = measure(after)
        frozen = boosting().fit(features(before), before["outcome"].to_numpy())
        guessed = frozen.predict_proba(features(after))[:, 1]
        measured["frozen_auc"] = round(float(roc_auc_score(after["outcome"].to_numpy(), guessed)), 4)
        figures[f"{label}_after"] = measured
    print(json.dumps(figures, indent=None if arguments.json else 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
