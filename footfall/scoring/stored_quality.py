"""What a store has of models: how good their learners have been, their predictions with what came, their champions."""

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

from footfall.control_record import ControlRecord
from footfall.control_table import records_of
from footfall.errors import StoreError
from footfall.store import Store, StoreAddress, open_store

_NO_TABLE = 60
_OWNER_WAIT = 10.0


class StoredQuality:
    """Reads what live runs and replays have written of their models; a table that isn't there is empty."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def latest(self) -> dict[tuple[str, str], dict[str, object]]:
        """(model, learner) -> its last row of the table `model_quality`."""
        rows = self._rows("SELECT * FROM model_quality ORDER BY time DESC LIMIT 1 BY model, learner")
        return {(row["model"], row["learner"]): row for row in rows.iter_rows(named=True)}

    def controls(self) -> tuple[ControlRecord, ...]:
        """The control records that stand.

        Raises:
            ControlError: this version of Footfall can't read them.
        """
        rows = self._rows("SELECT * FROM controls")
        return records_of(rows) if rows.height else ()

    def judged(self, model: str, learner: str, other: str) -> pl.DataFrame:
        """What both learners predicted, and what came: `visitor_id`, `one`, `other`, `outcome`, in order of time."""
        return self._rows(
            "SELECT a.visitor_id AS visitor_id, a.predicted AS one, b.predicted AS other, o.outcome AS outcome FROM "
            "(SELECT prediction_id, visitor_id, time, predicted FROM predictions WHERE model = {model:String} AND "
            "learner = {one:String}) AS a INNER JOIN (SELECT prediction_id, predicted FROM predictions WHERE model = "
            "{model:String} AND learner = {other:String}) AS b ON a.prediction_id = b.prediction_id INNER JOIN (SELECT "
            "prediction_id, outcome FROM outcomes WHERE model = {model:String}) AS o ON a.prediction_id = "
            "o.prediction_id ORDER BY a.time, a.prediction_id",
            model=model,
            one=learner,
            other=other,
        )

    def _rows(self, sql: str, **parameters: str) -> pl.DataFrame:
        try:
            return self._store.query(sql, parameters)
        except StoreError as error:
            if error.code != _NO_TABLE:
                raise
            return pl.DataFrame()


@contextmanager
def stored_quality(address: StoreAddress) -> Iterator[StoredQuality]:
    """Open a store for reading.

    Raises:
        StoreError: it can't be opened; MissingStoreError where it isn't there.
    """
    store = open_store(address, create=False, wait_for_owner=_OWNER_WAIT)
    try:
        yield StoredQuality(store)
    finally:
        store.close()
