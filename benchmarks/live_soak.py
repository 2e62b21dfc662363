"""A live run for an hour at a steady rate: whether its memory stays what it is.

    python benchmarks/live_soak.py [--minutes N] [--rate N | --sustained N] [--workers N] [--json] [-- FLAG ...]

The rate is half of the sustained one, as `live_throughput.py` finds it on the same machine. Visitors come, act for four
minutes, and go; who was there longest ago comes next, so the whole population is known by the middle of the first
tenth, and from then on the profiles, which grow with every visitor ever seen until `profile_horizon` (400 days), have
no reason to grow. To see that growth, give a larger population with `--visitors`. What else grows for a time by design
are waits: the longest of the shipped rules is seven days after a service. So event time runs faster than the clock,
seven and a half days in each tenth, at which every wait has come and gone by the end of the first.

Every five seconds the benchmark looks at the memory of the workers (and of the parent, the store's owner and the
broker), the state's size, the spool and the lag. The change is that of the workers' memory (VmRSS, all together)
between the median of the second tenth and that of the last. Ctrl-C or SIGTERM ends it early, with what there is. What
comes after `--` goes to `footfall live`. Exits with 1 if the change is more than 5 %, or the run falls behind.
"""

import argparse
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
from live_stage import SHIPPED, LiveRun, Stage, Usage, disturbed, folder_mb, median, memory_mb, total
from live_traffic import DAY_MS, Plan, Produced, Production
from rich.console import Console
from rich.table import Table

CHANGE = 0.05
_EVERY = 5.0
_SUSTAINED = 100_000
_TENTHS = 10
_TENTH_MS = 7.5 * DAY_MS
_VISIT_SECONDS = 240
_VISIT_EVENTS = 16
_HEAD_START = 3.0
_BEHIND_SECONDS = 2.0


class Sample(msgspec.Struct):
    """What one look saw: memory in MB by what for, rows and bytes of the state, and how far it is behind."""

    seconds: float
    workers_mb: float
    workers_anonymous_mb: float
    parent_mb: float
    store_mb: float
    broker_mb: float
    snapshots_mb: float
    state_folder_mb: float
    spool_rows: float
    spool_mb: float
    visitors: float
    partials: float
    lag: float
    records: float


def look(stage: Stage, run: LiveRun, seconds: float) -> Sample:
    """Look at everything once."""
    pids, now = run.pids(), run.metrics()

    def memory(name: str, what: str = "VmRSS") -> float:
        return sum(memory_mb(pid, what) for pid in pids[name])

    return Sample(
        seconds,
        workers_mb=memory("workers"),
        workers_anonymous_mb=memory("workers", "RssAnon"),
        parent_mb=memory("parent"),
        store_mb=memory("store"),
        broker_mb=memory_mb(stage.broker.pid()),
        snapshots_mb=total(now, "state_bytes") / 1e6,
        state_folder_mb=folder_mb(run.state),
        spool_rows=total(now, "sink_waiting_rows", ('sink="store"',)),
        spool_mb=total(now, "sink_waiting_bytes", ('sink="store"',)) / 1e6,
        visitors=total(now, "visitors"),
        partials=total(now, "partial_matches"),
        lag=total(now, "lag_records"),
        records=total(now, "records_total"),
    )


