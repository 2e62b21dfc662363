"""Where a run's records come from: files, a stretch of Kafka topics, or, live, the topics themselves."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from footfall.errors import UsageError
from footfall.file_source import FileSource
from footfall.records import RecordSource
from footfall.setting_kinds import as_moment
from footfall.settings import Settings

if TYPE_CHECKING:
    from footfall.history_plan import HistoryPlan
    from footfall.history_source import HistorySource
    from footfall.kafka_source import KafkaSource

KAFKA_SCHEME = "kafka://"
STORE_SCHEMES = ("chdb://", "clickhouse://", "clickhouses://")


def is_kafka(text: str) -> bool:
    """Whether an input of the command line is a stretch of a topic."""
    return text.startswith(KAFKA_SCHEME)


def is_store(text: str) -> bool:
    """Whether an input of the command line is a store."""
    return text.startswith(STORE_SCHEMES)


def open_source(settings: Settings, inputs: Sequence[str]) -> RecordSource:
    """The source that the inputs of a command line mean: files, a store, or `kafka://TOPIC?from=TIME&to=TIME`.

    Raises:
        FootfallError: an input isn't there, or won't do.
    """
    topics = [each for each in inputs if is_kafka(each)]
    if any(map(is_store, inputs)):
        if len(inputs) > 1:
            raise UsageError("a store is read alone: replay the other inputs before it or after it")
        from footfall.store import parse_dsn  # noqa: PLC0415 - half a second that files needn't wait
        from footfall.store_source import whole_store  # noqa: PLC0415

        return whole_store(parse_dsn(inputs[0], database=settings.database))
    if not topics:
        return FileSource(inputs, partitioned=settings.partitioned)
    if len(topics) < len(inputs):
        raise UsageError("files and topics can't be read in one run: replay them one after the other")
    stretches = {_bounds(each) for each in topics}
    if len(stretches) > 1:
        raise UsageError("several topics are read over one stretch: write the same from and to behind each")
    start, end = stretches.pop()
    from footfall.kafka_client import KafkaClient  # noqa: PLC0415 - a client that files don't need
    from footfall.kafka_source import KafkaOptions, KafkaSource  # noqa: PLC0415

    if not settings.kafka:
        raise UsageError("a topic is read from a cluster: write --kafka HOST:PORT")
    options = KafkaOptions(
        start="earliest" if start is None else start,
        end=end,
        formats=topic_formats(settings),
        own_arrivals=settings.arrival == "record",
    )
    client = KafkaClient(settings.kafka, settings.kafka_properties)
    return KafkaSource(client, [_topic(each) for each in topics], live=False, options=options)


def open_live_source(
    settings: Settings,
    known: Sequence[str] = (),
    starts: Mapping[str, int] | None = None,
    *,
    at: str | int | None = None,
) -> "KafkaSource":
    """The input topics, read live.

    Args:
        settings: the run's settings.
        known: the partitions of the run so far, in the order of their numbers.
        starts: partition -> offset at which the run began there.
        at: where the others begin: "earliest", "latest" or a time (ms); None goes by the settings.

    Raises:
        FootfallError: the cluster, a topic or a known partition isn't there.
    """
    from footfall.kafka_client import KafkaClient  # noqa: PLC0415 - a client that files don't need
    from footfall.kafka_source import KafkaOptions, KafkaSource  # noqa: PLC0415

    start = settings.start
    moment = as_moment(start)
    by_settings = "latest" if start == "latest" else "earliest" if moment is None else moment
    options = KafkaOptions(
        start=by_settings if at is None else at,
        formats=topic_formats(settings),
        known=known,
        starts=starts,
        own_arrivals=settings.arrival == "record",
    )
    client = KafkaClient(settings.kafka, settings.kafka_properties)
    return KafkaSource(client, settings.input_topics, live=True, options=options)


def open_history(
    settings: Settings,
    plan: "HistoryPlan",
    known: Sequence[str] = (),
    starts: Mapping[str, int] | None = None,
) -> "HistorySource":
    """The past of a live run, and behind it the input topics; `known` and `starts` as for `open_live_source`.

    Raises:
        FootfallError: the cluster, a topic, a known partition or the store of the past isn't there.
    """
    from footfall.history_source import HistorySource  # noqa: PLC0415 - what most runs don't need

    pasts = {name for past in plan.pasts for name in past.partitions()}
    topics = [name for name in known if name not in pasts]
    begins = {name: offset for name, offset in (starts or plan.begins).items() if name not in pasts}
    source = HistorySource(plan, open_live_source(settings, topics, begins))
    source.attend()
    return source


def topic_formats(settings: Settings) -> dict[str, str]:
    """Topic -> its format, for those that have one of their own."""
    pairs = (each.partition("=") for each in settings.topic_formats)
    return {topic: name for topic, _, name in pairs}


def _topic(text: str) -> str:
    topic = urlsplit(text).netloc
    if not topic or urlsplit(text).path not in {"", "/"}:
        raise UsageError(
            f"{text} names no topic; write kafka://TOPIC?from=TIME&to=TIME (the brokers: --kafka)"
        )
    return topic


def _bounds(text: str) -> tuple[int | None, int | None]:
    found: dict[str, int] = {}
    for name, value in parse_qsl(urlsplit(text).query, keep_blank_values=True):
        moment = as_moment(value)
        if name not in {"from", "to"} or moment is None:
            raise UsageError(
                f"{text}: {name}={value} won't do; write from= and to= with times (ISO 8601 or ms)"
            )
        found[name] = moment
    return found.get("from"), found.get("to")
