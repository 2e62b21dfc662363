"""Random rows and labels for the tests of learners."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from footfall.scoring.feature_column import FeatureColumn

Floats = npt.NDArray[np.float64]

COLUMNS: Sequence[FeatureColumn] = (
    FeatureColumn("views"),
    FeatureColumn("value", unit="money"),
    FeatureColumn("source", "category", words=("direct", "paid", "email")),
    FeatureColumn("days", unit="days"),
    FeatureColumn("age"),
)


def random_rows(count: int, seed: int) -> Floats:
    """Rows as they come: counts, tails, codes, unknown ones, negative ones, numbers within one octave."""
    random = np.random.default_rng(seed)
    rows = np.column_stack(
        [
            random.poisson(3, count),
            random.lognormal(3, 2, count) * random.choice([1, 1, 1, -1, 0], count),
            random.integers(0, 40, count),
            random.exponential(10, count),
            random.uniform(33, 63, count),
        ]
    )
    rows[random.random(rows.shape) < 0.08] = np.nan
    return rows


def chances(rows: Floats) -> Floats:
    """The true probability of each row's label: two columns by themselves, and two pairs that matter together."""
    views, value, source, days, age = rows.T
    known = np.nan_to_num(views)
    log_odds = -2 + 0.4 * np.log1p(known) - 0.02 * np.nan_to_num(days)
    log_odds += np.where((source < 10) & (known >= 3), 1.5, 0.0)
    log_odds += np.where((age > 50) & (value > 20), 2.0, 0.0)
    return np.asarray(1 / (1 + np.exp(-log_odds)))


def random_labels(rows: Floats, seed: int) -> Floats:
    """Labels of 0 and 1."""
    return (np.random.default_rng(seed).random(rows.shape[0]) < chances(rows)).astype(np.float64)


def random_values(rows: Floats, seed: int) -> Floats:
    """Values: zero or heavy-tailed."""
    random = np.random.default_rng(seed)
    paid = random.random(rows.shape[0]) < chances(rows)
    return np.where(paid, random.lognormal(4, 1, rows.shape[0]), 0.0)
