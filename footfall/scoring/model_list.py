"""`footfall models list` and `show`: what models there are, who is champion, and how good each learner has been."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from footfall.clock import NEVER
from footfall.control_record import ControlRecord
from footfall.errors import MissingStoreError, UsageError
from footfall.expression_values import time_from_ms
from footfall.pattern_files import read_folder
from footfall.polars_condition import JsonValue
from footfall.scoring.champions import learners_of, prediction_kind, reigns
from footfall.scoring.model_words import band_words, label_words, model_json, moment_words
from footfall.scoring.promote_command import kept_records
from footfall.scoring.score_model import ScoreModel
from footfall.scoring.stored_quality import stored_quality
from footfall.setting_kinds import closest
from footfall.settings import Settings
from footfall.store import parse_dsn

_FIGURES = {
    "probability": ("roc_auc", "pr_auc", "log_loss", "brier", "ece", "precision_top10", "lift_top10"),
    "value": ("mean_absolute_error",),
}
_SHORT = ("roc_auc", "log_loss", "ece", "mean_absolute_error")
_COLUMNS = ("labels", "positives", "window", "model_version", "drifts")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model beyond what is declared.

    Attributes:
        model: what is declared.
        champion: the learner that is champion.
        since: from which event time on (ms); None where it always was.
        figures: learner -> its last row of `model_quality`; learners that have none aren't there.
    """

    model: ScoreModel
    champion: str
    since: int | None
    figures: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


def models_of(settings: Settings) -> tuple[ScoreModel, ...]:
    """The models of the patterns' folder, the shipped ones if there is none."""
    return read_folder(settings.pattern_folder).models


def named_model(models: Sequence[ScoreModel], name: str) -> ScoreModel:
    """The model of a name.

    Raises:
        UsageError: there is none.
    """
    names = [model.name for model in models]
    if name not in names:
        there = f"there are {', '.join(names)}" if names else "the folder of patterns has none"
        raise UsageError(f"there is no model {name!r}{closest(name, names)}; {there}")
    return models[names.index(name)]


def known_facts(settings: Settings, models: Sequence[ScoreModel], state: Path) -> list[ModelFacts]:
    """What is known of models: from the state folder of a live run, and from the store; either may lack.

    Raises:
        FootfallError: a store that was named isn't there, or can't be read.
    """
    records: tuple[ControlRecord, ...] = kept_records(state)
    latest: dict[tuple[str, str], dict[str, object]] = {}
    with ExitStack() as stack:
        if settings.store != "none":
            address = parse_dsn(settings.store, database=settings.database)
            try:
                quality = stack.enter_context(stored_quality(address))
            except MissingStoreError:
                if settings.store != Settings().store:
                    raise
            else:
                latest = quality.latest()
                records = records or quality.controls()
    found = []
    for model in models:
        reign = reigns(model, records)[-1]
        own = {
            learner: latest[model.name, learner]
            for learner in learners_of(model)
            if (model.name, learner) in latest
        }
        found.append(ModelFacts(model, reign.learner, None if reign.since == NEVER else reign.since, own))
    return found


def list_models(settings: Settings, state: Path, *, as_json: bool) -> int:
    """Run `models list`; the exit code."""
    facts = known_facts(settings, models_of(settings), state)
    if as_json:
        told = [{"name": each.model.name, "title": each.model.title, **_facts_json(each)} for each in facts]
        print(json.dumps({"models": told}))
        return 0
    console = Console(highlight=False)
    for each in facts:
        console.print(Text.assemble((each.model.name, "bold"), f"  {each.model.title}"))
        console.print(Padding(_short_table(each), (0, 0, 0, 2), expand=False))
    if not any(each.figures for each in facts):
        console.print(
            Text("No figures: the store of a run that has learnt has them (--store names it).", "dim")
        )
    console.print(
        Text("footfall models show NAME says what one predicts, compare NAME who is better.", "dim")
    )
    return 0