class Stop:
    """Notes that the soak is to end now."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.asked.set()


def plan_of(arguments: argparse.Namespace, bootstrap: str, topic: str) -> Plan:
    """Traffic at the rate, of a population that is known by the middle of the first tenth."""
    tenth_seconds = arguments.minutes * 60 / _TENTHS
    speed = arguments.speed or _TENTH_MS / 1_000 / tenth_seconds
    event_rate = arguments.rate / speed
    at_once = max(1, round(event_rate * _VISIT_SECONDS / _VISIT_EVENTS))
    visits = arguments.rate / _VISIT_EVENTS * tenth_seconds / 2
    return Plan(
        bootstrap,
        topic,
        visitors=arguments.visitors or max(2 * at_once, round(visits)),
        at_once=at_once,
        events_per_visit=_VISIT_EVENTS,
        rate=arguments.rate,
        begin_ms=time.time_ns() // 1_000_000 // DAY_MS * DAY_MS - 100 * DAY_MS,
        event_rate=event_rate,
    )


def soak(
    arguments: argparse.Namespace, folder: Path, stop: Stop, console: Console
) -> tuple[list[Sample], dict[str, Any], Produced, dict[str, float], Plan]:
    """The soak itself: what was seen, the run's report, what was produced, and the processors in use."""
    with Stage(folder) as stage:
        plan = plan_of(arguments, stage.broker.bootstrap, stage.input_topic("events", bounded=True))
        patterns = arguments.patterns or stage.patterns("shipped", SHIPPED)
        more = ("--early", "--read-ahead", "1d", *arguments.live)
        samples: list[Sample] = []
        with Production(plan) as production:
            # A partition without a record would go by the broker's clock, for which all that follows is late.
            time.sleep(_HEAD_START)
            with LiveRun(
                stage,
                "soak",
                plan.topic,
                *more,
                patterns=patterns,
                workers=arguments.workers,
                store=arguments.store,
            ) as run:
                run.wait_until_ready()
                processes = run.pids() | {"broker": [stage.broker.pid()], "producer": [production.pid]}
                before, began = Usage.now(processes), time.monotonic()
                while (seconds := time.monotonic() - began) < arguments.minutes * 60:
                    run.check()
                    if not production.running:
                        raise RuntimeError("the production has ended")
                    samples.append(look(stage, run, seconds))
                    if not arguments.json:
                        last = samples[-1]
                        console.print(
                            f"{last.seconds:>6.0f} s  workers {last.workers_mb:,.0f} MB, lag {last.lag:,.0f}, "
                            f"{last.records:,.0f} records",
                            end="\r",
                        )
                    wake = began + _EVERY * len(samples)
                    if stop.asked.wait(max(0.0, wake - time.monotonic())):
                        break
                usage = Usage.now(processes).since(before)
                produced = production.end()
                run.note_peaks()
                report = run.stop()
                report["peak_mb"] = round(sum(run.peak_mb.values()))
    return samples, report, produced, usage, plan


def tenths(samples: list[Sample], seconds: float) -> list[dict[str, float]]:
    """The medians of each tenth of the time that is in the samples; the records are those read a second."""
    found = []
    for number in range(_TENTHS):
        start, end = number * seconds / _TENTHS, (number + 1) * seconds / _TENTHS
        within = [each for each in samples if start <= each.seconds < end]
        if not within:
            continue
        row = {
            name: round(median([float(getattr(each, name)) for each in within]), 1)
            for name in Sample.__struct_fields__
            if name not in {"seconds", "records"}
        }
        passed = within[-1].seconds - within[0].seconds
        rate = (within[-1].records - within[0].records) / passed if passed else 0.0
        found.append({"tenth": number + 1, "records_per_second": round(rate), **row})
    return found


