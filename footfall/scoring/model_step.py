"""The one step that has the models of a run: it scores the moments of all shards, and learns from their labels.

Time is cut into ticks. A moment in tick k is scored by models that have learnt the labels of all ticks up to k - 2, in
the order (due time, visitor, prediction); so scores depend on the records alone, not on which shard or worker was
quicker. The labels of a tick are learnt once every shard has settled the tick behind it, which leaves no moment behind
that they mustn't be known to; until then a moment of a later tick waits.

A label is learnt when its prediction's horizon is over, even if it was known before. Of the predictions of one time,
one kind of label is known at once and the other only at the end: a model that learns each as it comes sees nothing but
one kind of the latest ones (on retail orders, horizon 90 days: ROC AUC 0.753 so, 0.789 at the horizon's end).
"""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.clock import FOREVER, NEVER
from footfall.control_record import ControlRecord
from footfall.digest import Digest
from footfall.errors import StateError
from footfall.record_log import RecordKind, RecordLog
from footfall.record_table import RecordTable
from footfall.run_messages import ModelStatus
from footfall.scoring.feature import DAY_MS
from footfall.scoring.feature_loops import AT_TRIGGER, LABEL, MOMENT
from footfall.scoring.feature_plan import FeaturePlan
from footfall.scoring.learner import Floats
from footfall.scoring.prediction_loops import forget_told, moved_scores, told
from footfall.scoring.running_model import RunningModel
from footfall.scoring.score_rows import Scored, ScoreRows, add_outcomes, add_quality, add_scored
from footfall.scoring.scored_triggers import AskedTrigger, ScoredTriggers
from footfall.scoring.shard_scores import ScoreSettings, ShardScoring
from footfall.tables import TRIGGERS
from footfall.trigger_rows import decision_rows

STATE_VERSION = 2


@dataclass(slots=True)
class _Moments:
    """Moments that haven't been scored yet, with their features and texts."""

    moments: npt.NDArray[np.void]
    rows: Floats
    texts: pl.DataFrame
    asked: tuple[AskedTrigger, ...] = ()

    def at(self, places: npt.NDArray[np.int64]) -> "_Moments":
        texts = self.texts[places] if self.texts.width else self.texts
        moments, asked = self.moments[places], self.asked
        if asked:
            # Those that are decided go.
            triggers = np.flatnonzero(moments["kind"] == AT_TRIGGER)
            asked = tuple(asked[source] for source in moments["source"][triggers].tolist())
            moments["source"][triggers] = np.arange(triggers.size)
        return _Moments(moments, self.rows[places], texts, asked)


