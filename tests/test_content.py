import sys
from pathlib import Path

import pytest

from footfall import content
from footfall.content import ContentName, content_folder, content_module, load_flow
from footfall.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["flows", "patterns", "schemas", "clickhouse", "grafana"])
def test_in_a_checkout_the_content_stands_beside_the_package(name: ContentName) -> None:
    assert content_folder(name) == ROOT / name
    assert content_module(name) == name


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package's folder, as the wheel lays it out; it goes by the name `footfall`."""
    package = tmp_path / "site" / "footfall"
    (package / "content_files" / "flows").mkdir(parents=True)
    monkeypatch.setattr(content, "_PACKAGE", package)
    monkeypatch.setattr(content, "_INSTALLED", package / "content_files")
    return package


def test_in_a_wheel_the_content_lies_inside_the_package(installed: Path) -> None:
    assert content_folder("flows") == installed / "content_files" / "flows"
    assert content_module("flows") == "footfall.content_files.flows"


def test_a_missing_folder_says_what_to_do(installed: Path) -> None:
    with pytest.raises(UsageError, match=r"'grafana' is missing.*install footfall again"):
        content_folder("grafana")


def test_an_unknown_flow_names_the_known_ones() -> None:
    known = sorted(path.stem for path in (ROOT / "flows").glob("[!_]*.py"))
    with pytest.raises(UsageError, match=f"there is no flow 'nothing'; the flows are: {', '.join(known)}"):
        load_flow("nothing")


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "flows").glob("[!_]*.py")))
def test_every_flow_has_a_builder_of_its_module(name: str) -> None:
    build = load_flow(name)
    assert build.__module__ == f"flows.{name}"


def flow_in(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `folder/flows` the content, and the module `flows` that the interpreter finds."""
    (folder / "flows").mkdir(parents=True)
    (folder / "flows" / "__init__.py").touch()
    (folder / "flows" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    for module in [module for module in sys.modules if module.split(".")[0] == "flows"]:
        monkeypatch.delitem(sys.modules, module)


def test_a_flow_without_a_builder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flow_in(tmp_path, "empty", "build = 3\n", monkeypatch)
    monkeypatch.setattr(content, "_PACKAGE", tmp_path / "footfall")
    with pytest.raises(UsageError, match=r"empty.py has no function build"):
        load_flow("empty")


def test_another_package_of_that_name_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = next((ROOT / "flows").glob("[!_]*.py")).stem
    flow_in(tmp_path, name, "def build(): ...\n", monkeypatch)
    with pytest.raises(UsageError, match="hides the one in"):
        load_flow(name)
