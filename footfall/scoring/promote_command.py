"""`footfall models promote` and `rollback`: ask a live run for another champion, and wait until it has it."""

import fcntl
import json
import os
import time
from pathlib import Path

from footfall.control_record import ControlRecord
from footfall.errors import RunError, UsageError
from footfall.expression_values import time_from_ms
from footfall.scoring.champion_requests import ChampionAnswer, ChampionRequests

_LOOK_SECONDS = 0.1


def promote(state: Path, model: str, learner: str | None, *, wait: float, as_json: bool) -> int:
    """Run the command; the exit code.

    Args:
        state: the run's state folder.
        model: the model's name.
        learner: who is to be champion; None for whoever was before.
        wait: seconds.
        as_json: print one JSON object.

    Raises:
        UsageError: there is no such model or learner, or no run.
        RunError: no run is live, or it hasn't answered in time.
        StateError: the request can't be written.
    """
    if not (state / "controls.json").is_file():
        raise UsageError(f"{state} is no state folder of a live run: name that of yours with --state")
    if not is_live(state):
        raise RunError(
            f"no run is live on {state}: start it (footfall live --state {state}), and then promote again"
        )
    answer = _answer(state, model, learner, wait)
    if answer.refused:
        raise UsageError(answer.refused)
    since = None if answer.since is None else _iso(answer.since)
    if as_json:
        about = {"model": model, "champion": answer.learner, "changed": since is not None}
        print(json.dumps({**about, "from": since, "control_record": answer.number}))
    elif since is None:
        print(f"{answer.learner} is champion of {model} already (control record {answer.number})")
    else:
        print(
            f"{answer.learner} is champion of {model} from the first tick on that begins at {since} or later "
            f"(control record {answer.number})"
        )
    return 0


def _answer(state: Path, model: str, learner: str | None, wait: float) -> ChampionAnswer:
    requests = ChampionRequests(state)
    request = requests.ask(model, learner)
    until = time.monotonic() + wait
    while (answer := requests.fetch(request)) is None:
        if not is_live(state):
            answer = requests.fetch(request)
            if answer is not None:
                break
            requests.withdraw(request)
            raise RunError(
                f"the run on {state} has ended meanwhile; look who is champion (footfall models list --state {state}), "
                "start it again, and promote again"
            )
        if time.monotonic() > until:
            raise RunError(
                f"the run on {state} hasn't taken it up in {wait:g} s. The request stands, and the run takes it up as "
                f"soon as it can: footfall models list --state {state} says who is champion"
            )
        time.sleep(_LOOK_SECONDS)
    return answer


def is_live(state: Path) -> bool:
    """Whether a run uses a state folder now."""
    try:
        lock = os.open(state / "lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        # Shared, and for no longer than it takes to ask.
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def kept_records(state: Path) -> tuple[ControlRecord, ...]:
    """The control records of a live run, whether or not it runs now; none where the folder has none.

    Raises:
        UsageError: they can't be read.
        ControlError: this version of Footfall can't read them.
    """
    path = state / "controls.json"
    if not path.is_file():
        return ()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["records"]
        return tuple(ControlRecord.from_dict(each, where=str(path)) for each in found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} can't be read: {error}") from error


def _iso(ms: int) -> str:
    return time_from_ms(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
