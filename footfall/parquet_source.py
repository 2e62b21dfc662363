"""Parquet files as NDJSON, so that the input formats decode one kind of record only."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from footfall.byte_stream import ByteStream, skip_by_reading
from footfall.errors import SourceError

_ROWS = 16_384


class ParquetStream(ByteStream):
    """A Parquet file's rows as NDJSON: one object a row, with the columns' names.

    Times become whole milliseconds since 1970 (UTC; finer digits are cut) and a null becomes JSON's null.
    Rows are read a few thousand at a time.

    Raises:
        SourceError: the file isn't Parquet, or is damaged.
    """

    def __init__(self, path: str, name: str) -> None:
        self._name = name
        try:
            self._file = pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise SourceError(f"it isn't a whole Parquet file: {error}", source=name) from error
        self._size = Path(path).stat().st_size
        self._rows = 0
        self._chunks = self._ndjson()
        self._rest = b""

    def read(self, size: int) -> bytes:
        """At most `size` bytes of NDJSON; b"" at the end."""
        if not self._rest:
            try:
                self._rest = next(self._chunks, b"")
            except (OSError, pa.ArrowException, pl.exceptions.PolarsError) as error:
                raise SourceError(f"its Parquet data are damaged: {error}", source=self._name) from error
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def skip(self, size: int) -> None:
        """Pass over the first `size` bytes of NDJSON."""
        skip_by_reading(self, size, self._name)

    def consumed(self) -> int:
        """The file's bytes, in proportion to the rows read."""
        total = self._file.metadata.num_rows
        return self._size * self._rows // total if total else self._size

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _ndjson(self) -> Iterator[bytes]:
        for batch in self._file.iter_batches(batch_size=_ROWS):
            frame = pl.DataFrame(pl.from_arrow(batch))
            self._rows += frame.height
            times = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
            text = frame.with_columns(pl.col(times).dt.timestamp("ms")).write_ndjson()
            if text:
                yield text.encode()
