"""Which sinks a worker of a run has, by the run's settings."""

from collections.abc import Sequence

import polars as pl

from footfall.errors import UsageError
from footfall.file_sink import FileSink
from footfall.held_back import HoldingSink
from footfall.history_source import HistorySource
from footfall.kafka_client import KafkaClient
from footfall.kafka_sink import ROUTES, KafkaSink
from footfall.run_messages import Tell
from footfall.sink import Sink
from footfall.store import parse_dsn
from footfall.store_sink import StoreSink
from footfall.tables import DEAD_LETTERS, SCORES
from footfall.webhook_post import open_target
from footfall.webhook_sink import QUEUE_BYTES, WebhookSink
from footfall.worker_order import WorkerOrder
from footfall.worker_spool import SpoolPlace


def new_sinks(order: WorkerOrder, tell: Tell | None = None) -> list[Sink]:
    """The sinks that the settings ask for, not opened yet; `tell` gets how those of a live run stand.

    What goes out of the house comes first: triggers don't wait for the store. How many there are is fixed by the
    settings, since a snapshot holds their states in this order.

    Raises:
        UsageError: webhooks can't be sent as they are set.
    """
    settings = order.settings
    live = order.source.live
    outward: list[Sink] = []
    inward: list[Sink] = []
    if live and settings.publish:
        # A run without models needs no topic for scores.
        routes = {table: topic for table, topic in ROUTES.items() if order.models or table != SCORES.name}
        kafka = KafkaSink(
            KafkaClient(settings.kafka, settings.kafka_properties),
            routes=routes,
            worker=order.worker,
            tell=tell,
        )
        outward.append(kafka)
    if settings.store != "none":
        address = parse_dsn(settings.store, database=settings.database)
        place = _place(order, "spool", settings.spool_limit * 1_000_000)
        inward.append(StoreSink(address, spool=place, tell=tell if live else None, worker=order.worker))
    if settings.out is not None:
        inward.append(FileSink(settings.out, "ndjson" if settings.out_format == "ndjson" else "parquet"))
    if live and settings.publish and settings.webhook:
        # Before all others, since its dead letters go to those.
        outward.insert(0, _webhook(order, [*outward, *inward], tell))
    if isinstance(order.source, HistorySource):
        # All that leaves the house is held back for the past; the store takes it.
        outward = [HoldingSink(sink, order.source.outset, settings.gap, settings.tick) for sink in outward]
    return [*outward, *inward]


def _place(order: WorkerOrder, name: str, limit_bytes: int) -> SpoolPlace | None:
    """The worker's part of a folder beside the recovery data; None where nothing is kept."""
    if order.spool is None:
        return None
    return SpoolPlace(order.spool.with_name(name), order.worker, max(1, len(order.addresses)), limit_bytes)


def _webhook(order: WorkerOrder, others: Sequence[Sink], tell: Tell | None) -> WebhookSink:
    def letter(part: str, frame: pl.DataFrame) -> None:
        for sink in others:
            sink.write(part, DEAD_LETTERS, frame)

    place = _place(order, "webhook", QUEUE_BYTES)
    target = open_target(order.settings.webhook, order.settings.webhook_secret)
    if place is None:
        raise UsageError("webhooks need a folder for what waits: name one with --state")
    sink = WebhookSink(target, place, (), letter=letter, tell=tell)
    for record in order.controls:
        sink.go_by(record.rules)
    return sink
