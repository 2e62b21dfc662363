"""What all tests share: the sample data beside the checkout, and CI's refusal of tests that didn't run."""

import os
from collections.abc import Generator
from pathlib import Path

import command_line
import pytest
from hypothesis import settings
from kafka_fixtures import kafka, kafka_cluster, new_topic

__all__ = ["kafka", "kafka_cluster", "new_topic"]  # fixtures

# A first example may wait for a compiled loop; speed is the benchmarks' matter. CI tries the same examples every
# time, so that what it says is about the change; everywhere else they are new ones.
settings.register_profile(
    "footfall", deadline=None, print_blob=True, derandomize=os.environ.get("CI") == "true"
)
settings.load_profile("footfall")

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
MAY_LACK = "no Docker Compose"
NO_SHARED = "no ../shared beside the checkout"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder `../shared` with its real input; the test is skipped where there is none."""
    if not SHARED.is_dir():
        pytest.skip(NO_SHARED)
    return SHARED


@pytest.fixture(scope="module")
def without_scores() -> Generator[None]:
    """Have the commands of a module's tests score nothing, where scores don't matter: each begins a second sooner."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(command_line.SETTINGS, "FOOTFALL_SCORES", "false")
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true a skipped test is a failed one: a CI machine lacks nothing that a test needs, but maybe Go."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if MAY_LACK in reason:
            return report
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {reason.removeprefix('Skipped: ')}"
    return report
