"""Live runs against a real broker, for the tests that pull their plugs: traffic, runs, and all that they answer.

The traffic is of a simulated past, so that event time runs fast: its records have arrivals of their own, and sentinels
in every partition, weeks later, let every real session, absence and trigger settle. What two runs over one topic answer
is then comparable word for word, whatever happened to them on the way.
"""

import json
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from command_line import Started, wait_until
from confluent_kafka import Consumer, Producer, TopicPartition
from kafka_broker import KafkaCluster
from kafka_messages import read_topic, topic_ends

from footfall.simulate import Simulation, simulate
from footfall.store import open_store, parse_dsn
from footfall.tables import CONTROLS, TABLES

DAY = 86_400_000
BEGIN = time.time_ns() // 1_000_000 // DAY * DAY - 100 * DAY
"""When the traffic begins: long ago, so that arrivals are behind the clock, but not so long that triggers expire."""
SEAL = BEGIN + 50 * DAY
"""The event time of the sentinels: more than the longest wait of a shipped pattern behind the traffic."""
LATENESS = 5_000
SENTINEL = "sentinel-"
OUTPUTS = {"sessions": 8, "matches": 8, "triggers": 8, "scores": 8, "late": 2, "dead": 1, "control": 1}
EARLY_RULES = ("help_now", "high_intent")
_MESSAGE_ID = re.compile(rb'"message_id":"([^"]+)"')
UNSTABLE: dict[str, tuple[str, ...]] = {}
"""Topic -> fields of its messages that aren't the same in every run; there must be none."""
IDS = {"sessions": "session_id", "matches": "match_id", "triggers": "trigger_id", "scores": "score_id"}
OF_A_RUN = ("workers", "restarts", "lag", "events", "waiting", "records", "early", "retracted", "unsent")
"""What a report says of the way a run went, or of sentinels that settle as time goes by."""
LIMIT = 120.0
_TICK_SECONDS = 120.0
_LONGEST = 900_000

PATTERNS = '''"""All shipped patterns and models, with rules whose triggers live long, so that a past can be played."""

from footfall import event, field
from footfall.pattern_files import read_folder
from footfall.trigger_rule import TriggerRule

globals().update({pattern.name: pattern for pattern in read_folder().patterns})
globals().update({model.name: model for model in read_folder().models})
ALWAYS = {"active_from": "2020-01-01T00:00:00Z", "expires_after": "400 d"}

abandonment = TriggerRule(
    "abandonment", pattern="booking_abandoned", action="remind", delay="1 h",
    withdrawn_by=event == "booking_completed", **ALWAYS,
)
engagement = TriggerRule(
    "engagement", pattern="high_engagement_no_conversion", action="offer", delay="24 h", cooldown="1 h", **ALWAYS
)
inactive = TriggerRule(
    "inactive", pattern="customer_inactive", action="win_back", condition=field("user_id").is_not_null(), **ALWAYS
)
cross_sell = TriggerRule("cross_sell", pattern="service_completed", action="suggest", delay="7 d", **ALWAYS)
likely = TriggerRule(
    "likely", pattern="exit_intent", action="offer", condition=field("lead_score") > 1.0, cooldown="2 h", **ALWAYS
)
exits = TriggerRule("exits", pattern="exit_intent", action="hold", cap=(2, "1 d"), **ALWAYS)
help_now = TriggerRule("help_now", pattern="rage_click", action="chat", kind="early", **ALWAYS)
high_intent = TriggerRule("high_intent", pattern="exit_intent_high_intent", action="ask", kind="early", **ALWAYS)
'''


@dataclass(frozen=True, slots=True)
class Record:
    """A record to produce: its visitor (None: unknown, it may go anywhere) and its bytes."""

    key: str | None
    value: bytes


class _Named(msgspec.Struct):
    visitor_id: str | None = None
    user_id: str | None = None


