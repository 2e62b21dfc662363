"""Features and models as they are lowered: what is shared, what is kept apart, and what is refused."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from footfall import event, field
from footfall.clock import NEVER
from footfall.envelope import SCHEMA
from footfall.errors import FeatureError
from footfall.expression import Expression
from footfall.scoring.feature import (
    Feature,
    Quantity,
    category,
    count,
    days_since,
    highest,
    matches,
    seconds_on_site,
    sessions,
    total,
)
from footfall.scoring.feature_plan import RING_SLOTS, STEP, FeaturePlan
from footfall.scoring.score_model import (
    ScoreModel,
    at_event,
    at_session_end,
    days_after_last_event,
    earns,
    happens,
    stays_away,
)

DAY = 86_400_000
ORDER = event == "order_completed"
VIEW = event == "page_view"


def model_of(*quantities: Quantity, name: str = "lead") -> ScoreModel:
    features = [Feature(f"f{number}", quantity) for number, quantity in enumerate(quantities)]
    return ScoreModel(name, "", features, [at_session_end()], happens(ORDER, within="1 d"))


def plan_of(*quantities: Quantity) -> FeaturePlan:
    return FeaturePlan.compile([model_of(*quantities)])


@pytest.mark.parametrize(
    ("quantities", "slots"),
    [
        ((count(VIEW), count(event == "page_view") * 2), 1),
        ((count(VIEW), count(VIEW, over="session")), 2),
        ((count(VIEW, over="1 d"), count(VIEW, over="30 d")), RING_SLOTS),
        ((sessions(), count()), 2),
        ((total(VIEW) / count(VIEW), total(VIEW)), 2),
        ((days_since(VIEW), days_since(ORDER), days_since()), 3),
        ((matches("a"), matches("a", "b")), 2),
        ((seconds_on_site(), seconds_on_site(over="session")), 2),
    ],
)
def test_equal_parts_share_their_slots(quantities: tuple[Quantity, ...], slots: int) -> None:
    assert plan_of(*quantities).blank.size == slots


def test_a_match_counts_in_all_slots_of_its_pattern() -> None:
    plan = plan_of(matches("a"), matches("a", "b"), matches("a"))
    assert plan.match_slots == {"a": (0, 1), "b": (1,)}


def test_a_session_begins_with_its_own_slots_blank() -> None:
    plan = plan_of(count(), count(over="session"), highest(field("value"), VIEW, over="session"))
    assert plan.resets.tolist() == [1, 2]
    assert plan.blank.tolist() == [0, 0, NEVER]


def test_features_of_two_models_stand_in_one_row() -> None:
    views, orders = Feature("views", count(VIEW)), Feature("orders", count(ORDER))
    one = ScoreModel("one", "", [views], [at_session_end()], happens(ORDER, within="1 d"))
    plan = FeaturePlan.compile([one, replace(one, name="two", features=[orders, views])])
    assert [feature.name for feature in plan.features] == ["views", "orders"]
    assert [columns.tolist() for columns in plan.columns] == [[0], [1, 0]]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # Both read alike in short.
        (count() / 1_000_000, count() / 1_000_001),
        (category({"a": VIEW}), category({"a": ORDER})),
        (count(over="1 d"), count(over="2 d")),
    ],
)
def test_two_features_of_one_name_are_the_same(one: Quantity, other: Quantity) -> None:
    assert len(FeaturePlan.compile([model_of(one), model_of(one, name="churn")]).features) == 1
    with pytest.raises(
        FeatureError, match=r"two features are called f0: .* of model churn; give one another name"
    ):
        FeaturePlan.compile([model_of(one), model_of(other, name="churn")])


def test_conditions_are_asked_once() -> None:
    model = ScoreModel(
        "churn",
        "",
        [Feature("n", count(VIEW))],
        [at_event(event == "page_view"), days_after_last_event(1, once=event == "page_view")],
        stays_away(within="2 d", event=VIEW),
    )
    plan = FeaturePlan.compile([model])
    assert [str(each) for each in plan.conditions] == ["event is 'page_view'"]
    assert [str(each) for each in plan.once] == ["event is 'page_view'"]


def bits(conditions: tuple[Expression, ...]) -> dict[str, int]:
    return {each.key(): 70 + number for number, each in enumerate(conditions)}


def test_records_have_the_bits_of_the_run() -> None:
    value = ScoreModel("value", "", [Feature("n", count())], [at_event(ORDER)], earns(ORDER, within="1 h"))
    plan = FeaturePlan.compile([model_of(count(VIEW)), value])
    of = bits(plan.conditions)
    records = plan.model_records(lambda condition: of[condition.key()])
    assert records["label_bit"].tolist() == [of[ORDER.key()]] * 2
    assert records["event_bit"].tolist() == [-9, of[ORDER.key()]]
    assert records["at_session_end"].tolist() == [True, False]
    assert records["horizon"].tolist() == [DAY, 3_600_000]
    assert records["earned_slot"][0] == -1
    assert len(set(records["seed"].tolist())) == 2
    operations = plan.operations(lambda condition: of[condition.key()])
    assert sorted(operations["bit"].tolist()) == sorted([of[VIEW.key()], -1, of[ORDER.key()]])


def test_moments_of_one_delay_and_condition_are_one() -> None:
    def after(name: str, *days: int, once: Expression = ORDER) -> ScoreModel:
        moments = [days_after_last_event(*days, once=once)]
        return ScoreModel(name, "", [Feature("n", count())], moments, stays_away(within="9 d"))

    plan = FeaturePlan.compile([after("a", 1, 3), after("b", 3), after("c", 3, once=VIEW)])
    assert [tuple(each) for each in plan.timers().tolist()] == [
        (DAY, 0b001, 0), (3 * DAY, 0b011, 0), (3 * DAY, 0b100, 1),
    ]  # fmt: skip


def test_a_plan_without_counted_events_has_no_operations() -> None:
    plan = FeaturePlan.compile(
        [
            ScoreModel(
                "lead", "", [Feature("n", matches("a"))], [at_session_end()], happens(ORDER, within="1 d")
            )
        ]
    )
    assert plan.operations(lambda _: 0).size == 0
    assert plan.groups(lambda _: 0).size == 0


def test_codes_are_of_the_first_word_that_fits() -> None:
    either = category({"both": (field("path") == "/a") & VIEW, "a": field("path") == "/a", "view": VIEW})
    plan = plan_of(either)
    blank = dict.fromkeys(SCHEMA)
    frame = pl.DataFrame(
        [
            {**blank, "event": "page_view", "path": "/a"},
            {**blank, "event": "click", "path": "/a"},
            {**blank, "event": "page_view", "path": None},
            {**blank, "event": "click", "path": None},
        ],
        schema=SCHEMA,
    )
    assert frame.with_columns(plan.code_columns)["0"].to_list() == [0, 1, 2, -1]


def test_a_deep_feature_is_refused() -> None:
    deep: Quantity = count()
    for _ in range(15):
        deep = count() + deep
    plan_of(deep)
    with pytest.raises(FeatureError, match="feature f0 is nested too deeply"):
        plan_of(count() + deep)
    wide: Quantity = count()
    for _ in range(200):
        wide += count()
    assert plan_of(wide).steps.dtype == STEP


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ([model_of(count(event > 3))], "feature f0: "),
        ([model_of(highest(field("path"), VIEW))], "highest() needs a number, and 'path' is a text"),
        ([replace(model_of(count()), predict=[at_event(event > 3)])], "model lead: "),
        ([replace(model_of(count()), label=happens(field("nope") == 1, within="1 d"))], "model lead: "),
        ([model_of(count(), name=f"m{n}") for n in range(32)], "at most 31 models, not 32"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(models: list[ScoreModel], words: str) -> None:
    with pytest.raises(FeatureError) as caught:
        FeaturePlan.compile(models)
    assert words in str(caught.value)


def test_no_models_are_no_features() -> None:
    plan = FeaturePlan.compile([])
    assert plan.features == ()
    assert plan.timers().size == 0
    assert isinstance(plan.ends, np.ndarray)
