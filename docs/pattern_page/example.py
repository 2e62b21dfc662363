"""Examples of the language: a pattern, written as the page shows it, and a tiny stream to run it over."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import polars as pl

from docs.pattern_page.source_text import source_of
from footfall import Pattern

PatternMaker = Callable[[], Pattern]


def stream(events: str, *, at: Sequence[float] = (), **columns: Sequence[object]) -> pl.DataFrame:
    """One visitor's events, as `footfall.match` takes them.

    Args:
        events: their names, with blanks between them.
        at: their times in seconds; from 0, a second apart, if there are none.
        columns: further columns, with a value for each event.
    """
    names = events.split()
    seconds = at or range(len(names))
    return pl.DataFrame(
        {
            "visitor_id": ["v"] * len(names),
            "event": names,
            "event_time": [round(1000 * second) for second in seconds],
            **{name: pl.Series(values, strict=True) for name, values in columns.items()},
        }
    )


@dataclass(frozen=True, slots=True)
class Example:
    """One feature of the language.

    Attributes:
        title: the feature's name.
        name: names the picture's file.
        teaching: what it does, in Markdown.
        source: the code that makes the pattern, as the page shows it.
        pattern: the pattern.
        events: the stream, as `footfall.match` takes it.
    """

    title: str
    name: str
    teaching: str
    source: str
    pattern: Pattern
    events: pl.DataFrame


@dataclass(slots=True)
class Chapter:
    """Examples that belong together, in the order in which they were added.

    Attributes:
        title: the chapter's heading.
        opening: what the chapter is about, in Markdown.
        examples: what `example` added.
    """

    title: str
    opening: str
    examples: list[Example] = field(default_factory=list)

    def example(self, title: str, events: pl.DataFrame) -> Callable[[PatternMaker], PatternMaker]:
        """Add the pattern that a function gives; its docstring is what the page says about it."""

        def add(make: PatternMaker) -> PatternMaker:
            pattern = make().check()
            name = make.__name__.strip("_").replace("_", "-")
            teaching = " ".join((inspect.getdoc(make) or "").split())
            self.examples.append(Example(title, name, teaching, source_of(make), pattern, events))
            return make

        return add


def anchor(heading: str) -> str:
    """What GitHub calls a heading in links."""
    kept = "".join(sign for sign in heading.lower() if sign.isalnum() or sign in " -_")
    return kept.replace(" ", "-")
