"""How a command asks a live run for another champion of a model: through files in the run's state folder.

The command writes a request and waits for the answer beside it; the run's parent looks for requests, oldest first. A
request that was written stays until it is answered, whatever is killed.
"""

import json
import os
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from footfall.errors import StateError

FOLDER = "requests"
_REQUEST, _ANSWER = ".request.json", ".answer.json"
_ANSWERS_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class ChampionRequest:
    """What is asked for.

    Attributes:
        name: names the request's files.
        model: the model.
        learner: who is to be champion; None for whoever was before.
    """

    name: str
    model: str
    learner: str | None


@dataclass(frozen=True, slots=True)
class ChampionAnswer:
    """What has become of a request.

    Attributes:
        refused: why not; "" if it was taken up.
        learner: who is champion now, or will be.
        since: from which event time on (ms); None where they were champion already.
        number: the control record that says so.
    """

    refused: str = ""
    learner: str = ""
    since: int | None = None
    number: int = 0


class ChampionRequests:
    """The requests to one run.

    Args:
        state: the run's state folder.
        every: seconds from one look to the next; calls of `next` in between find nothing.
        clock: the time in seconds, which never goes back.
    """

    def __init__(
        self, state: Path, every: float = 0.0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = state / FOLDER
        self._every = every
        self._clock = clock
        self._due = clock()

    def ask(self, model: str, learner: str | None) -> ChampionRequest:
        """Write a request; it is there for good when this returns.

        Raises:
            StateError: it can't be written.
        """
        request = ChampionRequest(f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}", model, learner)
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise StateError(f"{self._folder} can't be made: {error.strerror or error}") from error
        self._write(request.name + _REQUEST, {"model": model, "learner": learner})
        return request

    def next(self) -> ChampionRequest | None:
        """The oldest request that hasn't been answered; files that are none are passed over."""
        now = self._clock()
        if now < self._due:
            return None
        self._due = now + self._every
        try:
            names = sorted(entry.name for entry in self._folder.iterdir() if entry.name.endswith(_REQUEST))
        except OSError:
            return None
        for name in names:
            found = self._read(name)
            if found is None:
                continue
            model, learner = found.get("model"), found.get("learner")
            if isinstance(model, str) and (learner is None or isinstance(learner, str)):
                return ChampionRequest(name.removesuffix(_REQUEST), model, learner)
        return None

    def answer(self, request: ChampionRequest, answer: ChampionAnswer) -> None:
        """Answer a request, which is then done with; answers that nobody has fetched in an hour go.

        Raises:
            StateError: it can't be written.
        """
        self._write(request.name + _ANSWER, asdict(answer))
        with suppress(OSError):
            (self._folder / (request.name + _REQUEST)).unlink()
            old = time.time() - _ANSWERS_SECONDS
            for entry in self._folder.iterdir():
                if entry.name.endswith(_ANSWER) and entry.stat().st_mtime < old:
                    entry.unlink()

    def fetch(self, request: ChampionRequest) -> ChampionAnswer | None:
        """The answer to a request, which goes with that; None while there is none."""
        found = self._read(request.name + _ANSWER)
        if found is None:
            return None
        with suppress(OSError):
            (self._folder / (request.name + _ANSWER)).unlink()
        return ChampionAnswer(**found)

    def withdraw(self, request: ChampionRequest) -> None:
        """Take back a request that hasn't been answered."""
        with suppress(OSError):
            (self._folder / (request.name + _REQUEST)).unlink()

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            found = json.loads((self._folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _write(self, name: str, content: dict[str, Any]) -> None:
        path = self._folder / name
        draft = self._folder / f".{name}.new"
        try:
            with draft.open("w", encoding="utf-8") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise StateError(f"{path} can't be written: {error.strerror or error}") from error
