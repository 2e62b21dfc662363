"""A query's result on the terminal: a table for people, CSV or JSON for programs.

The values are ClickHouse's own texts, so nothing is lost on the way: times, decimals and big integers stand
as ClickHouse writes them. JSON is one object a line (NDJSON), numbers unquoted; CSV has a header.
"""

import shutil
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Literal

import msgspec
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.box import SIMPLE_HEAD
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
_TABLE_FORMAT = "JSONCompactStringsEachRowWithNamesAndTypes"
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
    decoder = msgspec.json.Decoder(list[str | None])
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
                    heads.append(decoder.decode(line))
                    continue
                total += 1
                if total <= MOST_TABLE_ROWS:
                    rows.append(_with_nulls(line, decoder))
    except ClickHouseError as error:
        raise StoreError(f"{store.address}: query: {error}", code=getattr(error, "code", None)) from error
    finally:
        stream.close()
    names, types = ([str(one) for one in head] for head in [*heads, [], []][:2])
    return ResultTable(names, types, rows, total)


def _with_nulls(line: bytes, decoder: "msgspec.json.Decoder[list[str | None]]") -> list[str | None]:
    try:
        return decoder.decode(line)
    except msgspec.DecodeError:
        # Text that isn't UTF-8 stands in ClickHouse's JSON as it is.
        return decoder.decode(line.decode(errors="backslashreplace").replace("\\x", "\\\\x"))


def render(table: ResultTable, *, width: int | None = None) -> str:
    """The table as text, the count of rows below it.

    Numbers stand to the right; long values are cut to the terminal's width.
    """
    columns = max(_NARROWEST, width or shutil.get_terminal_size((120, 40)).columns)
    console = Console(
        width=columns, color_system=None, force_terminal=False, highlight=False, legacy_windows=False
    )
    shown = RichTable(show_edge=False, pad_edge=False, box=SIMPLE_HEAD)
    for name, kind in zip(table.names, table.types, strict=True):
        shown.add_column(
            Text(_visible(name)),
            justify="right" if _is_number(kind) else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in table.rows:
        shown.add_row(*(Text("NULL" if value is None else _visible(value)) for value in row))
    with console.capture() as capture:
        if table.names:
            console.print(shown)
    count = f"{table.total:,} row" + ("" if table.total == 1 else "s")
    if table.total > len(table.rows):
        count += f", of which the first {len(table.rows):,} are shown: CSV and JSON have all"
    lines = [line.rstrip() for line in capture.get().splitlines()]
    return "\n".join([*lines, count]) + "\n"


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