def judged(
    samples: list[Sample], report: dict[str, Any], produced: Produced, usage: dict[str, float], plan: Plan
) -> dict[str, Any]:
    """The soak's figures, and what is wrong with them."""
    seconds = samples[-1].seconds + _EVERY if samples else 0.0
    rows = tenths(samples, seconds)
    wrong = []
    change = None
    by_number = {row["tenth"]: row for row in rows}
    if {2, _TENTHS} <= by_number.keys():
        change = by_number[_TENTHS]["workers_mb"] / by_number[2]["workers_mb"] - 1
        if abs(change) > CHANGE:
            wrong.append("a goal is missed: the workers' memory isn't flat")
    else:
        wrong.append("it was too short for tenths")
    if rows and rows[-1]["lag"] > plan.rate * _BEHIND_SECONDS:
        wrong.append(f"the run falls behind: {rows[-1]['lag']:,.0f} records wait")
    if produced.behind_ms > 1_000 * _BEHIND_SECONDS:
        wrong.append(f"the production fell behind its rate by {produced.behind_ms / 1_000:.1f} s")
    if report["late"]:
        wrong.append(f"{report['late']:,} events were late, though none is")
    return {
        "minutes": round(seconds / 60, 1),
        "rate": round(plan.rate),
        "produced": produced.records,
        "event_rate": round(plan.event_rate, 1),
        "population": plan.visitors,
        "visits": round(produced.records / _VISIT_EVENTS),
        "visitors_at_once": plan.at_once,
        "required_change": CHANGE,
        "change": None if change is None else round(change, 4),
        "peak_mb": report["peak_mb"],
        "workers": report["workers"],
        "restarts": report["restarts"],
        "processors": usage,
        "tenths": rows,
        "sessions": report["sessions"],
        "matches": sum(report["matches"].values()),
        "dropped_partials": report["dropped_partials"],
        "wrong": wrong,
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Print the result for people."""
    console.print(
        f"{result['minutes']} minutes at {result['rate']:,} events/s ({result['event_rate']:,} of a second of event "
        f"time), {result['visitors_at_once']:,} visitors at once of {result['population']:,}, who came "
        f"{result['visits']:,} times; {result['sessions']:,} sessions, {result['matches']:,} matches"
    )
    columns = {
        "tenth": "tenth",
        "records_per_second": "events/s",
        "workers_mb": "workers, MB",
        "workers_anonymous_mb": "anonymous",
        "parent_mb": "parent",
        "store_mb": "store",
        "broker_mb": "broker",
        "snapshots_mb": "snapshot",
        "state_folder_mb": "state folder",
        "spool_rows": "spool, rows",
        "visitors": "visitors",
        "partials": "partials",
        "lag": "lag",
    }
    table = Table(box=None, pad_edge=False)
    for name in columns.values():
        table.add_column(name, justify="right")
    for row in result["tenths"]:
        table.add_row(*(f"{row[name]:,.0f}" for name in columns))
    console.print(table)
    used = ", ".join(f"{name} {cores}" for name, cores in result["processors"].items() if name != "machine")
    console.print(f"processors, of {result['processors']['machine']:.0f}: {used}")
    if disturbed(result["processors"]):
        console.print("[yellow]others were using the processors: these figures are only an indication[/]")
    change = "unknown" if result["change"] is None else f"{100 * result['change']:+.1f} %"
    console.print(
        f"change of the workers' memory from the second tenth to the last: [bold]{change}[/] "
        f"(required: within {100 * result['required_change']:.0f} %); peak {result['peak_mb']:,} MB"
    )
    if result["wrong"]:
        console.print("[bold red]wrong:[/] " + "; ".join(result["wrong"]))


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument(
        "--rate", type=float, default=0, help="events a second; half of --sustained if left out"
    )
    parser.add_argument(
        "--sustained", type=float, default=_SUSTAINED, help="the sustained rate of this machine"
    )
    parser.add_argument("--visitors", type=int, default=0, help="the population; by the rate if left out")
    parser.add_argument(
        "--speed", type=float, default=0, help="event time by the clock; by the length if left out"
    )
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--patterns", type=Path, help="a folder of patterns; all shipped ones if left out")
    parser.add_argument("--store", default="", help="a DSN, or none; an embedded one of its own if left out")
    parser.add_argument("--folder", type=Path, help="where to put all; a temporary folder if left out")
    parser.add_argument("--samples", type=Path, help="file to write each look to, as lines of JSON")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("live", nargs="*", metavar="FLAG", help="further flags of footfall live, after --")
    arguments = parser.parse_args()
    arguments.rate = arguments.rate or arguments.sustained / 2
    if arguments.patterns is not None:
        arguments.patterns = arguments.patterns.resolve()
    console = Console(highlight=False)
    stop = Stop()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        samples, report, produced, usage, plan = soak(arguments, Path(folder), stop, console)
    if arguments.samples is not None:
        arguments.samples.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in samples))
    result = judged(samples, report, produced, usage, plan)
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    else:
        show(result, console)
    return 1 if result["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
