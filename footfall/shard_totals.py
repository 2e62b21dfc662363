"""What a shard has counted and answered since its run began."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from footfall.answers import Answers
from footfall.digest import Digest
from footfall.match_records import TIMED_OUT
from footfall.record_arrays import keep_records
from footfall.sessions import ClosedSessions

SUMMED = ("events", "duration_ms", "page_views", "clicks", "conversions", "bounce", "value")
"""What a run's report sums up over its sessions."""


@dataclass(slots=True)
class ShardTotals:
    """What a shard has counted and answered since the run began; it adds up over shards."""

    events: int = 0
    duplicates: int = 0
    sessions: int = 0
    sessions_at_end: int = 0
    matches: dict[str, int] = field(default_factory=dict)
    matches_at_end: dict[str, int] = field(default_factory=dict)
    pending: int = 0
    timed_out: int = 0
    dropped_partials: int = 0
    session_sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SUMMED, 0))
    digest: Digest = field(default_factory=Digest)

    def count_sessions(self, closed: ClosedSessions, answers: Answers, *, at_end: bool) -> None:
        """Count sessions that have closed, and take them into the digest."""
        records = closed.records
        if not records.size:
            return
        self.sessions += records.size
        if at_end:
            self.sessions_at_end += records.size
        sums = self.session_sums
        for name in ("events", "page_views", "clicks", "conversions"):
            sums[name] += int(records[name].sum())
        sums["duration_ms"] += int((records["last"] - records["start"]).sum())
        sums["bounce"] += int((records["events"] == 1).sum())
        sums["value"] += sum(records["value"].tolist())
        self.digest.add("session", answers.words)

    def count_matches(self, records: npt.NDArray[np.void], names: Sequence[str], *, at_end: bool) -> None:
        """Count matches and timed-out partial ones; `names` are the patterns' by number."""
        if not records.size:
            return
        timed_out = records["kind"] == TIMED_OUT
        self.timed_out += int(timed_out.sum())
        records = keep_records(records, ~timed_out)
        released = keep_records(records, (records["settled_time"] > records["last_time"]) & at_end)
        for counted, found in ((self.matches, records), (self.matches_at_end, released)):
            for name, count in zip(names, np.bincount(found["pattern"], minlength=len(names)), strict=True):
                if count:
                    counted[name] = counted.get(name, 0) + int(count)
