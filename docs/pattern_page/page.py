"""The page itself, in Markdown, and its pictures: the same on every run."""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from docs.pattern_page import flink, notebook
from docs.pattern_page.answers import found_in, in_words
from docs.pattern_page.chapter_conditions import AGGREGATES, CONDITIONS, TAKEN
from docs.pattern_page.chapter_joins import ABSENCES, JOINS
from docs.pattern_page.chapter_loops import COUNTS, LOOPS
from docs.pattern_page.chapter_parts import PARTS
from docs.pattern_page.chapter_skips import SAME, SKIPS
from docs.pattern_page.chapter_time import TIME
from docs.pattern_page.example import Chapter, Example, anchor
from docs.pattern_page.picture import picture
from docs.pattern_page.source_text import source_of
from footfall import Pattern
from footfall.errors import FootfallError

CHAPTERS = (JOINS, ABSENCES, COUNTS, LOOPS, PARTS, CONDITIONS, TAKEN, AGGREGATES, TIME, SKIPS, SAME)
PICTURES = "pictures"
_LAST = ("A pattern is a value", "In files", "What is refused", "Coming from Flink CEP")

_OPENING = """\
<!-- Made by `make docs` from docs/pattern_page: change it there. -->
<!-- fmt: off -->

# The pattern language

A pattern says what a visitor's events must be like, one after another, to be found: a cart that is left, three
furious clicks, a price that is looked at again and again. It is written in Python, checked when it is built, and runs
the same in a notebook, in a replay of last month and on the live stream.

Every example on this page was run to make the page: the pictures and the matches below them are what came out."""

_READING = """\
## How to read the pictures

On top are a visitor's events in the order of time, with the fields that the pattern asks for; an event that no match
took is pale, and one that the pattern forbids, or that stops a loop, is red. Below is a line for each match, with the
stages on the events that they took. A blue ground is the time that `within` leaves from the match's first event, a
red one a time in which something must not come; a ring is the moment when a match that had to wait is settled. After
the last event, an hour passes without another one.

The examples' code begins with

```python
import polars as pl
from footfall import (
    Pattern, all_of_any_order, any_of, either, event, field, first, last, prev, property_, stage, subtype, taken,
)
from footfall.expression import polars_condition
```"""

_NOTEBOOK = """\
## In a notebook

`footfall.match` finds patterns in a Polars frame, which needs the columns `visitor_id`, `event` and `event_time`.
Three lines are enough:"""

_EVIDENCE = """\
`rows` says which rows of the frame each match took, and under which stage. To see the events themselves:"""

_AFTER_NOTEBOOK = """\
The frame may have the envelope's other columns (`path`, `element`, `value`, `x`, `y` and so on; `value` in units of its
currency), and a column of any other name is a property. The rows may be in any order. What waits for a time beyond the
last event, such as an absence, is released by the frame's end and marked `at_end`, if it waits 24 hours at most; say
`until=` to give the time up to which the frame is known to be whole."""

_VALUE = """\
## A pattern is a value

Each method gives a new pattern, so a pattern can be begun in one place and ended in two. A pattern can be compared and
kept in a set. Beside its stages it carries what people need to know:"""


_FILES = """\
## In files

A run reads the patterns of a folder: those that are shipped, or with `--patterns mine` those of your own. A Python file
in it assigns each pattern to a name. Beside the files stand the patterns' cases, which `footfall patterns test` runs;
[testing patterns and rules](testing_patterns.md) has their format, and how to have the shipped patterns and your own.

Write event names as a run has them: in lower case with `_`, and as the table of event names has it. There `search`
becomes `products_searched`, so that `event == "search"` would find nothing; `footfall patterns check` and
`footfall patterns test` warn of it. In a notebook the frame's names are taken as they are."""


def page() -> str:
    """The page's text."""
    chapters = [*CHAPTERS, flink.FLINK]
    parts = [_OPENING, _contents(CHAPTERS), *_notebook(), _READING]
    parts += [_chapter(chapter) for chapter in CHAPTERS]
    parts += [*_value(), _FILES, *_refusals(), *_flink(), _chapter(chapters[-1]).replace("## ", "### ", 1)]
    return "\n\n".join(parts) + "\n"


def pictures() -> dict[str, str]:
    """File name -> SVG document.

    Raises:
        ValueError: two examples have the same name.
    """
    drawn: dict[str, str] = {}
    for example in (each for chapter in (*CHAPTERS, flink.FLINK) for each in chapter.examples):
        if f"{example.name}.svg" in drawn:
            raise ValueError(f"two examples are called {example.name!r}: name their functions differently")
        drawn[f"{example.name}.svg"] = picture(example)
    return drawn


