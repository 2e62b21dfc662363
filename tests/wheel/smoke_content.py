"""Run inside the wheel's environment, from an empty folder: all content is there, none of the checkout's."""

import importlib.util
from pathlib import Path

import footfall
from footfall.content import content_folder, load_flow
from footfall.event_names import EventNames
from footfall.pattern_files import load_patterns

package = Path(footfall.__file__).parent
assert package.parent.name == "site-packages", package
assert [name for name in ("flows", "patterns", "schemas") if importlib.util.find_spec(name)] == []

for name in ("flows", "patterns", "schemas", "clickhouse", "grafana"):
    folder = content_folder(name)
    assert folder == package / "content_files" / name
    assert any(folder.iterdir()), folder

for path in content_folder("flows").glob("[!_]*.py"):
    build = load_flow(path.stem)
    assert build.__module__ == f"footfall.content_files.flows.{path.stem}"

assert EventNames.load().normalise("Page") == "page_view"
assert len(load_patterns(content_folder("patterns"))) >= 5
