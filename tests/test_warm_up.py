import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import footfall.warm_up
from footfall.clock import PartitionClock
from footfall.dataflow import flow_parts, pattern_plan
from footfall.file_sink import FileSink
from footfall.file_source import FileSource
from footfall.pattern_files import load_patterns
from footfall.plan_in_force import PlanInForce
from footfall.read_ahead import ReadAhead
from footfall.settings import Settings


@pytest.mark.parametrize("stored", [0, 1])
@pytest.mark.parametrize("form", ["footfall", "segment"])
def test_every_format_is_warmed_up_with_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, stored: int
) -> None:
    taken: list[int] = []

    class Watched(PartitionClock):
        def take(self, events: pl.DataFrame, **more: Any) -> pl.DataFrame:
            taken.append(events.height)
            return super().take(events, **more)

    monkeypatch.setattr(footfall.warm_up, "PartitionClock", Watched)
    (tmp_path / "empty.ndjson").touch()
    settings = Settings(format=form)
    flow_parts(
        settings,
        FileSource([str(tmp_path / "empty.ndjson")]),
        PlanInForce(pattern_plan(settings, load_patterns(None))),
        [FileSink(tmp_path / "out", "parquet")] if stored else [],
        tell=lambda _message: None,
        stop=threading.Event(),
        ahead=ReadAhead.alone([0], 0),
    )
    assert taken == [64, 0]
