"""Where a run's records come from: files, or a stretch of Kafka topics; and live, the topics themselves."""

from collections.abc import Sequence

from footfall.file_source import FileSource
from footfall.records import RecordSource
from footfall.settings import Settings

KAFKA_SCHEME = "kafka://"


def open_source(settings: Settings, inputs: Sequence[str]) -> RecordSource:
    """The source that the inputs of a command line mean.

    Raises:
        FootfallError: an input isn't there, or won't do.
    """
    return FileSource(inputs, partitioned=settings.partitioned)
