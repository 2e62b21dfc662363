"""A live run that begins with its past: a store, or files, and then the topic, as if it had read all from the topic."""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command_line import Started, failed, wait_until
from confluent_kafka import Producer
from kafka_broker import KafkaBroker
from kafka_messages import read_topic
from live_runs import (
    IDS,
    LATENESS,
    LIMIT,
    SEAL,
    SENTINEL,
    UNSTABLE,
    Answers,
    Feed,
    LiveCase,
    Record,
    differences,
    has_scored,
    in_one_piece,
    running,
    traffic,
)

from footfall.history_plan import OVERLAP_MS
from footfall.store import open_store, parse_dsn
from footfall.tables import TABLES

VISITORS, DAYS = 250, 5
PARTITIONS = 3
PAST = 0.6
REPEATED = 5
KILLS = 4
GAP_MS = 1_800_000
DECIDED = {"sessions": "end_time", "matches": "settled_time", "triggers": "due_time", "scores": "time"}
OFTEN = ("--snapshot-interval", "300 ms", "--batch-size", 1_000)
OF_THE_WAY = ("duplicates", "partitions")
"""What a store doesn't keep, and what a past of its own adds to."""


class HistoryCase(LiveCase):
    """A live run with a past, some of whose partitions end."""

    def wait_until_settled(self, leg: Started, within: float = LIMIT) -> None:
        """Wait until all is read, every live partition's sentinel has passed, and no row waits for the store."""
        seal = (SEAL - LATENESS - 1) / 1000 - 0.001
        calm: list[float] = []

        def settled() -> bool:
            if leg.process.poll() is not None:
                return True
            now = self.metrics()
            marks = [v for name, v in now.items() if name.startswith("footfall_watermark_timestamp_seconds{")]
            lags = [v for name, v in now.items() if name.startswith("footfall_lag_records{")]
            waiting = [v for name, v in now.items() if name.startswith("footfall_sink_waiting_rows{")]
            good = (
                len(marks) == PARTITIONS
                and min(marks) >= seal
                and len(lags) >= PARTITIONS
                and has_scored(now)
            )
            if not good or any(lags) or len(waiting) != 2 or any(waiting):
                calm.clear()
                return False
            calm.append(time.monotonic())
            return calm[-1] - calm[0] > 3.0

        assert wait_until(settled, within), f"it doesn't settle: {self.metrics()}\n{self.said(leg)}"
        assert leg.process.poll() is None, self.said(leg)


def messages(broker: KafkaBroker, case: LiveCase) -> dict[str, list[dict[str, Any]]]:
    """What a case has sent so far, by topic, without what may differ from one sending to the next."""
    found = {}
    for topic, id_name in IDS.items():
        found[topic] = [
            json.loads(each.value) for each in read_topic(broker.bootstrap, topic, case.since(topic))
        ]
        for message in found[topic]:
            for name in ("sent_at", *UNSTABLE.get(id_name.removesuffix("_id") + "s", ())):
                message.pop(name, None)
    return found


def acted_on(sent: Sequence[dict[str, Any]], id_name: str) -> dict[str, list[dict[str, Any]]]:
    """Id -> what a consumer acts on that goes by id and revision."""
    found: dict[str, list[dict[str, Any]]] = {}
    for message in sent:
        known = found.setdefault(message[id_name], [])
        if not known or message["revision"] > known[-1]["revision"]:
            known.append(message)
        else:
            assert message in known, f"a message that came again is another one: {message}"
    return found


def latest_settled(dsn: str) -> int:
    """The time (ms) of a store's last event."""
    store = open_store(parse_dsn(dsn), wait_for_owner=30, create=False)
    try:
        return int(store.query("SELECT toUnixTimestamp64Milli(max(event_time)) AS at FROM events")["at"][0])
    finally:
        store.close()


def comparable(answers: Answers, whole: Answers) -> Answers:
    """Answers without what a past that comes from elsewhere changes; messages are compared apart."""
    totals = {name: value for name, value in answers.totals.items() if name not in OF_THE_WAY}
    return Answers(answers.answer, totals, whole.accepted, answers.rows)


def ms(text: str) -> int:
    """A message's time in ms."""
    return int(pl.Series([text]).str.to_datetime(time_unit="ms", time_zone="UTC").dt.epoch("ms")[0])


def assert_all_is_sent_once_and_nothing_of_the_past(
    whole: Answers,
    before: dict[str, list[dict[str, Any]]],
    after: dict[str, list[dict[str, Any]]],
    since: int,
) -> None:
    """Two runs' messages, one behind the other, are to a consumer those of a run that saw all."""
    for topic, id_name in IDS.items():
        first = since - (GAP_MS if topic == "sessions" else 0)
        past = [each for each in after[topic] if ms(each[DECIDED[topic]]) < first]
        assert not past, f"{topic}: {len(past)} of the past are sent, such as {past[0]}"
        together = acted_on([*before[topic], *after[topic]], id_name)
        together = {name: found for name, found in together.items() if not _of_sentinel(found[0])}
        expected = {
            name: found for name, found in whole.accepted[topic].items() if not _of_sentinel(found[0])
        }
        assert together == expected, f"{topic}: {len(together)} instead of {len(expected)}"


