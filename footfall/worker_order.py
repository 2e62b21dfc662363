"""What the parent of a run asks of one worker; a module of its own, so that the parent needn't load the engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from footfall.pattern import Pattern
from footfall.records import RecordSource
from footfall.settings import Settings
from footfall.trigger_rule import TriggerRule


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """What the parent asks of one worker. It is pickled.

    Attributes:
        settings: the run's settings.
        source: the records; listed once, by the parent.
        patterns: the patterns; loaded once, by the parent.
        flow: the name of the flow in `flows/`.
        rules: the trigger rules; loaded once, by the parent.
        deployed: rule -> when it was first deployed (ms); a rule that isn't there always was.
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
    patterns: tuple[Pattern, ...]
    flow: str
    recovery: Path | None
    rules: tuple[TriggerRule, ...] = ()
    deployed: Mapping[str, int] = field(default_factory=dict)
    spool: Path | None = None
    profiles: Path | None = None
    worker: int = 0
    addresses: tuple[str, ...] = ()
    ahead: Path = Path()
    message_fd: int = -1
