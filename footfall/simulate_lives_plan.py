"""The plan of a long simulation, what it wrote, and where its files are."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from footfall.errors import SettingsError
from footfall.simulate_files import OutputPaths, output_paths
from footfall.simulate_plan import MONDAY
from footfall.simulate_records import RecordFormat

DAY_MS = 86_400_000
_PLANTS = re.compile(r"\.plants\.ndjson$")


@dataclass(frozen=True, kw_only=True)
class LivesPlan:
    """The plan of a long simulation.

    Attributes:
        visitors: how many people come for the first time within the duration.
        duration: how long the site is watched, ms. Visits under way at its end are cut off.
        change_at: after how many days what people do begins to mean other things; None: never.
        lead_days: horizon of the lead label, days; churn_days: that of the churn label.
        start: when it begins, ms since 1970 (UTC).
        seed: what all chance comes from.
        dirty: malformed records, as a share of the good ones, which they come on top of.
        duplicates: copies, as a share of the records; they come in time.
        format: `footfall` (flat) or `segment`.
        partitions: how many files the visitors are spread over; more than 1 needs a folder.

    Raises:
        SettingsError: with all that is out of bounds.
    """

    visitors: int = 20_000
    duration: int = 120 * DAY_MS
    change_at: int | None = None
    lead_days: int = 7
    churn_days: int = 30
    start: int = MONDAY
    seed: int = 7
    dirty: float = 0.0
    duplicates: float = 0.0
    format: RecordFormat = "footfall"
    partitions: int = 1

    def __post_init__(self) -> None:
        bounds: dict[str, tuple[float, float]] = {
            "visitors": (1, 50_000_000), "duration": (1, 3_650 * DAY_MS), "lead_days": (1, 365),
            "churn_days": (1, 365), "start": (0, 4_102_444_800_000), "seed": (0, 2**63 - 1),
            "dirty": (0, 1), "duplicates": (0, 1), "partitions": (1, 256),
        }  # fmt: skip
        if self.change_at is not None:
            bounds["change_at"] = (0, 3_650)
        problems = [
            f"{name}: {getattr(self, name)!r} is out of bounds; write {least:,} to {most:,}"
            for name, (least, most) in bounds.items()
            if not least <= getattr(self, name) <= most
        ]
        if self.format not in {"footfall", "segment"}:
            problems.append(f"format: {self.format!r} is neither footfall nor segment; write one of them")
        if problems:
            raise SettingsError(problems)

    @property
    def stop(self) -> int:
        """When the watching ends, ms since 1970."""
        return self.start + self.duration

    def changed(self, at: int) -> bool:
        """Whether the change of behaviour has come at that time, ms since 1970."""
        return self.change_at is not None and at >= self.start + self.change_at * DAY_MS


@dataclass(frozen=True, kw_only=True)
class LivesSummary:
    """What a long simulation wrote.

    Attributes:
        records: the files, in the order of their names; truth_file: the list of moments with their probabilities.
        lines: lines in all files: `events` + `duplicates` + `dirty`.
        visitors: visitors seen. sessions: sessions of a gap of 30 min. orders: how many were completed.
        customers: visitors with an order.
        moments: kind of moment -> how many are in the truth file.
        by_event: event name -> how many of `events`.
    """

    records: tuple[Path, ...]
    truth_file: Path
    lines: int
    events: int
    duplicates: int
    dirty: int
    visitors: int
    sessions: int
    orders: int
    customers: int
    moments: Mapping[str, int]
    by_event: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LivesPaths:
    """The files of a long simulation: `records`, one per partition, and `truth`."""

    records: tuple[Path, ...]
    truth: Path


def lives_paths(output: Path, partitions: int) -> LivesPaths:
    """The files that `output` stands for; see `output_paths`, which says what is packed how.

    The truth stands beside the records as `NAME.truth.ndjson`, packed as they are.

    Raises:
        UsageError: the output won't do.
    """
    paths: OutputPaths = output_paths(output, partitions)
    packed = paths.records[0].suffix if paths.records[0].suffix in {".gz", ".zst"} else ""
    name = _PLANTS.sub(f".truth.ndjson{packed}", paths.plants.name)
    return LivesPaths(paths.records, paths.plants.with_name(name))
