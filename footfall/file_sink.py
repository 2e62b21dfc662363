"""Rows into files: `folder/<table>/<part>-<number>.parquet` (or `.ndjson`).

Files are numbered from 0 for each part and table.
A file has its name only when it is whole and on the disk; until then its name ends in `.tmp`. A part's files
from the resumed number on are removed when the part is opened, so a run that was killed leaves the rows of
one that wasn't.

In NDJSON, times are ISO 8601 in UTC with milliseconds (`2025-01-31T12:00:00.000Z`), bytes are base64,
`properties` and `stages` are JSON values and not quoted text, and money stays in millionths. Parquet has the
frames' own types.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import msgspec
import polars as pl

from footfall.errors import SinkError
from footfall.sink import Sink, fitting
from footfall.tables import TABLES, Table

FileKind = Literal["parquet", "ndjson"]

FILE_ROWS = 250_000
FILE_BYTES = 64 << 20
# All parts of a process together: many shards must not hold a file's worth each.
_MOST_HELD_BYTES = 128 << 20
_JSON_TEXTS = frozenset({"properties", "stages"})
_ONE_LINE = re.compile(r"[\r\n]+")


class _PartTable:
    """The rows of one part and table that no file holds yet."""

    __slots__ = ("frames", "number", "part", "rows", "size", "table")

    def __init__(self, part: str, table: Table, number: int) -> None:
        self.part = part
        self.table = table
        self.number = number
        self.frames: list[pl.DataFrame] = []
        self.rows = 0
        self.size = 0


class FileSink(Sink):
    """Writes rows to files of one kind.

    Args:
        folder: where they go; it is made. One run at a time writes there.
        kind: `parquet` or `ndjson`.
    """

    def __init__(self, folder: Path, kind: FileKind) -> None:
        self._folder = folder
        self._kind: FileKind = kind
        self._open: dict[str, dict[str, _PartTable]] = {}
        self._closed = False

    def open_part(self, part: str, resume: object | None) -> None:
        """Remove the part's files from the resumed numbers on (all of them, at a fresh start)."""
        if self._closed:
            raise SinkError("the sink is closed")
        numbers: Mapping[str, int] = msgspec.convert(resume or {}, dict[str, int])
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for table in TABLES:
                _remove_files(self._folder / table.name, part, self._kind, numbers.get(table.name, 0))
        except OSError as error:
            raise self._unwritable(error) from error
        self._open[part] = {
            table.name: _PartTable(part, table, numbers.get(table.name, 0)) for table in TABLES
        }

    def write(self, part: str, table: Table, frame: pl.DataFrame) -> None:
        """Hold rows until there are enough for a file, or until `flush`."""
        if part not in self._open:
            raise SinkError(f"part {part!r} isn't open", table=table.name)
        if frame.is_empty():
            return
        frame = fitting(table, frame)
        held = self._open[part].get(table.name)
        if held is None:
            raise SinkError("not one of the tables that a run fills", table=table.name)
        held.frames.append(frame)
        held.rows += frame.height
        held.size += int(frame.estimated_size())
        if held.rows >= FILE_ROWS or held.size >= FILE_BYTES:
            self._finish(held)
        every = [one for tables in self._open.values() for one in tables.values()]
        if sum(one.size for one in every) > _MOST_HELD_BYTES:
            self._finish(max(every, key=lambda one: one.size))

    def flush(self, part: str) -> dict[str, int]:
        """Write what the part holds; the number of each table's next file, of those that have any."""
        if part not in self._open:
            raise SinkError(f"part {part!r} isn't open")
        for held in self._open[part].values():
            if held.rows:
                self._finish(held)
        return {name: held.number for name, held in self._open[part].items() if held.number}

    def close(self) -> None:
        """Drop what no file holds."""
        self._closed = True
        self._open.clear()

    def _finish(self, held: _PartTable) -> None:
        folder = self._folder / held.table.name
        path = folder / f"{_file_part(held.part)}-{held.number:06d}.{self._kind}"
        waiting = path.with_name(path.name + ".tmp")
        rows = pl.concat(held.frames, rechunk=True)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with waiting.open("wb") as file:
                if self._kind == "parquet":
                    rows.write_parquet(file, compression="zstd", compression_level=3)
                else:
                    file.write(ndjson(rows))
                file.flush()
                os.fsync(file.fileno())
            waiting.replace(path)
            _sync_folder(folder)
        except OSError as error:
            raise self._unwritable(error) from error
        held.number += 1
        held.frames, held.rows, held.size = [], 0, 0

    def _unwritable(self, error: OSError) -> SinkError:
        return SinkError(
            f"the folder {self._folder} can't be written: {error.strerror}; free it or name another one"
        )


