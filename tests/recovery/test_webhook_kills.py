"""Real kills of the process that posts webhooks, and a receiver that fails in every way meanwhile."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from webhook_receiver import SECRET, Receiver, Reply, Request

from footfall.webhook_post import WebhookTarget
from footfall.webhook_signature import verify_webhook
from footfall.webhook_sink import WebhookSink
from footfall.worker_spool import SpoolPlace

TESTS = Path(__file__).resolve().parents[1]
KILLS = 7
VISITORS = 7

# Each turn's trigger follows from its number; from a turn on it writes what the killed one may have written already.
_WRITER = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[4])
import polars as pl
from store_rows import rows
from webhook_receiver import SECRET
from footfall.tables import TRIGGERS
from footfall.webhook_post import WebhookTarget
from footfall.webhook_sender import WebhookRetries
from footfall.webhook_sink import WebhookSink
from footfall.worker_spool import SpoolPlace
sink = WebhookSink(
    WebhookTarget(sys.argv[1], SECRET, timeout=0.3), SpoolPlace(Path(sys.argv[2])), ["1"],
    retries=WebhookRetries(first_pause=0.01, longest_pause=0.2),
)
frames = [
    rows(TRIGGERS, 1, first=turn).with_columns(rule_version=pl.lit("1"), visitor_id=pl.lit(f"v{turn % 7}"))
    for turn in range(int(sys.argv[3]), int(sys.argv[3]) + 3000)
]
sink.open_part("p", None)
os.write(1, b"opened\\n")
for turn, frame in enumerate(frames, int(sys.argv[3])):
    sink.write("p", TRIGGERS, frame)
    if turn % 5 == 4:
        sink.flush("p")
        os.write(1, b"%d\\n" % turn)
    time.sleep(0.003)
"""


def write_until_killed(url: str, root: Path, first: int, flushes: int, seconds: float) -> int:
    """Run a writer from a turn on, kill it so many flushes and seconds later; the last turn that it flushed."""
    arguments = [sys.executable, "-c", _WRITER, url, str(root), str(first), str(TESTS)]
    with (
        (root / "log").open("ab") as log,
        subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=log) as writer,
    ):
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(1 + flushes)]
        time.sleep(seconds)
        writer.kill()
        lines += writer.stdout.read().splitlines(keepends=True)
    assert writer.returncode == -signal.SIGKILL, (root / "log").read_text()
    # Only whole lines: the last may have been cut.
    turns = [line for line in lines[1:] if line.endswith(b"\n")]
    return int(turns[-1]) if turns else first - 1


def test_what_was_flushed_is_posted_in_order_whenever_the_writer_is_killed(tmp_path: Path) -> None:
    chance = random.Random(20_252)
    fates = [Reply()] * 12 + [
        Reply(500),
        Reply(503),
        Reply(0),
        Reply(429, {"Retry-After": "0"}),
        Reply(after=0.4),
    ]

    def reply(_request: Request) -> Reply:
        return chance.choice(fates)

    flushed = -1
    with Receiver(reply) as receiver:
        for turn in range(KILLS):
            if turn == KILLS // 2:
                receiver.stop()
            # A new writer never repeats what was flushed: it must come from the queue.
            flushes, seconds = chance.choice([0, 1, 10, 30]), chance.uniform(0.0, 0.1)
            flushed = write_until_killed(receiver.url, tmp_path, flushed + 1, flushes, seconds)
            if turn == KILLS // 2:
                receiver.start()
        receiver.reply = lambda _: Reply()
        sink = WebhookSink(WebhookTarget(receiver.url, SECRET), SpoolPlace(tmp_path), ["1"])
        sink.open_part("p", None)
        assert sink.drain(60)
        sink.close()
    assert flushed > 50
    first = [int(name[1:]) for name, _ in dict.fromkeys(receiver.ids)]
    assert set(first) >= set(range(flushed + 1))
    # None that was never written; the last writer's turns that weren't flushed may have been posted.
    assert max(first) < flushed + 3000
    for visitor in range(VISITORS):
        # In each visitor's order, but that what a killed writer had posted and not flushed is written again later.
        own = [turn for turn in first if turn % VISITORS == visitor]
        assert own == sorted(own)
    for request in receiver.accepted:
        verify_webhook(SECRET, request.headers, request.body)
    again = len(receiver.ids) - len(first)
    assert again < len(first) / 2, "what was posted is remembered"
