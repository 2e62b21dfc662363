"""A worker's spool, and those that workers have left which don't exist any more.

Folders are `root/<worker number>`. When a run goes on with fewer workers, worker 0 adopts the folders of the others,
sends what waits there, and removes them.
"""

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from footfall.backlog import BacklogSize, Batch, Waiting
from footfall.errors import SinkError
from footfall.spool import SPOOL_LIMIT, Spool
from footfall.spool_folder import left_folders

_LOOK_SECONDS = 30.0
_TEND_SECONDS = 0.05

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpoolPlace:
    """Where a worker's spool is.

    Attributes:
        root: the folder of all workers' spools; on a local disk that outlives the process.
        worker: this worker's number, from 0, and the number of `workers` in all.
        limit_bytes: how large this worker's spool may grow.
    """

    root: Path
    worker: int = 0
    workers: int = 1
    limit_bytes: int = SPOOL_LIMIT


class WorkerSpool:
    """The own spool, which takes rows, and adopted ones, which are sent first. Threads: as for `Spool`.

    A thread of its own writes the rows, so that the stream needn't wait while they are compressed, and the disk's
    slowness is over by the next snapshot.
    """

    def __init__(self, place: SpoolPlace, patience: float, wake: threading.Event) -> None:
        """Open the worker's spool.

        Raises:
            SinkError: see `Spool`.
        """
        self._place = place
        self._own = Spool(place.root / str(place.worker), place.limit_bytes, patience=patience, wake=wake)
        self._adopted: list[tuple[Path, Spool]] = []
        self._sources: dict[str, Spool] = {}
        self._looked = float("-inf")
        self._faults: dict[Path, str] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._ending = threading.Event()
        self._writer = threading.Thread(target=self._write, name="spool-writer", daemon=True)
        self._writer.start()

    def append(self, table: str, frame: pl.DataFrame) -> None:
        """As `Spool.append`."""
        self._own.append(table, frame)

    def sync(self) -> None:
        """As `Spool.sync`."""
        self._own.sync()

    @property
    def pressed(self) -> bool:
        """As `Spool.pressed`, of the own one."""
        return self._own.pressed

    def waiting(self) -> list[Waiting]:
        """What waits, table by table; of an adopted spool first."""
        found: dict[str, Waiting] = {}
        for spool in self._spools():
            for one in spool.waiting():
                if one.table not in found:
                    found[one.table] = one
                    self._sources[one.table] = spool
        return list(found.values())

    def take(self, table: str, most_rows: int, most_bytes: int) -> Batch:
        """As `Spool.take`, from the spool that `waiting` found last."""
        return self._sources[table].take(table, most_rows, most_bytes)

    def done(self, batch: Batch) -> None:
        """As `Spool.done`."""
        self._sources[batch.table].done(batch)

    def tend(self) -> None:
        """Adopt what has been left, and remove what is empty."""
        if self._place.worker != 0:
            return
        for path, spool in list(self._adopted):
            if not spool.size().rows:
                spool.close(remove=True)
                with self._lock:
                    self._adopted.remove((path, spool))
                log.info("all that waited in %s has been sent", path)
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._looked = time.monotonic()
            try:
                self._adopt()
            except OSError as error:
                log.warning("%s can't be read: %s", self._place.root, error.strerror)

    def size(self) -> BacklogSize:
        """How much waits, adopted spools included."""
        sizes = [spool.size() for spool in self._spools()]
        return BacklogSize(
            sum(one.rows for one in sizes),
            sum(one.size for one in sizes),
            max(one.oldest_seconds for one in sizes),
        )

    def close(self) -> None:
        """Free all folders."""
        with self._lock:
            self._closed = True
        self._ending.set()
        self._own.busy.set()
        self._writer.join()
        for spool in self._spools():
            spool.close()

    def _write(self) -> None:
        while not self._ending.is_set():
            self._own.tend()
            self._own.busy.wait(_TEND_SECONDS)
            self._own.busy.clear()

    def _spools(self) -> list[Spool]:
        with self._lock:
            return [*(spool for _, spool in self._adopted), self._own]

    def _adopt(self) -> None:
        held = {path for path, _ in self._adopted}
        for path in left_folders(self._place.root, self._place.workers):
            if path in held:
                continue
            try:
                spool = Spool(path, wait=0.0)
            except SinkError as error:
                # In use by a run that is still ending, or damaged: told once, tried again.
                if self._faults.get(path) != str(error):
                    self._faults[path] = str(error)
                    log.error("the spool of a former worker can't be taken over: %s", error)  # noqa: TRY400 - expected
                continue
            with self._lock:
                if self._closed:
                    spool.close()
                    return
                self._adopted.append((path, spool))
            log.warning("%d rows that a former worker left in %s are sent", spool.size().rows, path)
