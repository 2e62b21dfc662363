"""Records that say they are in a format that nobody knows: dead letters, each with the name."""

import polars as pl

from footfall.envelope import SCHEMA
from footfall.formats import Decoded, letter_digest
from footfall.records import RecordBlock
from footfall.tables import DEAD_LETTERS

REASON = "unknown_format"


class UnknownFormat:
    """Stands for a format of that name, and decodes nothing."""

    def __init__(self, name: str, columns: frozenset[str]) -> None:
        self._name = name[:100]
        self._schema = {name: SCHEMA[name] for name in SCHEMA if name in columns}

    def decode(self, block: RecordBlock) -> Decoded:
        """No events; every record is a dead letter."""
        lines = block.data.split(b"\n")[: block.count]
        detail = f"the header says format {self._name!r}"
        letters = [
            (
                block.partition,
                int(offset),
                block.source,
                block.first_line + row,
                REASON,
                detail,
                line,
                block.oversized.get(row, len(line)),
                letter_digest(line),
            )
            for row, (offset, line) in enumerate(zip(block.offsets_of_records(), lines, strict=True))
        ]
        dead = (
            pl.DataFrame(letters, schema=DEAD_LETTERS.schema, orient="row")
            if letters
            else DEAD_LETTERS.empty()
        )
        return Decoded(pl.DataFrame(schema=self._schema), dead, block.count)
