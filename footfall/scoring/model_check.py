"""What is to be known of a run's models before its workers start: that they can run, together and with its settings."""

from collections.abc import Sequence

from footfall.duration import format_duration
from footfall.errors import FeatureError, UsageError
from footfall.scoring.champions import learners_of, prediction_kind
from footfall.scoring.feature_plan import FeaturePlan
from footfall.scoring.learners import check_learner
from footfall.scoring.score_model import ScoreModel


def check_models(models: Sequence[ScoreModel], profile_horizon: int) -> None:
    """Check models that are to run together; visitors are known for `profile_horizon` ms after their last event.

    Raises:
        FeatureError: they can't run together, or one judges later than visitors are known.
        UsageError: there is no learner that one of them names.
    """
    if models:
        FeaturePlan.compile(models)
    for model in models:
        if model.label.within >= profile_horizon:
            raise FeatureError(
                f"model {model.name} waits {format_duration(model.label.within)} for what becomes of a visitor, who is "
                f"forgotten {format_duration(profile_horizon)} after their last event: set a longer profile_horizon, "
                "or give the model a shorter horizon"
            )
        names = learners_of(model)
        if len(set(names)) < len(names):
            raise FeatureError(
                f"model {model.name} names a learner twice ({', '.join(names)}); leave one of them out"
            )
        for name in names:
            try:
                check_learner(name, prediction_kind(model))
            except UsageError as error:
                raise UsageError(f"model {model.name}: {error}") from error
