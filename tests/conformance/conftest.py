"""`--cases FILE`: the conformance cases to run; by default our own, and those beside the checkout if there are any."""

import json
from pathlib import Path

import pytest

pytest.register_assert_rewrite("conformance.case_run")

_OWN = Path(__file__).with_name("own_cases.json")
_DEFAULT = Path(__file__).resolve().parents[2].parent / "shared" / "cep" / "cases.json"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cases", type=Path, default=None, help="file of pattern-matching conformance cases")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    given: Path | None = metafunc.config.getoption("--cases", default=None)
    paths = [_OWN, _DEFAULT] if given is None else [given]
    cases = [case for path in paths if path.exists() or given is not None for case in _cases(path)]
    params = [pytest.param(case, marks=_marks(case), id=str(case["id"])) for case in cases]
    if given is None and not _DEFAULT.exists():
        reason = "no cases beside the checkout: ../shared/cep/cases.json is absent and no --cases was given"
        params.append(pytest.param({}, marks=pytest.mark.skip(reason=reason), id="no-cases"))
    metafunc.parametrize("case", params)


def _cases(path: Path) -> list[dict[str, object]]:
    cases: list[dict[str, object]] = json.loads(path.read_text(encoding="utf-8"))["cases"]
    return cases


def _marks(case: dict[str, object]) -> list[pytest.MarkDecorator]:
    if case.get("flink_quirk") == "step_window":
        reason = "Flink bounds other steps than its documentation says; every step is bounded here"
        return [pytest.mark.xfail(reason=reason, strict=False)]
    return []
