"""All rows of a run, wherever they went, in one form that can be compared."""

import hashlib
from pathlib import Path

import polars as pl

from footfall.store import Store, open_store, parse_dsn
from footfall.tables import TABLES, Table

Rows = dict[str, tuple[int, str]]
"""Table -> how many rows, and a digest over all of them in the order of their keys."""


def in_store(dsn: str) -> Rows:
    """The rows of a store."""
    store = open_store(parse_dsn(dsn), wait_for_owner=30, create=False)
    try:
        return {table.name: _digest(table, _select(store, table)) for table in TABLES}
    finally:
        store.close()


def _select(store: Store, table: Table) -> pl.DataFrame:
    columns = [f"hex({name}) AS {name}" if dtype == pl.Binary else name for name, dtype, _ in table.columns]
    rows = store.query(f"SELECT {', '.join(columns)} FROM {table.name}")
    binary = [name for name, dtype, _ in table.columns if dtype == pl.Binary]
    return rows.with_columns(pl.col(name).str.decode("hex") for name in binary)


def in_files(folder: Path) -> Rows:
    """The rows of `--out` with Parquet files."""
    found = {}
    for table in TABLES:
        files = sorted((folder / table.name).glob("*.parquet"))
        frames = [pl.read_parquet(file) for file in files]
        found[table.name] = _digest(table, pl.concat([table.empty(), *frames]))
    return found


def _digest(table: Table, rows: pl.DataFrame) -> tuple[int, str]:
    rows = rows.select(
        pl.col(name).bin.encode("hex").alias(name) if dtype == pl.Binary else pl.col(name).cast(dtype)
        for name, dtype, _ in table.columns
    )
    assert not rows.select(table.key).is_duplicated().any(), f"{table.name} has rows of one key"
    text = rows.sort(table.key).write_ndjson()
    return rows.height, hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
