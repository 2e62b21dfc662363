"""Run inside the wheel's environment, from an empty folder: a simulation writes its files there."""

from pathlib import Path

from footfall.settings import Settings, load_settings
from footfall.simulate import Simulation, simulate

assert load_settings(environment={}) == Settings()
summary = simulate(Simulation(visitors=50), Path("day.ndjson.gz"))
assert summary.lines > 100
assert sorted(path.name for path in Path().glob("day*")) == ["day.ndjson.gz", "day.plants.ndjson"]
