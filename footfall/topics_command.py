"""`footfall topics plan | apply`: what differs between the declared topics and a cluster's, and the making of it."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from footfall.duration import format_duration
from footfall.errors import BrokerError
from footfall.kafka_client import KafkaClient
from footfall.topic_plan import Change, TopicAdmin, TopicPlan, topic_plan
from footfall.topics import load_topics

DONE = 0
NOT_DONE = 1

_SIGNS = {"create": ("+", "green"), "add partitions": ("~", "yellow"), "alter": ("~", "yellow")}


def plan_topics(client: KafkaClient, topics_file: Path | None, *, as_json: bool) -> int:
    """Print what `apply_topics` would do, and what the cluster would refuse of it.

    Args:
        client: the cluster.
        topics_file: what is declared; None is the file that Footfall ships.
        as_json: print one JSON object instead of lines.

    Returns:
        0 if there is nothing to do, else 1. What is left alone doesn't count.

    Raises:
        UsageError: the file won't do.
        BrokerError: the cluster can't be asked.
    """
    admin, plan = _compared(client, topics_file)
    failures = admin.carry_out(plan.changes, only_check=True)
    _print(client, plan, failures, applied=False, as_json=as_json)
    return NOT_DONE if plan.changes else DONE


def apply_topics(client: KafkaClient, topics_file: Path | None, *, as_json: bool) -> int:
    """Make the difference, each change by itself, wait until it shows, and print what was done.

    Returns:
        0 if all was done that there was to do, else 1. What is left alone doesn't count.

    Raises:
        UsageError: the file won't do.
        BrokerError: the cluster can't be asked.
    """
    admin, plan = _compared(client, topics_file)
    failures = admin.carry_out(plan.changes)
    made = [change for change, failure in zip(plan.changes, failures, strict=True) if failure is None]
    if made and not admin.await_made(made):
        raise BrokerError(
            f"Kafka at {client.servers} has taken the changes, but doesn't show them yet; look again with `footfall "
            "topics plan`",
            code="_TIMED_OUT",
            retriable=True,
        )
    _print(client, plan, failures, applied=True, as_json=as_json)
    return NOT_DONE if any(failures) else DONE


def _compared(client: KafkaClient, topics_file: Path | None) -> tuple[TopicAdmin, TopicPlan]:
    declared = load_topics(topics_file)
    admin = TopicAdmin(client)
    return admin, topic_plan(declared, admin.found([topic.name for topic in declared]))


def _print(
    client: KafkaClient, plan: TopicPlan, failures: Sequence[str | None], *, applied: bool, as_json: bool
) -> None:
    if as_json:
        sys.stdout.write(orjson.dumps(_as_json(client, plan, failures, applied=applied)).decode() + "\n")
        return
    console = Console(highlight=False, soft_wrap=True)
    for line in _lines(client, plan, failures, applied=applied):
        console.print(line)


def _as_json(
    client: KafkaClient, plan: TopicPlan, failures: Sequence[str | None], *, applied: bool
) -> dict[str, Any]:
    return {
        "cluster": client.servers,
        "applied": applied,
        "changes": [
            {
                "topic": change.topic,
                "action": change.action,
                "before": dict(change.before),
                "after": dict(change.after),
                "failure": failure,
            }
            for change, failure in zip(plan.changes, failures, strict=True)
        ],
        "left_alone": [
            {
                "topic": each.topic,
                "setting": each.setting,
                "found": each.found,
                "declared": each.declared,
                "reason": each.reason,
            }
            for each in plan.left_alone
        ],
        "agreeing": list(plan.agreeing),
    }


def _lines(
    client: KafkaClient, plan: TopicPlan, failures: Sequence[str | None], *, applied: bool
) -> list[Text]:
    lines = [Text(f"Topics at {client.servers}", "bold")]
    names = [change.topic for change in plan.changes] + [each.topic for each in plan.left_alone]
    width = max(map(len, names), default=0)
    for change, failure in zip(plan.changes, failures, strict=True):
        sign, style = _SIGNS[change.action]
        lines.append(
            Text.assemble(
                (f"  {sign} {change.topic:{width}}  {change.action:14}", style), f"  {_difference(change)}"
            )
        )
        if failure is not None:
            lines.append(Text(f"    {'failed' if applied else 'will fail'}: {failure}", "red"))
    for each in plan.left_alone:
        found, declared = _shown(each.setting, each.found), _shown(each.setting, each.declared)
        lines.append(
            Text(
                f"  - {each.topic:{width}}  left alone      {each.setting} {found}, declared {declared}: {each.reason}",
                "dim",
            )
        )
    lines.append(Text(_summary(plan, failures, applied=applied)))
    return lines


def _difference(change: Change) -> str:
    if not change.before:
        return ", ".join(f"{name} {_shown(name, value)}" for name, value in change.after.items())
    return ", ".join(
        f"{name} {_shown(name, change.before[name]) or '(unknown)'} → {_shown(name, value)}"
        for name, value in change.after.items()
    )


def _shown(name: str, value: str) -> str:
    if not name.endswith(".ms") or not value.lstrip("-").isdigit():
        return value
    return "forever" if value == "-1" else format_duration(int(value))


def _summary(plan: TopicPlan, failures: Sequence[str | None], *, applied: bool) -> str:
    failed = sum(failure is not None for failure in failures)
    counts: Mapping[str, int] = {
        "changed" if applied else "to change": len(plan.changes) - (failed if applied else 0),
        "failed" if applied else "will fail": failed,
        "left alone": len(plan.left_alone),
        "agree": len(plan.agreeing),
    }
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    if plan.changes and not applied:
        said += "; footfall topics apply makes the difference"
    return f"{said or 'no topics'}."
