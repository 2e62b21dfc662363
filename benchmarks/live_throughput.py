"""Throughput from Kafka to the embedded store and to topics, and how fast a live run makes good what it has missed.

    python benchmarks/live_throughput.py [--events N] [--workers N] [--patterns FOLDER] [--pause S] [--json]
                                         [-- FLAG ...]

A backlog of a past (200 events of a second, visits of 16) lies in a topic of ten partitions; `footfall live`, early
answers included, begins with nothing. Sustained is what it does from the first record (or from being ready, if that is
sooner) until every event is in the store, no row waits and the lag is 0; the start is told beside it. Rows go to the
store once a snapshot (every 10 s) has made them durable, and a sink says how it stands once a second: so much later
the end is seen, which is why a backlog should take a minute; the rate until all is read is told as well. Then the run
is stopped in order, production goes on at half of that rate, the run is started again after the pause, and what counts
is the time until its lag is what half a second brings, while production goes on. All of it with one worker and with
more, each with a topic of its own. By default with all shipped patterns and rules, which are made to fire in the past;
with `--patterns benchmarks/journey1_patterns` with the three of journey-1 alone. Beside each rate stands that of the
decoding alone, taken in the same run: msgspec, typed, one thread, nothing kept. What comes after `--` goes to `footfall
live`. Exits with 1 if a goal is missed, or the store doesn't have each event once.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from live_stage import SHIPPED, LiveRun, Stage, Usage, disturbed, total
from live_traffic import DAY_MS, SENTINEL, Plan, Produced, Production, sample
from rich.console import Console
from rich.table import Table

from footfall.store import open_store, parse_dsn

SUSTAINED = 100_000
_LIMIT = 1_800.0
_LOOK_SECONDS = 0.1
_PATIENCE = 120.0
# Seconds of event time between two events of a visitor: a visit of 16 lasts four minutes.
_GAP_SECONDS = 15
_SAMPLE = 200_000
_BLOCK = 20_000


class Record(msgspec.Struct, gc=False):
    """A record of the traffic, as the floor under the engine decodes it."""

    message_id: str
    visitor_id: str
    event: str
    event_time: str
    arrival_time: str
    url: str
    path: str
    user_id: str | None = None
    element: str | None = None
    x: int | None = None
    y: int | None = None
    referrer: str | None = None
    user_agent: str | None = None
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None
    utm_content: str | None = None
    properties: msgspec.Raw = msgspec.Raw()


def decode_rate(plan: Plan) -> float:
    """Records per second of typed decoding alone, the middle of three; blocks are freed before the next is decoded."""
    records = sample(plan, _SAMPLE)
    blocks = [b"\n".join(records[first : first + _BLOCK]) for first in range(0, len(records), _BLOCK)]
    decoder = msgspec.json.Decoder(Record)
    rates = []
    for _ in range(3):
        began = time.perf_counter()
        for block in blocks:
            decoder.decode_lines(block)
        rates.append(len(records) / (time.perf_counter() - began))
    return statistics.median(rates)


def wait_for(run: LiveRun, condition: Callable[[dict[str, float]], bool], within: float = _LIMIT) -> float:
    """Wait until the run's metrics are so; when that was (monotonic)."""
    until = time.monotonic() + within
    while not condition(metrics := run.metrics()):
        run.check()
        if time.monotonic() > until:
            raise RuntimeError(f"that isn't so after {within:g} s: {metrics}\n{run.said()}")
        time.sleep(_LOOK_SECONDS)
    return time.monotonic()


def settled(metrics: dict[str, float], rows: int) -> bool:
    """Whether so many events are in the store, nothing waits for it, and nothing is left to read."""
    stored = total(metrics, "sink_rows_total", ('sink="store"', 'table="events"'))
    return stored >= rows and not total(metrics, "sink_waiting_rows") and not total(metrics, "lag_records")


def stored_events(run: LiveRun) -> int:
    """How many events the store of a run that has stopped has, without the sentinels."""
    store = open_store(parse_dsn(run.store), wait_for_owner=30, create=False)
    try:
        found = store.query(
            f"SELECT count() AS events FROM events WHERE NOT startsWith(visitor_id, '{SENTINEL}')"
        )
        return int(found["events"][0])
    finally:
        store.close()


