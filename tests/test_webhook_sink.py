import json
import logging
import pickle
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from store_rows import rows
from webhook_receiver import SECRET, Receiver, Reply, Request

from footfall.errors import SinkError
from footfall.messages import TRIGGER, encoded_messages
from footfall.run_messages import Message, SinkStatus
from footfall.tables import DEAD_LETTERS, EVENTS, TABLES, TRIGGERS
from footfall.trigger_rule import TriggerRule
from footfall.webhook_post import WebhookTarget
from footfall.webhook_queue import FILE
from footfall.webhook_sender import WebhookRetries
from footfall.webhook_signature import verify_webhook
from footfall.webhook_sink import QUEUE_BYTES, WebhookSink, posted_rules
from footfall.worker_spool import SpoolPlace

QUICK = WebhookRetries(first_pause=0.02, longest_pause=0.1)
SETTLED = TriggerRule("booking_reminder", pattern="x", action="mail")
EARLY = TriggerRule("booking_reminder", pattern="x", action="mail", kind="early")


def triggers(numbers: range, **changes: Any) -> pl.DataFrame:
    """One trigger a number, for ten visitors in turn."""
    made = rows(TRIGGERS, len(numbers), first=numbers.start).with_columns(
        pl.Series("visitor_id", [f"v{number % 10}" for number in numbers]),
        rule=pl.lit(SETTLED.name),
        rule_version=pl.lit(SETTLED.version),
    )
    return made.with_columns(**{name: pl.lit(value) for name, value in changes.items()}).cast(
        {name: TRIGGERS.schema[name] for name in changes}
    )


def ids(numbers: range) -> list[tuple[str, int]]:
    return [(f"t{number}", 0) for number in numbers]


class Letters:
    """Takes dead letters, as a table keeps them: by their key."""

    def __init__(self) -> None:
        self.rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.parts: list[str] = []

    def __call__(self, part: str, frame: pl.DataFrame) -> None:
        assert frame.schema == DEAD_LETTERS.schema
        self.parts.append(part)
        for row in frame.iter_rows(named=True):
            self.rows[tuple(row[name] for name in DEAD_LETTERS.key)] = row

    @property
    def reasons(self) -> dict[str, str]:
        """Trigger id -> reason."""
        return {json.loads(row["bytes"])["trigger_id"]: row["reason"] for row in self.rows.values()}


MakeSink = Callable[..., WebhookSink]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def make(tmp_path: Path, receiver: Receiver) -> Iterator[MakeSink]:
    """Makes sinks that post to `receiver` from one queue, and closes them."""
    made: list[WebhookSink] = []

    def make(
        *, limit: int = QUEUE_BYTES, worker: int = 0, workers: int = 1, timeout: float = 5.0, **more: Any
    ) -> WebhookSink:
        place = SpoolPlace(tmp_path / "webhook", worker, workers, limit)
        target = WebhookTarget(receiver.url, SECRET, timeout=timeout)
        made.append(WebhookSink(target, place, posted_rules([SETTLED]), **{"retries": QUICK, **more}))
        return made[-1]

    yield make
    for sink in made:
        sink.close()


@pytest.fixture
def sink(make: MakeSink) -> WebhookSink:
    sink = make()
    sink.open_part("p", None)
    return sink


