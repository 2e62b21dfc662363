import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from control_records import control_record

from footfall.content import content_folder
from footfall.errors import ControlError, StateError
from footfall.pattern_files import read_folder
from footfall.scoring.score_model import models_digest
from footfall.state_folder import StateFolder

RUN = {"settings": {"gap": 1, "names": ["a"]}, "inputs": {"partitions": {"x": [{"bytes": 5}]}}}


def test_a_run_begins_goes_on_and_is_finished(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "new" / "state")
    assert state.begin(RUN) is False
    assert list(state.recovery.iterdir()), "Bytewax's part is there"
    assert state.report() is None
    state.close()
    state.close()
    state = StateFolder(tmp_path / "new" / "state")
    assert state.begin(RUN) is True
    state.finish({"events": 5})
    assert state.report() == {"events": 5}
    state.close()


def test_another_run_is_refused_with_all_that_differs(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    state.begin(RUN)
    other = {"settings": {"gap": 2, "names": ["a"]}, "inputs": {"partitions": {"y": [{"bytes": 5}]}}}
    with pytest.raises(StateError) as refused:
        state.begin(other)
    state.close()
    words = str(refused.value)
    assert "\n  - gap: 1 ms in the folder's run, 2 ms in this one\n" in words
    assert "\n  - inputs: y new; x gone\n" in words
    assert "names" not in words
    assert "an empty folder: --state NEW" in words


def test_one_run_at_a_time(tmp_path: Path) -> None:
    first = StateFolder(tmp_path)
    with pytest.raises(StateError, match=r"in use by process \d+"):
        StateFolder(tmp_path)
    first.close()
    StateFolder(tmp_path).close()


def test_a_folder_with_other_files_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    state = StateFolder(tmp_path)
    with pytest.raises(StateError, match=r"other files \(thesis\.txt"):
        state.begin(RUN)
    state.close()
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="can't be used"):
        StateFolder(tmp_path / "file")


def test_what_a_killed_beginning_leaves_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "recovery").mkdir()
    (tmp_path / "recovery" / "part-0.sqlite3").write_bytes(b"half")
    (tmp_path / "run.new").write_text('{"format"')
    state = StateFolder(tmp_path)
    assert state.begin(RUN) is False
    assert state.begin(RUN) is True
    state.close()


@pytest.mark.parametrize("text", ['{"half', "[]", "\x00"])
@pytest.mark.parametrize("name", ["run.json", "report.json"])
def test_damage_is_told(tmp_path: Path, name: str, text: str) -> None:
    state = StateFolder(tmp_path)
    state.begin(RUN)
    (tmp_path / name).write_text(text)
    with pytest.raises(StateError, match=rf"{name} is damaged"):
        (state.begin(RUN), state.report())
    state.close()


def test_a_folder_that_was_made_for_a_run_that_never_began_goes(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "a" / "state")
    state.keep_controls(RECORDS, 0)
    state.close()
    assert not (tmp_path / "a" / "state").exists()
    (tmp_path / "kept").mkdir()
    StateFolder(tmp_path / "kept").close()
    assert (tmp_path / "kept").is_dir(), "it was there before"
    state = StateFolder(tmp_path / "other")
    (state.folder / "notes.txt").touch()
    state.close()
    assert (tmp_path / "other" / "notes.txt").exists()
    state = StateFolder(tmp_path / "begun")
    state.begin(RUN)
    state.close()
    assert (tmp_path / "begun" / "run.json").exists()


# ---- control records


RECORDS = tuple(control_record(number) for number in range(3))


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFolder]:
    state = StateFolder(tmp_path)
    yield state
    state.close()


def test_control_records_come_back(state: StateFolder) -> None:
    assert state.controls() == ((), 0)
    for count in range(1, 4):
        for published in range(count + 1):
            state.keep_controls(RECORDS[:count], published)
            assert state.controls() == (RECORDS[:count], published)
    assert {path.name for path in state.folder.iterdir()} == {"lock", "controls.json"}


def test_control_records_of_a_beginning_that_was_killed_are_no_hindrance(state: StateFolder) -> None:
    state.keep_controls(RECORDS[:1], 0)
    (state.folder / "controls.new").write_text('{"rec')
    assert not state.begin(RUN)
    assert state.controls() == (RECORDS[:1], 0)
    assert state.begin(RUN)
    state.keep_controls(RECORDS, 1)
    assert state.begin(RUN), "they are no part of what the run is"


@pytest.mark.parametrize("fails", ["os.fsync", "pathlib.Path.replace"])
def test_control_records_are_replaced_as_a_whole(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    state.keep_controls(RECORDS[:1], 0)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(fails, fail)
        with pytest.raises(StateError, match=r"controls\.json can't be written: No space left on device"):
            state.keep_controls(RECORDS, 2)
    assert state.controls() == (RECORDS[:1], 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: kept.pop("records"),
        lambda kept: kept.pop("published"),
        lambda kept: kept.update(records=5),
        lambda kept: kept.update(published=None),
        lambda kept: kept.update(published="many"),
        lambda kept: kept.update(published=4),
        lambda kept: kept.update(published=-1),
        lambda kept: kept["records"].pop(1),
        lambda kept: kept["records"].reverse(),
    ],
)
def test_damaged_control_records_are_told(state: StateFolder, change: Callable[[Any], object]) -> None:
    state.keep_controls(RECORDS, 2)
    path = state.folder / "controls.json"
    kept = json.loads(path.read_text())
    change(kept)
    path.write_text(json.dumps(kept))
    with pytest.raises(StateError, match=r"controls\.json is damaged"):
        state.controls()


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
def test_a_damaged_file_of_control_records_is_told(state: StateFolder, text: str) -> None:
    (state.folder / "controls.json").write_text(text)
    with pytest.raises(StateError, match=r"controls\.json is damaged"):
        state.controls()


def test_a_record_that_was_changed_by_hand_is_refused(state: StateFolder) -> None:
    state.keep_controls(RECORDS, 0)
    path = state.folder / "controls.json"
    path.write_text(path.read_text().replace('"1 h"', '"2 h"').replace('"30 min"', '"31 min"'))
    with pytest.raises(ControlError, match=r"controls\.json: its digest is"):
        state.controls()


def test_models_come_back(state: StateFolder) -> None:
    assert state.models() == ()
    models = read_folder(content_folder("patterns")).models
    state.keep_models(models)
    assert models
    assert [model.name for model in state.models()] == [model.name for model in models]
    assert models_digest(state.models()) == models_digest(models)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"models": "no base 64"}', '{"models": "bm8gcGlja2xl"}', '{"models": 1}']
)
def test_damaged_models_are_told(state: StateFolder, text: str) -> None:
    (state.folder / "models.json").write_text(text, encoding="utf-8")
    with pytest.raises(StateError, match=r"models\.json is damaged"):
        state.models()
