"""The rules that the project's files keep: layout, lock file, dashboards, and the documents' claims."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from footfall.tables import TABLE_BY_NAME

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTENT = ("flows", "patterns", "schemas")
ENGINE = sorted((ROOT / "footfall").rglob("*.py"))
DASHBOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))


def imported(path: Path) -> set[str]:
    """The first names of all modules that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def locked() -> dict[str, str]:
    """Name -> version of what the lock file holds; every line must be a pin or a hash."""
    pins: dict[str, str] = {}
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        if pin := re.fullmatch(r"([a-z0-9][a-z0-9.-]*)==([0-9][0-9A-Za-z.+-]*) \\", line):
            pins[pin[1]] = pin[2]
        else:
            assert re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line), line
    return pins


def name_of(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def test_the_engine_knows_nothing_of_the_content() -> None:
    assert len(ENGINE) > 10
    guilty = {path.name: imported(path) & set(CONTENT) for path in ENGINE}
    assert {name: found for name, found in guilty.items() if found} == {}


def test_content_imports_go_from_flows_to_patterns_to_schemas() -> None:
    for number, name in enumerate(CONTENT):
        allowed = {"footfall", *CONTENT[number:]}
        for path in (ROOT / name).rglob("*.py"):
            found = imported(path) & {*CONTENT, "footfall", "tests", "benchmarks"}
            assert found <= allowed, f"{path.relative_to(ROOT)} imports {found - allowed}"


def test_packages_and_folders_are_told_apart() -> None:
    assert all((ROOT / name / "__init__.py").is_file() for name in CONTENT)
    assert not any((ROOT / name / "__init__.py").exists() for name in (".", "clickhouse", "grafana"))


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: path.stem)
def test_no_module_of_the_engine_grows_without_bound(path: Path) -> None:
    # 500 is the rule; what lies between is on its way to be split.
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 650


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [path.name[:5] for path in sorted((ROOT / "clickhouse").glob("*.sql"))]
    assert numbers
    assert numbers == [f"{number:04d}_" for number in range(1, len(numbers) + 1)]


def test_the_lock_holds_every_dependency_within_its_bounds() -> None:
    pins = locked()
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    for requirement in wanted:
        least = re.search(r">=([0-9.]+)", requirement)
        assert least, f"{requirement} has no lower bound"
        pin = pins[name_of(requirement)]
        assert tuple(map(int, pin.split(".")[:2])) >= tuple(map(int, least[1].split(".")[:2])), requirement


def test_the_lock_has_as_many_pins_as_names_and_hashes_for_each() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert len(locked()) == len(re.findall(r"^[a-z]", text, re.MULTILINE)) > 20
    assert all("--hash=sha256:" in block for block in re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:])


def test_everything_the_engine_imports_is_declared() -> None:
    """What it imports comes with Python, is Footfall, or is a dependency of its own (not of a dependency)."""
    declared = {name_of(requirement).replace("-", "_") for requirement in PROJECT["project"]["dependencies"]}
    used = set().union(*map(imported, ENGINE)) - set(sys.stdlib_module_names) - {"footfall"}
    assert used <= declared, used - declared


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_ask_for_what_the_store_has(path: Path) -> None:
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    assert dashboard["panels"]
    assert dashboard["uid"].startswith("footfall-")
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "footfall"
            sql = target["rawSql"]
            tables = re.findall(r"\bFROM (\w+)( FINAL)?", sql)
            assert tables
            for table, final in tables:
                assert final, f"{panel['title']} counts replaced rows"
                columns = TABLE_BY_NAME[table].schema
                asked = set(re.findall(r"\b\w+(?:_time|_id)\b", sql))
                assert asked <= set(columns), f"{panel['title']}: {asked - set(columns)}"


def test_dashboards_have_ids_of_their_own() -> None:
    assert DASHBOARDS
    uids = [json.loads(path.read_text(encoding="utf-8"))["uid"] for path in DASHBOARDS]
    assert len(set(uids)) == len(uids)


def test_compose_has_no_secret_and_listens_at_home_only() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    secrets = re.findall(r"PASSWORD: +(.*)", text)
    assert secrets
    assert all(re.fullmatch(r"\$\{[A-Z_]+:\?set it in \.env\}", secret) for secret in secrets)
    assert all(re.search(r":[0-9][0-9.]+$", image) for image in re.findall(r"image: *(.*)", text))
    ports = re.findall(r'- "(.*:[0-9]+:[0-9]+)"', text)
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)
    needed = set(re.findall(r"\$\{([A-Z_]+):\?", text))
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert all(f"\n{name}=\n" in example for name in needed)


def test_the_readme_names_what_there_is() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(
        re.findall(r"^([a-z0-9]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert set(re.findall(r"^    make ([a-z]+)", text, re.MULTILINE)) <= targets
    folders = re.findall(r"^\| `([a-z]+)/` \|", text, re.MULTILINE)
    assert len(folders) == 9
    assert all((ROOT / folder).is_dir() for folder in folders)
    assert all(f"| `{table}` |" in text for table in TABLE_BY_NAME)


def test_make_help_lists_every_target() -> None:
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert phony
    assert {line.split()[1] for line in listed.splitlines()} == set(phony[1].split())
