"""What the parent of a run asks of one worker; a module of its own, so that the parent needn't load the engine."""

from dataclasses import dataclass
from pathlib import Path

from footfall.settings import Settings


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """What the parent asks of one worker. It is pickled.

    Attributes:
        settings: the run's settings.
        inputs: the inputs, as on the command line.
        flow: the name of the flow in `flows/`.
        worker: this worker's number.
        addresses: host:port of every worker; empty where there is only one.
        ahead: the file of the table that keeps partitions in step.
        recovery: the folder of the recovery data; None where none is kept.
        message_fd: where messages go.
    """

    settings: Settings
    inputs: tuple[str, ...]
    flow: str
    worker: int
    addresses: tuple[str, ...]
    ahead: Path
    recovery: Path | None
    message_fd: int