def backlog(
    stage: Stage, run_as: Callable[[], LiveRun], produced: Produced
) -> tuple[dict[str, Any], LiveRun]:
    """Work off a backlog with a fresh run: its figures; it has been stopped."""
    began = time.monotonic()
    with run_as() as run:
        ready = wait_for(
            run, lambda now: total(now, "ready") == 1 or total(now, "records_total") > 0, _PATIENCE
        )
        processes = run.pids() | {"broker": [stage.broker.pid()]}
        before = Usage.now(processes)
        read = wait_for(
            run, lambda now: total(now, "records_total") >= produced.records and not total(now, "lag_records")
        )
        done = wait_for(run, lambda now: settled(now, produced.records))
        usage = Usage.now(processes)
        run.note_peaks()
        report = run.stop()
    return {
        "start_seconds": round(ready - began, 1),
        "read_seconds": round(read - ready, 1),
        "read_per_second": round(produced.records / (read - ready)),
        "seconds": round(done - ready, 1),
        "events_per_second": round(produced.records / (done - ready)),
        "processors": usage.since(before),
        "peak_mb": {
            "sum": round(sum(run.peak_mb.values())),
            "worker": round(max(run.peak_mb.values(), default=0)),
        },
        "late": report["late"],
        "sessions": report["sessions"],
        "matches": sum(report["matches"].values()),
        "early_matches": report["early"],
        "retracted": report["retracted"],
    }, run


