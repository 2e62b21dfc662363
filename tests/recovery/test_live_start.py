"""A first start of a live run that can't be made says what to do, and leaves nothing behind."""

import shutil
import socket
from pathlib import Path

import pytest
from command_line import failed, run, wait_until
from kafka_broker import KafkaBroker
from live_runs import LIMIT, LiveCase, running


def arguments(kafka: KafkaBroker, *more: object) -> tuple[object, ...]:
    return (
        "live",
        "--kafka",
        kafka.bootstrap,
        "--input-topics",
        kafka.new_topic(1),
        "--state",
        "state",
        *more,
    )


def test_a_port_that_is_taken_ends_the_start(tmp_path: Path, kafka: KafkaBroker) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        metrics = f"127.0.0.1:{taken.getsockname()[1]}"
        said = failed(*arguments(kafka, "--metrics", metrics), cwd=tmp_path, code=2)
    assert "the port is taken by another process; name another place with --metrics" in said
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("store", "words"),
    [
        ("clickhouse://no-such-host.invalid/db", "unknown host"),
        ("chdb://file/store", "can't be made, since"),
    ],
)
def test_a_place_that_can_be_no_store_ends_the_first_start(
    tmp_path: Path, kafka: KafkaBroker, store: str, words: str
) -> None:
    (tmp_path / "file").touch()
    ended = run(*arguments(kafka, "--metrics", "none", "--store", store), cwd=tmp_path)
    assert ended.code == 2, ended.err
    last = ended.err.splitlines()[-1]
    assert last.startswith("footfall: ")
    assert words in last
    assert "with --store" in last
    assert not (tmp_path / "state").exists()


def test_at_a_later_start_it_is_an_outage(tmp_path: Path, kafka: KafkaBroker) -> None:
    with running(LiveCase(tmp_path, kafka, kafka.new_topic(1))) as case:
        leg = case.start()
        case.wait_until_ready(leg)
        case.stop(leg)
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        (tmp_path / "store").touch()
        leg = case.start()
        case.wait_until_ready(leg)
        assert wait_until(lambda: case.metrics().get('footfall_alert{name="store_away"}') == 1, LIMIT)
        (tmp_path / "store").unlink()
        case.stop(leg)
