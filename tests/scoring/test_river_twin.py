import numpy as np
from learner_rows import COLUMNS, random_labels, random_rows

from footfall.scoring.binned_linear import BinnedLinear, BinnedLinearParameters
from footfall.scoring.river_twin import features

DECLARED = BinnedLinearParameters(warm_up=100, search_every=50, most_crosses=3, crosses_at_once=3)
ROW = np.array([3.0, np.nan, 1.0, 0.0, 50.0])


def test_features_have_names_for_people() -> None:
    rows = random_rows(2_000, 1)
    learner = BinnedLinear(COLUMNS, DECLARED)
    assert list(features(learner.published, ROW)) == [
        "views [3, 4)",
        "value not known",
        "source paid",
        "days 0",
        "age [48, 64)",
    ]
    learner.learn(rows, random_labels(rows, 1))
    named = list(features(learner.published, ROW))
    cuts = [name for name in named if " cut " in name]
    assert [name.split(" cut ")[0] for name in cuts] == ["views", "value", "days", "age"]
    crossed = [name for name in named if " x " in name]
    assert len(crossed) == len(learner.published.crosses) == 3
    for name, pair in zip(crossed, learner.published.crosses, strict=True):
        sides = name.split(" x ")
        assert [side.split(" ")[0] for side in sides] == [COLUMNS[column].name for column in pair]


def test_different_features_have_different_names() -> None:
    rows = random_rows(2_000, 1)
    learner = BinnedLinear(COLUMNS, DECLARED)
    learner.learn(rows, random_labels(rows, 1))
    names: dict[str, int] = {}
    for row in rows:
        active = learner.published.active(row)
        named = features(learner.published, row)
        assert len(named) == active.size
        for name, place in zip(named, active.tolist(), strict=True):
            assert names.setdefault(name, place) == place
    assert len(set(names.values())) == len(names)
