"""A block of scanned records on its way to columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt

from footfall import columns as col
from footfall.json_scan import LEFT, Scan


@dataclass(slots=True)
class Part:
    """Scanned records on their way to columns; `states` in `scan` says which of them are still in."""

    data: bytes
    scan: Scan
    slots: Mapping[str, int]
    buffer: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    arrivals: npt.NDArray[np.int64] | None
    own_arrivals: bool = True
    properties: list[bytes] | None = None  # given where the records were written anew
    side: bytearray = field(default_factory=lambda: bytearray(b"/"))  # `page_path`'s root stands first

    def text(self, *names: str, strict: bool = True) -> col.Spans:
        """The first text among these slots; see `columns.text_spans`."""
        return col.text_spans(self.buffer, self.scan, [self.slots[name] for name in names], strict=strict)

    def times(self, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """The times in this slot and where there are any."""
        return col.times(self.buffer, self.scan, self.slots[name])

    def raw(self, name: str) -> col.Spans:
        """The JSON text in this slot."""
        return col.raw_spans(self.scan, self.slots[name])

    def leave(self, rows: npt.NDArray[np.bool_]) -> None:
        """Leave the records that the mask names to the generic way."""
        if rows.any():
            self.scan.states[rows] = LEFT

    def line(self, row: int) -> bytes:
        """The record's bytes, without the newline."""
        return self.data[self.scan.bounds[row] : self.scan.bounds[row + 1] - 1]

    def read(self, spans: col.Spans, row: int) -> str:
        """The text at that row, which must have one."""
        start, length = int(spans.starts[row]), int(spans.lengths[row])
        if start < 0:
            return self.side[~start : ~start + length].decode()
        raw = self.data[start : start + length]
        return str(msgspec.json.decode(b'"' + raw + b'"')) if spans.escaped[row] else raw.decode()

    def write(self, spans: col.Spans, row: int, text: bytes) -> None:
        """Put another text in that row, kept in the side buffer."""
        spans.starts[row] = ~len(self.side)
        spans.lengths[row] = len(text)
        spans.escaped[row] = False
        self.side += text

    def resolved(self, spans: col.Spans, rows: npt.NDArray[np.bool_] | None) -> col.Spans:
        """The texts of those rows (None: of all), with the escapes in them resolved."""
        kept = spans if rows is None else spans.compress(rows)
        if kept.escaped.any():
            for row in np.flatnonzero(kept.escaped & (kept.lengths >= 0)).tolist():
                self.write(kept, row, self.read(kept, row).encode())
        return kept
