"""Records from files: NDJSON (plain, gzip, zstd), Parquet, directories of them, and standard input."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from footfall.byte_stream import STDIN, ByteStream, open_stream
from footfall.errors import SourceError, UsageError
from footfall.records import KEPT_BYTES, MAX_RECORD_BYTES, RecordBlock, RecordReader, RecordSource

SUFFIXES = (".ndjson", ".jsonl", ".json", ".gz", ".zst", ".parquet")

# What is read at once, and so the largest block; memory for a few of them is all that reading takes.
CHUNK_BYTES = 1 << 20
_IDENTITY_BYTES = 1 << 16
_BOM = b"\xef\xbb\xbf"
_NEWLINE = 10


class FilePosition(NamedTuple):
    """Where a partition's reading goes on: `byte` counts the file's decompressed bytes, the others from 0."""

    file: int = 0
    byte: int = 0
    record: int = 0
    line: int = 0


@dataclass(frozen=True, slots=True)
class _InputFile:
    path: str
    name: str


class FileSource(RecordSource):
    """Files as partitions: each input is one, and with `partitioned` each file of a directory is.

    A directory is read with those below it, in the order of the files' paths; only names that end in one of
    `SUFFIXES` count, and hidden ones (".x") don't. Which files there are is settled when the source is made.
    A partition is called what the input was called, an absolute path by as many of its last parts as tell it
    from the others, so that a run on another machine has the same names. Offsets count on across a
    directory's files.

    Args:
        inputs: files, directories, or "-" for standard input.
        partitioned: whether each file is a partition of its own.

    Raises:
        UsageError: an input is missing or given twice, or a directory has no input in it; all are listed.
    """

    def __init__(self, inputs: Sequence[str], partitioned: bool = False) -> None:  # noqa: FBT001, FBT002
        self._partitioned = partitioned
        problems: list[str] = []
        found = [_files_of(each, problems) for each in inputs]
        if not inputs:
            problems.append("no input is given: name a file, a directory, or - for standard input")
        resolved = Counter(
            each if each == STDIN else str(Path(each).resolve()) for files in found for each in files
        )
        problems += [f"{each}: given {times} times" for each, times in resolved.items() if times > 1]
        if problems:
            raise UsageError("\n".join(problems))
        names = _short_names(list(inputs))
        self._files: dict[str, tuple[_InputFile, ...]] = {}
        for name, given, paths in zip(names, inputs, found, strict=True):
            if paths == [given]:
                self._files[name] = (_InputFile(given, "standard input" if given == STDIN else name),)
                continue
            files = [_InputFile(path, f"{name}/{Path(path).relative_to(given).as_posix()}") for path in paths]
            if partitioned:
                self._files |= {file.name: (file,) for file in files}
            else:
                self._files[name] = tuple(files)

    def partitions(self) -> list[str]:
        """The partitions' names, sorted."""
        return sorted(self._files)

    def open(self, partition: str, position: tuple[int, int, int, int] | None) -> "FileReader":
        """A reader from that position on.

        Raises:
            SourceError: a file is gone, or shorter than the position.
        """
        return FileReader(partition, self._files[partition], FilePosition(*(position or ())))

    def identity(self) -> dict[str, Any]:
        """Names, sizes and a hash of each file's beginning and end; standard input has but its name.

        Raises:
            SourceError: a file can't be read.
        """
        partitions = {
            name: [_identity(file) for file in files] for name, files in sorted(self._files.items())
        }
        return {"kind": "files", "partitioned": self._partitioned, "partitions": partitions}


@dataclass(slots=True)
class _Segment:
    """Whole lines of one file.

    Attributes:
        data: the lines, each with its newline.
        ends: where the newlines stand.
        oversized: line -> full size, of those that were cut.
        unended: whether the last newline isn't in the file.
        lead: bytes of the file before the first line that belong to none.
        taken: how many lines have been read.
    """

    data: bytes
    ends: npt.NDArray[np.int64]
    oversized: dict[int, int] = field(default_factory=dict)
    unended: bool = False
    lead: int = 0
    taken: int = 0


