"""A query's result on the terminal: a table for people, CSV or JSON for programs.

The values are ClickHouse's own texts, so nothing is lost on the way: times, decimals and big integers stand
as ClickHouse writes them. JSON is one object a line (NDJSON), numbers unquoted; CSV has a header.
"""

import re
import shutil
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Literal

from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from footfall.errors import StoreError
from footfall.store import Store, StoreAddress, open_store
from footfall.store_sql import read_statement, without_end

OutputForm = Literal["table", "csv", "json"]

MOST_TABLE_ROWS = 1000
_BLOCK = 1 << 18
_NARROWEST = 40
_FORMATS: dict[str, str] = {"csv": "CSVWithNames", "json": "JSONEachRow"}
_TABLE_FORMAT = "TabSeparatedWithNamesAndTypes"
_NULL = b"\\N"
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_ESCAPES = {
    b"n": b"\n",
    b"t": b"\t",
    b"r": b"\r",
    b"b": b"\b",
    b"f": b"\f",
    b"0": b"\0",
    b"a": b"\a",
    b"v": b"\v",
}
_NARROWEST_COLUMN = 6
_NUMBERS = ("Int", "UInt", "Float", "Decimal", "BFloat")


@dataclass(frozen=True, slots=True)
class ResultTable:
    """A result for people: `names` and ClickHouse `types` of the columns, and rows of texts (None: NULL).

    `rows` are the first ones of `total`.
    """

    names: Sequence[str]
    types: Sequence[str]
    rows: Sequence[Sequence[str | None]]
    total: int


def run_query(
    address: StoreAddress, sql: str, form: OutputForm, out: IO[bytes], *, width: int | None = None
) -> None:
    """Run one statement and write what it answers to `out`.

    A statement that names its own FORMAT is answered in that, whatever `form` says. Rows that were written
    twice count once. The embedded store is opened, or reached through the process that serves it; it must
    exist.

    Args:
        address: the store.
        sql: one statement; a semicolon at its end is fine.
        form: how to show the rows.
        out: where they go, as UTF-8.
        width: columns of the terminal; None for those of the one that is there.

    Raises:
        StoreError: the store can't be opened, or refuses the statement.
    """
    store = open_store(address, create=False)
    try:
        _run(store, sql, form, out, width)
    finally:
        store.close()


def _run(store: Store, sql: str, form: OutputForm, out: IO[bytes], width: int | None) -> None:
    text = without_end(sql)
    statement = read_statement(text.encode())
    if not statement.first:
        raise StoreError('there is no statement: write one, such as "SELECT count() FROM sessions"')
    if not statement.answers:
        store.command(text)
    elif statement.format is not None:
        out.write(store.raw(text))
    elif form == "table":
        out.write(render(_fetch(store, text), width=width).encode())
    else:
        _copy(store, text, _FORMATS[form], out)


def _copy(store: Store, sql: str, output_format: str, out: IO[bytes]) -> None:
    stream = store.stream(sql, output_format)
    try:
        while data := stream.read(_BLOCK):
            out.write(data)
    except ClickHouseError as error:
        raise StoreError(f"{store.address}: query: {error}", code=getattr(error, "code", None)) from error
    finally:
        stream.close()


def _fetch(store: Store, sql: str) -> ResultTable:
    """The rows that a table shows; the others are counted and not kept."""
    heads: list[list[str | None]] = []
    rows: list[list[str | None]] = []
    total = 0
    rest = b""
    stream = store.stream(sql, _TABLE_FORMAT)
    try:
        while data := stream.read(_BLOCK):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if len(heads) < 2:
                    heads.append(_cells(line))
                    continue
                total += 1
                if total <= MOST_TABLE_ROWS:
                    rows.append(_cells(line))
    except ClickHouseError as error:
        raise StoreError(f"{store.address}: query: {error}", code=getattr(error, "code", None)) from error
    finally:
        stream.close()
    names, types = ([str(one) for one in head] for head in [*heads, [], []][:2])
    return ResultTable(names, types, rows, total)


