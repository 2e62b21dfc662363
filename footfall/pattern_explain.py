"""`footfall patterns explain`: why a pattern fired, or not, for a visitor of an input, as text, JSON and a picture."""

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from footfall.errors import UsageError
from footfall.explanation import Explainer, Explanation
from footfall.explanation_text import print_explanation
from footfall.file_source import FileSource
from footfall.match_trace import Entry, PartialMatch, SeenEvent, TracedMatch, time_words
from footfall.pattern_files import read_folder
from footfall.pattern_show import pattern_named
from footfall.polars_condition import JsonValue
from footfall.settings import Settings
from footfall.trace_picture import trace_picture
from footfall.trace_rows import EventRow, TimeRow, trace_rows
from footfall.trace_verdict import Verdict, verdict
from footfall.visitor_events import read_visitor


def explain_pattern(
    settings: Settings,
    name: str,
    visitor: str,
    inputs: Sequence[str],
    *,
    picture: str | None,
    as_json: bool,
    show_all: bool,
) -> int:
    """Read inputs, and print why a pattern fired, or not, for a visitor.

    Args:
        settings: a run's settings: patterns, format, event names, clock and sessions count.
        name: the pattern's name.
        visitor: the visitor, by `visitor_id`.
        inputs: files, directories, or "-", as a replay takes them.
        picture: the file that the picture is written to ("-" for standard output, which then gets nothing else, so
            not with `as_json`); None for no picture.
        as_json: print one JSON object rather than text.
        show_all: fold no events, and list everything; JSON has everything anyway.

    Returns:
        The exit code: 0, or 1 if the explanation isn't what the engine finds.

    Raises:
        UsageError: there is no such pattern, input or visitor, or the picture can't be written; or it and JSON are
            both to go to standard output.
        SourceError: an input can't be read.
    """
    if as_json and picture == "-":
        raise UsageError(
            "--json and --picture - both write to standard output: give --picture a file, or leave one of them out"
        )
    read = read_folder(settings.pattern_folder)
    pattern = pattern_named(read.patterns, name, read.rules)
    source = FileSource(tuple(inputs), partitioned=settings.partitioned)
    explainer = Explainer(pattern, settings.partial_limit)
    events = read_visitor(settings, source, pattern, visitor, explainer.columns)
    explanation = explainer.explain(events)
    said = verdict(name, visitor, explanation.trace)
    if picture is not None:
        _write(picture, trace_picture(explanation, said, fold=not show_all))
    if picture != "-":
        if as_json:
            sys.stdout.write(msgspec.json.encode(explanation_json(explanation, said)).decode() + "\n")
        else:
            print_explanation(explanation, said, Console(highlight=False), show_all=show_all)
            if picture is not None:
                print(f"picture written to {picture}", file=sys.stderr)
    for problem in explanation.disagreement:
        print(f"footfall: the explanation isn't what the engine finds: {problem}", file=sys.stderr)
    return 1 if explanation.disagreement else 0


def explanation_json(explanation: Explanation, said: Verdict) -> JsonValue:
    """An explanation as a JSON value; events, partial matches and matches are numbered from 1, times are UTC."""
    trace, visitor = explanation.trace, explanation.visitor
    return {
        "pattern": explanation.pattern.name,
        "version": explanation.pattern.version,
        "visitor": visitor.visitor,
        "records": visitor.records,
        "clock_stops": _time(trace.end),
        "fired": said.fired,
        "verdict": str(said),
        "agrees_with_engine": not explanation.disagreement,
        "disagreement": explanation.disagreement,
        "matches": [_match_json(match) for match in trace.matches],
        "partial_matches": [_partial_json(row) for row in trace.partials],
        "timeline": [_row_json(row) for row in trace_rows(trace, fold=False)],
    }


def _time(ms: int) -> str:
    return time_words(ms).replace(" ", "T") + "Z"


def _steps_json(steps: Sequence[tuple[str, int]]) -> JsonValue:
    return [{"stage": stage, "event": event + 1} for stage, event in steps]


def _match_json(match: TracedMatch) -> JsonValue:
    return {
        "number": match.number,
        "match_id": match.match_id,
        "partial": match.partial,
        "steps": _steps_json(match.steps),
        "time": _time(match.time),
        "status": "timed_out" if match.timed_out else "fired",
        "at_end": match.at_end,
        "whole_at": None if match.whole_at is None else _time(match.whole_at),
        "let_out": match.let_out,
        "elsewhere": match.elsewhere,
    }


def _partial_json(row: PartialMatch) -> JsonValue:
    return {
        "number": row.number,
        "split_from": row.parent,
        "same": row.same,
        "steps": _steps_json(row.steps),
        "status": row.status,
        "reason": row.reason,
        "ending": row.ending,
        "details": row.details,
        "ended_at": None if row.ended_at is None else _time(row.ended_at),
        "ended_by": None if row.end_event is None else row.end_event + 1,
        "matches": row.matches,
    }


def _row_json(row: object) -> JsonValue:
    if isinstance(row, EventRow):
        return {"kind": "event", **_event_json(row.event), **_entries_json(row.entries), "unsaid": row.unsaid}
    if isinstance(row, TimeRow):
        kind = "input_ends" if row.ends else "time"
        return {"kind": kind, "time": _time(row.time), **_entries_json(row.entries)}
    raise TypeError(f"{row!r} is no row of an unfolded trace")


def _event_json(event: SeenEvent) -> dict[str, JsonValue]:
    return {
        "number": event.number + 1,
        "time": _time(event.time),
        "event": event.name,
        "message_id": event.message,
        "fields": {
            name: _json_value(value) for (name, _), value in zip(event.fields, event.values, strict=True)
        },
        "same": event.same,
        "fate": event.fate,
        "left_out": event.left_out,
        "near": event.near,
        "not_begun": event.not_begun,
        "elsewhere": event.elsewhere,
    }


def _json_value(value: Any) -> JsonValue:
    """A value of an event: numbers without a fraction as whole ones, times as all times are written here."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03}Z"
    if isinstance(value, float) and value.is_integer():
        return int(value)
    found: JsonValue = value
    return found


def _entries_json(entries: Sequence[Entry]) -> dict[str, JsonValue]:
    return {
        "entries": [
            {
                "partial": entry.partial,
                "what": entry.what,
                "words": entry.words,
                "details": entry.details,
                "stage": entry.stage or None,
                "match": entry.match,
            }
            for entry in entries
        ]
    }


def _write(file: str, svg: str) -> None:
    if file == "-":
        sys.stdout.write(svg)
        return
    path = Path(file)
    try:
        path.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the picture can't be written to {path}: {error.strerror}") from error
