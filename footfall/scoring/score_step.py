"""The models of a run as Bytewax keeps them, under one key for all shards.

In a replay they are at work in a thread of their own, beside the shards of their process: their loops hold no lock.
What they give is the same, since they take the shards' rounds in the order in which these came; it only goes out with a
later round. A live run's shards have time to wait, and its scores are to be out at once, so there they do.
"""

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from bytewax.operators import StatefulBatchLogic

from footfall.control_record import ControlRecord
from footfall.plan_in_force import PlanInForce
from footfall.run_messages import Tell
from footfall.scoring.model_step import ModelStep
from footfall.scoring.score_rows import ScoreRows
from footfall.scoring.shard_scores import ShardScoring

_STATUS_SECONDS = 1.0

_MOST_ROUNDS = 4
"""So many rounds may wait for the models; then the shards wait for them."""


class ScoreStep(StatefulBatchLogic[ShardScoring, ScoreRows, bytes]):
    """A `ModelStep`, and what it has given that hasn't gone out yet."""

    def __init__(
        self, step: ModelStep, in_force: PlanInForce, *, recoverable: bool, tell: Tell, live: bool
    ) -> None:
        self._step = step
        self._tell = tell
        self._live = live
        self._told = 0.0
        self._news = False
        self._in_force = in_force
        self._records = in_force.now.records
        self._recoverable = recoverable
        self._thread: ThreadPoolExecutor | None = None
        self._rounds: deque[Future[ScoreRows]] = deque()
        step.go_by(self._records)

    def on_batch(self, values: list[ShardScoring]) -> tuple[list[ScoreRows], bool]:
        """Take what shards have settled, give out what that, or what came before it, let be scored."""
        # A record is here before anything is read that it is in force for.
        records = self._in_force.now.records
        known = self._records is records
        self._records = records
        if not self._live:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "models")
            self._rounds.append(self._thread.submit(self._take, values, None if known else records))
            self._collect(_MOST_ROUNDS)
            return self._given(), StatefulBatchLogic.RETAIN
        self._step.untold.append(self._take(values, None if known else records))
        self._news = True
        if time.monotonic() >= self._told + _STATUS_SECONDS:
            self._tell_status()
        return self._given(), StatefulBatchLogic.RETAIN

    def _take(self, values: list[ShardScoring], records: Sequence[ControlRecord] | None) -> ScoreRows:
        if records is not None:
            self._step.go_by(records)
        return self._step.take(values)

    def _collect(self, left: int = 0) -> None:
        """Collect what the models have done, and wait until no more than so many rounds are left."""
        while self._rounds and (len(self._rounds) > left or self._rounds[0].done()):
            rows = self._rounds.popleft().result()
            self._step.untold.append(rows)

    def _given(self) -> list[ScoreRows]:
        untold, self._step.untold = self._step.untold, []
        return [rows for rows in untold if rows]

    def notify_at(self) -> datetime | None:
        """When there is something to tell of that hasn't been told."""
        if not self._news:
            return None
        wait = max(0.0, self._told + _STATUS_SECONDS - time.monotonic())
        return datetime.now(UTC) + timedelta(seconds=wait)

    def on_notify(self) -> tuple[list[ScoreRows], bool]:
        """Say where the models stand, as nothing has come that would have had it said."""
        if self._news:
            self._tell_status()
        return [], StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[list[ScoreRows], bool]:
        """Give out the rest, and say where the models stand when the input has stopped."""
        self._collect()
        self._tell_status(final=True)
        return self._given(), StatefulBatchLogic.RETAIN

    def _tell_status(self, *, final: bool = False) -> None:
        self._told = time.monotonic()
        self._news = False
        self._tell(self._step.status(final=final))

    def snapshot(self) -> bytes:
        """The models' state, with what hasn't gone out; nothing where the run keeps none."""
        if not self._recoverable:
            return b""
        self._collect()
        return self._step.snapshot()
