"""What of a store is looked at before a run begins."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from footfall.errors import UsageError
from footfall.run_store import prepare_store, store_name
from footfall.settings import Settings


def prepare(store: str) -> None:
    with ExitStack() as stack:
        prepare_store(Settings(store=store), stack)


def test_a_folder_that_is_there_or_can_be_made_will_do(tmp_path: Path) -> None:
    prepare(f"chdb://{tmp_path}")
    prepare(f"chdb://{tmp_path / 'new' / 'store'}?database=other")
    assert list(tmp_path.iterdir()) == [], "the worker makes it"
    prepare("none")
    assert store_name(Settings(store="none")) is None


@pytest.mark.parametrize("below", ["", "/store", "/a/b"])
def test_a_path_through_a_file_is_refused(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"can't be made, since .*file is a file; name another with --store"):
        prepare(f"chdb://{tmp_path / 'file'}{below}")


def test_a_folder_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def access(path: str | Path, mode: int) -> bool:
        asked.append(str(path))
        assert mode == os.W_OK | os.X_OK
        return False

    monkeypatch.setattr(os, "access", access)
    with pytest.raises(UsageError, match=r"no permission to write in .*; let this user write there, or name"):
        prepare(f"chdb://{tmp_path / 'a' / 'b'}")
    assert asked == [str(tmp_path)], "the nearest that there is"
