"""What `footfall live` says at its end, and at once when it starts."""

import io
import json
import sys
from dataclasses import replace

import pytest
from live_messages import Terminal, progress, shard_status, sink_status
from rich.console import Console

from footfall.cli import main
from footfall.live_command import print_totals
from footfall.live_report import LiveReport, LiveTally
from footfall.run_messages import ModelStatus
from footfall.settings import Settings

SETTINGS = Settings(store="clickhouse://ann:secret@host/db")


def report_of(*messages: object) -> LiveReport:
    tally = LiveTally()
    for message in messages:
        tally.note(message)  # type: ignore[arg-type]  # any message of a worker
    return tally.report(workers=2, restarts=0)


def printed(report: LiveReport, settings: Settings = SETTINGS) -> str:
    out = io.StringIO()
    print_totals(report, settings, Console(file=out, width=400, highlight=False))
    return out.getvalue()


def test_rows_are_where_they_were_sent() -> None:
    report = report_of(progress(records=5), shard_status(events=4), sink_status({"events": 4}))
    assert report.unsent == {}
    assert (
        "; rows in clickhouse://ann:***@host/db; given again, the command goes on from footfall-live"
        in printed(report)
    )
    assert "; no store; " in printed(report, replace(SETTINGS, store="none"))


def test_rows_that_still_wait_are_told_by_the_sinks_last_words() -> None:
    report = report_of(
        sink_status({}, waiting_rows=500),
        sink_status({"events": 465}, waiting_rows=35),
        sink_status({}, worker=1, waiting_rows=3),
        sink_status({}, sink="webhook", waiting_rows=1),
    )
    assert report.unsent == {"store": 38, "webhook": 1}
    assert report.to_json()["unsent"] == {"store": 38, "webhook": 1}
    said = printed(report)
    assert "; 38 rows wait in the spool for clickhouse://ann:***@host/db; " in said
    assert "; 1 message waits for the webhook; " in said
    assert "rows in" not in said


def test_models_and_the_triggers_that_asked_for_them_are_told() -> None:
    models = ModelStatus(
        None, 0, {"lead": "one"}, {"lead": 7}, {"lead": {"one": 5}}, {"lead": {}}, {"cart": {"fired": 2, "unmet": 1}},
        (1, 2),
    )  # fmt: skip
    plain = report_of(shard_status(triggers={"cart": {"fired": 1}}))
    report = report_of(shard_status(triggers={"cart": {"fired": 1}}), models)
    assert report.triggers == {"cart": {"fired": 3, "unmet": 1}}
    assert plain.triggers == {"cart": {"fired": 1}}
    assert report.scores["lead"]["predictions"] == 7
    assert report.answer != plain.answer
    said = [" ".join(line.split()) for line in printed(report).splitlines()]
    assert "lead one 7 5" in said
    assert "cart: 3 fired, 1 unmet" in said


@pytest.mark.parametrize(
    ("terminal", "more"),
    [(True, ()), (False, ()), (False, ("--log-format", "text")), (True, ("--log-format", "json"))],
)
def test_a_line_comes_at_once(
    terminal: bool,  # noqa: FBT001 - a parameter of the test
    more: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class StartedError(Exception):
        pass

    def live(*_: object, **__: object) -> int:
        raise StartedError

    monkeypatch.setattr("footfall.live_command.live", live)
    out = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    with pytest.raises(StartedError):
        main(["live", "--kafka", "127.0.0.1:1", "--state", "mine", *more])
    (line,) = out.getvalue().splitlines()
    words = "starting: reads patterns, topics at 127.0.0.1:1, and the state in mine"
    if terminal and not more:
        assert line == f"footfall live {words}"
    elif "text" in more:
        assert line.endswith(f"run_starting: {words}")
    else:
        assert (json.loads(line)["event"], json.loads(line)["message"]) == ("run_starting", words)
    out.truncate(0)
    out.seek(0)
    with pytest.raises(StartedError):
        main(["live", "--kafka", "127.0.0.1:1", "--quiet", *more])
    assert out.getvalue() == ""
