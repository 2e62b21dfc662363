"""How good the champion's predictions are, and what they cost, beside River's models and batch boosting.

    python benchmarks/model_quality.py sessions.csv --label Revenue [--skip adaptive_forest] [--retrain 400]

Every model predicts each row before it learns its label, in file order. scikit-learn's gradient boosting is trained
anew on all rows so far every `--retrain` rows. Microseconds are of process CPU time, a row, of a second run in the same
process, compiled code loaded; boosting's and River's are of their only run.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from river import forest, linear_model, optim
from sklearn.ensemble import HistGradientBoostingClassifier

from footfall.scoring import quality
from footfall.scoring.binned_linear import BinnedLinear, BinnedLinearParameters
from footfall.scoring.evaluate_table import LabelledTable, read_table
from footfall.scoring.feature_column import FeatureColumn
from footfall.scoring.learner import Learner
from footfall.scoring.learners import new_learner
from footfall.scoring.river_learner import RiverLearner

Floats = npt.NDArray[np.float64]
Model = Callable[[LabelledTable], Floats]


def _learner(make: Callable[[Sequence[FeatureColumn]], Learner]) -> Model:
    def run(table: LabelledTable) -> Floats:
        return make(table.columns).learn(table.rows, table.labels)

    return run


def _named(name: str) -> Model:
    return _learner(lambda columns: new_learner(name, columns, "probability"))


def _binned(**parameters: Any) -> Model:
    return _learner(lambda columns: BinnedLinear(columns, BinnedLinearParameters(**parameters)))


def _small_forest() -> Model:
    def make() -> Any:
        return forest.ARFClassifier(n_models=3, seed=20)

    return _learner(lambda columns: RiverLearner("small_forest", columns, "probability", make))


def _plain_logistic() -> Model:
    def make() -> Any:
        from river import compose, preprocessing  # noqa: PLC0415 - used here alone

        numbers = compose.SelectType(float) | preprocessing.StandardScaler()
        categories = compose.SelectType(str) | preprocessing.OneHotEncoder()
        return (numbers + categories) | linear_model.LogisticRegression(optim.SGD(0.01))

    return _learner(lambda columns: RiverLearner("plain_logistic", columns, "probability", make))


def _boosting(retrain: int) -> Model:
    """Gradient boosting with fixed, tuned settings, trained anew on the whole past every so many rows."""

    def run(table: LabelledTable) -> Floats:
        # Before the first training, the share of positives so far.
        seen = np.arange(table.labels.size)
        predicted = (np.cumsum(table.labels) - table.labels + 1) / (seen + 10)
        for begin in range(retrain, table.labels.size, retrain):
            past, now = slice(0, begin), slice(begin, begin + retrain)
            positives = table.labels[past].mean()
            if positives in {0.0, 1.0}:
                predicted[now] = np.clip(positives, 0.01, 0.99)
                continue
            model = HistGradientBoostingClassifier(
                learning_rate=0.05,
                max_iter=120,
                max_leaf_nodes=15,
                l2_regularization=1.0,
                early_stopping=False,
                random_state=1,
            )
            # Categories stay codes: told that they are such, it did no better.
            model.fit(table.rows[past], table.labels[past])
            predicted[now] = model.predict_proba(table.rows[now])[:, 1]
        return predicted

    return run


def main() -> None:
    """Run what isn't skipped, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--label", required=True)
    parser.add_argument("--skip", nargs="*", default=[], metavar="MODEL")
    parser.add_argument("--retrain", type=int, default=400, metavar="ROWS")
    arguments = parser.parse_args()
    table = read_table(arguments.file, arguments.label)
    models: dict[str, tuple[Model, bool]] = {
        "binned_logistic (champion)": (_named("binned_logistic"), True),
        "one binned linear model": (_binned(), True),
        "the same without crosses": (_binned(most_crosses=0), True),
        "scaled_logistic, AdaGrad": (_named("scaled_logistic"), False),
        "scaled logistic, SGD": (_plain_logistic(), False),
        "bagged_logistic": (_named("bagged_logistic"), False),
        "adaptive_tree": (_named("adaptive_tree"), False),
        "adaptive_forest of 3": (_small_forest(), False),
        "adaptive_forest": (_named("adaptive_forest"), False),
        f"boosting, each {arguments.retrain} rows": (_boosting(arguments.retrain), False),
    }
    print(f"{arguments.file.name}: {table.labels.size:,} rows, {table.labels.mean():.1%} positive")
    print(f"{'model':34} {'ROC AUC':>8} {'log loss':>9} {'ECE':>7} {'µs a row':>10}")
    for name, (run, is_compiled) in models.items():
        if any(name.startswith(skipped) for skipped in arguments.skip):
            continue
        if is_compiled:
            run(table)
        begun = time.process_time()
        predicted = run(table)
        spent = (time.process_time() - begun) / table.labels.size * 1e6
        found = quality.figures(predicted, table.labels)
        figures = f"{found['roc_auc']:>8.4f} {found['log_loss']:>9.4f} {found['ece']:>7.4f}"
        print(f"{name:34} {figures} {spent:>10.1f}", flush=True)


if __name__ == "__main__":
    main()