def traffic(folder: Path, visitors: int, *, seed: int = 11, days: int = 1) -> list[Record]:
    """Some days of traffic, in the order of its arrival: 15 to 16 records a visitor and day.

    Some are late, copied or malformed.
    """
    path = folder / f"traffic-{visitors}-{seed}.ndjson"
    plan = Simulation(
        visitors=visitors, duration=days * DAY, seed=seed, start=BEGIN, late=0.01, duplicates=0.02
    )
    simulate(plan, path)
    decoder = msgspec.json.Decoder(_Named)
    records = []
    with path.open("rb") as lines:
        for line in lines:
            if len(line) > _LONGEST:
                continue  # one of those that are malformed by their size, which no producer takes
            try:
                named = decoder.decode(line)
                key = named.visitor_id or named.user_id
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                key = None
            records.append(Record(key, line.rstrip(b"\n")))
    path.unlink()
    return records


class Feed:
    """Produces records to a topic, all of a visitor to one partition, in a thread that can be held back.

    Attributes:
        sent: how many records were handed over.
    """

    def __init__(self, bootstrap: str, topic: str, records: Sequence[Record]) -> None:
        """Connect; nothing goes out before it is released."""
        self.topic = topic
        self.records = records
        self.sent = 0
        self._limit = 0
        self._may = threading.Condition()
        self._closed = False
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "log_level": 0,
                "linger.ms": 5,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "message.timeout.ms": 300_000,
                "reconnect.backoff.max.ms": 500,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    def release(self, share: float) -> None:
        """Let this share of all records (and less) go out."""
        with self._may:
            self._limit = max(self._limit, min(len(self.records), int(share * len(self.records))))
            self._may.notify_all()

    def begin(self) -> None:
        """Send the first records, some to every partition.

        At the end of a partition that has none yet, a live run goes by the clock of the broker, for which all of this
        traffic is late.
        """
        self.release(0.01)
        self.flush()

    def seal(self, partitions: int) -> None:
        """Send what is left, then the sentinels; returns when the broker has all."""
        self.release(1.0)
        assert wait_until(lambda: self.sent == len(self.records), LIMIT)
        for partition in range(partitions):
            self._producer.produce(self.topic, _sentinel(partition), partition=partition)
        assert self._producer.flush(LIMIT) == 0

    def flush(self) -> None:
        """Wait until the broker has all that was released."""
        assert wait_until(lambda: self.sent >= self._limit, LIMIT)
        assert self._producer.flush(LIMIT) == 0

    def close(self) -> None:
        """End the thread."""
        with self._may:
            self._closed = True
            self._may.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._may:
                self._may.wait_for(lambda: self._closed or self.sent < self._limit)
                if self._closed:
                    return
                until = min(self._limit, self.sent + 2_000)
            for record in self.records[self.sent : until]:
                while True:
                    try:
                        self._producer.produce(self.topic, record.value, key=record.key)
                    except BufferError:
                        self._producer.poll(0.1)
                        continue
                    break
            self._producer.poll(0)
            self.sent = until


def _sentinel(partition: int) -> bytes:
    when = _iso(SEAL)
    return msgspec.json.encode(
        {
            "message_id": f"{SENTINEL}{partition}",
            "visitor_id": f"{SENTINEL}{partition}",
            "event": "app_opened",
            "event_time": when,
            "arrival_time": when,
        }
    )


def _iso(ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d}Z"


def outputs(broker: KafkaCluster) -> None:
    """See that the topics are there that a live run writes to."""
    there = broker.admin.list_topics(timeout=10).topics
    for name, partitions in OUTPUTS.items():
        if name not in there:
            broker.new_topic(partitions, name=name)


@dataclass(frozen=True, slots=True)
class Answers:
    """All that a run answered, as it stands at the end.

    Attributes:
        answer: the digest.
        totals: the report, without what tells of the way.
        accepted: topic -> id -> what a consumer that goes by id and revision acts on, one after the other.
        rows: table -> its rows, sorted.
    """

    answer: str
    totals: dict[str, Any]
    accepted: dict[str, dict[str, list[dict[str, Any]]]]
    rows: dict[str, pl.DataFrame]

    def standing(self) -> "Answers":
        """What stands at the end, fired and not retracted, whatever the revision."""
        accepted = {
            topic: {
                name: [{key: value for key, value in messages[-1].items() if key != "revision"}]
                for name, messages in by_id.items()
                if messages[-1].get("status") != "retracted"
            }
            for topic, by_id in self.accepted.items()
        }
        rows = {
            table: rows.filter(pl.col("status") != "retracted").drop("revision")
            if {"status", "revision"} <= set(rows.columns)
            else rows
            for table, rows in self.rows.items()
        }
        totals = dict(self.totals)
        decided: dict[str, Any] = totals.pop("triggers")
        totals["triggers"] = {rule: counts for rule, counts in decided.items() if rule not in EARLY_RULES}
        return Answers(self.answer, totals, accepted, rows)


