"""Decoding alone: msgspec's typed decode of whole blocks, beside Footfall's decode to columns, in one run.

    python benchmarks/decode.py FILE [RECORDS]

FILE is journey-1's, or another of its kind. It prints microseconds per event: the best of three for each.
"""

import gc
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import msgspec

from footfall.event_names import EventNames
from footfall.formats import format_by_name
from footfall.records import RecordBlock

JOURNEY_1 = frozenset({"message_id", "visitor_id", "event", "event_time", "element", "path"})


class Sent(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A record of journey-1 as it was sent."""

    event_id: str
    event_type: str
    user_id: str
    ts: int
    page_url: str
    element: str
    x: int
    y: int
    properties: msgspec.Raw


def blocks_of(path: Path, records: int, size: int) -> list[RecordBlock]:
    """The file's first records in blocks of `size`."""
    found = []
    with path.open("rb") as file:
        for first in range(0, records, size):
            lines = list(islice(file, min(size, records - first)))
            if lines:
                found.append(RecordBlock("0", first, len(lines), b"".join(lines), path.name, first + 1))
    return found


def best(work: Callable[[RecordBlock], object], blocks: list[RecordBlock]) -> float:
    """Microseconds per event; each block's result is freed before the next block."""
    times = []
    for _ in range(3):
        gc.disable()
        start = time.perf_counter()
        for block in blocks:
            work(block)
        times.append(time.perf_counter() - start)
        gc.enable()
    return min(times) / sum(block.count for block in blocks) * 1e6


def main(path: str, records: str = "400000") -> None:
    """Print the table."""
    typed = msgspec.json.Decoder(Sent)
    flat = format_by_name("footfall")
    names = EventNames.load()
    print(f"{'block':>8}{'msgspec':>10}{'journey-1':>11}{'all':>8}   (us/event)")
    for size in (8_192, 32_768, 65_536):
        blocks = blocks_of(Path(path), int(records), size)
        decoders = [flat(names, JOURNEY_1), flat(names)]
        for decoder in decoders:
            decoder.decode(blocks[0])  # compiles, where this is the first run
        floor = best(lambda block: typed.decode_lines(block.data), blocks)
        wanted, full = (best(decoder.decode, blocks) for decoder in decoders)
        print(f"{size:>8}{floor:>10.3f}{wanted:>11.3f}{full:>8.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