def _cells(line: bytes) -> list[str | None]:
    return [None if cell == _NULL else _unescaped(cell) for cell in line.split(b"\t")]


def _unescaped(cell: bytes) -> str:
    """A cell's text; bytes that aren't UTF-8 are shown as backslash escapes."""
    plain = _ESCAPE.sub(lambda match: _ESCAPES.get(match.group(1), match.group(1)), cell)
    return plain.decode(errors="backslashreplace")


def render(table: ResultTable, *, width: int | None = None) -> str:
    """The table as text, the count of rows below it.

    Numbers stand to the right; long values are cut to the terminal's width. Where the columns are too many
    for it, each row stands as a list of names and values.
    """
    columns = max(_NARROWEST, width or shutil.get_terminal_size((120, 40)).columns)
    names = [_visible(name) for name in table.names]
    rows = [["NULL" if value is None else _visible(value) for value in row] for row in table.rows]
    room = columns - 3 * (len(names) - 1)
    natural = [
        max([cell_len(name), *(cell_len(row[place]) for row in rows)]) for place, name in enumerate(names)
    ]
    if sum(natural) > room and room < _NARROWEST_COLUMN * len(names):
        lines = _lists(names, rows, columns)
    else:
        lines = _grid(
            names, [_is_number(kind) for kind in table.types], rows, _cut_widths(natural, room), columns
        )
    count = f"{table.total:,} row" + ("" if table.total == 1 else "s")
    if table.total > len(table.rows):
        count += f", of which the first {len(table.rows):,} are shown: CSV and JSON have all"
    return "\n".join([*lines, count]) + "\n"


def _grid(
    names: Sequence[str],
    numbers: Sequence[bool],
    rows: Sequence[Sequence[str]],
    widths: Sequence[int],
    columns: int,
) -> list[str]:
    if not names:
        return []
    console = Console(
        width=columns, color_system=None, force_terminal=False, highlight=False, legacy_windows=False
    )
    grid = RichTable(show_edge=False, pad_edge=False, box=SIMPLE_HEAD)
    for name, number, width in zip(names, numbers, widths, strict=True):
        grid.add_column(
            Text(name),
            justify="right" if number else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=width,
            max_width=width,
        )
    for row in rows:
        grid.add_row(*(Text(value) for value in row))
    with console.capture() as capture:
        console.print(grid)
    return [line.rstrip() for line in capture.get().splitlines()]


def _lists(names: Sequence[str], rows: Sequence[Sequence[str]], columns: int) -> list[str]:
    width = max(map(cell_len, names))
    lines: list[str] = []
    for number, row in enumerate(rows, start=1):
        lines.append(f"─── {number:,} ".ljust(columns, "─"))
        for name, value in zip(names, row, strict=True):
            text = Text(f"{name}{' ' * (width - cell_len(name))}  {value}")
            text.truncate(columns, overflow="ellipsis")
            lines.append(text.plain.rstrip())
    return lines


def _cut_widths(natural: Sequence[int], room: int) -> list[int]:
    """Widths that fit the room together: the widest columns are cut to one common width."""
    left, open_columns = room, len(natural)
    most = max(natural, default=0)
    for width in sorted(natural):
        if width * open_columns > left:
            most = max(1, left // open_columns)
            break
        left -= width
        open_columns -= 1
    return [min(width, most) for width in natural]


def _is_number(kind: str) -> bool:
    while kind.startswith(("Nullable(", "LowCardinality(")):
        kind = kind.split("(", 1)[1]
    return kind.startswith(_NUMBERS)


def _visible(text: str) -> str:
    """Control characters as escapes, so that a value can't move the cursor or break the table."""
    if text.isprintable():
        return text
    return "".join(
        sign if not unicodedata.category(sign).startswith("C") else sign.encode("unicode_escape").decode()
        for sign in text
    )
