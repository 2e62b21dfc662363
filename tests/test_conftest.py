"""CI's refusal of skipped tests, tried on tests of its own."""

import shutil
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SAMPLE = """
import pytest

def test_data(shared_data): ...

def test_other():
    pytest.skip("no kafka")

@pytest.mark.skip(reason="no java")
def test_marked(): ...

@pytest.mark.xfail(reason="known")
def test_known():
    assert False

def test_good(): ...
"""


def outcomes(pytester: pytest.Pytester) -> dict[str, int]:
    folder = pytester.mkdir("checkout") / "tests"
    folder.mkdir()
    for name in ("conftest.py", "command_line.py", "kafka_fixtures.py", "kafka_broker.py"):
        shutil.copy(Path(__file__).with_name(name), folder / name)
    (folder / "test_sample.py").write_text(SAMPLE, encoding="utf-8")
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", str(folder)).parseoutcomes()


def test_a_skip_is_a_skip_elsewhere(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert outcomes(pytester) == {"skipped": 3, "xfailed": 1, "passed": 1}


def test_a_skip_is_a_failure_in_ci(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    found = outcomes(pytester)
    assert (found.get("failed", 0) + found.get("errors", 0), found["xfailed"], found["passed"]) == (3, 1, 1)
    assert "skipped" not in found
