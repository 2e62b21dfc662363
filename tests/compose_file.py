"""docker-compose.yml and the files beside it, as tests read them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "docker-compose.yml"
PASSWORDS = {
    "CLICKHOUSE_WRITER_PASSWORD": "writer-secret",
    "CLICKHOUSE_READER_PASSWORD": "reader-secret",
    "GRAFANA_PASSWORD": "grafana-secret",
}

_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?:(:[-?])([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that the file takes from its environment: needed, or with a default."""

    name: str
    needed: bool
    default: str


def variables() -> list[Variable]:
    """The variables, as often as they stand there."""
    found = _VARIABLE.findall(COMPOSE.read_text(encoding="utf-8"))
    return [Variable(name, how == ":?", rest if how == ":-" else "") for name, how, rest in found]


def services(environment: Mapping[str, str] = PASSWORDS) -> dict[str, dict[str, Any]]:
    """The services, with all variables replaced; a needed one that is missing is a KeyError."""
    found: dict[str, dict[str, Any]] = _replaced(loaded()["services"], environment)
    return found


def loaded() -> dict[str, Any]:
    """The whole file as it stands."""
    whole: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return whole


def settings_of(service: Mapping[str, Any]) -> dict[str, str]:
    """A service's environment, as the process gets it."""
    return {name: str(value) for name, value in service.get("environment", {}).items()}


def example() -> dict[str, tuple[str, bool]]:
    """Variable -> its value in .env.example, and whether it is set there or stands in a comment."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    lines = re.findall(r"^(#?)([A-Z_]+)=(.*)$", text, re.MULTILINE)
    return {name: (value.strip('"'), not comment) for comment, name, value in lines}


def _replaced(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(each, environment) for name, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, environment) for each in value]
    if not isinstance(value, str):
        return value

    def replacement(match: re.Match[str]) -> str:
        name, how, rest = match.groups()
        return environment[name] if how == ":?" or name in environment else rest or ""

    return _VARIABLE.sub(replacement, value)
