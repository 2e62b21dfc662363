"""Traffic onto a topic for the live run's benchmarks: visitors who come, act for some minutes, go, and come again.

`Production` runs this module as a process of its own. So many visitors are there at once; after some events each makes
room for the next of the population, and who was there longest ago comes next, so that with time nothing grows. All
records of a visitor go to one partition. Times go forward in each partition, and so no event is late.

Either the records are of now, without arrivals of their own (the broker dates them), and their ids end with the time at
which they were handed to the producer; or they are of a past that runs at a pace of its own, with arrivals.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any, Self

import msgspec
from confluent_kafka import Producer

DAY_MS = 86_400_000
SENTINEL = "sentinel-"
SEAL_AFTER_MS = 120_000
"""How long after the last event the sentinels are: more than lateness and the idle bound of an unset run."""

# Events of a thousand; what a repair shop's site sends.
_KINDS = {
    "page_view": 394,
    "click": 200,
    "scroll_milestone": 180,
    "price_checked": 60,
    "form_field_changed": 50,
    "exit_intent": 30,
    "product_added": 25,
    "booking_started": 20,
    "form_submit": 10,
    "service_completed": 10,
    "checkout_started": 8,
    "booking_completed": 7,
    "order_completed": 6,
}
_PAGES = [
    "/",
    "/branches",
    "/contact",
    "/offers",
    "/reviews",
    *(
        f"/services/{device}/{work}"
        for device in ("phones", "laptops", "tablets", "consoles", "watches")
        for work in (
            "screen-repair",
            "battery",
            "cleaning",
            "data-recovery",
            "water-damage",
            "keyboard",
            "ports",
        )
    ),
]
_PROPERTIES = {
    "booking_started": {"service": "screen-repair", "branch": "north"},
    "booking_completed": {"service": "screen-repair", "branch": "north", "value": 9900, "currency": "EUR"},
    "service_completed": {"service": "battery", "branch": "harbour"},
    "order_completed": {"order_id": "o-1", "value": 4900, "currency": "EUR"},
    "price_checked": {"service": "screen-repair", "price": 99.5},
    "product_added": {"product": "case", "price": 19.9},
    "form_field_changed": {"field": "e-mail"},
}
_AGENT = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.3 Safari/605.1.15"
_LANDING = (
    '"referrer":"https://social.example/","utm_source":"social","utm_medium":"paid_social",'
    '"utm_campaign":"student_offer","utm_content":"video",'
    f'"user_agent":"{_AGENT}",'
)
_VARIANTS = 64
_JITTER_MS = 300
_PACE_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Plan:
    """What to produce.

    Attributes:
        bootstrap: the cluster.
        topic: where to.
        visitors: the population.
        at_once: how many of them are there at any time.
        events_per_visit: on average; the length of a visit is this times `at_once` by the events of a second.
        rate: records a second; 0 for as fast as it goes.
        records: how many; 0 for no end but by a signal.
        first: the number of the first record; a later production goes on where one ended.
        begin_ms: the event time of the first record; 0 for records of now.
        event_rate: events of a second of event time, for records of the past.
        seal: whether sentinels follow in every partition, `SEAL_AFTER_MS` later, that let all before them settle.
    """

    bootstrap: str
    topic: str
    visitors: int
    at_once: int
    events_per_visit: float = 16.0
    rate: float = 0.0
    records: int = 0
    first: int = 0
    begin_ms: int = 0
    event_rate: float = 200.0
    seal: bool = False


class Produced(msgspec.Struct):
    """What was produced.

    Attributes:
        records: how many, without sentinels.
        seconds: how long it took; `cpu_seconds` of it the processor worked.
        behind_ms: how far it fell behind its rate at most.
        until_ms: after the event times of all records, sentinels included.
        kinds: events by name.
        value_bytes: bytes of the records' values.
    """

    records: int
    seconds: float
    cpu_seconds: float
    behind_ms: float
    until_ms: int
    kinds: dict[str, int]
    value_bytes: int


class Crowd:
    """Makes one record after the other, always the same ones for a number and a time; `kinds` counts them."""

    def __init__(self, plan: Plan) -> None:
        self.kinds: Counter[str] = Counter()
        self._random = random.Random(plan.first)
        self._stays = 1.0 - 1.0 / plan.events_per_visit
        self._visitors = plan.visitors
        self._next = (plan.first + plan.at_once) % plan.visitors
        self._present = [(plan.first + number) % plan.visitors for number in range(plan.at_once)]
        names, shares = list(_KINDS), list(_KINDS.values())
        self._names = self._random.choices(names, shares, k=1 << 16)
        self._bodies = {name: [self._body(name) for _ in range(_VARIANTS)] for name in names}
        self._second = -1
        self._prefix = ""

    def _body(self, name: str) -> str:
        page = self._random.choice(_PAGES)
        known: dict[str, Any] = {
            "event": name,
            "url": f"https://www.repair-shop.example{page}",
            "path": page,
        }
        if name in ("click", "form_field_changed", "form_submit"):
            known["element"] = self._random.choice(["button#book", "a.nav", "img.photo", "form#contact"])
            known |= {"x": self._random.randrange(1_400), "y": self._random.randrange(900)}
        if name == "scroll_milestone":
            known["properties"] = {"percent": self._random.choice([25, 50, 75, 90, 100])}
        elif name in _PROPERTIES:
            known["properties"] = _PROPERTIES[name]
        return json.dumps(known, separators=(",", ":"))[1:]

    def _iso(self, ms: int) -> str:
        second, rest = divmod(ms, 1_000)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return f"{self._prefix}{rest:03d}Z"

    def record(self, message_id: str, came_ms: int, *, dated: bool) -> tuple[str, str]:
        """A visitor and their next record; with `dated` it says when it came."""
        chance = self._random.random()
        place = int(chance * self._at_once)
        number = self._present[place]
        name = self._names[int(chance * 1e9) & 0xFFFF]
        landing = ""
        if self._random.random() > self._stays:
            number = self._present[place] = self._next
            self._next = (self._next + 1) % self._visitors
            name, landing = "page_view", _LANDING
        self.kinds[name] += 1
        visitor = f"v4a82-{number:07d}"
        user = f'"user_id":"u4a82-{number:07d}",' if number % 3 == 0 else ""
        happened = self._iso(came_ms - int(chance * 1e7) % _JITTER_MS)
        arrival = f'"arrival_time":"{self._iso(came_ms)}",' if dated else ""
        body = self._bodies[name][int(chance * 1e6) % _VARIANTS]
        return visitor, (
            f'{{"message_id":"{message_id}","visitor_id":"{visitor}",{user}"event_time":"{happened}",{arrival}'
            f"{landing}{body}"
        )

    @property
    def _at_once(self) -> int:
        return len(self._present)


def past_record_times(plan: Plan) -> Iterator[tuple[int, int]]:
    """Number and time (ms) of each record of a past, without an end."""
    number = plan.first
    step = 1_000 / plan.event_rate
    while True:
        yield number, plan.begin_ms + int((number - plan.first) * step)
        number += 1


def sample(plan: Plan, count: int) -> list[bytes]:
    """The first records of a past, as bytes."""
    crowd = Crowd(plan)
    times = past_record_times(plan)
    return [
        crowd.record(f"m4a82-{n:010d}", t, dated=True)[1].encode()
        for n, t in (next(times) for _ in range(count))
    ]


def produce(plan: Plan) -> Produced:
    """Produce until all is out or a signal (SIGTERM, SIGINT) comes."""
    stop = []

    def note(_number: int, _frame: FrameType | None) -> None:
        stop.append(True)

    signal.signal(signal.SIGTERM, note)
    signal.signal(signal.SIGINT, note)
    producer = Producer(
        {
            "bootstrap.servers": plan.bootstrap,
            "log_level": 0,
            "linger.ms": 5,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 500_000,
        }
    )
    crowd = Crowd(plan)
    dated = plan.begin_ms > 0
    step = 1_000 / plan.event_rate
    done, behind, size, came = 0, 0.0, 0, plan.begin_ms
    began, worked = time.monotonic(), time.process_time()
    while not stop and (done < plan.records or not plan.records):
        elapsed = time.monotonic() - began
        until = done + 1_000
        if plan.rate:
            until = int(elapsed * plan.rate)
            behind = max(behind, (elapsed - done / plan.rate) * 1_000)
        until = min(until, plan.records or until)
        for number in range(done, until):
            if dated:
                came = plan.begin_ms + int(number * step)
                message_id = f"m4a82-{plan.first + number:010d}"
            else:
                now = time.time_ns()
                came = now // 1_000_000
                message_id = f"m4a82-{plan.first + number:010d}-{now // 1_000}"
            visitor, value = crowd.record(message_id, came, dated=dated)
            size += len(value)
            _send(producer, plan.topic, value, visitor)
        done = max(done, until)
        producer.poll(0)
        if plan.rate:
            time.sleep(_PACE_SECONDS)
    seconds = time.monotonic() - began
    until_ms = came + 1
    if plan.seal:
        until_ms = came + SEAL_AFTER_MS
        _seal(producer, plan.topic, until_ms)
        until_ms += 1
    if producer.flush(120):
        sys.exit("Kafka hasn't taken all records")
    worked = time.process_time() - worked
    return Produced(done, seconds, worked, behind, until_ms, dict(crowd.kinds), size)


def _send(producer: Producer, topic: str, value: str, visitor: str) -> None:
    while True:
        try:
            producer.produce(topic, value, visitor)
        except BufferError:
            producer.poll(0.05)
            continue
        return


def _seal(producer: Producer, topic: str, time_ms: int) -> None:
    when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_ms // 1_000)) + f".{time_ms % 1_000:03d}Z"
    for partition in producer.list_topics(topic, timeout=10).topics[topic].partitions:
        name = f"{SENTINEL}{partition}-{time_ms}"
        value = {
            "message_id": name,
            "visitor_id": name,
            "event": "app_opened",
            "event_time": when,
            "arrival_time": when,
        }
        producer.produce(topic, json.dumps(value), partition=partition)


class Production:
    """A production in a process of its own; within `with`, it's ended in any case."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        words = [sys.executable, __file__, json.dumps(asdict(plan))]
        # A session of its own: Ctrl-C is for the benchmark, which then ends it.
        self._process = subprocess.Popen(
            words, stdout=subprocess.PIPE, env=dict(os.environ), start_new_session=True
        )

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it still produces."""
        return self._process.poll() is None

    def wait(self, within: float) -> Produced:
        """Wait for its end, so many seconds at most."""
        out, _ = self._process.communicate(timeout=within)
        if self._process.returncode:
            raise RuntimeError(f"the production ended with {self._process.returncode}")
        return msgspec.json.decode(out, type=Produced)

    def end(self, within: float = 130.0) -> Produced:
        """Have it end now, sealed if that was planned."""
        self._process.terminate()
        return self.wait(within)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(produce(Plan(**json.loads(sys.argv[1])))).decode() + "\n")
