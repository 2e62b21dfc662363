"""Models of scores in words, and as JSON values: when they predict, what of, and from what."""

from footfall.duration import format_duration
from footfall.polars_condition import JsonValue
from footfall.scoring.champions import learners_of, prediction_kind
from footfall.scoring.feature import DAY_MS
from footfall.scoring.score_model import AtEvent, AtSessionEnd, Label, Moment, ScoreModel


def moment_words(moment: Moment) -> str:
    """When a model predicts."""
    if isinstance(moment, AtSessionEnd):
        return "when a session is over"
    if isinstance(moment, AtEvent):
        return f"at each event where {moment.condition}"
    days = ", ".join(str(delay // DAY_MS) for delay in moment.delays)
    return f"{days} days after the last event of whoever had an event where {moment.once}"


def label_words(label: Label) -> str:
    """What a prediction is judged by."""
    within = format_duration(label.within)
    event = "" if label.event is None else f"an event where {label.event}"
    what = " or ".join(each for each in (event, "a new session" if label.or_session else "") if each)
    if label.kind == "happens":
        return f"true if there is {what} within {within}, false once that has passed"
    if label.kind == "stays_away":
        return f"true once {within} have passed without {what}, false if there is one"
    return f"the value of {what.replace('an event', 'all events', 1)} within {within}"


def band_words(model: ScoreModel) -> str:
    """The risk bands, lowest first."""
    return ", ".join(f"{name} from {least:g}" for name, least in model.bands.items())


def model_json(model: ScoreModel) -> dict[str, JsonValue]:
    """All that is declared of a model."""
    return {
        "name": model.name,
        "title": model.title,
        "predicts": prediction_kind(model),
        "moments": [moment_words(moment) for moment in model.predict],
        "label": label_words(model.label),
        "horizon_ms": model.label.within,
        "bands": dict(model.bands),
        "changed_by": model.changed_by,
        "learners": list(learners_of(model)),
        "features": [
            {
                "name": feature.name,
                "kind": column.kind,
                "unit": column.unit,
                "description": column.description,
                "categories": list(column.words),
                "value": str(feature.value),
            }
            for feature, column in zip(model.features, model.columns, strict=True)
        ],
    }