class FileReader(RecordReader):
    """Reads one partition's files one after the other. Its positions are `FilePosition`s, as plain tuples."""

    def __init__(self, partition: str, files: Sequence[_InputFile], position: FilePosition) -> None:
        self._partition = partition
        self._files = files
        self._file, self._byte, self._record, self._line = position
        self._stream: ByteStream | None = None
        self._segments: Iterator[_Segment] = iter(())
        self._segment: _Segment | None = None
        self._damage: SourceError | None = None
        self._closed = False
        sizes = [None if file.path == STDIN else _size(file) for file in files]
        self._total = None if None in sizes else sum(size or 0 for size in sizes)
        self._finished = sum(size or 0 for size in sizes[: self._file])
        self._sizes = sizes
        if self._file < len(files) and self._byte:
            self._open()

    def read(self, max_records: int) -> RecordBlock | None:
        """The next records of one file; None at the partition's end. See `RecordReader.read`."""
        if max_records < 1:
            raise ValueError(f"max_records must be at least 1, not {max_records}")
        if self._closed:
            raise ValueError("the reader is closed")
        if self._damage is not None:
            raise self._damage
        segment = self._segment
        while segment is None:
            if self._stream is None:
                if self._file >= len(self._files):
                    return None
                self._open()
            segment = self._segment = self._next_segment()
            if segment is None:
                self._next_file()
        return self._block(segment, max_records)

    def position(self) -> tuple[int, int, int, int]:
        """Where the next `read` goes on: a `FilePosition`, as a plain tuple."""
        return (self._file, self._byte, self._record, self._line)

    def progress(self) -> tuple[int, int | None]:
        """Bytes read so far, as they are stored, and in all; the latter is unknown for standard input."""
        return self._finished + (self._stream.consumed() if self._stream else 0), self._total

    def close(self) -> None:
        """Free what is open; the reader reads no more."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._closed = True

    def _open(self) -> None:
        file = self._files[self._file]
        self._stream = open_stream(file.path, file.name)
        try:
            self._stream.skip(self._byte)
        except SourceError:
            self._stream.close()
            raise
        self._segments = _segments(self._stream, at_start=self._byte == 0)

    def _next_segment(self) -> _Segment | None:
        try:
            return next(self._segments, None)
        except SourceError as error:
            if self._stream is not None:
                self._stream.close()
            text = str(error).removeprefix(f"{error.source}: ")
            self._damage = SourceError(text, source=error.source, line=self._line + 1)
            raise self._damage from error

    def _next_file(self) -> None:
        size = self._sizes[self._file]
        if self._stream is not None:
            size = self._stream.consumed() if size is None else size
            self._stream.close()
            self._stream = None
        self._finished += size or 0
        self._file, self._byte, self._line = self._file + 1, 0, 0

    def _block(self, segment: _Segment, max_records: int) -> RecordBlock:
        first = segment.taken
        last = min(first + max_records, segment.ends.size)
        start = int(segment.ends[first - 1]) + 1 if first else 0
        end = int(segment.ends[last - 1]) + 1
        oversized = {row - first: size for row, size in segment.oversized.items() if first <= row < last}
        block = RecordBlock(
            partition=self._partition,
            first_offset=self._record,
            count=last - first,
            data=segment.data if last - first == segment.ends.size else segment.data[start:end],
            source=self._files[self._file].name,
            first_line=self._line + 1,
            oversized=oversized,
        )
        whole = last == segment.ends.size
        cut = sum(size - KEPT_BYTES for size in oversized.values())
        lead = segment.lead if first == 0 else 0
        self._byte += lead + end - start + cut - (whole and segment.unended)
        self._record += block.count
        self._line += block.count
        segment.taken = last
        if whole:
            self._segment = None
        return block


def _segments(stream: ByteStream, *, at_start: bool) -> Iterator[_Segment]:
    """Cut a stream into runs of whole lines; a line over `MAX_RECORD_BYTES` is never held in full."""
    tail = b""
    size = 0  # of the oversized line under way, whose beginning `tail` is
    lead = 0
    while data := stream.read(CHUNK_BYTES):
        if at_start and data.startswith(_BOM):
            lead = len(_BOM)
            data = data[lead:]
        at_start = False
        if size:
            cut = data.find(b"\n")
            if cut < 0:
                size += len(data)
                continue
            yield _one_oversized(tail, size + cut, lead)
            tail, size, lead, data = b"", 0, 0, data[cut + 1 :]
        data = tail + data if tail else data
        last = data.rfind(b"\n") + 1
        tail = data[last:]
        if len(tail) > MAX_RECORD_BYTES:
            tail, size = tail[:KEPT_BYTES], len(tail)
        if last:
            yield _segment(data[:last], lead)
            lead = 0
    if size:
        segment = _one_oversized(tail, size, lead)
    elif tail:
        segment = _segment(tail + b"\n", lead)
    else:
        return
    segment.unended = True
    yield segment


def _one_oversized(kept: bytes, size: int, lead: int) -> _Segment:
    return _Segment(kept + b"\n", np.array([len(kept)]), {0: size}, lead=lead)


def _segment(data: bytes, lead: int) -> _Segment:
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE)
    sizes = np.diff(ends, prepend=-1) - 1
    if int(sizes.max()) <= MAX_RECORD_BYTES:
        return _Segment(data, ends, lead=lead)
    oversized = {int(row): int(sizes[row]) for row in np.flatnonzero(sizes > MAX_RECORD_BYTES)}
    lines = data.split(b"\n")
    for row in oversized:
        lines[row] = lines[row][:KEPT_BYTES]
    data = b"\n".join(lines)
    return _Segment(data, np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE), oversized, lead=lead)


def _files_of(given: str, problems: list[str]) -> list[str]:
    """The files that an input stands for; what is wrong goes to `problems`."""
    path = Path(given)
    if given == STDIN or path.is_file():
        return [given]
    if not path.exists():
        problems.append(f"{given}: there is no such file or directory")
        return []
    if not path.is_dir():
        # A pipe or a device: it can be read once, as standard input is.
        problems.append(f"{given}: neither a file nor a directory; pipe it into standard input and give -")
        return []
    files = [
        each
        for each in path.rglob("*")
        if each.name.lower().endswith(SUFFIXES)
        and not any(part.startswith(".") for part in each.relative_to(path).parts)
        and each.is_file()
    ]
    if not files:
        problems.append(f"{given}: the directory has no input in it (*{', *'.join(SUFFIXES)})")
    return [str(each) for each in sorted(files, key=lambda each: each.relative_to(path).as_posix())]


def _short_names(inputs: list[str]) -> list[str]:
    """A name for each input: as given if relative, else its last parts, as many as make all names differ."""
    parts = [Path(each).resolve().parts if Path(each).is_absolute() else None for each in inputs]
    depth = 1
    while True:
        names = [
            Path(each).as_posix() if those is None else "/".join(those[-depth:])
            for each, those in zip(inputs, parts, strict=True)
        ]
        if len(set(names)) == len(names) or depth > max((len(those) for those in parts if those), default=0):
            return names
        depth += 1


def _size(file: _InputFile) -> int:
    try:
        return Path(file.path).stat().st_size
    except OSError as error:
        raise SourceError(f"it can't be read: {error.strerror}", source=file.name) from error


def _identity(file: _InputFile) -> dict[str, Any]:
    if file.path == STDIN:
        return {"name": file.name}
    size = _size(file)
    try:
        with Path(file.path).open("rb") as opened:
            ends = opened.read(_IDENTITY_BYTES)
            opened.seek(max(size - _IDENTITY_BYTES, 0))
            ends += opened.read(_IDENTITY_BYTES)
    except OSError as error:
        raise SourceError(f"it can't be read: {error.strerror}", source=file.name) from error
    return {"name": file.name, "bytes": size, "hash": hashlib.blake2b(ends, digest_size=16).hexdigest()}