def differences(one: Answers, other: Answers) -> list[str]:
    """In which ways two runs' answers differ, with examples; none if they are the same."""
    found = []
    if one.answer != other.answer:
        found.append(f"answer: {one.answer} and {other.answer}")
    found += [
        f"{name}: {one.totals.get(name)} and {other.totals.get(name)}"
        for name in sorted({*one.totals, *other.totals})
        if one.totals.get(name) != other.totals.get(name)
    ]
    for topic, messages in one.accepted.items():
        others = other.accepted[topic]
        lost, extra = sorted(set(messages) - set(others)), sorted(set(others) - set(messages))
        changed = sorted(name for name in set(messages) & set(others) if messages[name] != others[name])
        for what, names in (("lost", lost), ("extra", extra), ("changed", changed)):
            if names:
                name = names[0]
                found.append(
                    f"topic {topic}: {len(names)} of {len(messages)} {what}, such as {messages.get(name)} "
                    f"and {others.get(name)}"
                )
    for table, rows in one.rows.items():
        others_rows = other.rows[table]
        if not rows.equals(others_rows):
            lacking = rows.join(others_rows, on=rows.columns, how="anti", nulls_equal=True)
            more = others_rows.join(rows, on=rows.columns, how="anti", nulls_equal=True)
            found.append(
                f"table {table}: {rows.height} and {others_rows.height} rows, lacking {lacking.height}: "
                f"{lacking.head(2).to_dicts()}, more {more.height}: {more.head(2).to_dicts()}"
            )
    return found


