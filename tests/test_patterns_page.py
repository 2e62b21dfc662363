"""The page about the language is what its examples give, and they show the whole language."""

import ast
import inspect
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import footfall
from docs.pattern_page import flink, notebook, page
from docs.pattern_page.example import Example, anchor, stream
from docs.pattern_page.picture import WIDTH, picture
from docs.pattern_page.source_text import source_of
from docs.pattern_page.timeline import timeline
from footfall import Pattern, event, taken
from footfall.errors import FootfallError
from footfall.expression import polars_condition

DOCS = Path(__file__).resolve().parents[1] / "docs"
EXAMPLES = [example for chapter in (*page.CHAPTERS, flink.FLINK) for example in chapter.examples]
SVG = "{http://www.w3.org/2000/svg}"

# What isn't about what a pattern matches.
_NOT_TAUGHT = {
    "check", "columns", "describe", "from_dict", "from_json", "parameters", "shipped_pattern", "shipped_patterns",
    "shipped_rules", "stage_names", "to_dict", "to_json", "version", "with_stage",
}  # fmt: skip


def test_the_page_is_what_its_examples_give(tmp_path: Path) -> None:
    page.write(tmp_path)
    stale = "is not what the examples give now: run `make docs` and look at what has changed"
    committed = {path.relative_to(DOCS) for path in [*DOCS.glob("*.md"), *DOCS.glob("pictures/*")]}
    made = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert made <= committed
    assert {path for path in committed if path.suffix == ".svg"} <= made
    for path in sorted(made):
        assert (tmp_path / path).read_bytes() == (DOCS / path).read_bytes(), f"docs/{path} {stale}"


def test_pictures_of_examples_that_are_gone_are_removed(tmp_path: Path) -> None:
    old = tmp_path / page.PICTURES / "gone.svg"
    old.parent.mkdir()
    old.touch()
    page.write(tmp_path)
    assert not old.exists()


def test_every_word_of_the_language_is_taught() -> None:
    shown = "\n".join(example.source for example in EXAMPLES)
    used = set(re.findall(r"\b[a-z_]+\b(?=[(=])", shown)) | set(re.findall(r"\bevent\b", shown))
    methods = {
        name for name in vars(Pattern) if not name.startswith("_") and callable(getattr(Pattern, name))
    }
    aggregates = {name for name in dir(taken("a")) if not name.startswith("_")} - {"stage"}
    words = (methods | aggregates | set(footfall.__all__)) - _NOT_TAUGHT - {"Pattern", "TriggerRule", "match"}
    assert "skip_to_last" in words
    assert "distinct" in words
    assert (words | {"within", "each_within", "for_", "plus_current", "polars_condition"}) - used == set()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_code_shown_is_the_pattern_that_was_run(example: Example) -> None:
    names = {name: getattr(footfall, name) for name in footfall.__all__}
    names |= {"pl": pl, "polars_condition": polars_condition}
    exec(example.source, names)
    assert names["pattern"] == example.pattern
    assert max(map(len, example.source.splitlines())) <= 100


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_nothing_in_a_picture_lies_on_another_thing_of_its_kind(example: Example) -> None:
    drawing = ET.fromstring(picture(example))
    width, height = WIDTH, float(drawing.attrib["height"])
    rows: dict[float, list[tuple[float, float]]] = {}
    for box in drawing.iter(f"{SVG}rect"):
        left, top = float(box.attrib["x"]), float(box.attrib["y"])
        right, bottom = left + float(box.attrib["width"]), top + float(box.attrib["height"])
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        if box.attrib.get("class") not in {"ground", "window", "quiet"}:
            rows.setdefault(top, []).append((left, right))
    assert rows
    for boxes in rows.values():
        ordered = sorted(boxes)
        assert all(before[1] < after[0] for before, after in pairwise(ordered))


def test_links_lead_to_headings() -> None:
    text = (DOCS / "patterns.md").read_text(encoding="utf-8")
    headings = Counter(anchor(line.lstrip("# ")) for line in re.findall(r"^#+ .*$", text, flags=re.MULTILINE))
    # GitHub numbers headings of the same name.
    assert set(headings.values()) == {1}
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= set(headings)
    assert all((DOCS / path).is_file() for path in re.findall(r"\]\((pictures/[^)]*)\)", text))


def test_flinks_words_are_said_in_words_that_exist() -> None:
    ours = " ".join(words for _, words in flink.WORDS)
    known = {*footfall.__all__, *vars(Pattern)}
    for method in (Pattern.skip_to_first, Pattern.times, Pattern.followed_by):
        known |= set(inspect.signature(method).parameters)
    for code in re.findall(r"`([^`]*)`", ours):
        called = {
            node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            for node in ast.walk(ast.parse(code.replace("\\|", "|")))
            if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute))
        }
        assert called <= known, code


def test_refusals_are_of_different_kinds() -> None:
    said = set()
    for make in notebook.REFUSED:
        with pytest.raises(FootfallError) as refused:
            make()
        said.add(str(refused.value))
    assert len(said) == len(notebook.REFUSED)


def test_code_is_laid_out_with_a_stage_on_each_line() -> None:
    def make() -> Pattern:
        """A pattern."""
        busy = event.is_in(
            ["click", "scroll", "something_that_is_rather_long", "another_thing", "and_one_more_of_them"]
        )
        return Pattern("p").begin("a", busy).times(2).greedy().next("b", event == "b").within("1 s")

    assignment, *pattern = source_of(make).splitlines()
    assert assignment.startswith('busy = event.is_in(["click", "scroll", ')
    assert assignment.endswith('"and_one_more_of_them"])')
    assert pattern == [
        "pattern = (",
        '    Pattern("p")',
        '    .begin("a", busy).times(2).greedy()',
        '    .next("b", event == "b")',
        '    .within("1 s")',
        ")",
    ]
    assert len(source_of(make, stage_by_stage=False).splitlines()) == 2

    def bare() -> None:
        return None

    with pytest.raises(TypeError, match="docstring"):
        source_of(bare)


@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(20, 60)), min_size=1, max_size=7),
    st.integers(0, 3000),
)
def test_events_are_in_order_and_apart(steps: list[tuple[int, int]], after: int) -> None:
    times = [sum(step for step, _ in steps[: number + 1]) for number in range(len(steps))]
    widths = [width for _, width in steps]
    latest = times[-1] + after
    line = timeline(times, widths, latest, left=100, right=700)
    edges = [(x - width / 2, x + width / 2) for x, width in zip(line.places, widths, strict=True)]
    assert edges[0][0] >= 100
    assert edges[-1][1] <= 700
    assert all(before[1] < following[0] for before, following in pairwise(edges))
    asked = sorted({0, *times, *(time + 1 for time in times), latest})
    places = [line.place(time) for time in asked]
    assert places == sorted(places)
    assert places[-1] <= line.right
    assert all(line.place(time, row) == line.places[row] for row, time in enumerate(times))


def test_a_stream_that_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        timeline([0, 1000], [400, 400], 1000, left=100, right=700)
    with pytest.raises(ValueError, match="fall"):
        timeline([1000, 0], [20, 20], 1000, left=100, right=700)
    assert stream("a b", at=[0.5, 2])["event_time"].to_list() == [500, 2000]