def clear_files(folder: Path) -> int:
    """Remove every file that a `FileSink` wrote there, of both kinds and all parts; how many those were.

    For the fresh start of a run: one with fewer parts wouldn't touch the files of the others.
    """
    removed = 0
    pattern = re.compile(r".+-\d{6,}\.(parquet|ndjson)(\.tmp)?")
    for table in TABLES:
        for path in sorted((folder / table.name).glob("*")):
            if pattern.fullmatch(path.name):
                path.unlink(missing_ok=True)
                removed += 1
    return removed


def ndjson(rows: pl.DataFrame) -> bytes:
    """The rows as JSON objects, one a line, as the module says."""
    if rows.is_empty():
        return b""
    nested = [name for name in rows.columns if name in _JSON_TEXTS]
    shown = [
        pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
        if isinstance(dtype, pl.Datetime)
        else pl.col(name).bin.encode("base64")
        if dtype == pl.Binary
        else pl.col(name)
        for name, dtype in rows.schema.items()
        if name not in nested
    ]
    flat = rows.select(shown)
    lines = flat.select(pl.struct(pl.all()).struct.json_encode().alias("line"))["line"]
    if nested:
        texts = {name: pl.Series(name, _json_values(rows[name])) for name in nested}
        pieces: list[pl.Expr | str] = [pl.col("line").str.head(-1)]
        for place, name in enumerate(nested):
            comma = "," if flat.width or place else ""
            pieces += [pl.lit(f'{comma}"{name}":'), pl.col(name)]
        frame = pl.DataFrame({"line": lines, **texts})
        lines = frame.select(pl.concat_str([*pieces, pl.lit("}")]).alias("line"))["line"]
    return ("\n".join(lines.to_list()) + "\n").encode()


def _json_values(texts: pl.Series) -> list[str]:
    """Texts that are JSON, as JSON on one line; what is none becomes a JSON string."""
    one_by_one = [_ONE_LINE.sub(" ", text) if text is not None else "null" for text in texts.to_list()]
    with suppress(msgspec.DecodeError):
        whole = msgspec.json.decode("[" + ",".join(one_by_one) + "]", type=list[msgspec.Raw])
        if len(whole) == len(one_by_one):
            return one_by_one
    return [_json_value(text) for text in one_by_one]


def _json_value(text: str) -> str:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except msgspec.DecodeError:
        return msgspec.json.encode(text).decode()
    return text


def _file_part(part: str) -> str:
    """The part's name in a file name; two parts never share one."""
    if not part:
        raise SinkError("a part needs a name")
    return quote(part, safe="").replace(".", "%2E") if part.startswith(".") else quote(part, safe="")


def _remove_files(folder: Path, part: str, kind: FileKind, first: int) -> None:
    pattern = re.compile(rf"{re.escape(_file_part(part))}-(\d{{6,}})\.{kind}(\.tmp)?")
    removed = False
    for path in list(folder.glob("*")):
        match = pattern.fullmatch(path.name)
        if match is not None and (match.group(2) or int(match.group(1)) >= first):
            path.unlink(missing_ok=True)
            removed = True
    if removed:
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
