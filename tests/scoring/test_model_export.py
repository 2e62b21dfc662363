"""`footfall models export`: the learner of a run's last snapshot, in words that add up to what it predicts."""

import json
import math
import pickle
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from footfall.cli import main
from footfall.errors import StateError, UsageError
from footfall.pattern_files import read_folder
from footfall.scoring.blend import Blend
from footfall.scoring.learner import Floats
from footfall.scoring.model_export import KeptLearner, kept_champion, parameters, river_models
from footfall.scoring.river_twin import blend_features, features
from footfall.scoring.score_model import ScoreModel

START = 1_767_225_600_000
PATTERNS = """
from footfall import event
from footfall.pattern import Pattern
from footfall.scoring.feature import Feature, count, days_since_first, sessions
from footfall.scoring.score_model import ScoreModel, at_event, at_session_end, earns, happens

BUY = event == "order_completed"
FEATURES = (
    Feature("clicks", count(event == "click")),
    Feature("sessions", sessions()),
    Feature("known", days_since_first(), "days", "Since the first event"),
)
bought = Pattern("bought").begin("buy", BUY)
lead = ScoreModel(
    "lead", "", FEATURES, [at_session_end()], happens(BUY, within="3 h"),
    challengers=["scaled_logistic", "adaptive_tree"],
)
worth = ScoreModel("worth", "", FEATURES, [at_event(event == "click")], earns(BUY, within="1 h"))
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of a replay that has learnt."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "patterns").mkdir()
    (folder / "patterns" / "all.py").write_text(PATTERNS)
    random, lines = Random(2), []
    for number in range(6_000):
        visitor = random.randrange(150)
        bought = random.random() < (0.35 if visitor % 4 == 0 else 0.02)
        time = START + number * 20_000
        record = {
            "message_id": f"m{number}", "visitor_id": f"v{visitor}", "event_time": time, "arrival_time": time,
            "event": "order_completed" if bought else "click", "value": 25.5 if bought else None,
        }  # fmt: skip
        lines.append(json.dumps(record))
    (folder / "events.ndjson").write_text("\n".join(lines) + "\n")
    given = ("--patterns", str(folder / "patterns"), "--store", "none", "--quiet", "--tick", "2 min")
    assert main(["replay", str(folder / "events.ndjson"), "--state", str(folder / "state"), *given]) == 0
    return folder / "state"


@pytest.fixture(scope="module")
def models(state: Path) -> dict[str, ScoreModel]:
    return {model.name: model for model in read_folder(state.parent / "patterns").models}


def predicted(told: dict[str, Any], kept: KeptLearner, row: Floats) -> float:
    """What the exported numbers predict, by the words that say how."""
    learner = kept.learner
    assert isinstance(learner, Blend)
    raw = told["intercept"]
    for member, own in zip(told["members"], learner.members, strict=True):
        weights = {each["feature"]: each["weight"] for each in member["weights"]}
        total = member["intercept"] + sum(weights.get(name, 0.0) for name in features(own.published, row))
        raw += member["weight"] * max(min(total, 30.0), -30.0)
    knots = told["knots"]
    raw += np.interp(raw, [each["raw"] for each in knots], [each["adds"] for each in knots])
    if told["predicts"] == "value":
        return float(told["unit"] * math.exp(raw))
    return 1 / (1 + math.exp(-raw))


def rows(count: int) -> Floats:
    random = np.random.default_rng(3)
    return np.column_stack(
        [random.integers(0, 40, count), random.integers(1, 9, count), random.exponential(0.4, count)]
    ).astype(np.float64)


@pytest.mark.parametrize("name", ["lead", "worth"])
def test_the_weights_in_words_add_up_to_what_is_predicted(
    state: Path, models: dict[str, ScoreModel], name: str
) -> None:
    kept = kept_champion(state, models[name])
    told = json.loads(json.dumps(parameters(kept)))
    assert told["labels"] == kept.learner.version > 300
    given = rows(60)
    assert [predicted(told, kept, row) for row in given] == pytest.approx(
        kept.learner.predict(given).tolist(), rel=1e-9
    )
    first = told["members"][0]["weights"]
    assert {each["kind"] for each in first} >= {"bin"}
    strengths = [abs(each["weight"]) for each in first]
    assert strengths == sorted(strengths, reverse=True)
    assert first[0]["says"] == f"times {math.exp(first[0]['weight']):.3g}"
    assert told["columns"][2] == {
        "name": "known", "kind": "number", "unit": "days", "description": "Since the first event",
    }  # fmt: skip


def test_river_s_models_predict_the_same_before_calibration(
    state: Path, models: dict[str, ScoreModel]
) -> None:
    kept = kept_champion(state, models["lead"])
    learner = kept.learner
    assert isinstance(learner, Blend)
    found = pickle.loads(pickle.dumps(river_models(kept)))
    for row in rows(20):
        raws = []
        for member, river in zip(learner.members, found["members"], strict=True):
            chance = river.predict_proba_one(features(member.published, row))[True]
            raws.append(math.log(chance / (1 - chance)))
        chance = found["blend"].predict_proba_one(blend_features(raws))[True]
        assert math.log(chance / (1 - chance)) == pytest.approx(
            learner.published.blended(row[np.newaxis])[0], abs=1e-7
        )


def test_the_command_writes_champion_or_challenger(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--state", str(state), "--patterns", str(state.parent / "patterns"))

    def export(*arguments: str, code: int = 0) -> str:
        assert main(["models", "export", *arguments, *given]) == code
        out, err = capsys.readouterr()
        return err if code else out

    told = json.loads(export("lead", str(tmp_path / "lead.json"), "--json"))
    written = json.loads((tmp_path / "lead.json").read_text())
    assert (told["learner"], told["labels"]) == (written["learner"], written["labels"])
    assert told["learner"] == "binned_logistic"
    assert "binned_poisson of model worth, after" in export("worth", str(tmp_path / "worth.pkl"))
    export("lead", str(tmp_path / "scaled.json"), "--learner", "scaled_logistic")
    scaled = json.loads((tmp_path / "scaled.json").read_text())
    assert {each["feature"] for each in scaled["weights"]} == {"clicks", "sessions", "known"}
    export("lead", str(tmp_path / "tree.pkl"), "--learner", "adaptive_tree")
    tree = pickle.loads((tmp_path / "tree.pkl").read_bytes())
    assert 0 <= tree["model"].predict_proba_one({"clicks": 3.0, "sessions": 1.0, "known": 0.0})[True] <= 1
    for arguments, said in (
        (("lead", str(tmp_path / "x.json"), "--learner", "adaptive_tree"), "name a file that ends in .pkl"),
        (
            ("lead", str(tmp_path / "x.json"), "--learner", "nobody"),
            "there are binned_logistic, scaled_logistic",
        ),
        (("lead", str(tmp_path / "x.txt")), "ends in neither .json"),
        (("leed", str(tmp_path / "x.json")), "there are lead, worth"),
    ):
        assert said in export(*arguments, code=2)
    assert "can't be written" in export("lead", str(tmp_path / "none" / "x.json"), code=1)


def test_what_is_kept_must_be_of_the_models_declared(
    state: Path, models: dict[str, ScoreModel], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="is no state folder of a run"):
        kept_champion(tmp_path, models["lead"])
    (tmp_path / "recovery").mkdir()
    with pytest.raises(UsageError, match=r"no snapshot in .* has model lead"):
        kept_champion(tmp_path, models["lead"])
    (tmp_path / "recovery" / "part-0.sqlite3").write_bytes(b"no database at all" * 100)
    with pytest.raises(StateError, match=r"part-0\.sqlite3 can't be read"):
        kept_champion(tmp_path, models["lead"])
    lead = models["lead"]
    other = ScoreModel("lead", "", lead.features, lead.predict, lead.label)
    with pytest.raises(StateError, match="has model lead with the learners binned_logistic, scaled_logistic"):
        kept_champion(state, other)
    fewer = ScoreModel("lead", "", lead.features[:2], lead.predict, lead.label, challengers=lead.challengers)
    with pytest.raises(StateError, match="columns or parameters have changed"):
        kept_champion(state, fewer)
    unknown = ScoreModel("extra", "", lead.features, lead.predict, lead.label)
    with pytest.raises(UsageError, match=r"no snapshot in .* has model extra"):
        kept_champion(state, unknown)