def write(folder: Path) -> None:
    """Write `patterns.md` and its pictures into a folder; pictures that no example has any more are removed."""
    drawn = pictures()
    (folder / PICTURES).mkdir(parents=True, exist_ok=True)
    for old in (folder / PICTURES).glob("*.svg"):
        if old.name not in drawn:
            old.unlink()
    for name, text in drawn.items():
        (folder / PICTURES / name).write_text(text, encoding="utf-8", newline="\n")
    (folder / "patterns.md").write_text(page(), encoding="utf-8", newline="\n")


def _contents(chapters: Sequence[Chapter]) -> str:
    lines = [_link("In a notebook")]
    for chapter in chapters:
        inner = " · ".join(f"[{each.title}](#{anchor(each.title)})" for each in chapter.examples)
        lines.append(f"{_link(chapter.title)}: {inner}")
    lines += [_link(title) for title in _LAST]
    return "\n".join(f"- {line}" for line in lines)


def _link(title: str) -> str:
    return f"[{title}](#{anchor(title)})"


def _chapter(chapter: Chapter) -> str:
    return "\n\n".join(
        [
            f"## {chapter.title}",
            _wrapped(chapter.opening),
            *(_example(example) for example in chapter.examples),
        ]
    )


def _example(example: Example) -> str:
    found = found_in(example)
    lines = [in_words(one, example) for one in found] or ["no match"]
    alt = f"{example.title}: {'; '.join(lines)}".replace("[", "(").replace("]", ")")
    return "\n\n".join(
        [
            f"### {example.title}",
            _wrapped(example.teaching),
            _code(example.source),
            f"![{alt}]({PICTURES}/{example.name}.svg)",
            _text("\n".join(lines)),
        ]
    )


def _notebook() -> Iterator[str]:
    yield _NOTEBOOK
    yield _code(
        "from footfall import Pattern, event, match\n\n"
        + source_of(notebook.matches, "matches =", stage_by_stage=False)
    )
    frame = notebook.FRAME.with_columns(pl.col("event_time").cast(pl.Datetime("ms", "UTC")))
    found = notebook.matches(frame)
    yield "In such a frame"
    yield _table(frame)
    yield "they find"
    yield _table(found)
    yield _EVIDENCE
    yield _code(source_of(notebook.evidence, "evidence ="))
    shown = ["pattern", "stage", "row", "event", "event_time", "value"]
    yield _table(notebook.evidence(frame, found).select(shown))
    yield _AFTER_NOTEBOOK


def _value() -> Iterator[str]:
    pattern = notebook.cart_abandoned()
    yield _VALUE
    yield _code(source_of(notebook.cart_abandoned))
    yield "`print(pattern)` says it in words, and `footfall patterns show` draws it:"
    yield _text(str(pattern))
    if Pattern.from_json(pattern.to_json()) != pattern:
        raise AssertionError("the pattern isn't what it was after to_json and from_json")
    yield _wrapped(
        "`pattern.to_json()` keeps it as text, which `Pattern.from_json` reads back. `pattern.version` is a hash of "
        f"what it means (here `{pattern.version}`): another bound gives another version, another description doesn't. "
        "Matches are named by it, so answers of two versions never mix."
    )


def _refusals() -> Iterator[str]:
    yield "## What is refused"
    yield _wrapped(
        "A pattern that can't mean what it says fails when it is built, or, where only the whole can tell, when it is "
        "first used (`check` asks at once); never when the first event comes."
    )
    for make in notebook.REFUSED:
        yield _code(source_of(make, "", stage_by_stage=False)) + "\n\n" + _text(_refusal(make))


def _refusal(make: Callable[[], Pattern]) -> str:
    try:
        make()
    except FootfallError as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError(f"{make.__name__} should be refused")


def _flink() -> Iterator[str]:
    yield "## Coming from Flink CEP"
    yield "You know most of this language already:"
    rows = "\n".join(f"| {theirs} | {ours} |" for theirs, ours in flink.WORDS)
    yield f"| Flink CEP | Footfall |\n| --- | --- |\n{rows}"
    yield flink.SAME_AS_FLINK
    yield flink.DIFFERENCES


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)


def _code(source: str) -> str:
    return f"```python\n{source}\n```"


def _text(text: str) -> str:
    return f"```text\n{text}\n```"


def _table(frame: pl.DataFrame) -> str:
    lines = [frame.columns, ["---"] * frame.width]
    lines += [[_cell(value) for value in row] for row in frame.iter_rows()]
    return "\n".join(_table_row(line) for line in lines)


def _table_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%H:%M:%S}"
    if isinstance(value, list):
        return ", ".join(f"{one['stage']}: {one['row']}" for one in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
