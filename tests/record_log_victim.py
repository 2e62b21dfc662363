"""A process that fills two tables of a shard and takes snapshots until it is killed: record_log_victim.py FOLDER."""

import pickle
import sys
from pathlib import Path

from record_rounds import KIND, OTHER_KIND, Model, add, all_of, free

from footfall import record_log
from footfall.record_log import RecordLog

record_log.COMPACTION_SLACK = 20_000
record_log._WRITE_AHEAD = 12_000


def main(folder: Path) -> None:
    """Go on from the last snapshot, if there is one; what a snapshot must restore to is kept beside it."""
    snapshots = folder / "snapshots"
    snapshots.mkdir(exist_ok=True)
    logs = [RecordLog.of_shard(folder / "log", "s", kind) for kind in (KIND, OTHER_KIND)]
    tables, number = [log.kind.make() for log in logs], 0
    if states := sorted(snapshots.glob("*.pickle")):
        number = int(states[-1].stem)
        references, _ = pickle.loads(states[-1].read_bytes())
        tables = [log.restore(reference) for log, reference in zip(logs, references, strict=True)]
    models: list[Model] = [all_of(table) for table in tables]
    while True:
        number += 1
        for part in range(3):
            for log, table, model in zip(logs, tables, models, strict=True):
                add(table, model, [(7 * number * part + n) % 200 for n in range(60)], number)
                free(table, model, [(11 * number + n) % 200 for n in range(9)])
                log.write_ahead(table)
        references = [log.snapshot(table, number) for log, table in zip(logs, tables, strict=True)]
        written = snapshots / "written"
        written.write_bytes(pickle.dumps((references, models)))
        written.rename(snapshots / f"{number:08d}.pickle")
        if number % 5 == 1:
            print("begun", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
