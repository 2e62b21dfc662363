"""Docker Compose's own check of docker-compose.yml, where Go is at hand to build it with."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from compose_file import COMPOSE, PASSWORDS, services, settings_of
from docker_compose import BUILD_SECONDS, ModuleAwayError, docker_compose, missing


@pytest.fixture(scope="module")
def program() -> Path:
    if lacking := missing():
        pytest.skip(lacking)
    try:
        return docker_compose()
    except ModuleAwayError as error:
        pytest.skip(str(error))


def config(program: Path, profiles: str, more: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "COMPOSE_PROFILES": profiles,
    }
    command = [str(program), "-f", str(COMPOSE), "--env-file", os.devnull, "config", "--format", "json"]
    return subprocess.run(
        command, env=environment | more, capture_output=True, text=True, check=False, timeout=60
    )


def checked(program: Path, profiles: str) -> dict[str, Any]:
    done = config(program, profiles, PASSWORDS)
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower(), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


# The first time, Docker Compose is built.
@pytest.mark.timeout(BUILD_SECONDS + 100)
@pytest.mark.parametrize(
    ("profiles", "more"),
    [
        ("", set()),
        ("live", {"live"}),
        ("cluster", {"member-0", "member-1"}),
        ("live,simulator", {"live", "simulator"}),
        ("cluster,simulator", {"member-0", "member-1", "simulator"}),
    ],
)
def test_docker_compose_takes_the_file(program: Path, profiles: str, more: set[str]) -> None:
    found = checked(program, profiles)
    assert set(found) == {"kafka", "clickhouse", "grafana", "topics"} | more


@pytest.mark.timeout(BUILD_SECONDS + 100)
def test_it_reads_there_what_the_other_tests_read(program: Path) -> None:
    read = services()
    for name, service in checked(program, "live,cluster,simulator").items():
        assert service.get("environment", {}) == settings_of(read[name]), name
        assert service.get("command") == read[name].get("command"), name
        assert service["image"] == read[name]["image"]
        assert service.get("healthcheck", {}).get("test") == read[name].get("healthcheck", {}).get("test")
        assert {each: wait["condition"] for each, wait in service.get("depends_on", {}).items()} == {
            each: wait["condition"] for each, wait in read[name].get("depends_on", {}).items()
        }
        assert all(each["host_ip"] == "127.0.0.1" for each in service.get("ports", ()))


@pytest.mark.timeout(BUILD_SECONDS + 100)
@pytest.mark.parametrize("name", sorted(PASSWORDS))
def test_a_password_that_is_missing_is_told(program: Path, name: str) -> None:
    done = config(program, "live", {other: value for other, value in PASSWORDS.items() if other != name})
    assert done.returncode != 0
    assert f"required variable {name} is missing a value: set it in .env" in done.stderr