def _of_sentinel(message: dict[str, Any]) -> bool:
    return bool(message["visitor_id"].startswith(SENTINEL))


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Some days of traffic: of all but the last one of its past, a run is sure that it has settled."""
    return traffic(tmp_path_factory.mktemp("traffic"), VISITORS, days=DAYS)


@dataclass(frozen=True, slots=True)
class Past:
    """A topic of which a run has read the first part, and that is whole now.

    Attributes:
        topic: the topic.
        store: that run's store.
        sent: that run's messages.
        whole: what a run answers that reads all of the topic.
        records: how many records that store has.
    """

    topic: str
    store: str
    sent: dict[str, list[dict[str, Any]]]
    whole: Answers
    records: int

    @property
    def since(self) -> int:
        """When sending begins."""
        return latest_settled(self.store) - OVERLAP_MS


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory, kafka: KafkaBroker, records: list[Record]) -> Past:
    """A topic whose first days are past."""
    folder = tmp_path_factory.mktemp("past")
    topic = kafka.new_topic(PARTITIONS)
    feed = Feed(kafka.bootstrap, topic, records)
    try:
        feed.begin()
        with running(LiveCase(folder / "first", kafka, topic, *OFTEN)) as case:
            leg = case.start()
            case.wait_until_ready(leg)
            feed.release(PAST)
            feed.flush()
            goal = int(PAST * len(records))
            assert wait_until(lambda: case.records() >= goal, LIMIT), case.said(leg)
            # What the store hasn't taken yet isn't in it, and would be read from the topic.
            written = wait_until(
                lambda: (case.total("sink_rows_total", having="store") or 0) > 0.95 * goal, LIMIT
            )
            assert written, case.metrics()
            case.stop(leg)
        sent = messages(kafka, case)
        feed.seal(PARTITIONS)
    finally:
        feed.close()
    whole = in_one_piece(folder / "whole", kafka, topic)
    return Past(topic, case.store, sent, whole, goal)


def assert_same(past: Past, kafka: KafkaBroker, case: LiveCase, answers: Answers) -> None:
    """A run that began with the past answers as one that read all, and sends what the past hadn't sent."""
    assert differences(comparable(past.whole, past.whole), comparable(answers, past.whole)) == []
    assert_all_is_sent_once_and_nothing_of_the_past(past.whole, past.sent, messages(kafka, case), past.since)


def copied(past: Past, folder: Path) -> str:
    """The past's store once more, for a run that writes to it."""
    dsn = f"chdb://{folder / 'store'}"
    store = open_store(parse_dsn(past.store), wait_for_owner=30, create=False)
    try:
        frames = {
            table: store.query(f"SELECT {', '.join(table.schema.names())} FROM {table.name}").cast(
                table.schema
            )
            for table in TABLES
        }
    finally:
        store.close()
    store = open_store(parse_dsn(dsn))
    try:
        store.migrate()
        for table, frame in frames.items():
            store.insert(table, frame)
    finally:
        store.close()
    return dsn


@pytest.mark.parametrize(("workers", "itself"), [(1, False), (2, True)])
def test_a_run_that_begins_with_a_store_answers_as_one_that_read_the_whole_topic(
    tmp_path: Path, kafka: KafkaBroker, past: Past, *, workers: int, itself: bool
) -> None:
    store = copied(past, tmp_path) if itself else ""
    again = HistoryCase(
        tmp_path, kafka, past.topic, *OFTEN, "--from-history", store or past.store, store=store
    )
    with running(again) as case:
        leg = case.start(workers)
        case.wait_until_settled(leg)
        said = case.said(leg)
        answers = case.answers(case.stop(leg))
    assert said.count("goes on live at offset") == PARTITIONS, said
    assert_same(past, kafka, again, answers)


@pytest.mark.timeout(300)
def test_a_run_that_is_killed_around_the_handover_answers_as_one_that_is_not(
    tmp_path: Path, kafka: KafkaBroker, past: Past
) -> None:
    often = ("--snapshot-interval", "100 ms", "--batch-size", 200)
    store = copied(past, tmp_path)
    again = HistoryCase(tmp_path, kafka, past.topic, *often, "--from-history", store, store=store)
    kills: list[tuple[int, int]] = []
    with running(again) as case:
        leg = case.start()
        for number in range(KILLS):
            before, crossed = case.records(), _crossings(case, leg)
            # The first time in the past, then as soon as one more of the partitions goes from there to the topic.
            due = (
                partial(_has_moved, case, leg, before)
                if number == 0
                else partial(_has_crossed, case, leg, crossed, past)
            )
            assert wait_until(due, LIMIT), case.said(leg)
            kills.append((case.records(), _crossings(case, leg) - crossed))
            if number % 2:
                leg.kill(*leg.workers())
            else:
                case.kill(leg, "all")
                leg = case.start()
        case.wait_until_settled(leg)
        answers = case.answers(case.stop(leg))
    # Some kills came before all partitions had gone over, or before a snapshot knew that they had.
    crossings = [crossed for _, crossed in kills]
    assert sum(crossings) > PARTITIONS or any(0 < each < PARTITIONS for each in crossings), kills
    assert_same(past, kafka, again, answers)