@dataclass(slots=True)
class ModelStep:
    """The state of a run's models; `snapshot` gives what a restart keeps.

    Attributes:
        settings: features, models and the length of a tick.
        shards: the names of all shards.
        untold: what `take` has given that hasn't gone out; kept here by who calls it.
    """

    settings: ScoreSettings
    shards: tuple[str, ...]
    models: list[RunningModel] = field(init=False)
    untold: list[ScoreRows] = field(default_factory=list)
    until: dict[str, int] = field(default_factory=dict)
    _last: RecordTable = field(init=False)
    _triggers: ScoredTriggers = field(default_factory=ScoredTriggers)
    _moments: list[_Moments] = field(default_factory=list)
    _labels: dict[int, list[npt.NDArray[np.void]]] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)
    _digest: Digest = field(default_factory=Digest)
    _swept: int = NEVER
    _logs: tuple[RecordLog[RecordTable], ...] | None = None

    def __post_init__(self) -> None:
        plan = self.settings.plan
        self.models = [
            RunningModel(model, columns) for model, columns in zip(plan.models, plan.columns, strict=True)
        ]
        self._last = RecordTable(told(max(len(self.models), 1)))

    def go_by(self, records: Sequence[ControlRecord]) -> None:
        """Have the champions that the run's control records say: each from the first tick on that begins at its time.

        Raises:
            UsageError: one is no learner of its model.
        """
        for model in self.models:
            model.go_by(records, self.settings.tick)

    @property
    def plan(self) -> FeaturePlan:
        """Features and models."""
        return self.settings.plan

    def take(self, parts: Sequence[ShardScoring]) -> ScoreRows:
        """Take what shards have settled; rows of what that lets be scored and learnt."""
        out = ScoreRows()
        for part in parts:
            self.until[part.shard] = max(part.until, self.until.get(part.shard, NEVER))
            if part.final:
                self._ended.add(part.shard)
            if part.moments.size:
                self._moments.append(_Moments(part.moments, part.rows, _texts(part.texts), tuple(part.asked)))
            if part.labels.size:
                self._take_labels(part.labels, out)
        if len(self.until) < len(self.shards):
            return out
        complete = (min(self.until.values()) + 1) // self.settings.tick - 1
        labels, ends = self._due_labels(complete - 1)
        # When all input has ended, nothing more is learnt that what is left would have to wait for.
        moments = self._due_moments(FOREVER if len(self._ended) == len(self.shards) else complete + 1)
        at = first = 0
        ticks = moments.moments["time"] // self.settings.tick
        for end in ends:
            tick = int(labels["due"][first]) // self.settings.tick
            until = int(np.searchsorted(ticks, tick + 1, side="right"))
            self._score(moments, at, until, out)
            self._learn(labels[first:end], out)
            at, first = until, end
        self._score(moments, at, moments.moments.size, out)
        self._forget(min(self.until.values()))
        return out

    def _forget(self, until: int) -> None:
        """Forget what nothing later than a time needs: what shards are going to tell of is."""
        self._triggers.forget(until)
        if until // DAY_MS > self._swept // DAY_MS:
            self._swept = until
            last = self._last
            forget_told(last.index, last.records, last.places, last.changed, until - self.settings.horizon)

    def _take_labels(self, labels: npt.NDArray[np.void], out: ScoreRows) -> None:
        """Tell outcomes, and keep them until they are learnt: when the predictions' horizons are over."""
        for number, model in enumerate(self.models):
            own = labels[labels["model"] == number]
            if own.size:
                self._digest.add("outcome", [own["id_high"], own["id_low"], own["value"].view(np.uint64)])
            if own.size and self.settings.wants_rows:
                add_outcomes(model, own, out)
        ticks = labels["due"] // self.settings.tick
        order = np.argsort(ticks, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(ticks[order])) + 1):
            self._labels.setdefault(int(ticks[part[0]]), []).append(labels[part])

    def _due_labels(self, last: int) -> tuple[npt.NDArray[np.void], list[int]]:
        """The labels of all ticks up to that one in their order, and where each tick's end."""
        ticks = sorted(tick for tick in self._labels if tick <= last)
        if not ticks:
            return np.zeros(0, LABEL), []
        parts = [np.concatenate(self._labels.pop(tick)) for tick in ticks]
        keys = ("id_low", "id_high", "low", "high", "due")
        ordered = [part[np.lexsort(tuple(part[name] for name in keys))] for part in parts]
        return np.concatenate(ordered), np.cumsum([part.size for part in parts]).tolist()

    def _due_moments(self, last: int) -> _Moments:
        """The moments of all ticks up to that one, in their order."""
        if not self._moments:
            return _Moments(np.zeros(0, MOMENT), np.zeros((0, len(self.plan.features))), pl.DataFrame())
        moments = np.concatenate([each.moments for each in self._moments])
        asked: list[AskedTrigger] = []
        at = 0
        for each in self._moments:
            if each.asked:
                own = moments[at : at + each.moments.size]
                own["source"] += np.where(own["kind"] == AT_TRIGGER, len(asked), 0)
                asked.extend(each.asked)
            at += each.moments.size
        rows = np.concatenate([each.rows for each in self._moments])
        texts = pl.concat([each.texts for each in self._moments])
        whole = _Moments(moments, rows, texts, tuple(asked))
        ticks = moments["time"] // self.settings.tick
        rest = np.flatnonzero(ticks > last)
        self._moments = [whole.at(rest)] if rest.size else []
        keys = ("id_low", "id_high", "low", "high", "time")
        order = np.lexsort(tuple(moments[name] for name in keys))
        return whole.at(order[ticks[order] <= last])

    def _score(self, due: _Moments, start: int, end: int, out: ScoreRows) -> None:
        """Score moments, those of each champion by themselves."""
        ticks = due.moments["time"][start:end] // self.settings.tick
        switches = sorted({tick for model in self.models for tick in model.switches})
        cuts = start + np.searchsorted(ticks, np.array(switches, np.int64))
        for begin, stop in pairwise([start, *cuts.tolist(), end]):
            if stop > begin:
                for model in self.models:
                    model.crown(int(ticks[begin - start]))
                self._score_reign(due, begin, stop, out)

    def _score_reign(self, due: _Moments, start: int, end: int, out: ScoreRows) -> None:
        learnt = due.moments["kind"][start:end] != AT_TRIGGER
        self._decide(due, start + np.flatnonzero(~learnt), out)
        for number, model in enumerate(self.models):
            places = start + np.flatnonzero(learnt & ((due.moments["models"][start:end] >> number) & 1 == 1))
            if places.size:
                self._score_model(number, model, due.at(places), out)

    def _decide(self, due: _Moments, places: npt.NDArray[np.int64], out: ScoreRows) -> None:
        """Decide the triggers that wait for scores as of these moments."""
        if not places.size:
            return
        moments = due.moments[places]
        scores: list[dict[str, float]] = [{} for _ in range(places.size)]
        for number, model in enumerate(self.models):
            asked = np.flatnonzero((moments["models"] >> number) & 1)
            if asked.size:
                for place, score in zip(
                    asked.tolist(), model.scores_of(due.rows[places[asked]]), strict=True
                ):
                    scores[place][model.model.name] = float(score)
        decisions = [
            self._triggers.decide(due.asked[int(source)], known)
            for source, known in zip(moments["source"], scores, strict=True)
        ]
        out.add(TRIGGERS, decision_rows(decisions))

    def _score_model(self, number: int, model: RunningModel, due: _Moments, out: ScoreRows) -> None:
        found = model.predict(due.moments, due.rows)
        champions = np.ascontiguousarray(found.predicted[:, found.champion])
        self._digest.add("prediction", [*found.ids, champions.view(np.uint64)])
        scores, bands = model.scale(found.predicted[:, found.champion])
        before = np.empty(scores.size)
        last = self._last
        last.reserve(scores.size)
        moved_scores(
            last.index, last.records, last.places, last.changed, due.moments, number, scores, bands,
            model.model.changed_by, self.settings.horizon, before,
        )  # fmt: skip
        if self.settings.wants_rows:
            shown = np.flatnonzero(before != np.inf)
            reasons = model.reasons(due.rows[shown])
            own = model.own_rows(due.rows)
            add_scored(
                model, Scored(due.moments, own, due.texts, found, scores, bands, before, shown, reasons), out
            )

    def _learn(self, labels: npt.NDArray[np.void], out: ScoreRows) -> None:
        for number, model in enumerate(self.models):
            own = labels[labels["model"] == number]
            if own.size:
                model.learn(own)
                if self.settings.wants_rows:
                    model.crown(int(own["due"][-1]) // self.settings.tick)
                    add_quality(model, int(own["due"][-1]), out)

    def status(self, *, final: bool = False) -> ModelStatus:
        """Where the models stand."""
        known = len(self.until) == len(self.shards)
        if final:
            for model in self.models:
                model.refresh()
        return ModelStatus(
            settled=min(self.until.values()) if known else None,
            waiting=sum(each.moments.size for each in self._moments),
            champions={model.model.name: model.names[model.champion] for model in self.models},
            predictions={model.model.name: model.predicted for model in self.models},
            labels={
                model.model.name: {
                    name: learner.version for name, learner in zip(model.names, model.learners, strict=True)
                }
                for model in self.models
            },
            quality={model.model.name: model.latest for model in self.models},
            triggers={rule: dict(counts) for rule, counts in self._triggers.counts.items()},
            digest=(self._digest.high, self._digest.low),
            final=final,
        )

    def snapshot(self) -> bytes:
        """The state as bytes."""
        logs = self._open_logs()
        settled = min(self.until.values(), default=NEVER)
        if logs is not None:
            # Side by side: the disk takes about as long for all as for one.
            for log, table in zip(logs, (self._last, *(model.waiting for model in self.models)), strict=True):
                log.begin_snapshot(table)
        state = {
            "version": STATE_VERSION,
            "models": {
                model.model.name: model.state(None if logs is None else logs[number + 1], settled)
                for number, model in enumerate(self.models)
            },
            "until": self.until,
            "last": self._last if logs is None else logs[0].snapshot(self._last, settled),
            "triggers": self._triggers,
            "moments": self._moments,
            "labels": self._labels,
            "ended": self._ended,
            "digest": self._digest,
            "swept": self._swept,
            "untold": self.untold,
        }
        return pickle.dumps(state, protocol=5)

    def restore(self, state: bytes) -> None:
        """Go on with what `snapshot` gave.

        Raises:
            StateError: it is of another version, or of other models.
        """
        kept = pickle.loads(state)  # noqa: S301 - it comes from this run's own state folder
        names = [model.model.name for model in self.models]
        if kept["version"] != STATE_VERSION or list(kept["models"]) != names:
            raise StateError(
                f"the kept models are {', '.join(kept['models'])} (version {kept['version']}), and the run has "
                f"{', '.join(names)} (version {STATE_VERSION}): give it the models that it had, or begin anew with an "
                "empty --state folder"
            )
        logs = self._open_logs()
        for number, model in enumerate(self.models):
            model.resume(kept["models"][model.model.name], None if logs is None else logs[number + 1])
        self.until, self._moments, self._labels = kept["until"], kept["moments"], kept["labels"]
        self._triggers, self._ended, self._swept = kept["triggers"], kept["ended"], kept["swept"]
        self._digest, self.untold = kept["digest"], kept["untold"]
        self._last = kept["last"] if logs is None else logs[0].restore(kept["last"])

    def _open_logs(self) -> tuple[RecordLog[RecordTable], ...] | None:
        folder = self.settings.folder
        if self._logs is None and folder is not None:
            contents = self.settings.contents
            size = max(len(self.models), 1)
            kinds = [RecordKind("told", lambda: RecordTable(told(size)), contents)]
            kinds += [model.kind(contents) for model in self.models]
            self._logs = tuple(RecordLog.of_shard(Path(folder), "models", kind) for kind in kinds)
        return self._logs


def _texts(texts: pl.DataFrame | None) -> pl.DataFrame:
    return pl.DataFrame() if texts is None else texts
