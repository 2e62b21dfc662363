"""100,000 records, most of them spoilt in some way: nothing breaks, nothing is lost, and the good ones don't suffer."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import polars as pl
import pytest
from command_line import replay

from footfall.records import KEPT_BYTES, MAX_RECORD_BYTES
from footfall.store import open_store, parse_dsn

pytestmark = pytest.mark.usefixtures("without_scores")

COUNT = 100_000
UNTOUCHED = 0.4
START = 1_760_000_000_000
Mutation = Callable[[Random, bytes], bytes]


def _flat(random: Random, number: int) -> dict[str, object]:
    record: dict[str, object] = {
        "message_id": f"m{number:06d}-{random.getrandbits(64):016x}",
        "visitor_id": f"v{random.randrange(3_000)}",
        "event": random.choice(("page_view", "click", "product_added", "order_completed")),
        "event_time": START + number * 50,
        "path": f"/shop/{random.randrange(50)}",
    }
    if random.random() < 0.5:
        record |= {"value": round(random.uniform(0, 500), 2), "currency": "EUR", "x": random.randrange(1500)}
    if random.random() < 0.3:
        record |= {"properties": {"note": "naïve café", "list": [1, {"a": None}]}, "other": "field"}
    return record


def _segment(random: Random, number: int) -> dict[str, object]:
    time = datetime.fromtimestamp((START + number * 50) / 1000, UTC).isoformat()
    return {
        "messageId": f"m{number:06d}-{random.getrandbits(64):016x}",
        "anonymousId": f"v{random.randrange(3_000)}",
        "type": "track",
        "event": random.choice(("Product Added", "Order Completed", "Product Viewed")),
        "timestamp": time,
        "context": {
            "page": {"path": "/shop", "url": "https://shop.example/shop?q=1"},
            "userAgent": "Mozilla/5.0",
        },
        "properties": {"value": round(random.uniform(0, 500), 2), "currency": "EUR"},
    }


def _flipped(random: Random, line: bytes) -> bytes:
    spoilt = bytearray(line)
    for _ in range(random.randint(1, 4)):
        spoilt[random.randrange(len(spoilt))] = random.randrange(256)
    return bytes(spoilt)


def _other_value(random: Random, line: bytes) -> bytes:
    record = json.loads(line)
    record[random.choice(list(record))] = random.choice(
        (
            None,
            True,
            -1,
            1.5,
            1e308,
            10**30,
            "",
            "x" * 5_000,
            [],
            {},
            [[]],
            "2025-13-45",
            "\x00",
            "\ud800",
            2**63,
        )
    )
    return json.dumps(record).encode()


def _deep(random: Random, line: bytes) -> bytes:
    depth = random.choice((10, 500, 20_000))
    return line[:-1] + b',"properties":' + b"[" * depth + b"]" * depth + b"}"


MUTATIONS: tuple[Mutation, ...] = (
    _flipped,
    _flipped,
    _other_value,
    _other_value,
    lambda random, line: line[: random.randrange(len(line))],
    lambda random, line: line[random.randrange(len(line)) :],
    lambda random, line: line.replace(b",", random.choice((b",,", b"", b"\n", b"\r")), 1),
    lambda random, line: line + random.choice((b"\x00", b"}", b" ", b"\r", b"null", b"\xef\xbb\xbf")),
    lambda random, line: random.randbytes(random.randrange(300)),
    lambda random, line: b"[" + line + b"]",
    lambda random, line: line + line,
)


def _lines(make: Callable[[Random, int], dict[str, object]]) -> tuple[list[bytes], set[str]]:
    """The file's lines, and the ids of the messages that nothing was done to."""
    random = Random(20_260_101)
    lines: list[bytes] = []
    good: set[str] = set()
    for number in range(COUNT):
        record = make(random, number)
        line = json.dumps(record).encode()
        if random.random() < UNTOUCHED:
            good.add(str(record.get("message_id") or record["messageId"]))
        elif number % 2_000 == 1_999:
            line = _deep(random, line)
        elif number % 20_000 == 7:
            line = line[:-1] + b',"junk":"' + b"x" * (MAX_RECORD_BYTES + random.randrange(3_000_000)) + b'"}'
        else:
            line = random.choice(MUTATIONS)(random, line)
        lines += line.split(b"\n")
    return lines, good


@pytest.mark.parametrize(("form", "make"), [("footfall", _flat), ("segment", _segment)])
def test_spoilt_records_cost_the_good_ones_nothing(
    tmp_path: Path, form: str, make: Callable[[Random, int], dict[str, object]]
) -> None:
    lines, good = _lines(make)
    (tmp_path / "fuzz.ndjson").write_bytes(b"\n".join(lines) + b"\n")
    report = replay("fuzz.ndjson", "--format", form, cwd=tmp_path)
    assert report["records"] == len(lines)
    assert report["events"] + report["duplicates"] + report["dead"] == len(lines)
    assert report["events"] >= len(good)
    assert report["dead"] > COUNT * 0.2
    assert sum(report["dead_reasons"].values()) == report["dead"]

    store = open_store(parse_dsn(f"chdb://{tmp_path / 'footfall-store'}"), create=False)
    try:
        stored = store.query("SELECT message_id FROM events UNION ALL SELECT message_id FROM late_events")
        letters = store.query(
            "SELECT source, source_offset, line, reason, detail, hex(bytes) AS bytes, bytes_total FROM dead_letters"
        )
    finally:
        store.close()
    assert good <= set(stored["message_id"])
    assert letters.height == report["dead"]
    assert dict(letters["reason"].value_counts().iter_rows()) == report["dead_reasons"]
    assert letters["source"].unique().to_list() == ["fuzz.ndjson"]
    assert (letters["line"] == letters["source_offset"] + 1).all()
    assert (letters["detail"].str.len_bytes() > 0).all()
    for line, data, total in letters.select(
        "line", pl.col("bytes").str.decode("hex"), "bytes_total"
    ).iter_rows():
        sent = lines[line - 1]
        assert total == len(sent)
        assert data == (sent if len(sent) <= KEPT_BYTES else sent[: len(data)])
