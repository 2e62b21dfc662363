"""The store's tables, brought to the state that this version of Footfall writes.

Migrations are the numbered files of `clickhouse/` (`0001_tables.sql`), applied in order and recorded in
`schema_migrations` with a checksum. Each statement says IF NOT EXISTS (or the like), so that several
processes may migrate at once, and one that dies between a statement and its record does no harm. A file that
was applied is never edited: a change is a further file.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from footfall.content import content_folder
from footfall.errors import StoreError
from footfall.store_sql import quoted, split_statements

if TYPE_CHECKING:
    from footfall.store import Store

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")

_RECORDS = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    number UInt32,
    name String,
    checksum String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(applied_at)
ORDER BY number
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name and its text."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, line ends and blanks at them apart."""
        lines = "\n".join(line.rstrip() for line in self.sql.splitlines()).strip()
        return hashlib.sha256(lines.encode()).hexdigest()


def read_migrations(folder: Path | None = None) -> tuple[Migration, ...]:
    """The migrations in order of their numbers, which go up from 1 without a gap.

    Args:
        folder: where they lie; None for the shipped ones.

    Raises:
        StoreError: a file is misnamed, or a number is missing or there twice.
    """
    folder = content_folder("clickhouse") if folder is None else folder
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise StoreError(f"{path}: name a migration like 0001_what_it_does.sql")
        found.append(Migration(int(match.group(1)), path.name, path.read_text(encoding="utf-8")))
    if [one.number for one in found] != list(range(1, len(found) + 1)):
        numbers = ", ".join(one.name for one in found) or "none"
        raise StoreError(f"{folder}: migrations are numbered 0001, 0002 … without a gap; found: {numbers}")
    return tuple(found)


def migrate(store: "Store", migrations: Sequence[Migration] | None = None) -> int:
    """Apply what the store lacks and return how many migrations that were.

    Raises:
        StoreError: a statement failed; an applied migration's file has changed since; or the store has
            migrations that this version doesn't know.
    """
    migrations = read_migrations() if migrations is None else migrations
    store.command(_RECORDS)
    rows = store.query("SELECT number, name, checksum FROM schema_migrations FINAL ORDER BY number").rows()
    applied = {int(number): (str(name), str(checksum)) for number, name, checksum in rows}
    unknown = sorted(set(applied) - {one.number for one in migrations})
    if unknown:
        raise StoreError(
            f"the store {store.address} has migration {applied[unknown[-1]][0]}, which this version of "
            "Footfall doesn't know: use the version that wrote it, or name another store"
        )
    changed = [one for one in migrations if applied.get(one.number, ("", one.checksum))[1] != one.checksum]
    if changed:
        raise StoreError(
            f"migration {changed[0].name} has changed since it was applied to {store.address}: put the file "
            "back as it was and write the change as a further migration; or, if the data can be made again, "
            "name a new store"
        )
    pending = [one for one in migrations if one.number not in applied]
    for one in pending:
        for statement in split_statements(one.sql):
            try:
                store.command(statement)
            except StoreError as error:
                raise StoreError(f"migration {one.name}: {error}", code=error.code) from error
        store.command(
            "INSERT INTO schema_migrations (number, name, checksum) VALUES "
            f"({one.number}, {quoted(one.name)}, {quoted(one.checksum)})"
        )
    return len(pending)
