"""What a trigger book costs: a round without anything, a match, a wait in memory, and a snapshot.

python -m benchmarks.trigger_book [WAITS]
"""

import json
import pickle
import sys
import time
import tracemalloc
import uuid

import polars as pl

from footfall import event
from footfall.envelope import TIME
from footfall.pattern import Pattern
from footfall.tables import MATCHES
from footfall.trigger_book import TriggerBook, TriggerRound
from footfall.trigger_rule import TriggerRule
from footfall.trigger_withdrawals import WITHDRAWAL_SCHEMA

PATTERN = Pattern("begun").begin("a", event == "a").not_followed_by("b", event == "b").within("30 min")
RULE = TriggerRule(
    "reminder",
    pattern="begun",
    action="mail",
    delay="7 d",
    withdrawn_by=event == "b",
    cooldown="1 d",
    fields={"campaign": "spring"},
)
START = 1_760_000_000_000


def matches(count: int, start: int) -> pl.DataFrame:
    """A match each millisecond from a time on, each of another visitor."""
    ids = [str(uuid.uuid4()) for _ in range(count)]
    first = pl.int_range(start, start + count, eager=True)
    texts = {"pattern": "begun", "pattern_version": "0" * 12, "status": "fired", "outputs": ""}
    frame = pl.DataFrame(
        {
            "match_id": [uuid.uuid4().hex for _ in range(count)],
            "visitor_id": ids,
            "first_time": first.cast(TIME),
            "last_time": first.cast(TIME),
            "settled_time": (first + 1_800_000).cast(TIME),
            "stages": [f'{{"a":["{one}"]}}' for one in ids],
            "user_id": [f"user-{number}" for number in range(count)],
            "session_id": [uuid.uuid4().hex for _ in range(count)],
            "first_message_id": ids,
        }
    )
    return frame.with_columns(
        *(pl.lit(value).alias(name) for name, value in texts.items()),
        ordinal=pl.lit(0, pl.UInt32),
        at_end=pl.lit(value=False),
        revision=pl.lit(0, pl.UInt32),
    ).select(*MATCHES.schema, "user_id", "session_id", "first_message_id")


def measure(count: int) -> dict[str, float]:
    """The figures, for so many waits."""
    book = TriggerBook([RULE], [PATTERN])
    frame = matches(count, START)
    until = START + count + 1_800_000
    figures: dict[str, float] = {"waits": count}
    begin = time.perf_counter()
    book.take(TriggerRound(until, frame))
    figures["begin_us"] = (time.perf_counter() - begin) / count * 1e6
    begin = time.perf_counter()
    for tick in range(1, 10_001):
        book.take(TriggerRound(until + tick))
    figures["empty_round_us"] = (time.perf_counter() - begin) / 10_000 * 1e6
    empty = matches(0, START)
    begin = time.perf_counter()
    for tick in range(1, 1001):
        book.take(TriggerRound(until + 10_000 + tick, empty, empty))
    figures["round_of_empty_frames_us"] = (time.perf_counter() - begin) / 1000 * 1e6
    begin = time.perf_counter()
    state = pickle.dumps(book, protocol=5)
    figures["pickle_ms"] = (time.perf_counter() - begin) * 1e3
    figures["pickle_bytes_a_wait"] = len(state) / count
    begin = time.perf_counter()
    book = pickle.loads(state)  # noqa: S301 - made above
    figures["unpickle_ms"] = (time.perf_counter() - begin) * 1e3
    gone = pl.DataFrame(
        {"visitor_id": frame["visitor_id"][: count // 10], "time": until + 20_000, "bits": 1},
        WITHDRAWAL_SCHEMA,
    )
    begin = time.perf_counter()
    withdrawn = book.take(TriggerRound(until + 30_000, events=gone)).height
    figures["withdraw_us"] = (time.perf_counter() - begin) / withdrawn * 1e6
    begin = time.perf_counter()
    decided = book.take(TriggerRound(until + 8 * 86_400_000, profile_at=lambda _visitor, _time: None)).height
    figures["decide_us"] = (time.perf_counter() - begin) / decided * 1e6
    del frame, gone, state
    tracemalloc.start()
    book = TriggerBook([RULE], [PATTERN])
    for part in range(10):
        book.take(TriggerRound(START + count + 1_800_000, matches(count // 10, START + part * count // 10)))
    figures["memory_bytes_a_wait"] = tracemalloc.get_traced_memory()[0] / count
    return {name: round(value, 2) for name, value in figures.items()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000), indent=2) + "\n")
