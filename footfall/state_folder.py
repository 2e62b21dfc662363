"""A run's state folder: whose it is, its recovery data, and, once the run is done, its report.

    run.json     what the run is: inputs, settings, patterns, shards (another run is refused)
    recovery/    Bytewax's recovery store
    report.json  what the finished run reported
    partitions.json  a live run's source partitions in the order of their numbers, and the offsets where they began
    controls.json  a live run's control records, and how many of them its topic has
    models.json  a live run's models of scores
    history.json  what of the past a live run that began with its history reads, and where its topics go on
    reading/     how far a live run's partitions were ever read
    spool/       rows that the store hasn't taken yet
    profiles/    visitors' profiles, to which the recovery data refer
    requests/    what commands ask of a live run (`footfall models promote`), and its answers

The folder is locked while a run uses it; the lock ends with the process, however it ends.
"""

import base64
import fcntl
import json
import os
import pickle
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bytewax.recovery import init_db_dir

from footfall.control_record import ControlRecord
from footfall.errors import StateError
from footfall.run_differences import differences, what_to_do
from footfall.scoring.score_model import ScoreModel

FORMAT_VERSION = 1
_RECOVERY_PARTS = 4
_LIVE = ("partitions", "controls", "models", "history")


class StateFolder:
    """The state folder of one run, locked until `close`."""

    def __init__(self, folder: Path) -> None:
        """Lock the folder, making it if need be.

        Raises:
            StateError: another run is using it, or it can't be made.
        """
        self.folder = folder
        self._lock: int | None = None
        self._made = not folder.exists()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = (folder / "lock").read_text(errors="replace").strip() or "another process"
            self.close()
            raise StateError(
                f"the state folder {folder} is in use by {holder}: wait for that run, or name another folder"
            ) from error
        except OSError as error:
            raise StateError(
                f"the state folder {folder} can't be used: {error.strerror}; let this user write there, or name "
                "another folder with --state"
            ) from error
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"process {os.getpid()}\n".encode(), 0)

    @property
    def recovery(self) -> Path:
        """Bytewax's part of the folder."""
        return self.folder / "recovery"

    @property
    def spool(self) -> Path:
        """Where rows wait for the store."""
        return self.folder / "spool"

    @property
    def profiles(self) -> Path:
        """Where the shards keep profiles."""
        return self.folder / "profiles"

    def beginnings(self) -> dict[str, int]:
        """A live run's source partitions in the order of their numbers, each with the offset at which it began.

        There are none before the run's first start.

        Raises:
            StateError: the file is damaged.
        """
        path = self.folder / "partitions.json"
        if not path.exists():
            return {}
        return {str(name): int(offset) for name, offset in _read_whole(path).items()}

    def keep_beginnings(self, beginnings: Mapping[str, int]) -> None:
        """Keep the source partitions of a live run, in the order of their numbers, before it reads from any of them."""
        _write_whole(self.folder / "partitions.json", json.dumps(dict(beginnings)))

    def controls(self) -> tuple[tuple[ControlRecord, ...], int]:
        """A live run's control records, in their order, and how many of them, from the first on, its topic has.

        There are none before the run's first start.

        Raises:
            StateError: the file is damaged.
            ControlError: this version of Footfall can't read a record.
        """
        path = self.folder / "controls.json"
        if not path.exists():
            return (), 0
        kept = _read_whole(path)
        try:
            records = tuple(ControlRecord.from_dict(each, where=str(path)) for each in kept["records"])
            published = int(kept["published"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"{path} is damaged: begin anew with an empty --state folder") from error
        numbers = [record.number for record in records]
        if numbers != list(range(len(records))) or not 0 <= published <= len(records):
            raise StateError(
                f"{path} is damaged (records are missing): begin anew with an empty --state folder"
            )
        return records, published

    def keep_controls(self, records: Sequence[ControlRecord], published: int) -> None:
        """Keep the control records, and how many of them the topic has.

        Raises:
            StateError: they can't be written; what was kept before stands.
        """
        whole = {"records": [json.loads(record.to_json()) for record in records], "published": published}
        _write_whole(self.folder / "controls.json", json.dumps(whole, indent=1))

    def models(self) -> tuple[ScoreModel, ...]:
        """The models that a live run began with: what it goes on with when its files can't be read any more.

        Raises:
            StateError: the file is damaged.
        """
        path = self.folder / "models.json"
        if not path.exists():
            return ()
        try:
            found = pickle.loads(base64.b64decode(_read_whole(path)["models"], validate=True))  # noqa: S301 - our own
        except (
            KeyError,
            TypeError,
            ValueError,
            pickle.UnpicklingError,
            AttributeError,
            ImportError,
            EOFError,
        ) as error:
            raise StateError(f"{path} is damaged: begin anew with an empty --state folder") from error
        return tuple(found)

    def keep_models(self, models: Sequence[ScoreModel]) -> None:
        """Keep the models of a live run, before it scores anything."""
        kept = {"models": base64.b64encode(pickle.dumps(tuple(models), protocol=5)).decode()}
        _write_whole(self.folder / "models.json", json.dumps(kept))

    def history(self) -> bytes | None:
        """What a live run that began with its history has kept of its plan; None if it has none.

        Raises:
            StateError: the file is damaged.
        """
        path = self.folder / "history.json"
        if not path.exists():
            return None
        try:
            return base64.b64decode(_read_whole(path)["plan"], validate=True)
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"{path} is damaged: begin anew with an empty --state folder") from error

    def keep_history(self, plan: bytes) -> None:
        """Keep the plan of a live run that begins with its history, before it reads anything."""
        _write_whole(self.folder / "history.json", json.dumps({"plan": base64.b64encode(plan).decode()}))

    def resumes(self, identity: dict[str, Any]) -> bool:
        """Whether this run was begun before, and goes on; if not, the folder is free for it.

        Raises:
            StateError: it belongs to another run; the message says what differs.
        """
        path = self.folder / "run.json"
        if path.exists():
            kept = _read_whole(path)
            found = differences(kept, _whole(identity))
            if found:
                lines = "\n".join(f"  - {line}" for line in found)
                raise StateError(
                    f"the state folder {self.folder} belongs to another run:\n{lines}\n{what_to_do(kept)}"
                )
            return True
        # A run that was killed while it began left no more than these.
        own = {"lock", "recovery", *(f"{name}.{end}" for name in ("run", *_LIVE) for end in ("new", "json"))}
        others = [entry.name for entry in self.folder.iterdir() if entry.name not in own]
        if others:
            raise StateError(
                f"{self.folder} holds other files ({', '.join(sorted(others)[:3])} …): name an empty folder"
            )
        return False

    def begin(self, identity: dict[str, Any]) -> bool:
        """Make the folder this run's, if it isn't yet; True if the run was begun before, and goes on.

        Raises:
            StateError: it belongs to another run.
        """
        if self.resumes(identity):
            return True
        self.recovery.mkdir(exist_ok=True)
        for leftover in self.recovery.iterdir():
            leftover.unlink()
        init_db_dir(self.recovery, _RECOVERY_PARTS)
        _write_whole(self.folder / "run.json", json.dumps(_whole(identity), indent=1))
        return False

    def report(self) -> dict[str, Any] | None:
        """The finished run's report; None while it isn't finished.

        Raises:
            StateError: it is damaged.
        """
        path = self.folder / "report.json"
        if not path.exists():
            return None
        return _read_whole(path)

    def finish(self, report: dict[str, Any]) -> None:
        """Keep the report of the finished run."""
        _write_whole(self.folder / "report.json", json.dumps(report, indent=1))

    def close(self) -> None:
        """Unlock the folder. One that was made here, for a run that then wasn't begun, goes again."""
        if self._lock is not None:
            if self._made and not (self.folder / "run.json").exists():
                with suppress(OSError):
                    for name in ("lock", *(f"{name}.{end}" for name in _LIVE for end in ("new", "json"))):
                        (self.folder / name).unlink(missing_ok=True)
                    self.folder.rmdir()
            os.close(self._lock)
            self._lock = None


def _write_whole(path: Path, text: str) -> None:
    draft = path.with_suffix(".new")
    try:
        with draft.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # so that the name outlives a power cut, too
        finally:
            os.close(folder)
    except OSError as error:
        raise StateError(f"{path} can't be written: {error.strerror or error}") from error


def _read_whole(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise StateError(f"{path} is damaged ({error}): begin anew with an empty --state folder") from error
    if not isinstance(read, dict):
        raise StateError(f"{path} is damaged (it holds no object): begin anew with an empty --state folder")
    return read


def _whole(identity: dict[str, Any]) -> dict[str, Any]:
    return {"format": FORMAT_VERSION, **json.loads(json.dumps(identity))}
