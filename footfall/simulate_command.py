"""`footfall simulate`: write traffic, and say what was written."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from footfall.simulate import Simulation, SimulationSummary, simulate
from footfall.simulate_lives_plan import LivesPlan, LivesSummary
from footfall.simulate_plan import check_rate, with_visitors_enough


def write_traffic(chosen: Mapping[str, Any], output: Path, *, as_json: bool) -> SimulationSummary:
    """Simulate with the chosen fields of `Simulation`, the others as they are by default.

    Without visitors, there are enough for the rate.

    Raises:
        SettingsError: values out of bounds, or the visitors can't give the rate.
        UsageError: the output won't do.
    """
    plan = Simulation(**chosen)
    if "visitors" not in chosen:
        plan = with_visitors_enough(plan)
    check_rate(plan)
    summary = simulate(plan, output)
    if as_json:
        sys.stdout.write(msgspec.json.encode(summary, enc_hook=str).decode() + "\n")
    else:
        print_summary(summary, Console(highlight=False))
    return summary


def print_summary(summary: SimulationSummary, console: Console) -> None:
    """Print what a simulation wrote, for people."""
    console.print(
        f"[bold]{summary.lines:,} records[/] of {summary.visitors:,} visitors in {summary.sessions:,} sessions: "
        f"{summary.events:,} events ({summary.bot_events:,} of robots, {summary.late:,} late, "
        f"{summary.clock_capped:,} with a clock ahead), {summary.duplicates:,} copies, {summary.dirty:,} malformed"
    )
    console.print("planted: " + ", ".join(f"{name} {count:,}" for name, count in summary.plants.items()))
    files = ", ".join(str(path) for path in summary.records)
    console.print(f"[dim]{files}; the plants in {summary.plants_file}[/]")


def write_lives(chosen: Mapping[str, Any], output: Path, *, as_json: bool) -> LivesSummary:
    """Simulate lives with the chosen fields of `LivesPlan`, the others as they are by default.

    Raises:
        SettingsError: values out of bounds.
        UsageError: the output won't do.
    """
    from footfall.simulate_lives import simulate_lives  # noqa: PLC0415 - it loads SciPy, which a day needn't

    summary = simulate_lives(LivesPlan(**chosen), output)
    if as_json:
        sys.stdout.write(msgspec.json.encode(summary, enc_hook=str).decode() + "\n")
    else:
        print_lives(summary, Console(highlight=False))
    return summary


def print_lives(summary: LivesSummary, console: Console) -> None:
    """Print what a long simulation wrote, for people."""
    console.print(
        f"[bold]{summary.lines:,} records[/] of {summary.visitors:,} visitors in {summary.sessions:,} sessions: "
        f"{summary.events:,} events, {summary.duplicates:,} copies, {summary.dirty:,} malformed"
    )
    console.print(f"{summary.orders:,} orders of {summary.customers:,} customers")
    console.print("moments: " + ", ".join(f"{name} {count:,}" for name, count in summary.moments.items()))
    files = ", ".join(str(path) for path in summary.records)
    console.print(f"[dim]{files}; the truth in {summary.truth_file}[/]")
