"""Who is champion of a model, and when: the learner that it is declared with, until another one is promoted.

A promotion stands in a control record. It counts from the first tick that begins at the record's time or later: the
scores of a tick are all of one champion, in every replay.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from footfall.clock import NEVER
from footfall.control_record import ControlRecord
from footfall.errors import UsageError
from footfall.scoring.learners import default_learner
from footfall.scoring.river_learner import Kind
from footfall.scoring.score_model import ScoreModel
from footfall.setting_kinds import closest


@dataclass(frozen=True, slots=True)
class Reign:
    """A learner is champion from the first tick on that begins at `since` (event time, ms) or later."""

    since: int
    learner: str


def prediction_kind(model: ScoreModel) -> Kind:
    """What a model predicts."""
    return "value" if model.label.kind == "earns" else "probability"


def learners_of(model: ScoreModel) -> tuple[str, ...]:
    """The names of a model's learners, the declared champion first."""
    return (model.learner or default_learner(prediction_kind(model)), *model.challengers)


def reigns(model: ScoreModel, records: Sequence[ControlRecord]) -> tuple[Reign, ...]:
    """A model's champions by the control records of a run, in their order; the first one always was.

    Raises:
        UsageError: a record promotes a learner that the model hasn't.
    """
    names = learners_of(model)
    found = [Reign(NEVER, names[0])]
    for record in records:
        learner = record.champions.get(model.name, names[0])
        if learner not in names:
            raise UsageError(
                f"control record {record.number} makes {learner!r} the champion of model {model.name}, whose learners "
                f"are {', '.join(names)}: give the run the models that the record is of, or --scores false"
            )
        if learner != found[-1].learner:
            found.append(Reign(NEVER if record.since is None else record.since, learner))
    return tuple(found)


def first_tick(reign: Reign, tick: int) -> int:
    """The number of the first tick (of so many ms) that a reign holds for."""
    return NEVER if reign.since == NEVER else -(-reign.since // tick)


def champions_with(
    models: Sequence[ScoreModel], records: Sequence[ControlRecord], model: str, learner: str | None
) -> Mapping[str, str]:
    """What `ControlRecord.champions` says once a learner is promoted.

    Args:
        models: those of the run.
        records: the run's so far, one at least.
        model: the model's name.
        learner: the new champion; None for whoever was champion before the present one.

    Raises:
        UsageError: there is no such model or learner, or nobody was champion before.
    """
    known = {each.name: each for each in models}
    if model not in known:
        there = f"; there are {', '.join(known)}" if known else ": the run has no models"
        raise UsageError(f"there is no model {model!r}{closest(model, list(known))}{there}")
    names = learners_of(known[model])
    if learner is None:
        before = reigns(known[model], records)
        if len(before) < 2:
            raise UsageError(
                f"model {model} has had no champion but {before[0].learner}: there is nothing to roll back"
            )
        learner = before[-2].learner
    if learner not in names:
        raise UsageError(
            f"model {model} has no learner {learner!r}{closest(learner, list(names))}; there are {', '.join(names)}. "
            "A challenger is declared with the model (challengers=[…])"
        )
    champions = {**records[-1].champions, model: learner}
    if learner == names[0]:
        del champions[model]
    return champions
