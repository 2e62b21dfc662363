from pathlib import Path

import pytest

from footfall.errors import StateError
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
    assert "settings.gap: the folder's run has 1, this one 2" in words
    assert "inputs.partitions.x: the folder's run has [" in words
    assert "inputs.partitions.y: the folder's run has null" in words
    assert "names" not in words


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
