"""A trace as rows: in the order of time, with what is quiet folded away, and the same said once."""

from explained import events_of, explained, trace_of

from footfall.expression import event, field
from footfall.match_trace import Entry, What
from footfall.pattern import Pattern
from footfall.trace_rows import EventRow, FoldedRow, Row, TimeRow, grouped, trace_rows

P = Pattern("p")
A, B = event == "a", event == "b"
AB = P.begin("a", A).followed_by("b", B)


def shape(rows: list[Row]) -> list[str]:
    words = []
    for row in rows:
        if isinstance(row, EventRow):
            words.append(row.event.name)
        elif isinstance(row, FoldedRow):
            words.append(f"({len(row.events)})")
        else:
            words.append("end" if row.ends else "time")
    return words


def test_quiet_events_are_folded() -> None:
    trace = trace_of(AB, "- - a - b - - -")
    assert shape(trace_rows(trace, fold=True)) == ["(2)", "a", "(1)", "b", "(3)", "end"]
    assert shape(trace_rows(trace, fold=False)) == [*(each.name for each in trace.events), "end"]


def test_an_event_that_nearly_fits_is_not_folded() -> None:
    trace = trace_of(P.begin("a", A & (field("x") > 1)), "a:1 - b")
    assert shape(trace_rows(trace, fold=True)) == ["a", "(2)", "end"]


def test_times_stand_before_the_events_of_the_same_time() -> None:
    trace = trace_of(AB.within("2 s"), "a - - -")
    assert shape(trace_rows(trace, fold=True)) == ["a", "(1)", "time", "(2)", "end"]
    late = trace_of(P.begin("a", A).not_followed_by("b", B).within("1 min"), "a -", clock=3000)
    rows = trace_rows(late, fold=True)
    assert shape(rows) == ["a", "(1)", "end", "time"]
    assert isinstance(rows[2], TimeRow)
    assert rows[2].time == late.end
    assert (rows[2].words, rows[2].releases) == ("the input ends", True)
    (*_, end) = trace_rows(trace, fold=True)
    assert isinstance(end, TimeRow)
    assert (end.words, end.releases) == ("the input's clock stops", False)


def test_an_event_with_another_value_of_the_same_field_is_not_folded() -> None:
    pattern = P.begin("a", A).not_followed_by("b", B).within("1 min").same("element")
    records = events_of("a b b -")
    for record, element in zip(records, "xy", strict=False):
        record["element"] = element
    assert shape(trace_rows(explained(pattern, records).trace, fold=True)) == [
        "a",
        "b",
        "b",
        "(1)",
        "end",
        "time",
    ]


def test_what_is_folded_says_what_it_is() -> None:
    trace = trace_of(P.begin("a", event == "z"), "a b b c d e")
    (row, _) = trace_rows(trace, fold=True)
    assert isinstance(row, FoldedRow)
    assert row.words == "6 events that no stage wants (2 b, a, c, …)"


def test_copies_show_where_the_event_did_something() -> None:
    one, two, three = events_of("a c a")
    rows = trace_rows(explained(AB, [one, one, two, two, three]).trace, fold=True)
    assert shape(rows) == ["a", "a", "(2)", "a", "end"]
    assert isinstance(rows[2], FoldedRow)
    assert rows[2].words == "2 events that no stage wants (2 c; 1 double)"


def entry(partial: int, what: What, words: str, match: int | None = None) -> Entry:
    return Entry(partial, what, 0, 0, words, match=match)


def test_the_same_is_said_once() -> None:
    entries = [entry(n, "ends", "ends: over") for n in (2, 3, 4, 7, 9, 10)] + [
        entry(5, "begins", "begins: x")
    ]
    said, left = grouped(entries)
    assert [(one.names, one.words) for one in said] == [
        ("#2 to #4, #7, #9, #10", "end: over"), ("#5", "begins: x"),
    ]  # fmt: skip
    assert left == 0


def test_of_too_many_the_waiting_go_first() -> None:
    entries = [entry(1, "waits", "waits on"), entry(2, "takes", "taken"), entry(3, "fires", "match 1", 1)]
    said, left = grouped([*entries, entry(4, "fires", "match 1", 2)], 2)
    assert [one.entry.what for one in said] == ["fires", "fires"]
    assert left == 2
