"""A process that takes rounds and snapshots of profiles until it is killed: profile_log_victim.py FOLDER."""

import pickle
import sys
from pathlib import Path

from profile_rounds import START, Step, all_of, take_round
from reference import Record

from footfall import record_log
from footfall.profile_log import ProfileLog
from footfall.profiles import Profiles

record_log.COMPACTION_SLACK = 20_000


def main(folder: Path) -> None:
    """Go on from the last snapshot, if there is one; what a snapshot must restore to is kept beside it."""
    snapshots = folder / "snapshots"
    snapshots.mkdir(exist_ok=True)
    log, profiles, number = ProfileLog.of_shard(folder / "log", "s"), Profiles(), 0
    if states := sorted(snapshots.glob("*.pickle")):
        number = int(states[-1].stem)
        profiles = log.restore(pickle.loads(states[-1].read_bytes())[0])
    while True:
        number += 1
        for part in range(3):
            time = START + 10 * number + part
            names = [f"v{(number * part + n) % 200}" for n in range(60)]
            take_round(
                profiles, [Step(Record(name, "m", "view", time, user=f"u{number}")) for name in names], time
            )
            profiles.end_round()
            log.write_ahead(profiles)
        reference = log.snapshot(profiles)
        written = snapshots / "written"
        written.write_bytes(pickle.dumps((reference, all_of(profiles))))
        written.rename(snapshots / f"{number:08d}.pickle")
        if number % 5 == 1:
            print("begun", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
