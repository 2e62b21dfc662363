"""The durable part of a shard's profiles: a log of their table (`footfall.record_log`), and when they had settled."""

from pathlib import Path

from footfall.profile_table import ProfileTable
from footfall.profiles import HORIZON, Profiles
from footfall.record_log import LogReference, RecordKind, RecordLog

# Snapshots of earlier versions look for `LogReference` here.
__all__ = ["PROFILE_RECORDS", "LogReference", "ProfileLog"]

PROFILE_RECORDS = RecordKind("profiles", ProfileTable)


class ProfileLog:
    """One shard's profiles in files: `snapshot` appends what changed, `restore` reads what a snapshot refers to."""

    def __init__(self, folder: Path) -> None:
        """The log in the shard's own folder; all workers that may run the shard see the same one."""
        self._records = RecordLog(folder, PROFILE_RECORDS)

    @classmethod
    def of_shard(cls, folder: Path, shard: str) -> "ProfileLog":
        """The log of the shard with that name, in a folder that has those of all shards."""
        return cls(folder / shard)

    @property
    def folder(self) -> Path:
        """The shard's own folder."""
        return self._records.folder

    def restore(self, reference: LogReference, horizon: int = HORIZON) -> Profiles:
        """The profiles as they were when the snapshot was taken that holds this reference.

        Raises:
            StateError: a file is missing or damaged, or is of another version.
        """
        return Profiles(horizon, self._records.restore(reference), reference.settled)

    def write_ahead(self, profiles: Profiles) -> None:
        """Append what has changed where that is a lot, so that a snapshot never has much to do; call after rounds.

        Raises:
            StateError: the folder can't be written.
        """
        self._records.write_ahead(profiles.table)

    def begin_snapshot(self, profiles: Profiles) -> None:
        """Begin what `snapshot` does, which must follow, while other logs of the shard do the same.

        Raises:
            StateError: the folder can't be written.
        """
        self._records.begin_snapshot(profiles.table)

    def snapshot(self, profiles: Profiles) -> LogReference:
        """Make the profiles durable; what the shard's snapshot has to hold of them.

        Raises:
            StateError: the folder can't be written. Nothing is lost; the last snapshot stands.
        """
        return self._records.snapshot(profiles.table, profiles.settled)

    def close(self) -> None:
        """Let the compaction end, and close the file."""
        self._records.close()
