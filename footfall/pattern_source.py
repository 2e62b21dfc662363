"""Where a run's patterns and rules come from: a folder, or the control records that a live run has left.

From a folder they hold always. From control records each set holds from its time on, so that a replay finds what the
live run found: `footfall replay kafka://events --patterns kafka://control`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from footfall.control_record import ControlRecord, require_history, standing_records
from footfall.errors import ControlError, MissingStoreError, StoreError, UsageError
from footfall.input_source import is_kafka, is_store
from footfall.pattern_files import read_folder
from footfall.scoring.score_model import ScoreModel
from footfall.settings import Settings, redacted

_OWNER_WAIT = 30.0
_NO_TABLE = 60


def pattern_history(place: str | Path | None, settings: Settings) -> tuple[ControlRecord, ...]:
    """The sets of patterns and rules, in order, the first of which always holds.

    Args:
        place: a folder of pattern files (None: the shipped ones), which makes one record, number 0, that says nothing
            of deployment and was written at 0; `kafka://TOPIC`; the DSN of a store, `chdb://…` or `clickhouse://…`; or
            a file of control messages, a line each (`.ndjson`), or one or a list of them (`.json`).
        settings: say the Kafka cluster and the store's database.

    Raises:
        UsageError: the place won't do.
        PatternFilesError: the folder's files are wrong.
        ControlError: the place holds no control records, or some that can't be used; see `require_history`.
        FootfallError: the topic or store can't be read.
    """
    if isinstance(place, str) and is_kafka(place):
        return _from_topic(place, settings)
    if isinstance(place, str) and is_store(place):
        return _from_store(place, settings)
    path = None if place is None else Path(place)
    if path is not None and path.is_file():
        return require_history(standing_records(_from_file(path)), str(path))
    found = read_folder(path)
    return (ControlRecord(0, None, found.patterns, found.rules, {}, 0),)


def score_models(settings: Settings) -> tuple[ScoreModel, ...]:
    """The models that score in a run: those of its folder of patterns, or the shipped ones where it has none.

    Raises:
        PatternFilesError: the folder's files are wrong.
        FeatureError: the models can't run together, or not with these settings.
        UsageError: there is no learner that one of them names.
    """
    from footfall.scoring.model_check import check_models  # noqa: PLC0415 - compiled loops that others don't need

    place = settings.patterns
    if not settings.scores:
        return ()
    elsewhere = isinstance(place, str) and (is_kafka(place) or is_store(place))
    path = None if place is None or elsewhere else Path(place)
    models = read_folder(None if path is not None and path.is_file() else path).models
    check_models(models, settings.profile_horizon)
    return models


def _from_topic(place: str, settings: Settings) -> tuple[ControlRecord, ...]:
    parts = urlsplit(place)
    if not parts.netloc or parts.path not in {"", "/"} or parts.query:
        raise UsageError(f"patterns: {place} names no topic; write kafka://TOPIC (the brokers: --kafka)")
    if not settings.kafka:
        raise UsageError(f"patterns: {place} is a topic of a cluster: write --kafka HOST:PORT")
    from footfall.control_topic import ControlTopic  # noqa: PLC0415 - a client that files don't need
    from footfall.kafka_client import KafkaClient  # noqa: PLC0415

    topic = ControlTopic(KafkaClient(settings.kafka, settings.kafka_properties), parts.netloc)
    return require_history(topic.read_all(), topic.where)


def _from_store(place: str, settings: Settings) -> tuple[ControlRecord, ...]:
    import polars as pl  # noqa: PLC0415 - half a second that files needn't wait

    from footfall.control_table import records_of  # noqa: PLC0415
    from footfall.store import open_store, owner_address, parse_dsn  # noqa: PLC0415
    from footfall.store_owner import ensure_owner  # noqa: PLC0415
    from footfall.tables import CONTROLS  # noqa: PLC0415

    address = parse_dsn(place, database=settings.database)
    where = f"table {CONTROLS.name} of {redacted(place)}"
    owner = None
    try:
        if address.folder is not None:
            if not address.folder.absolute().is_dir():
                raise MissingStoreError(f"patterns: there is no store at {address}; name another one")
            # The engine stays out of this process: it is large, and the run may have another store open.
            owner = ensure_owner(address, wait=_OWNER_WAIT)
            address = owner_address(address, owner.url)
        store = open_store(address, create=False)
        try:
            # All columns: one that is read only may lack the latest.
            rows = store.query(f"SELECT * FROM {CONTROLS.name}")
        except StoreError as error:
            if error.code != _NO_TABLE:
                raise
            rows = CONTROLS.empty()
        finally:
            store.close()
    finally:
        if owner is not None:
            owner.close()
    known = pl.Schema({name: kind for name, kind in CONTROLS.schema.items() if name in rows.columns})
    return require_history(records_of(rows.select(known.names()).cast(known), where=where), where)


def _from_file(path: Path) -> Iterator[ControlRecord]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"patterns: {path} can't be read: {error.strerror or error}") from error
    if path.suffix == ".json":
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ControlError(f"it is no JSON: {error}", where=str(path)) from error
        for number, message in enumerate(found if isinstance(found, list) else [found], 1):
            where = f"{path}, record {number}" if isinstance(found, list) else str(path)
            yield ControlRecord.from_dict(message, where=where)
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield ControlRecord.from_json(line, where=f"{path}, line {number}")
