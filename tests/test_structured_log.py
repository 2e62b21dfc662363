import io
import json
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.errors import UsageError
from footfall.run_events import EventWatch, RunEvent
from footfall.run_messages import Notice
from footfall.structured_log import StructuredLog


def event(text: str = "it is so", level: str = "info", **fields: Any) -> RunEvent:
    return RunEvent(1_750_000_000_123, level, "of_my_own", text, fields)


def test_json_lines_have_the_time_the_level_the_event_and_its_fields() -> None:
    out = io.StringIO()
    log = StructuredLog(out)
    log(event(worker=1, shards=["a", "b"], counts={"x": 1}, ok=True, none=None, seconds=0.5))
    assert json.loads(out.getvalue()) == {
        "ts": "2025-06-15T15:06:40.123Z",
        "level": "info",
        "event": "of_my_own",
        "message": "it is so",
        "worker": 1,
        "shards": ["a", "b"],
        "counts": {"x": 1},
        "ok": True,
        "none": None,
        "seconds": 0.5,
    }
    assert datetime.fromisoformat(json.loads(out.getvalue())["ts"]).utcoffset() == timedelta(0)


def test_a_field_cant_stand_in_for_the_lines_own() -> None:
    out = io.StringIO()
    StructuredLog(out)(event(message="another", ts=1))
    line = json.loads(out.getvalue())
    assert (line["message"], line["message_"], line["ts_"]) == ("it is so", "another", 1)


def test_text_lines_are_for_people() -> None:
    out = io.StringIO()
    log = StructuredLog(out, log_format="text")
    log(
        event(
            level="warning",
            worker=1,
            place="a b",
            empty="",
            shards=["a"],
            ok=True,
            counts={"x": 1},
            none=None,
        )
    )
    log(event("two\nlines \x1b[31mred"))
    first, second = out.getvalue().splitlines()
    assert first == (
        "2025-06-15T15:06:40.123Z WARNING of_my_own: it is so "
        '[worker=1 place="a b" empty="" shards=["a"] ok=true counts={"x":1} none=null]'
    )
    assert second == r"2025-06-15T15:06:40.123Z INFO    of_my_own: two\nlines \x1b[31mred"


@given(st.text(), st.text())
def test_an_event_is_one_line_whatever_it_holds(text: str, value: str) -> None:
    for log_format in ("text", "json"):
        out = io.StringIO()
        StructuredLog(out, log_format="json" if log_format == "json" else "text")(event(text, field=value))
        line = out.getvalue()
        if log_format == "json":
            assert line.count("\n") == 1
            assert (json.loads(line)["message"], json.loads(line)["field"]) == (text, value)
        else:
            assert len(line.splitlines()) == 1
            assert line[:-1].isprintable()


def test_what_is_below_the_level_isnt_written() -> None:
    out = io.StringIO()
    log = StructuredLog(out, level="warning")
    for level in ("debug", "info", "warning", "error", "critical"):
        log(event(level=level))
    assert [json.loads(line)["level"] for line in out.getvalue().splitlines()] == [
        "warning",
        "error",
        "critical",
    ]


def test_secrets_of_messages_reach_no_line() -> None:
    out = io.StringIO()
    watch = EventWatch(StructuredLog(out))
    watch.note(Notice(0, "warning", "clickhouse://ann:hunter2@host/db is away"))
    watch.happened(
        "run_started", "reading", store="clickhouse://ann:hunter2@host/db", webhook_secret="hunter2"
    )
    assert "hunter2" not in out.getvalue()
    assert out.getvalue().count("clickhouse://ann:***@host/db") == 2


def test_a_file_is_appended_to_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "footfall.log"
    for number in range(2):
        with StructuredLog.to_file(path) as log:
            log(event(number=number))
        log(event("after the end"))
    assert [json.loads(line)["number"] for line in path.read_text(encoding="utf-8").splitlines()] == [0, 1]


def test_a_file_that_cant_be_written_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the log can't be written"):
        StructuredLog.to_file(tmp_path)


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with StructuredLog.to_file(path) as log:

        def write() -> None:
            for _ in range(100):
                log(event("x" * 500))

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 400
    assert all(json.loads(line)["message"] == "x" * 500 for line in lines)


def test_a_place_that_is_gone_doesnt_end_the_run() -> None:
    class Gone(io.StringIO):
        tries = 0

        def write(self, text: str) -> int:
            self.tries += 1
            raise BrokenPipeError

    out = Gone()
    StructuredLog(out)(event())
    assert out.tries == 1