def _crossings(case: LiveCase, leg: Started) -> int:
    """How often a partition has gone from its past to its topic since the leg began."""
    return case.said(leg).count("goes on live")


def _has_moved(case: LiveCase, leg: Started, at: int) -> bool:
    assert leg.process.poll() is None, case.said(leg)
    return case.records() > at


def _has_crossed(case: LiveCase, leg: Started, crossed: int, past: Past) -> bool:
    return _crossings(case, leg) > crossed or _has_moved(case, leg, past.records)


def _is_late(value: bytes, past: Past) -> bool:
    """Whether the record was late in the past, or no event at all."""
    late = past.whole.rows["late_events"]["message_id"].to_list()
    try:
        return json.loads(value)["message_id"] in late
    except (ValueError, KeyError, TypeError):
        return True


def test_a_run_that_begins_with_files_goes_on_with_the_topic(
    tmp_path: Path, kafka: KafkaBroker, past: Past
) -> None:
    topic = kafka.new_topic(PARTITIONS)
    read = read_topic(kafka.bootstrap, past.topic)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    arguments: list[object] = []
    last = 0
    for partition in range(PARTITIONS):
        values = [each.value for each in read if each.partition == partition]
        handover = int(PAST * len(values))
        # A visitor's records are in one file each, and the last of them in the topic too: a late one would count twice.
        while any(_is_late(value, past) for value in values[handover - REPEATED : handover]):
            handover -= 1
        file = tmp_path / f"past-{partition}.ndjson"
        file.write_bytes(b"".join(value + b"\n" for value in values[:handover]))
        arguments += ["--from-history", file]
        last = max([last, *(_arrival(value) for value in values[:handover])])
        for value in values[handover - REPEATED :]:
            producer.produce(topic, value, partition=partition)
    assert producer.flush(LIMIT) == 0
    files = HistoryCase(tmp_path / "case", kafka, topic, *OFTEN, *arguments)
    with running(files) as case:
        leg = case.start()
        case.wait_until_settled(leg)
        answers = case.answers(case.stop(leg))
    whole, found = comparable(past.whole.standing(), past.whole), comparable(answers.standing(), past.whole)
    for each in (whole, found):
        each.rows["dead_letters"] = (
            each.rows["dead_letters"].select("reason", "bytes", "digest").sort("digest")
        )
        for table in ("events", "late_events"):
            names = [
                name for name in each.rows[table].columns if name not in {"source_partition", "source_offset"}
            ]
            each.rows[table] = each.rows[table].select(names).sort(*names[:6])
    assert differences(whole, found) == []
    for topic_name, id_name in IDS.items():
        first = last - (GAP_MS if topic_name == "sessions" else 0)
        expected = _standing(past.whole.accepted[topic_name].values(), topic_name, first)
        sent = acted_on(messages(kafka, files)[topic_name], id_name)
        assert _standing(sent.values(), topic_name, 0) == expected, topic_name
        assert len(expected) < len(past.whole.accepted[topic_name])


def _arrival(value: bytes) -> int:
    try:
        record = json.loads(value)
        return ms(record["arrival_time"])
    except (ValueError, KeyError, TypeError, RecursionError, pl.exceptions.PolarsError):
        return 0


def _standing(accepted: Iterable[list[dict[str, Any]]], topic: str, first: int) -> dict[str, dict[str, Any]]:
    """What stands, of what was decided at that time (ms) or later: by id, without revisions."""
    found = {}
    for each in accepted:
        message = {name: value for name, value in each[-1].items() if name != "revision"}
        decided = ms(message[DECIDED[topic]]) >= first
        if decided and message["status"] != "retracted" and not _of_sentinel(message):
            found[message[IDS[topic]]] = message
    return found


def test_another_history_and_none_are_refused(tmp_path: Path, kafka: KafkaBroker, past: Past) -> None:
    again = HistoryCase(tmp_path, kafka, past.topic, "--from-history", past.store)
    with running(again) as case:
        leg = case.start()
        case.wait_until_ready(leg)
        case.stop(leg)
    plain = tuple(each for each in again.arguments if each not in {"--from-history", past.store})
    said = failed("live", *plain, cwd=tmp_path, code=1)
    assert "history" in said
    assert "belongs to another run" in said
    said = failed("live", *plain, "--from-history", "chdb://elsewhere", cwd=tmp_path, code=1)
    assert "belongs to another run" in said