def show_model(settings: Settings, state: Path, name: str, *, as_json: bool) -> int:
    """Run `models show`; the exit code.

    Raises:
        UsageError: there is no such model.
    """
    model = named_model(models_of(settings), name)
    (facts,) = known_facts(settings, [model], state)
    if as_json:
        print(json.dumps({**model_json(model), **_facts_json(facts)}))
        return 0
    console = Console(highlight=False)
    console.print(Text.assemble((model.name, "bold"), f"  {model.title}"))
    for what, words in (
        ("predicts", "; ".join(moment_words(moment) for moment in model.predict)),
        ("label", label_words(model.label)),
        ("bands", band_words(model)),
        ("champion", _champion_words(facts)),
        ("told", f"when a score has moved by {model.changed_by:g} of 100"),
    ):
        console.print(Padding(Text.assemble((f"{what:<10}", "dim"), words), (0, 0, 0, 2), expand=False))
    features = Table("feature", "unit", "what it is", box=SIMPLE_HEAD, pad_edge=False)
    for column in model.columns:
        kinds = f" ({', '.join(column.words)})" if column.words else ""
        features.add_row(Text(column.name), Text(column.unit), Text(f"{column.description}{kinds}"))
    console.print(Padding(features, (0, 0, 0, 2), expand=False))
    console.print(Padding(_whole_table(facts), (0, 0, 0, 2), expand=False))
    return 0


def _champion_words(facts: ModelFacts) -> str:
    if facts.since is None:
        return f"{facts.champion}, as declared"
    return f"{facts.champion}, from {time_from_ms(facts.since).isoformat(timespec='seconds')} on"


def _short_table(facts: ModelFacts) -> Table:
    """A line to a learner, with the figures that matter most."""
    names = tuple(name for name in _FIGURES[prediction_kind(facts.model)] if name in _SHORT)
    table = _plain_table("learner", "", "labels", *(name.replace("_", " ") for name in names), "as of")
    for learner in learners_of(facts.model):
        row = facts.figures.get(learner, {})
        table.add_row(
            Text(learner, "bold" if learner == facts.champion else ""),
            "champion" if learner == facts.champion else "challenger",
            *(_words(row.get(name)) for name in ("labels", *names, "time")),
        )
    return table


def _whole_table(facts: ModelFacts) -> Table:
    """All figures, a column to a learner."""
    learners = learners_of(facts.model)
    roles = ("champion" if learner == facts.champion else "challenger" for learner in learners)
    table = _plain_table(
        "figure", *(f"{learner}\n{role}" for learner, role in zip(learners, roles, strict=True))
    )
    for name in (*_COLUMNS, *_FIGURES[prediction_kind(facts.model)], "time"):
        row = (_words(facts.figures.get(learner, {}).get(name)) for learner in learners)
        table.add_row("as of" if name == "time" else name.replace("_", " "), *row)
    return table


def _plain_table(*heads: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, head in enumerate(heads):
        table.add_column(head, justify="left" if number == 0 or not head else "right", no_wrap=True)
    return table


def _words(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="minutes")[:16]
    if isinstance(value, float):
        return f"{value:.4f}"
    return "-" if value is None else f"{value:,}"


def _facts_json(facts: ModelFacts) -> dict[str, JsonValue]:
    since = None if facts.since is None else time_from_ms(facts.since).isoformat(timespec="milliseconds")
    return {
        "champion": facts.champion,
        "champion_since": since,
        "learners": [_learner_json(facts, learner) for learner in learners_of(facts.model)],
    }


def _learner_json(facts: ModelFacts, learner: str) -> dict[str, JsonValue]:
    row = facts.figures.get(learner)
    told: dict[str, JsonValue] = {"learner": learner, "champion": learner == facts.champion, "as_of": None}
    if row is None:
        return told
    time = row["time"]
    told["as_of"] = time.isoformat(timespec="milliseconds") if isinstance(time, datetime) else None
    names = (*_COLUMNS, *_FIGURES[prediction_kind(facts.model)])
    return told | {name: row[name] for name in names}
