"""How frames are pickled: as Arrow's IPC stream, between processes and in snapshots.

Polars' own way waits for its thread pool while it holds the interpreter's lock; a pool thread that frees a column
which Python owns waits for that lock: with one Polars thread a process then stands still for ever (seen with Polars
2.1). So frames go through Arrow here, and come back in memory that Arrow owns.
"""

import copyreg
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa


def pack_frame(frame: pl.DataFrame) -> bytes:
    """The frame as an IPC stream; types and nulls are kept. Columns of nulls alone are left to `packed_frame`."""
    # The oldest level writes a text column's own bytes; the newest one all those that its buffers share with others.
    arrays = [
        column.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()) for column in frame.iter_columns()
    ]
    batch = pa.RecordBatch.from_arrays(arrays, names=frame.columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def unpack_frame(packed: bytes) -> pl.DataFrame:
    """The frame that was packed."""
    memory = pa.allocate_buffer(len(packed))
    np.frombuffer(memory, np.uint8)[:] = np.frombuffer(packed, np.uint8)
    with pa.ipc.open_stream(memory) as reader:
        frame = pl.from_arrow(reader.read_all(), rechunk=False)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError("a packed frame holds no table")
    return frame


def _rebuild(schema: dict[str, Any], height: int, packed: bytes | None) -> pl.DataFrame:
    """A frame of the packed columns, and of nulls in the others."""
    filled = {} if packed is None else unpack_frame(packed).to_dict()
    return pl.DataFrame(
        {
            name: filled[name] if name in filled else pl.Series([None], dtype=dtype).new_from_index(0, height)
            for name, dtype in schema.items()
        }
    )


def packed_frame(frame: pl.DataFrame) -> tuple[Callable[..., pl.DataFrame], tuple[Any, ...]]:
    """What pickles write of a frame: a function, and what to call it with to have the frame again."""
    height = frame.height
    if height == 0:
        return pl.DataFrame, ([], dict(frame.schema))
    filled = [column for column in frame.iter_columns() if column.null_count() < height]
    packed = pack_frame(pl.DataFrame(filled)) if filled else None
    return _rebuild, (dict(frame.schema), height, packed)


def pickle_frames_by_arrow() -> None:
    """From now on this process pickles frames so; whoever reads them needs nothing but this module."""
    copyreg.pickle(pl.DataFrame, packed_frame)
