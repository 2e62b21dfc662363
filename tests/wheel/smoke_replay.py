"""Run inside the wheel's environment, from an empty folder: a replay with two workers fills an embedded store."""

import json
import subprocess
import sys
from pathlib import Path

from footfall.simulate import Simulation, simulate


def footfall(*arguments: str) -> str:
    """What the installed program prints."""
    program = Path(sys.executable).with_name("footfall")
    finished = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


summary = simulate(Simulation(visitors=200, partitions=2), Path("day"))
report = json.loads(footfall("replay", "day", "--partitioned", "--workers", "2", "--json", "--quiet"))
assert report["events"] == summary.events
assert report["matches"] == dict(sorted(summary.plants.items()))
rows = footfall(
    "query", "SELECT (SELECT count() FROM sessions) AS s, (SELECT count() FROM matches) AS m", "--json"
)
assert json.loads(rows) == {"s": summary.sessions, "m": sum(summary.plants.values())}
assert "rage_click" in footfall("patterns", "list")
