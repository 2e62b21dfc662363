"""Where simulated records go: one file, or a folder with a file for each partition; plain, .gz or .zst.

What is written depends on the records alone (no clock or name gets into a compressed file's header).
"""

import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import zstandard

from footfall.errors import UsageError

_FILE = re.compile(r"(?P<stem>.+?)\.(?:ndjson|jsonl)(?P<packed>\.gz|\.zst)?")
_PART = re.compile(r"events-[0-9]+\.ndjson(?:\.gz|\.zst)?")


@dataclass(frozen=True, slots=True)
class OutputPaths:
    """The files of a simulation: `records`, one per partition, and `plants`, the list of what is in them."""

    records: tuple[Path, ...]
    plants: Path


def output_paths(output: Path, partitions: int) -> OutputPaths:
    """The files that `output` stands for; parts that an earlier simulation left in its folder are removed.

    A name that ends in .ndjson or .jsonl (with .gz or .zst after it) is a file. Any other is a folder, whose
    parts are packed as its own name says: `day.zst` holds `events-00.ndjson.zst`. The plants' list stands
    beside it, never inside, where a replay of the folder would read it.

    Raises:
        UsageError: several partitions are to go into one file, the folder holds other things, or it is a
        file.
    """
    named = _FILE.fullmatch(output.name)
    if named:
        if partitions > 1:
            raise UsageError(
                f"{output} is one file, but {partitions} partitions need a folder; name a folder"
            )
        output.parent.mkdir(parents=True, exist_ok=True)
        return OutputPaths((output,), output.with_name(f"{named['stem']}.plants.ndjson"))
    packed = output.suffix if output.suffix in {".gz", ".zst"} else ""
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file without .ndjson in its name; name an .ndjson file or a folder")
    strange = sorted(path.name for path in output.glob("*") if not _PART.fullmatch(path.name))
    if strange:
        raise UsageError(f"the folder {output} holds other things ({strange[0]}); name a new one")
    output.mkdir(parents=True, exist_ok=True)
    for old in output.glob("*"):
        old.unlink()
    records = tuple(output / f"events-{number:02d}.ndjson{packed}" for number in range(partitions))
    return OutputPaths(records, output.with_name(f"{output.name.removesuffix(packed)}.plants.ndjson"))


class _Stream(Protocol):
    def write(self, data: bytes, /) -> Any: ...

    def close(self) -> None: ...


class RecordFile:
    """A file of records that is being written; a context manager, which closes it."""

    def __init__(self, path: Path) -> None:
        self._raw = path.open("wb")
        self._packer: _Stream | None = None
        if path.suffix == ".gz":
            self._packer = gzip.GzipFile(filename="", mode="wb", fileobj=self._raw, compresslevel=3, mtime=0)
        elif path.suffix == ".zst":
            self._packer = zstandard.ZstdCompressor(level=3).stream_writer(self._raw, closefd=False)
        self._to: _Stream = self._packer or self._raw

    def write(self, lines: Sequence[bytes]) -> None:
        """Append the lines, each with its newline at its end."""
        self._to.write(b"".join(lines))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._packer is not None:
            self._packer.close()
        self._raw.close()