class LiveCase:
    """A live run over a topic, with its state and its store in `folder`; it may be started, killed and stopped often.

    Only one case at a time may write to a broker: what it sent is what came after it was made.

    Args:
        folder: where it keeps all; made if need be.
        broker: the cluster.
        topic: the topic that is read.
        more: further arguments of `footfall live`.
        store: the store's DSN; one in `folder` if it is empty.
    """

    def __init__(
        self, folder: Path, broker: KafkaCluster, topic: str, *more: object, store: str = ""
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.state = folder / "state"
        self.store = store or f"chdb://{folder / 'store'}"
        self._broker = broker
        self._port = _free_port()
        patterns = folder / "patterns"
        patterns.mkdir(exist_ok=True)
        (patterns / "all.py").write_text(PATTERNS, encoding="utf-8")
        outputs(broker)
        self._since = {name: topic_ends(broker.bootstrap, name) for name in OUTPUTS}
        self.arguments: tuple[object, ...] = (
            *("--kafka", broker.bootstrap, "--input-topics", topic, "--patterns", patterns),
            *(
                "--early",
                "--keyed-by-visitor",
                "--store",
                self.store,
                "--state",
                self.state,
                "--quiet",
                "--json",
            ),
            *("--metrics", f"127.0.0.1:{self._port}", "--log-format", "json"),
            *more,
        )
        self._topic = topic
        self._legs: list[Started] = []

    def start(self, workers: int = 1, *more: object) -> Started:
        """Start it, or start it again."""
        leg = Started("live", *self.arguments, "--workers", workers, *more, cwd=self.folder, terminal=True)
        self._legs.append(leg)
        return leg

    def since(self, topic: str) -> dict[int, int]:
        """The offsets of an output topic from which on messages are this case's."""
        return self._since[topic]

    def said(self, leg: Started) -> str:
        """What a leg has logged so far."""
        return bytes(leg._shown).decode(errors="replace")

    def metrics(self) -> dict[str, float]:
        """The metrics as they are now, by name and labels; none while it doesn't serve them."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=2) as page:
                lines = page.read().decode().splitlines()
        except OSError:
            return {}
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def total(self, name: str, *, having: str = "") -> float | None:
        """The sum of a metric's series whose labels have a text; None if there is no such series."""
        found = [
            value
            for series, value in self.metrics().items()
            if series.partition("{")[0] == f"footfall_{name}" and having in series
        ]
        return sum(found) if found else None

    def records(self) -> int:
        """How many records it says it has read."""
        return int(self.total("records_total") or 0)

    def wait_until_ready(self, leg: Started, within: float = LIMIT) -> None:
        """Wait until it says that it is ready."""
        ready = wait_until(lambda: self.total("ready") == 1 or leg.process.poll() is not None, within)
        assert ready, f"it doesn't get ready: {self.metrics()}\n{self.said(leg)}"
        assert leg.process.poll() is None, self.said(leg)

    def wait_until_settled(self, leg: Started, within: float = LIMIT) -> None:
        """Wait until all has been read, every partition's sentinel has passed, and no row waits for the store."""
        partitions = len(topic_ends(self._broker.bootstrap, self._topic))
        seal = (SEAL - LATENESS - 1) / 1000 - 0.001

        def settled() -> bool:
            now = self.metrics()
            marks = [v for name, v in now.items() if name.startswith("footfall_watermark_timestamp_seconds{")]
            lags = [v for name, v in now.items() if name.startswith("footfall_lag_records{")]
            waiting = [v for name, v in now.items() if name.startswith("footfall_sink_waiting_rows{")]
            unsettled = sum(v for name, v in now.items() if name.startswith("footfall_waiting_events"))
            return (
                len(marks) == len(lags) == partitions
                and min(marks) >= seal
                and has_scored(now)
                and not any(lags)
                and len(waiting) == 2
                and not any(waiting)
                and unsettled <= partitions  # the sentinels
            )

        calm: list[float] = []

        def calm_long_enough() -> bool:
            """A sink says how it stands once a second: what it said may be older than the last rows."""
            if leg.process.poll() is not None:
                return True
            if not settled():
                calm.clear()
                return False
            calm.append(time.monotonic())
            return calm[-1] - calm[0] > 2.5

        assert wait_until(calm_long_enough, within), f"it doesn't settle: {self.metrics()}\n{self.said(leg)}"
        assert leg.process.poll() is None, self.said(leg)

    def stop(self, leg: Started) -> dict[str, Any]:
        """Ask a leg to stop, and give its report."""
        leg.process.terminate()
        ended = leg.ended(60)
        assert ended.code == 143, (ended.code, ended.err)
        leg.close()
        report = json.loads(ended.out)
        assert isinstance(report, dict)
        return report

    def kill(self, leg: Started, target: str) -> None:
        """Kill a leg's parent, or all its processes, and wait until nothing is left of it."""
        leg.kill(*([leg.process.pid] if target == "parent" else leg.processes()))
        assert leg.all_gone(20), f"it outlives its parent: {leg.processes()}"
        leg.close()

    def answers(self, report: Mapping[str, Any]) -> Answers:
        """All that the run answered, from its report, its topics and its store; it must have stopped."""
        assert not list(self.state.glob("spool/*/*.spool")), "rows are left in the spool"
        accepted: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for topic, name in IDS.items():
            accepted[topic] = _accepted(
                name, [each.value for each in read_topic(self._broker.bootstrap, topic, self._since[topic])]
            )
        totals = {key: value for key, value in report.items() if key not in (*OF_A_RUN, "answer")}
        return Answers(report["answer"], totals, accepted, stored_rows(self.store))

    def close(self) -> None:
        """Kill what is left of all legs."""
        for leg in self._legs:
            leg.close()


def early_latencies(
    broker: KafkaCluster, topic: str, since: Mapping[int, int], began: int, ended: int
) -> list[int]:
    """How long (ms) early triggers took from the broker's taking of their last event to that of the trigger, sorted.

    Of events that the broker took between `began` and `ended` (ms); both topics must be dated by it.
    """
    taken: dict[str, int] = {}
    for at, value in _dated(broker.bootstrap, topic, {}):
        if began <= at <= ended and (found := _MESSAGE_ID.search(value)):
            taken.setdefault(found[1].decode(errors="replace"), at)
    latencies = []
    for at, value in _dated(broker.bootstrap, "triggers", since):
        message = json.loads(value)
        if message["rule"] not in EARLY_RULES or message["revision"] != 0:
            continue
        events = [name for names in message["evidence"].values() for name in names]
        if all(name in taken for name in events):
            latencies.append(at - max(taken[name] for name in events))
    return sorted(latencies)


def _dated(bootstrap: str, topic: str, since: Mapping[int, int]) -> Iterator[tuple[int, bytes]]:
    """A topic's messages now: timestamp (ms) and value."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "tests", "enable.auto.commit": False})
    try:
        for number, end in topic_ends(bootstrap, topic).items():
            at = since.get(number, 0)
            consumer.assign([TopicPartition(topic, number, at)])
            until = time.monotonic() + LIMIT
            while at < end:
                assert time.monotonic() < until, f"{topic}/{number} can't be read to its end"
                for message in consumer.consume(1_000, 0.2):
                    if message.error() is None:
                        at = (message.offset() or 0) + 1
                        yield message.timestamp()[1], message.value() or b""
    finally:
        consumer.close()


@contextmanager
def running(case: LiveCase, *feeds: Feed) -> Iterator[LiveCase]:
    """A case within which runs are started; in the end nothing is left of them."""
    try:
        yield case
    finally:
        for feed in feeds:
            feed.close()
        case.close()


def in_one_piece(folder: Path, broker: KafkaCluster, topic: str, *more: object) -> Answers:
    """What a run answers that nobody disturbs, over all that stands in a topic."""
    with running(LiveCase(folder, broker, topic, *more)) as case:
        leg = case.start()
        case.wait_until_settled(leg)
        answers = case.answers(case.stop(leg))
    for topic_name, messages in answers.accepted.items():
        assert messages, f"topic {topic_name} has no message that could be lost"
    for table, rows in answers.rows.items():
        assert rows.height, f"table {table} has no row that could be lost"
    return answers


def has_scored(now: Mapping[str, float]) -> bool:
    """Whether a run's metrics say that its models have scored all that lies before the sentinels.

    What was scored last is written after the shards have settled.
    """
    scored = now.get("footfall_models_settled_timestamp_seconds", 0.0)
    return scored >= (SEAL - LATENESS - 1) / 1000 - 0.001 - _TICK_SECONDS


def _accepted(id_name: str, values: Sequence[bytes]) -> dict[str, list[dict[str, Any]]]:
    """Id -> the messages that a consumer acts on: those with a higher revision than it has.

    A message that comes again must be the same one.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for value in values:
        message = json.loads(value)
        message.pop("sent_at", None)
        known = found.setdefault(message[id_name], [])
        revision = message["revision"]
        if known and revision <= known[-1]["revision"]:
            same = [each for each in known if each["revision"] == revision]
            assert same == [message], f"a message that came again is another one: {same} and {message}"
            continue
        known.append(message)
    return found


def stored_rows(dsn: str) -> dict[str, pl.DataFrame]:
    """The rows of a store, sorted by their keys, without the sentinels'."""
    store = open_store(parse_dsn(dsn), wait_for_owner=30, create=False)
    found = {}
    try:
        for table in TABLES:
            if table is CONTROLS:
                continue  # it says when they were written, by the clock
            columns = [
                f"hex({name}) AS {name}" if dtype == pl.Binary else name for name, dtype, _ in table.columns
            ]
            rows = store.query(f"SELECT {', '.join(columns)} FROM {table.name}")
            if "visitor_id" in rows.columns:
                rows = rows.filter(~pl.col("visitor_id").fill_null("").str.starts_with(SENTINEL))
            assert not rows.select(table.key).is_duplicated().any(), f"{table.name} has rows of one key"
            found[table.name] = rows.sort(table.key)
    finally:
        store.close()
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
