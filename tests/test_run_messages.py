import logging

import pytest

from footfall.run_messages import (
    Message,
    Notice,
    NoticeHandler,
    Pacer,
    PartitionDone,
    Progress,
    ShardDone,
    WorkerEnded,
    WorkerFailed,
    WorkerStarted,
    decode_message,
    encode_message,
)

MESSAGES: list[Message] = [
    Progress("a/ü\n.ndjson", 1, 2, None, -5),
    PartitionDone("a", 1, 2, 3, 4, (2**64 - 1, 0), {"nul": 1}),
    ShardDone("s", 1, 2, 3, 4, {"p": 1}, {}, 5, 6, 7, 8, 9, {"value": -(2**62)}, (1, 2**64 - 1)),
    WorkerStarted(1, 0.5),
    WorkerEnded(1, True, 0.5, 7),
    WorkerFailed(0, "two\nlines", 2, "Traceback"),
    Notice(0, "warning", "text"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_one_line_and_comes_back_whole(message: Message) -> None:
    line = encode_message(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_message(line) == message


def test_progress_is_paced_by_partition_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10.0]
    monkeypatch.setattr("footfall.run_messages.time.monotonic", lambda: now[0])
    told: list[Message] = []
    pacer = Pacer(told.append, 1.0)
    pacer(Progress("a", 1, 0, None, None))
    pacer(Progress("b", 2, 0, None, None))
    pacer(Progress("a", 3, 0, None, None))
    pacer(WorkerStarted(0, 0.0))
    pacer(WorkerStarted(0, 0.0))
    now[0] += 1.5
    pacer(Progress("a", 4, 0, None, None))
    records = [message.records if isinstance(message, Progress) else None for message in told]
    assert records == [1, 2, None, None, 4]


def test_log_lines_become_notices() -> None:
    told: list[Message] = []
    handler = NoticeHandler(3, told.append)
    handler.emit(logging.LogRecord("x", logging.WARNING, "f", 1, "%s is away", ("it",), None))
    assert told == [Notice(3, "warning", "it is away")]