def catching_up(
    stage: Stage, run_as: Callable[[], LiveRun], plan: Plan, pause: float
) -> tuple[dict[str, Any], Produced, LiveRun]:
    """Produce, start the run after the pause, and see its lag return to zero; the run has been stopped."""
    with Production(plan) as production:
        time.sleep(pause)
        began = time.monotonic()
        with run_as() as run:
            wait_for(run, lambda now: total(now, "ready") == 1, _PATIENCE)
            ready = time.monotonic()
            processes = run.pids() | {"broker": [stage.broker.pid()], "producer": [production.pid]}
            before = Usage.now(processes)
            # The lag is known from the first look at the partitions' ends on: what was missed must have been read, too.
            missed = plan.first + plan.rate * pause
            caught = wait_for(
                run,
                lambda now: (
                    total(now, "records_total") >= missed and total(now, "lag_records") <= plan.rate / 2
                ),
            )
            usage = Usage.now(processes)
            produced = production.end()
            run.note_peaks()
            # A sink says how it stands once a second: what it said may be older than the last rows.
            time.sleep(3)
            wait_for(run, lambda now: not total(now, "lag_records") and not total(now, "sink_waiting_rows"))
            report = run.stop()
    return (
        {
            "pause_seconds": pause,
            "rate": round(produced.records / produced.seconds),
            "start_seconds": round(ready - began, 1),
            "seconds": round(caught - ready, 1),
            "processors": usage.since(before),
            "peak_mb": {"sum": round(sum(run.peak_mb.values()))},
            "late": report["late"],
            "retracted": report["retracted"],
        },
        produced,
        run,
    )


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The whole, with one worker and with as many as are asked for."""
    event_rate = arguments.event_rate
    with Stage(folder) as stage:
        patterns = arguments.patterns or stage.patterns("shipped", SHIPPED)
        at_once = max(1, int(event_rate * _GAP_SECONDS))
        plan = Plan(
            stage.broker.bootstrap,
            "",
            visitors=max(20_000, 10 * at_once),
            at_once=at_once,
            records=arguments.events,
            begin_ms=time.time_ns() // 1_000_000 // DAY_MS * DAY_MS - 30 * DAY_MS,
            event_rate=event_rate,
            seal=True,
        )
        decode_only = decode_rate(plan)
        runs: dict[str, dict[str, Any]] = {}
        wrong: list[str] = []
        for workers in sorted({1, arguments.workers}):
            name = f"workers-{workers}"
            topic = stage.input_topic(name)
            with Production(replace(plan, topic=topic)) as production:
                produced = production.wait(_LIMIT)

            def run_as(name: str = name, topic: str = topic, workers: int = workers) -> LiveRun:
                more = ("--early", "true" if arguments.early else "false", *arguments.live)
                return LiveRun(
                    stage, name, topic, *more, patterns=patterns, workers=workers, store=arguments.store
                )

            found, run = backlog(stage, run_as, produced)
            found["of_decode_only"] = round(found["events_per_second"] / decode_only, 3)
            found["backlog_produced_per_second"] = round(produced.records / produced.seconds)
            events = produced.records
            if arguments.pause > 0:
                later = replace(
                    plan,
                    topic=topic,
                    first=events,
                    begin_ms=produced.until_ms + 1_000,
                    records=0,
                    rate=found["events_per_second"] / 2,
                )
                found["after_pause"], more, run = catching_up(stage, run_as, later, arguments.pause)
                events += more.records
            stored = stored_events(run) if run.store.startswith("chdb:") else events
            if stored != events:
                wrong.append(f"{workers} workers: {stored:,} events in the store of {events:,}")
            if found["late"] or found.get("after_pause", {}).get("late"):
                wrong.append(f"{workers} workers: events were late, though none is")
            runs[str(workers)] = found
    best = max(found["events_per_second"] for found in runs.values())
    if best < SUSTAINED:
        wrong.append("a goal is missed")
    return {
        "events": arguments.events,
        "patterns": str(arguments.patterns or "all shipped ones, and rules"),
        "early": arguments.early,
        "event_rate": event_rate,
        "bytes_per_event": round(produced.value_bytes / produced.records),
        "required_per_second": SUSTAINED,
        "decode_only_per_second": round(decode_only),
        "workers": runs,
        "wrong": wrong,
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Print the result for people."""
    console.print(
        f"{result['events']:,} events of {result['bytes_per_event']} bytes; patterns: {result['patterns']}; "
        f"early answers: {'yes' if result['early'] else 'no'}"
    )
    console.print(f"decoding alone, one thread: {result['decode_only_per_second']:,} records/s")
    table = Table(
        "workers", "events/s", "of decoding", "read/s", "until stored", "peak MB", "lag 0 after pause"
    )
    table.add_row("required", f"{result['required_per_second']:,}", "", "", "", "", "")
    for workers, found in result["workers"].items():
        after = found.get("after_pause")
        table.add_row(
            workers,
            f"{found['events_per_second']:,}",
            f"{found['of_decode_only']:.3f}",
            f"{found['read_per_second']:,}",
            f"{found['seconds']} s",
            f"{found['peak_mb']['sum']:,}",
            f"{after['seconds']} s, {after['pause_seconds']:g} s of {after['rate']:,}/s missed"
            if after
            else "",
        )
    console.print(table)
    for workers, found in result["workers"].items():
        used = ", ".join(
            f"{name} {cores}" for name, cores in found["processors"].items() if name != "machine"
        )
        console.print(f"{workers} worker(s): up in {found['start_seconds']} s; processors: {used}")
        console.print(
            f"{found['sessions']:,} sessions, {found['matches']:,} matches, {found['early_matches']:,} early ones, "
            f"{found['retracted']:,} retracted"
        )
        if disturbed(found["processors"]):
            console.print("[yellow]others were using the processors: these figures are only an indication[/]")
    if result["wrong"]:
        console.print("[bold red]wrong:[/] " + "; ".join(result["wrong"]))


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--workers", type=int, default=2, help="one worker is measured too")
    parser.add_argument("--patterns", type=Path, help="a folder of patterns; all shipped ones if left out")
    parser.add_argument("--pause", type=float, default=20, help="seconds that are missed; 0 for no pause")
    parser.add_argument("--event-rate", type=float, default=200, help="events of a second of event time")
    parser.add_argument("--early", action=argparse.BooleanOptionalAction, default=True, help="early answers")
    parser.add_argument("--store", default="", help="a DSN; an embedded one of its own if left out")
    parser.add_argument("--folder", type=Path, help="where to put all; a temporary folder if left out")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("live", nargs="*", metavar="FLAG", help="further flags of footfall live, after --")
    arguments = parser.parse_args()
    if arguments.patterns is not None:
        arguments.patterns = arguments.patterns.resolve()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        result = measure(arguments, Path(folder))
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    else:
        show(result, Console(highlight=False))
    return 1 if result["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
