"""What the parent of a run asks of one worker; a module of its own, so that the parent needn't load the engine."""

from dataclasses import dataclass
from pathlib import Path

from footfall.control_record import ControlRecord
from footfall.records import RecordSource
from footfall.scoring.score_model import ScoreModel
from footfall.settings import Settings


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """What the parent asks of one worker. It is pickled.

    Attributes:
        settings: the run's settings.
        source: the records; listed once, by the parent.
        controls: the patterns and rules, and from when on each set is in force; loaded once, by the parent.
        models: the models that score.
        flow: the name of the flow in `flows/`.
        spool: the folder in which rows wait for the store; None: in memory.
        profiles: the folder of the visitors' profiles; None where none are kept.
        worker: this worker's number.
        addresses: host:port of every worker; empty where there is only one.
        ahead: the file of the table that keeps partitions in step.
        recovery: the folder of the recovery data; None where none is kept.
        message_fd: where messages go.
    """

    settings: Settings
    source: RecordSource
    controls: tuple[ControlRecord, ...]
    flow: str
    recovery: Path | None
    models: tuple[ScoreModel, ...] = ()
    spool: Path | None = None
    profiles: Path | None = None
    worker: int = 0
    addresses: tuple[str, ...] = ()
    ahead: Path = Path()
    message_fd: int = -1
