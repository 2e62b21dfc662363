"""The page about operating a live run names every alert, metric and path, as they are."""

import re
from pathlib import Path

from footfall import health
from footfall.live_totals import ALERTS, LiveTotals
from footfall.metrics import LiveCollector
from footfall.run_events import LEVELS
from footfall.run_messages import ModelStatus
from footfall.settings import SETTING_NAMES, Settings

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the tables' rows in a section."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = [
        [cell.strip() for cell in row.split("|")] for row in re.findall(r"^\|(.*)\|$", section, re.MULTILINE)
    ]
    return [cells for cells in found if cells[0].startswith("`")]


def test_every_alert_is_told_with_what_to_do() -> None:
    told = {cells[0].strip("`"): cells[-1] for cells in rows("Alerts") if cells[0].strip("`") in ALERTS}
    assert list(told) == sorted(ALERTS)
    assert all(len(to_do) > 20 for to_do in told.values())


def test_every_metric_is_told_with_its_labels() -> None:
    told = {name.strip("`"): set(re.findall(r"`([a-z]+)`", labels)) for name, labels, _ in rows("Metrics")}
    totals = LiveTotals()
    totals.note(ModelStatus(None, 0, {}, {}, {}, {}, {}, (0, 0)))
    found = {
        family.name + ("_total" if family.type == "counter" else ""): set(getattr(family, "_labelnames", ()))
        for family in LiveCollector(totals).collect()
    }
    assert told == found


def test_metrics_that_alerts_are_made_of_are_there() -> None:
    metrics = {name.strip("`") for name, *_ in rows("Metrics")}
    assert set(re.findall(r"footfall_[a-z_]+", PAGE)) <= metrics


def test_paths_events_and_settings_are_those_that_there_are() -> None:
    assert {cells[0].strip("`") for cells in rows("Is it well?")} == set(health._answers(LiveTotals()))
    log = PAGE.split("\n## The log\n")[1].split("\n## ")[0]
    named = set(re.findall(r"`([a-z]+_[a-z]+)`", log))
    assert named <= set(LEVELS)
    assert {name for name in LEVELS if name.startswith("run_")} <= named
    assert {"metrics", "spool_limit", "kafka", "kafka_properties", "workers"} <= set(SETTING_NAMES)
    assert f"`metrics` (`{Settings().metrics}`)" in PAGE


def test_the_readme_leads_here() -> None:
    assert "(docs/operating.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
