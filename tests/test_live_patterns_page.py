"""What the page about changing patterns live names is there."""

import re
from pathlib import Path

from footfall.content import content_folder
from footfall.live_totals import ALERTS
from footfall.messages import CONTROL
from footfall.run_events import LEVELS
from footfall.settings import SETTING_NAMES, Settings
from footfall.tables import CONTROLS
from footfall.topics import CONTROL as TOPIC

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "live_patterns.md").read_text(encoding="utf-8")


def test_events_and_alerts_are_those_that_there_are() -> None:
    events = set(re.findall(r"`(patterns_[a-z]+)`", PAGE))
    assert events == {name for name in LEVELS if name.startswith("patterns_")}
    assert set(re.findall(r'footfall_alert\{name="([a-z_]+)"\}', PAGE)) == {"broken_patterns"} <= set(ALERTS)


def test_settings_places_and_fields_are_those_that_there_are() -> None:
    assert {"pattern_check", "publish", "patterns"} <= set(SETTING_NAMES)
    assert f"`pattern_check` ({Settings().pattern_check // 1000} s)" in PAGE
    assert f"topic `{TOPIC}`" in PAGE
    assert f"table `{CONTROLS.name}`" in PAGE
    assert (content_folder("schemas") / "messages" / CONTROL.file_name).is_file()
    assert f"schemas/messages/{CONTROL.file_name}" in PAGE
    fields = {each.name for each in CONTROL.fields}
    assert {"digest", "from", "deployed"} <= fields
    asked = re.search(r"SELECT (.*?) FROM controls", PAGE)
    assert asked
    columns = set(re.findall(r"\b(?:number|from_time|digest|written_at)\b", asked[1]))
    assert columns <= set(CONTROLS.schema.names())


def test_the_readme_leads_here() -> None:
    assert "(docs/live_patterns.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
