"""What makes a cluster's topics those that are declared, without a cluster."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.topic_plan import Change, FoundTopic, TopicPlan, topic_plan
from footfall.topics import Topic

CONFIG = {"cleanup.policy": "delete", "retention.ms": "1000", "min.insync.replicas": "1"}


def _plan(topic: Topic, there: FoundTopic | None) -> TopicPlan:
    return topic_plan([topic], {} if there is None else {topic.name: there, "another": there})


def _topic(partitions: int = 4, replicas: int = 2, config: Mapping[str, str] = CONFIG) -> Topic:
    return Topic("t", partitions, replicas, config)


def _found(partitions: int = 4, replicas: int = 2, **config: str) -> FoundTopic:
    more = {name.replace("_", "."): value for name, value in config.items()}
    return FoundTopic(partitions, replicas, {"unclean.leader.election.enable": "false", **CONFIG, **more})


def test_a_missing_topic_is_created() -> None:
    topic = _topic()
    after = {"partitions": "4", "replication factor": "2", **CONFIG}
    assert _plan(topic, None) == TopicPlan((Change("t", "create", topic, {}, after),), (), ())


def test_topics_that_agree() -> None:
    assert _plan(_topic(), _found()) == TopicPlan((), (), ("t",))
    both = {**CONFIG, "cleanup.policy": "compact,delete"}
    assert _plan(_topic(config=both), _found(cleanup_policy="delete,compact")).agreeing == ("t",)


def test_partitions_are_added_but_never_taken_away() -> None:
    topic = _topic(partitions=6)
    grow = Change("t", "add partitions", topic, {"partitions": "4"}, {"partitions": "6"})
    assert _plan(topic, _found()) == TopicPlan((grow,), (), ())
    plan = _plan(_topic(partitions=2), _found())
    assert plan.changes == ()
    (left,) = plan.left_alone
    assert (left.setting, left.found, left.declared) == ("partitions", "4", "2")
    assert "without losing messages" in left.reason


def test_a_compacted_topic_keeps_its_partitions() -> None:
    config = {**CONFIG, "cleanup.policy": "compact"}
    plan = _plan(_topic(partitions=6, config=config), _found(cleanup_policy="compact"))
    assert plan.changes == ()
    assert "keys would move" in plan.left_alone[0].reason


@pytest.mark.parametrize("replicas", [1, 3])
def test_the_number_of_copies_is_left_alone(replicas: int) -> None:
    plan = _plan(_topic(replicas=replicas), _found())
    assert plan.changes == ()
    assert [(each.setting, each.found) for each in plan.left_alone] == [("replication factor", "2")]


@pytest.mark.parametrize(
    ("before", "after", "altered"),
    [
        ("1000", "2000", True),
        ("1000", "-1", True),
        ("2000", "1000", False),
        ("-1", "1000", False),
    ],
)
def test_retention_grows_but_never_shrinks(before: str, after: str, *, altered: bool) -> None:
    topic = _topic(config={**CONFIG, "retention.ms": after})
    plan = _plan(topic, _found(retention_ms=before))
    if altered:
        assert plan == TopicPlan(
            (Change("t", "alter", topic, {"retention.ms": before}, {"retention.ms": after}),), (), ()
        )
    else:
        assert plan.changes == ()
        assert [(each.setting, each.found, each.declared) for each in plan.left_alone] == [
            ("retention.ms", before, after)
        ]


@pytest.mark.parametrize(
    ("before", "after", "altered"),
    [
        ("delete", "compact", False),
        ("compact", "delete", False),
        ("compact", "compact,delete", False),
        ("compact,delete", "compact", True),
    ],
)
def test_the_way_of_cleaning_up_changes_only_if_nothing_more_is_deleted(
    before: str, after: str, *, altered: bool
) -> None:
    plan = _plan(_topic(config={**CONFIG, "cleanup.policy": after}), _found(cleanup_policy=before))
    assert [each.action for each in plan.changes] == (["alter"] if altered else [])
    assert [each.setting for each in plan.left_alone] == ([] if altered else ["cleanup.policy"])


def test_what_can_be_done_is_done_beside_what_is_left_alone() -> None:
    config = {**CONFIG, "retention.ms": "1", "min.insync.replicas": "2", "no.such.property": "x"}
    topic = _topic(partitions=5, config=config)
    plan = _plan(topic, _found())
    assert plan.changes == (
        Change("t", "add partitions", topic, {"partitions": "4"}, {"partitions": "5"}),
        Change(
            "t",
            "alter",
            topic,
            {"min.insync.replicas": "1", "no.such.property": ""},
            {"min.insync.replicas": "2", "no.such.property": "x"},
        ),
    )
    assert [each.setting for each in plan.left_alone] == ["retention.ms"]
    assert plan.agreeing == ()


_CONFIGS = st.fixed_dictionaries(
    {
        "cleanup.policy": st.sampled_from(["delete", "compact", "compact,delete"]),
        "retention.ms": st.sampled_from(["-1", "1", "1000", "99999"]),
        "max.message.bytes": st.sampled_from(["1000", "2000"]),
    }
)


@given(st.integers(1, 5), st.integers(1, 3), _CONFIGS, st.integers(1, 5), st.integers(1, 3), _CONFIGS)
def test_after_the_changes_nothing_is_left_to_do_and_nothing_has_shrunk(
    partitions: int,
    replicas: int,
    config: dict[str, str],
    partitions_there: int,
    replicas_there: int,
    config_there: dict[str, str],
) -> None:
    topic = Topic("t", partitions, replicas, config)
    there = FoundTopic(partitions_there, replicas_there, config_there)
    plan = _plan(topic, there)
    after = _made(there, plan.changes)
    again = _plan(topic, after)
    assert again.changes == ()
    assert {(each.setting, each.declared) for each in again.left_alone} <= {
        (each.setting, each.declared) for each in plan.left_alone
    }
    assert after.partitions >= there.partitions
    assert after.replication_factor == there.replication_factor
    assert _bound(after) >= _bound(there)
    assert set(after.config["cleanup.policy"].split(",")) <= set(there.config["cleanup.policy"].split(","))


def _bound(topic: FoundTopic) -> float:
    value = int(topic.config["retention.ms"])
    return float("inf") if value < 0 else value


def _made(there: FoundTopic, changes: tuple[Change, ...]) -> FoundTopic:
    partitions, config = there.partitions, dict(there.config)
    for change in changes:
        assert change.action != "create"
        if change.action == "add partitions":
            partitions = int(change.after["partitions"])
        else:
            config |= change.after
    return FoundTopic(partitions, there.replication_factor, config)


def test_every_difference_left_alone_says_why() -> None:
    plan = _plan(_topic(1, 1, {**CONFIG, "retention.ms": "1", "cleanup.policy": "compact"}), _found())
    assert len(plan.left_alone) == 4
    assert all(each.reason for each in plan.left_alone)
