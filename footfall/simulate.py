"""A day at a repair shop's site, as records to replay, with the truth about them beside it.

Noise is laid on so that the truth stays exact. What a pattern looks at is never made late; a malformed record
is an extra one; a copy arrives in time, or so late that it can't be mistaken. A visitor whose clock is ahead
has the events' arrival as their time (as the engine has it), one whose clock is behind is late throughout; in
Segment's format both are put right by its own timestamps.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from footfall.simulate_files import RecordFile, output_paths
from footfall.simulate_plan import MONDAY, Simulation, slices
from footfall.simulate_plants import PATTERNS
from footfall.simulate_traffic import Traffic

__all__ = ["MONDAY", "Simulation", "SimulationSummary", "simulate"]


@dataclass(frozen=True, kw_only=True)
class SimulationSummary:
    """What a simulation wrote, and what a replay of it with the default settings has to find.

    Attributes:
        records: the files, in the order of their names; plants_file: the list of what is planted.
        lines: lines in all files: `events` + `duplicates` + `dirty`.
        events: good records, late ones included, copies in time left out.
        late: events that come too late to count. clock_capped: events whose time lay in the future.
        bot_events: events of robots.
        visitors: visitors seen. sessions: sessions (gap 30 min) of the events that aren't late.
        by_event: event name -> how many of `events`.
        plants: pattern -> how many occurrences.
    """

    records: tuple[Path, ...]
    plants_file: Path
    lines: int
    events: int
    duplicates: int
    dirty: int
    late: int
    clock_capped: int
    bot_events: int
    visitors: int
    sessions: int
    by_event: Mapping[str, int]
    plants: Mapping[str, int]


def simulate(plan: Simulation, output: Path) -> SimulationSummary:
    """Write the traffic that `plan` describes to `output`, and the list of what is planted beside it.

    Each partition's records stand in the order of their arrival. The list has a line for every occurrence of
    the patterns: pattern, visitor_id, stages (name -> message ids), first_time, last_time, and at_end
    (true where only the end of the input makes an absence certain).

    Raises:
        UsageError: `output` won't do (see `output_paths`).
    """
    paths = output_paths(output, plan.partitions)
    with ExitStack() as stack:
        files = [stack.enter_context(RecordFile(path)) for path in paths.records]
        listed = stack.enter_context(RecordFile(paths.plants))
        traffic = Traffic(plan)

        def write_until(end: int | None) -> None:
            for partition, records in traffic.arrived(end):
                files[partition].write([record.line for record in records])
            listed.write(traffic.certain_plants(last=end is None))

        for begin, end, visits in slices(plan):
            traffic.play(begin, end, visits)
            write_until(end)
        write_until(None)
    counts = traffic.counts
    return SimulationSummary(
        records=paths.records,
        plants_file=paths.plants,
        lines=counts["lines"],
        events=counts["lines"] - counts["duplicates"] - counts["dirty"],
        duplicates=counts["duplicates"],
        dirty=counts["dirty"],
        late=counts["late"],
        clock_capped=counts["clock_capped"],
        bot_events=counts["bot_events"],
        visitors=counts["visitors"],
        sessions=counts["sessions"],
        by_event=dict(traffic.by_event.most_common()),
        plants={pattern: traffic.planted[pattern] for pattern in PATTERNS},
    )
