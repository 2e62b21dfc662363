import http.client
import io
import json
import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from live_messages import Terminal, progress, shard_status, sink_status

from footfall import health
from footfall.errors import RunError, UsageError
from footfall.live_totals import LiveTotals
from footfall.live_watch import Expected, LiveWatch, LogTo
from footfall.run_messages import Notice, WorkerStarted

EXPECTED = Expected(["p0"], ["a"], 1)


def lines(out: io.StringIO) -> Iterator[tuple[str, str]]:
    for text in out.getvalue().splitlines():
        found = json.loads(text)
        yield found["event"], found["message"]


def test_messages_reach_figures_log_and_answers() -> None:
    out = io.StringIO()
    with LiveWatch(EXPECTED, address="127.0.0.1:0", out=out) as watch:
        watch.happened("run_started", "reading topic events", topics=["events"])
        for message in (
            WorkerStarted(0, 1.0),
            progress("p0", 7, dead_reasons={"not JSON": 2}),
            shard_status("a"),
            Notice(0, "warning", "see clickhouse://ann:hunter2@host"),
        ):
            watch(message)
        assert watch.totals.snapshot().ready
        port = int(watch.url.rpartition(":")[2])
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.request("GET", "/metrics")
            assert b'footfall_records_total{partition="p0"} 7.0' in connection.getresponse().read()
    watch.close()
    assert list(lines(out)) == [
        ("run_started", "reading topic events"),
        ("worker_started", "worker 0 has started"),
        ("notice", "see clickhouse://ann:***@host"),
        ("dead_letters", "2 records couldn't be decoded: not JSON"),
    ]
    assert [notice.event for notice in watch.totals.snapshot().notices] == [event for event, _ in lines(out)]
    with (
        pytest.raises(ConnectionRefusedError),
        closing(http.client.HTTPConnection("127.0.0.1", port)) as connection,
    ):
        connection.connect()


def test_a_terminal_has_a_picture_and_the_log_goes_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    out = Terminal()
    with LiveWatch(EXPECTED, log_to=LogTo("text", tmp_path / "log"), out=out) as watch:
        watch(WorkerStarted(0, 1.0))
    assert "starting" in out.getvalue()
    assert "\x1b[" in out.getvalue()
    assert "worker_started: worker 0 has started [worker=0]" in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_format_that_is_asked_for_takes_the_pictures_place() -> None:
    out = Terminal()
    with LiveWatch(EXPECTED, log_to=LogTo("json"), out=out) as watch:
        watch(WorkerStarted(0, 1.0))
    assert list(lines(out)) == [("worker_started", "worker 0 has started")]


def test_without_a_log_a_terminal_has_the_picture_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    out = Terminal()
    with LiveWatch(EXPECTED, address="none", out=out) as watch:
        assert watch.url == ""
        watch(WorkerStarted(0, 1.0))
    assert '"event"' not in out.getvalue()
    assert "worker 0 has started" in out.getvalue(), "among the notices"


def test_quiet_means_events_alone() -> None:
    out = Terminal()
    with LiveWatch(EXPECTED, out=out, quiet=True) as watch:
        watch(WorkerStarted(0, 1.0))
    assert list(lines(out)) == [("worker_started", "worker 0 has started")]


def test_an_error_that_ends_the_run_is_told() -> None:
    out = io.StringIO()
    with pytest.raises(RunError), LiveWatch(EXPECTED, out=out):
        raise RunError("the disk is full")
    assert list(lines(out)) == [("run_failed", "the disk is full")]


def test_what_the_process_logs_is_a_line_like_any_other_and_no_more_afterwards() -> None:
    out = io.StringIO()
    own, others = logging.getLogger("footfall.kafka"), logging.getLogger("driver")
    before = logging.getLogger().handlers, logging.getLogger("footfall").level
    with LiveWatch(EXPECTED, out=out, secrets=("hunter2",)) as watch:
        own.warning("REQTMOUT [producer-9]\nhunter2 timed out")
        own.info("it goes on at offset %d", 7)
        own.debug("too much")
        others.info("connected")
        others.error("no route")
    own.error("too late")
    assert list(lines(out)) == [
        ("notice", "REQTMOUT [producer-9]\n*** timed out"),
        ("notice", "it goes on at offset 7"),
        ("notice", "no route"),
    ]
    assert [json.loads(line)["level"] for line in out.getvalue().splitlines()] == ["warning", "info", "error"]
    assert watch.totals.snapshot().notices[-1].text == "no route"
    assert (logging.getLogger().handlers, logging.getLogger("footfall").level) == before


def test_the_limit_of_a_spool_makes_an_alert() -> None:
    with LiveWatch(Expected(["p0"], ["a"], 1, spool_limit=100), out=io.StringIO()) as watch:
        watch(sink_status({}, waiting_bytes=95))
        assert list(watch.totals.snapshot().alerts) == ["spool_nearly_full"]


def test_an_address_that_is_taken_leaves_nothing_open(tmp_path: Path) -> None:
    with (
        closing(health.start("127.0.0.1:0", LiveTotals())) as other,
        pytest.raises(UsageError, match="the port is taken"),
    ):
        LiveWatch(EXPECTED, address=f"127.0.0.1:{other.port}", log_to=LogTo(file=tmp_path / "log"))
