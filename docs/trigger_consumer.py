"""Takes triggers from Kafka, each once: python -m docs.trigger_consumer HOST:PORT FILE."""

import json
import platform
import sqlite3
import sys
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, KafkaException

TABLES = """
CREATE TABLE IF NOT EXISTS seen (trigger_id TEXT PRIMARY KEY, revision INTEGER, stands INTEGER);
CREATE TABLE IF NOT EXISTS orders (trigger_id TEXT, revision INTEGER, what TEXT, action TEXT, visitor_id TEXT);
"""


def take(database: sqlite3.Connection, trigger: dict[str, Any]) -> None:
    """Note what a message asks for, unless that is known already; in the transaction that is open."""
    name, revision = trigger["trigger_id"], trigger["revision"]
    found = database.execute("SELECT revision, stands FROM seen WHERE trigger_id = ?", (name,)).fetchone()
    known, stood = found or (-1, False)
    if revision <= known:
        return  # told again, or overtaken
    expired = datetime.fromisoformat(trigger["expires_time"]) <= datetime.now(UTC)
    stands = trigger["status"] == "fired" and not expired
    database.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", (name, revision, stands))
    if stands != bool(stood):  # what was retracted before it was seen needs no undoing
        order = (name, revision, "do" if stands else "undo", trigger["action"], trigger["visitor_id"])
        database.execute("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", order)


def main(servers: str, file: str, topic: str = "triggers") -> None:
    """Take triggers until the process is stopped; started again, it goes on where it was."""
    database = sqlite3.connect(file)
    database.executescript(TABLES)
    # With a name of its own, a consumer that is started again takes its place at once.
    group = {"group.id": "campaigns", "group.instance.id": platform.node()}
    settings = {"enable.auto.commit": False, "auto.offset.reset": "earliest"}
    # While no broker answers the client goes on trying, and says so now and then: here, and not in lines of its own.
    telling = {"error_cb": lambda error: print("Kafka:", error.str(), file=sys.stderr), "log_level": 2}
    consumer = Consumer({"bootstrap.servers": servers, **group, **settings, **telling})
    consumer.subscribe([topic])
    while True:
        messages = consumer.consume(500, 1.0)
        with database:  # one transaction: what is noted and that it was seen
            for message in messages:
                if message.error():
                    raise KafkaException(message.error())
                take(database, json.loads(message.value() or b""))
        if messages:  # only now: a stop in between repeats messages, which `take` knows
            consumer.commit(asynchronous=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
