"""Every pattern that the cases file lists as invalid is refused, with an error that names pattern and stage."""

import json
from pathlib import Path

import pytest

from conformance.case_format import Json
from conformance.case_patterns import pattern_of
from footfall.errors import PatternError

_DEFAULT = Path(__file__).resolve().parents[2].parent / "shared" / "cep" / "cases.json"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    given: Path | None = metafunc.config.getoption("--cases", default=None)
    path = given or _DEFAULT
    missing = "" if given or path.exists() else "../shared/cep/cases.json is absent and no --cases was given"
    listed = [] if missing else json.loads(path.read_text(encoding="utf-8")).get("invalid_patterns", [])
    if not listed:
        reason = missing or f"{path.name} has no invalid_patterns"
        listed = [pytest.param({}, marks=pytest.mark.skip(reason=reason), id="no-invalid-patterns")]
        metafunc.parametrize("invalid_pattern", listed)
        return
    metafunc.parametrize("invalid_pattern", [pytest.param(one["pattern"], id=one["id"]) for one in listed])


def test_it_is_refused(invalid_pattern: Json) -> None:
    with pytest.raises(PatternError) as caught:
        pattern_of(invalid_pattern)
    assert caught.value.pattern == "case"
    assert caught.value.stage
    assert str(caught.value).startswith(f"pattern 'case', stage {caught.value.stage!r}: ")