def wait_for(what: Callable[[], object], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it didn't happen in time"
        time.sleep(0.005)


# ---- what is posted


def test_a_trigger_comes_as_its_message_signed(sink: WebhookSink, receiver: Receiver) -> None:
    frame = triggers(range(3))
    sink.write("p", TRIGGERS, frame)
    assert sink.drain(10)
    for request in receiver.accepted:
        verify_webhook(SECRET, request.headers, request.body)
    found = {request.message["trigger_id"]: request.message for request in receiver.accepted}
    for wanted in map(json.loads, encoded_messages(TRIGGERS, frame)):
        message = found[wanted["trigger_id"]]
        sent = datetime.fromisoformat(message.pop("sent_at"))
        assert abs(datetime.now(UTC) - sent) < timedelta(seconds=10)
        assert message == wanted
    assert {each.name for each in TRIGGER.fields} <= set(found["t0"])


@pytest.mark.parametrize(
    "change",
    [
        {"status": "retracted"},
        {"status": "suppressed"},
        {"status": "shadow"},
        {"status": "withdrawn"},
        {"rule_version": EARLY.version},
    ],
)
def test_only_what_settled_rules_fire_is_posted(
    sink: WebhookSink, receiver: Receiver, change: dict[str, str]
) -> None:
    sink.write("p", TRIGGERS, pl.concat([triggers(range(1), **change), triggers(range(1, 2))]))
    assert sink.drain(10)
    assert receiver.ids == ids(range(1, 2))
    assert not sink.suppressed


def test_settled_rules_are_posted_and_early_ones_not() -> None:
    assert posted_rules([SETTLED, EARLY]) == {SETTLED.version}


def test_other_rules_may_be_named_while_it_runs(sink: WebhookSink, receiver: Receiver) -> None:
    another = TriggerRule("another", pattern="x", action="call")
    changes = {"rule": another.name, "rule_version": another.version}
    sink.write("p", TRIGGERS, triggers(range(2), **changes))
    sink.go_by([another])
    sink.write("p", TRIGGERS, triggers(range(2, 4), **changes))
    sink.write("p", TRIGGERS, triggers(range(4, 6)))  # decided before, or after a wait that began before
    assert sink.drain(10)
    assert sorted(receiver.ids) == ids(range(2, 6))


def test_a_rule_that_becomes_settled_or_early_is_posted_for_what_it_decided_as_settled(
    make: MakeSink, receiver: Receiver
) -> None:
    """The sink is told before the change is in force, and what waits is decided by the rule as it was."""
    sink = make()
    sink.open_part("p", None)
    for number, told in enumerate((EARLY, SETTLED, EARLY)):
        sink.go_by([told])
        sink.write("p", TRIGGERS, triggers(range(number, number + 1), rule_version=EARLY.version))
        sink.write("p", TRIGGERS, triggers(range(10 + number, 11 + number)))
    assert sink.drain(10)
    assert sorted(receiver.ids) == ids(range(10, 13))


def test_what_has_expired_is_counted_and_not_posted(sink: WebhookSink, receiver: Receiver) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    sink.write("p", TRIGGERS, pl.concat([triggers(range(1), expires_time=past), triggers(range(1, 2))]))
    assert sink.drain(10)
    assert receiver.ids == ids(range(1, 2))
    assert sink.suppressed == sink.status().expired == {"booking_reminder": 1}


def test_nothing_is_posted_at_the_time_of_its_expiry_any_more(make: MakeSink, receiver: Receiver) -> None:
    now = datetime(2025, 2, 1, tzinfo=UTC)
    sink = make(clock=now.timestamp)
    sink.open_part("p", None)
    for number in range(2):
        sink.write(
            "p",
            TRIGGERS,
            triggers(range(number, number + 1), expires_time=now + timedelta(milliseconds=number)),
        )
    assert sink.drain(10)
    assert receiver.ids == ids(range(1, 2))
    assert sink.suppressed == {"booking_reminder": 1}


def test_rows_of_other_tables_are_dropped(sink: WebhookSink, receiver: Receiver) -> None:
    for table in TABLES:
        if table is not TRIGGERS:
            sink.write("p", table, rows(table, 5))
    sink.flush("p")
    assert sink.drain(1)
    assert receiver.requests == []


# ---- the contract of a sink


def test_a_sink_pickles_before_it_opens_and_not_after(make: MakeSink, receiver: Receiver) -> None:
    sink = pickle.loads(pickle.dumps(make()))
    sink.open_part("p", None)
    sink.write("p", TRIGGERS, triggers(range(3)))
    assert sink.drain(10)
    with pytest.raises(SinkError, match="can't be pickled"):
        pickle.dumps(sink)
    sink.close()
    assert sorted(receiver.ids) == ids(range(3))


def test_nothing_is_opened_before_a_part_is(make: MakeSink, tmp_path: Path) -> None:
    make()
    assert list(tmp_path.iterdir()) == []


def test_rows_that_do_not_fit_are_refused(sink: WebhookSink) -> None:
    with pytest.raises(SinkError, match="no column 'rule'") as caught:
        sink.write("p", TRIGGERS, triggers(range(1)).drop("rule"))
    assert caught.value.table == "triggers"
    with pytest.raises(SinkError, match="unknown column 'more'"):
        sink.write("p", EVENTS, rows(EVENTS, 1).with_columns(more=1))
    for call in (lambda: sink.write("q", TRIGGERS, triggers(range(1))), lambda: sink.flush("q")):
        with pytest.raises(SinkError, match="'q' isn't open"):
            call()


def test_empty_frames_are_fine_and_a_flush_keeps_the_state(sink: WebhookSink) -> None:
    for table in TABLES:
        sink.write("p", table, table.empty())
    assert sink.flush("p") == 0
    sink.write("p", TRIGGERS, triggers(range(3)))
    assert sink.flush("p") == sink.flush("p") == 3


def test_a_sink_goes_on_from_its_state(make: MakeSink) -> None:
    sink = make()
    sink.open_part("p", None)
    sink.write("p", TRIGGERS, triggers(range(3)))
    state = pickle.loads(pickle.dumps(sink.flush("p")))
    sink.close()
    again = make()
    again.open_part("p", state)
    again.write("p", TRIGGERS, triggers(range(3, 4)))
    assert again.flush("p") == 4


def test_close_frees_and_is_quick_and_final(make: MakeSink, receiver: Receiver) -> None:
    receiver.reply = lambda _: Reply(503)
    sink = make()
    sink.open_part("p", None)
    sink.write("p", TRIGGERS, triggers(range(50)))
    began = time.monotonic()
    sink.close()
    sink.close()
    assert time.monotonic() - began < 1.0
    with pytest.raises(SinkError, match="closed"):
        sink.open_part("p", None)
    with pytest.raises(SinkError, match="isn't open"):
        sink.write("p", TRIGGERS, triggers(range(1)))
    make().open_part("p", None)  # the folder is free


def test_close_does_not_wait_for_a_receiver_that_hangs(make: MakeSink, receiver: Receiver) -> None:
    asked = threading.Event()

    def hang(_request: Request) -> Reply:
        asked.set()
        return Reply(after=4.0)

    receiver.reply = hang
    sink = make()
    sink.open_part("p", None)
    sink.write("p", TRIGGERS, triggers(range(1)))
    assert asked.wait(10)
    began = time.monotonic()
    sink.close()
    assert time.monotonic() - began < 3.0


def test_rows_that_a_restart_writes_again_are_not_posted_again(make: MakeSink, receiver: Receiver) -> None:
    for _ in range(3):
        sink = make()
        sink.open_part("p", None)
        sink.write("p", TRIGGERS, triggers(range(20)))
        sink.flush("p")
        assert sink.drain(10)
        sink.close()
    assert sorted(receiver.ids) == sorted(ids(range(20)))


def test_what_was_flushed_is_posted_after_a_restart(make: MakeSink, receiver: Receiver) -> None:
    receiver.stop()
    sink = make()
    sink.open_part("p", None)
    sink.write("p", TRIGGERS, triggers(range(20)))
    state = sink.flush("p")
    sink.close()
    receiver.start()
    again = make()
    again.open_part("p", state)
    assert again.drain(10)
    assert sorted(receiver.ids) == sorted(ids(range(20)))


def test_what_a_former_worker_left_is_posted(make: MakeSink, receiver: Receiver) -> None:
    receiver.stop()
    for worker in range(2):
        sink = make(worker=worker, workers=2)
        sink.open_part("p", None)
        sink.write("p", TRIGGERS, triggers(range(worker * 10, worker * 10 + 10)))
        sink.flush("p")
        sink.close()
    receiver.start()
    alone = make()
    alone.open_part("p", None)
    wait_for(lambda: len(receiver.accepted) == 20)
    assert sorted(receiver.ids) == sorted(ids(range(20)))


# ---- failures


def failing(times: int, reply: Callable[[int], Reply]) -> Callable[[Request], Reply]:
    """Fails each message so many times; the order of fates is fixed by the message and the try."""
    tries: dict[str, int] = {}

    def answer(request: Request) -> Reply:
        name = request.headers["X-Footfall-Id"]
        tries[name] = tries.get(name, 0) + 1
        return reply(tries[name]) if tries[name] <= times else Reply()

    return answer


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(sink: WebhookSink, receiver: Receiver, status: int) -> None:
    receiver.reply = failing(2, lambda _: Reply(status))
    sink.write("p", TRIGGERS, triggers(range(5)))
    assert sink.drain(20)
    assert sorted(receiver.ids) == ids(range(5))
    assert len(receiver.requests) == 15
    assert sink.status().errors == 10
    assert sink.given_up == {}


def test_each_try_is_signed_anew(make: MakeSink, receiver: Receiver) -> None:
    receiver.reply = failing(1, lambda _: Reply(500, {"Retry-After": "1"}))
    sink = make()
    sink.open_part("p", None)
    sink.write("p", TRIGGERS, triggers(range(1)))
    assert sink.drain(20)
    first, second = receiver.requests
    for request in (first, second):
        verify_webhook(SECRET, request.headers, request.body)
    assert int(second.headers["X-Footfall-Timestamp"]) > int(first.headers["X-Footfall-Timestamp"])
    assert second.at - first.at >= 1.0


def test_no_answer_and_broken_connections_are_tried_again(make: MakeSink, receiver: Receiver) -> None:
    fates = {1: Reply(after=0.5), 2: Reply(0), 3: Reply(500, body=b"x" * 100_000)}
    receiver.reply = failing(3, lambda number: fates[number])
    sink = make(timeout=0.2)
    sink.open_part("p", None)
    sink.write("p", TRIGGERS, triggers(range(8)))
    assert sink.drain(20)
    assert set(receiver.ids) == set(ids(range(8)))


def test_pauses_double_up_to_the_longest_and_vary() -> None:
    retries = WebhookRetries(first_pause=1.0, longest_pause=60.0)
    for tries, whole in ((1, 1.0), (2, 2.0), (5, 16.0), (7, 60.0), (10_000, 60.0)):
        pauses = [retries.pause(tries) for _ in range(200)]
        assert whole / 2 <= min(pauses) < max(pauses) <= whole
    assert retries.pause(100, 5.0) <= 5.0


def test_a_receiver_that_is_away_is_left_alone(make: MakeSink, receiver: Receiver) -> None:
    lines: list[str] = []
    receiver.reply = lambda _: Reply(503)
    sink = make(retries=WebhookRetries(first_pause=0.2, longest_pause=0.4), report=lines.append)
    sink.open_part("p", None)
    sink.write("p", TRIGGERS, triggers(range(200)))
    time.sleep(1.5)
    asked = len(receiver.requests)
    # Four connections may have begun together; then it is one message a pause.
    assert 3 <= asked <= 4 + 15
    assert receiver.accepted == []
    assert (sink.status().waiting_rows, sink.status().oldest_seconds > 1) == (200, True)
    receiver.reply = lambda _: Reply()
    assert sink.drain(20)
    assert sorted(receiver.ids) == sorted(ids(range(200)))
    assert [line.partition("/…")[2] for line in lines] == [
        " is away (answer 503); messages wait",
        " works again",
    ]


def test_a_receiver_that_is_away_is_tried_with_one_message_at_a_time(
    make: MakeSink, receiver: Receiver
) -> None:
    receiver.reply = lambda _: Reply(503, after=0.05)
    sink = make()
    sink.open_part("p", None)
    sink.write("p", TRIGGERS, triggers(range(50)))
    wait_for(lambda: len(receiver.requests) >= 8)
    receiver.most_at_once = 0
    wait_for(lambda: len(receiver.requests) >= 14)
    assert receiver.most_at_once == 1


def test_retry_after_is_honoured(make: MakeSink, receiver: Receiver) -> None:
    receiver.reply = failing(1, lambda _: Reply(429, {"Retry-After": "1"}))
    sink = make()
    sink.open_part("p", None)
    sink.write("p", TRIGGERS, triggers(range(1)))
    assert sink.drain(20)
    first, second = receiver.requests
    assert 1.0 <= second.at - first.at < 2.0


def test_one_message_that_fails_holds_no_others_but_its_visitors(make: MakeSink, receiver: Receiver) -> None:
    receiver.reply = lambda request: Reply(500 if request.id == ("t0", 0) else 204)
    sink = make(retries=WebhookRetries(first_pause=0.3, longest_pause=0.3))
    sink.open_part("p", None)
    sink.write("p", TRIGGERS, triggers(range(100)))
    wait_for(lambda: len(receiver.accepted) == 90)
    assert all(request.message["visitor_id"] != "v0" for request in receiver.accepted)
    receiver.reply = lambda _: Reply()
    assert sink.drain(20)
    own = [found for found in receiver.ids if found[0] in {f"t{number}" for number in range(0, 100, 10)}]
    assert own == ids(range(100))[::10]


@pytest.mark.parametrize("status", [502, 503])
def test_a_message_that_fails_alone_holds_no_others_though_its_answer_says_away(
    make: MakeSink, receiver: Receiver, status: int
) -> None:
    receiver.reply = lambda request: Reply(status if request.id == ("t0", 0) else 204)
    sink = make()
    sink.open_part("p", None)
    sink.write("p", TRIGGERS, triggers(range(100)))
    wait_for(lambda: len(receiver.accepted) == 90, 20)


# ---- giving up


@pytest.mark.parametrize("status", [301, 400, 401, 404, 410, 422])
def test_what_is_refused_becomes_a_dead_letter(make: MakeSink, receiver: Receiver, status: int) -> None:
    letters = Letters()
    receiver.reply = lambda request: Reply(
        status if request.id == ("t1", 0) else 204, body=b"no such campaign"
    )
    sink = make(letter=letters)
    sink.open_part("p", None)
    frame = triggers(range(3))
    sink.write("p", TRIGGERS, frame)
    assert sink.drain(10)
    assert len(receiver.requests) == 3
    assert letters.rows == {}
    sink.flush("p")
    (row,) = letters.rows.values()
    assert row["reason"] == "webhook_refused"
    assert row["detail"].startswith(f"answer {status}: no such campaign")
    assert row["bytes"] == encoded_messages(TRIGGERS, frame)[1]
    assert row["bytes_total"] == len(row["bytes"])
    assert (row["source_partition"], row["source_offset"]) == ("webhook", -1)
    assert row["source"] == f"http://127.0.0.1:{receiver.port}/…"
    assert sink.given_up == {"webhook_refused": 1}
    # It is handed on once, and not posted when a restart makes it again.
    for _ in range(3):
        sink.flush("p")
    sink.write("p", TRIGGERS, frame)
    assert sink.drain(1)
    assert len(letters.parts) == 1
    assert len(receiver.requests) == 3


@pytest.mark.parametrize(
    ("retries", "said"),
    [
        (WebhookRetries(tries=3, first_pause=0.01, longest_pause=0.02), "given up after 3 tries in 0 s"),
        (WebhookRetries(give_up_after=0.4, first_pause=0.1, longest_pause=0.2), "tries in 0 s"),
    ],
)
@pytest.mark.parametrize("status", [500, 503])
def test_what_fails_for_too_long_becomes_a_dead_letter(
    make: MakeSink, receiver: Receiver, retries: WebhookRetries, said: str, status: int
) -> None:
    letters = Letters()
    receiver.reply = lambda _: Reply(status)
    sink = make(letter=letters, retries=retries)
    sink.open_part("p", None)
    sink.write("p", TRIGGERS, triggers(range(2)))
    assert sink.drain(20)
    sink.flush("p")
    assert letters.reasons == {"t0": "webhook_failed", "t1": "webhook_failed"}
    for row in letters.rows.values():
        assert row["detail"].startswith(f"answer {status}; given up after ")
        assert row["detail"].endswith(said)


def test_what_expires_while_it_waits_becomes_a_dead_letter(make: MakeSink, receiver: Receiver) -> None:
    letters = Letters()
    receiver.reply = lambda _: Reply(500)
    sink = make(letter=letters)
    sink.open_part("p", None)
    soon = datetime.now(UTC) + timedelta(seconds=0.4)
    sink.write("p", TRIGGERS, triggers(range(1), expires_time=soon))
    assert sink.drain(10)
    asked = len(receiver.requests)
    sink.flush("p")
    assert letters.reasons == {"t0": "webhook_failed"}
    assert [row["detail"] for row in letters.rows.values()] == [f"it expired after {asked} failed tries"]
    assert all(request.at <= receiver.requests[0].at + 0.6 for request in receiver.requests)


def test_tries_are_counted_across_restarts(make: MakeSink, receiver: Receiver) -> None:
    letters = Letters()
    receiver.reply = lambda _: Reply(500)
    for turn in range(1, 4):
        sink = make(letter=letters, retries=WebhookRetries(tries=3, first_pause=60, longest_pause=60))
        sink.open_part("p", None)
        if turn == 1:
            sink.write("p", TRIGGERS, triggers(range(1)))
        wait_for(partial(failed_once, sink))
        assert len(receiver.requests) == turn
        # The failure is counted before what follows from it is in the queue.
        assert sink.drain(10 if turn == 3 else 0) == (turn == 3)
        sink.flush("p")
        sink.close()
        assert list(letters.reasons) == (["t0"] if turn == 3 else [])
        make_due(sink)


def failed_once(sink: WebhookSink) -> bool:
    return sink.status().errors == 1


def make_due(sink: WebhookSink) -> None:
    """End the pauses of all messages that wait in the queue of a sink that is closed."""
    with closing(sqlite3.connect(sink._place.root / "0" / FILE)) as database, database:
        database.execute("UPDATE messages SET due = 0")


def test_a_letter_is_written_again_until_no_restart_can_go_back_behind_it(
    make: MakeSink, receiver: Receiver
) -> None:
    letters = Letters()
    receiver.reply = lambda _: Reply(400)
    sink = make(letter=letters)
    sink.open_part("p", None)
    sink.write("p", TRIGGERS, triggers(range(1)))
    assert sink.drain(10)
    sink.flush("p")
    sink.close()  # as when the run dies before the other sinks have flushed
    again = make(letter=letters)
    for part in "pq":
        again.open_part(part, None)
    again.flush("q")
    assert letters.parts == ["p", "q"]
    assert len(letters.rows) == 1
    for part in "pqpp":
        again.flush(part)
    again.close()  # two snapshots of q: the run may go on from the one before the first
    third = make(letter=letters)
    third.open_part("q", None)
    for _ in range(3):
        third.flush("q")
    third.close()
    assert letters.parts == ["p", "q", "q"]
    last = make(letter=letters)
    last.open_part("p", None)
    last.flush("p")
    assert letters.parts == ["p", "q", "q"]
    assert len(receiver.requests) == 1


def test_a_full_queue_holds_no_stream_and_loses_nothing(
    make: MakeSink, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    letters = Letters()
    receiver.stop()
    sink = make(letter=letters, limit=20_000)
    sink.open_part("p", None)
    with caplog.at_level(logging.WARNING):
        began = time.monotonic()
        for first in range(0, 100, 10):
            sink.write("p", TRIGGERS, triggers(range(first, first + 10)))
        assert time.monotonic() - began < 2.0
    taken = sink.flush("p")
    assert isinstance(taken, int)
    assert 0 < taken < 100
    assert sink.status().waiting_bytes <= 20_000
    assert len(letters.reasons) == 100 - taken
    assert set(letters.reasons.values()) == {"webhook_failed"}
    assert caplog.text.count("is full") == 1
    receiver.start()
    assert sink.drain(20)
    sink.flush("p")
    assert {name for name, _ in receiver.ids} | set(letters.reasons) == {
        f"t{number}" for number in range(100)
    }
    assert sink.given_up == {"webhook_failed": 100 - taken}


def test_what_waits_in_a_full_queue_is_no_dead_letter_when_a_restart_writes_it_again(
    make: MakeSink, receiver: Receiver
) -> None:
    letters = Letters()
    receiver.stop()
    sink = make()
    sink.open_part("p", None)
    sink.write("p", TRIGGERS, triggers(range(20)))
    sink.flush("p")
    sink.close()
    full = make(letter=letters, limit=10_000)
    full.open_part("p", None)
    full.write("p", TRIGGERS, triggers(range(25)))
    assert letters.reasons == {f"t{number}": "webhook_failed" for number in range(20, 25)}
    assert len(letters.parts) == 1
    receiver.start()
    assert full.drain(20)
    assert sorted(receiver.ids) == sorted(ids(range(20)))


def test_without_anyone_to_take_letters_they_are_counted_and_logged(
    sink: WebhookSink, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.reply = lambda _: Reply(410)
    with caplog.at_level(logging.WARNING):
        sink.write("p", TRIGGERS, triggers(range(3)))
        assert sink.drain(10)
    sink.flush("p")
    assert sink.given_up == {"webhook_refused": 3}
    assert caplog.text.count("isn't posted") == 1


# ---- speed, order, figures


def test_messages_go_over_several_connections_in_each_visitors_order(
    sink: WebhookSink, receiver: Receiver
) -> None:
    chance = random.Random(7)
    fates = [Reply(after=0.01)] * 6 + [Reply(500), Reply(0), Reply(503)]
    receiver.reply = lambda _: chance.choice(fates)
    for first in range(0, 120, 7):
        sink.write("p", TRIGGERS, triggers(range(first, min(first + 7, 120))))
    assert sink.drain(60)
    assert receiver.most_at_once == 4
    assert set(receiver.ids) == set(ids(range(120)))
    for visitor in range(10):
        own = [int(name[1:]) for name, _ in dict.fromkeys(receiver.ids) if int(name[1:]) % 10 == visitor]
        assert own == list(range(visitor, 120, 10))


def test_a_receiver_that_hangs_does_not_hold_the_stream(make: MakeSink, receiver: Receiver) -> None:
    receiver.reply = lambda _: Reply(after=0.5)
    sink = make(timeout=0.3)
    sink.open_part("p", None)
    slowest = 0.0
    for number in range(100):
        began = time.monotonic()
        sink.write("p", TRIGGERS, triggers(range(number, number + 1)))
        sink.flush("p")
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 0.5
    assert sink.status().waiting_rows > 90


def test_its_status_is_told_about_once_a_second(make: MakeSink, receiver: Receiver) -> None:
    told: list[Message] = []
    sink = make(tell=told.append, worker=0)
    sink.open_part("p", None)
    receiver.stop()
    sink.write("p", TRIGGERS, triggers(range(5)))
    wait_for(
        lambda: any(isinstance(each, SinkStatus) and each.errors and each.waiting_rows == 5 for each in told)
    )
    receiver.start()
    assert sink.drain(20)
    wait_for(lambda: isinstance(told[-1], SinkStatus) and told[-1].rows == {"triggers": 5})
    last = told[-1]
    assert isinstance(last, SinkStatus)
    assert (last.sink, last.waiting_rows, last.waiting_bytes, last.oldest_seconds) == ("webhook", 0, 0, 0.0)
    assert len(told) < 20
