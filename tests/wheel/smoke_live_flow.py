"""Run inside the wheel's environment, from an empty folder: the flow that a cluster's containers start is there."""

import importlib

from footfall.content import content_folder

live = importlib.import_module("footfall.content_files.flows.live")
assert callable(live.flow)
assert (content_folder("clickhouse") / "users.d" / "footfall.xml").is_file()
