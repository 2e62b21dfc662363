"""Loads the compiled loops before a run's clock starts, by sending some records through all of them.

Numba compiles a function, or reads it from its cache, when it is first called: a second in all where the cache is
warm. Without this, a live run's first batch would wait for it.
"""

from dataclasses import replace

import numpy as np

from footfall.clock import ClockSettings, PartitionClock
from footfall.event_batch import split_by_shard
from footfall.input import InputSettings
from footfall.profiles import load_loops
from footfall.records import RecordBlock
from footfall.scoring.feature_loops import LABEL, MOMENT
from footfall.scoring.model_step import ModelStep
from footfall.scoring.shard_scores import ScoreSettings, ShardScoring
from footfall.shard import Shard, ShardSettings

_VISITORS = 64


def _record(number: int) -> str:
    """A record that every format finds what it needs in, or a good part of the loops wouldn't be called."""
    page = '"path":"/","element":"#a","value":1' if number % 2 else '"url":"https://a.example/b?utm_source=c"'
    return (
        f'{{"message_id":"{number}","messageId":"{number}","visitor_id":"{number}","anonymousId":"{number}",'
        f'"type":"track","event":"click","event_time":{number},"timestamp":"1970-01-01T00:00:00.{number:03}Z",{page}}}\n'
    )


def warm_up(inputs: InputSettings, shards: ShardSettings, *, models: bool) -> None:
    """Send records through decoding, the clock, and shards that are thrown away, and have `models` score and learn.

    One worker of all has the models. A live run does without their second in each: it waits for it once.
    """
    plan = inputs.in_force.now.plan
    columns = inputs.decoded_columns(plan)
    formatted = inputs.new_format(None, frozenset(columns))
    records = "".join(map(_record, range(_VISITORS))).encode()
    block = RecordBlock("warm-up", 0, _VISITORS, records, "warm-up", 1)
    clock = PartitionClock(ClockSettings())
    decoded = formatted.decode(block).events.select(columns)
    events = clock.take(decoded, ended=False, with_watermarks=inputs.early)
    # With one partition, so that its end is the input's, and everything settles.
    triggers = None if shards.triggers is None else replace(shards.triggers, folder=None)
    scores = None if shards.scores is None else replace(shards.scores, folder=None)
    shard = Shard("warm-up", replace(shards, partitions=1, triggers=triggers, scores=scores))
    if triggers is not None:
        load_loops()
    if scores is not None and models:
        _warm_up_models(scores)
    for ended in (False, True):
        rows = events if not ended else clock.take(events.clear(), ended=True)
        if shards.event_columns:
            rows = rows.with_columns(source_partition=None).cast({"source_partition": str})
        for batch in split_by_shard(
            rows, plan, list(inputs.row_columns(plan)), 0, 2, watermark=clock.watermark, ended=ended
        ):
            batch.ended = ended
            shard.take([batch])


def _warm_up_models(settings: ScoreSettings) -> None:
    """Have models that are thrown away score and learn; River, which takes up to a second, is loaded for that."""
    step = ModelStep(replace(settings, wants_rows=False), ("warm-up",))
    moments = np.zeros(_VISITORS, MOMENT)
    moments["low"] = moments["id_low"] = np.arange(1, _VISITORS + 1)
    moments["models"] = (1 << len(step.models)) - 1
    rows = np.zeros((_VISITORS, len(settings.plan.features)))
    step.take([ShardScoring("warm-up", 9 * settings.tick, moments, rows, None, np.zeros(0, LABEL))])
    for model in step.models:
        labels = np.zeros(_VISITORS, LABEL)
        labels["id_high"], labels["id_low"] = model.predict(moments, rows).ids
        labels["value"] = np.arange(_VISITORS) % 2
        model.learn(labels)
