import http.client
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from live_messages import Clock, progress, shard_status
from prometheus_client.parser import text_string_to_metric_families

from footfall import health
from footfall.errors import UsageError
from footfall.live_totals import LiveTotals
from footfall.run_events import RunEvent
from footfall.run_messages import WorkerStarted

clock = Clock()


@pytest.fixture
def totals() -> LiveTotals:
    return LiveTotals(partitions=["p0"], shards=["a"], workers=1, monotonic=clock.monotonic, wall=clock.wall)


@pytest.fixture
def server(totals: LiveTotals) -> Iterator[health.HealthServer]:
    with closing(health.start("127.0.0.1:0", totals)) as made:
        yield made


def ask(server: health.HealthServer, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
    """Status, content type and body."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


def state(server: health.HealthServer, path: str) -> tuple[int, dict[str, Any]]:
    status, content_type, body = ask(server, path)
    assert content_type == "application/json; charset=utf-8"
    return status, json.loads(body)


def begin(totals: LiveTotals) -> None:
    for message in (WorkerStarted(0, 1.0), progress("p0", 5), shard_status("a")):
        totals.note(message)


def test_a_run_is_healthy_while_it_starts_and_ready_once_all_is_there(
    server: health.HealthServer, totals: LiveTotals
) -> None:
    status, body = state(server, "/healthz")
    assert (status, body["status"], body["phase"]) == (200, "ok", "starting")
    status, body = state(server, "/readyz")
    assert (status, body["status"]) == (503, "unavailable")
    assert body["reasons"] == [
        "1 of 1 workers have not started: 0",
        "1 of 1 partitions are not open yet: p0",
        "1 of 1 shards have no state yet: a",
    ]
    begin(totals)
    assert state(server, "/readyz") == (
        200,
        {"status": "ok", "phase": "running", "reasons": [], "alerts": {}},
    )


def test_a_dead_worker_makes_it_neither_until_the_workers_are_back(
    server: health.HealthServer, totals: LiveTotals
) -> None:
    begin(totals)
    totals.happened(RunEvent(0, "error", "worker_died", "worker 0 was ended by SIGKILL"))
    for path in ("/healthz", "/readyz"):
        status, body = state(server, path)
        assert (status, body["phase"]) == (503, "restarting")
        assert body["reasons"][0] == "the workers are being started again: worker 0 was ended by SIGKILL"
    totals.note(WorkerStarted(0, 2.0))
    assert state(server, "/healthz")[0] == 200
    assert state(server, "/readyz")[0] == 503
    totals.note(progress("p0"))
    totals.note(shard_status("a"))
    assert state(server, "/readyz")[0] == 200


def test_a_run_that_stops_is_healthy_but_not_ready(server: health.HealthServer, totals: LiveTotals) -> None:
    begin(totals)
    totals.happened(RunEvent(0, "info", "run_stopping", ""))
    assert state(server, "/healthz")[0] == 200
    assert state(server, "/readyz") == (
        503,
        {"status": "unavailable", "phase": "stopping", "reasons": ["the run is being stopped"], "alerts": {}},
    )


def test_alerts_are_told_but_dont_make_a_run_unready(server: health.HealthServer, totals: LiveTotals) -> None:
    begin(totals)
    totals.happened(RunEvent(0, "warning", "store_away", "since noon"))
    status, body = state(server, "/readyz")
    assert (status, body["alerts"]) == (200, {"store_away": "since noon"})


def test_metrics_are_what_a_scraper_reads(server: health.HealthServer, totals: LiveTotals) -> None:
    begin(totals)
    status, content_type, body = ask(server, "/metrics?a=b")
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    families = {family.name: family for family in text_string_to_metric_families(body)}
    assert families["footfall_records"].samples[0].value == 5
    _, content_type, body = ask(
        server, "/metrics", Accept="application/openmetrics-text;version=1.0.0,*/*;q=0.1"
    )
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith("# EOF\n")


def test_other_paths_and_methods_are_refused_and_head_has_no_body(server: health.HealthServer) -> None:
    status, _, body = ask(server, "/")
    assert (status, body) == (404, "there is nothing here; ask /metrics /healthz /readyz\n")
    assert ask(server, "/metrics", "POST")[0] == 501
    status, _, body = ask(server, "/readyz", "HEAD")
    assert (status, body) == (503, "")


def test_many_may_ask_while_messages_come(server: health.HealthServer, totals: LiveTotals) -> None:
    begin(totals)
    done = threading.Event()

    def chatter() -> None:
        number = 0
        while not done.is_set() and number < 1_000_000:
            number += 1
            totals.note(progress(f"p{number % 20}", number, dead_reasons={f"reason {number % 30}": number}))

    talker = threading.Thread(target=chatter)
    talker.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: ask(server, "/metrics")[0], range(40)))
    finally:
        done.set()
        talker.join()
    assert answers == [200] * 40


def test_a_client_that_says_nothing_keeps_nobody_waiting(server: health.HealthServer) -> None:
    with closing(socket.create_connection(("127.0.0.1", server.port))):
        assert state(server, "/healthz")[0] == 200


def test_a_closed_server_answers_nobody_and_closes_twice(totals: LiveTotals) -> None:
    server = health.start("127.0.0.1:0", totals)
    assert server.url == f"http://127.0.0.1:{server.port}"
    server.close()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        ask(server, "/healthz")
    with closing(health.start(f"127.0.0.1:{server.port}", totals)) as again:
        assert again.port == server.port


def test_a_port_that_is_taken_is_said_at_once(server: health.HealthServer, totals: LiveTotals) -> None:
    with pytest.raises(UsageError, match=rf"127.0.0.1:{server.port}: the port is taken .*--metrics"):
        health.start(f"127.0.0.1:{server.port}", totals)


@pytest.mark.parametrize(
    "text", ["", "9464", ":9464", "host:", "host:port", "host:99999", "::1:9464", "h:-1", "h:²"]
)
def test_what_is_no_address_is_refused(text: str, totals: LiveTotals) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        health.start(text, totals)


def test_addresses_are_parsed() -> None:
    assert health.parse_address("127.0.0.1:9464") == ("127.0.0.1", 9464)
    assert health.parse_address("[::1]:0") == ("::1", 0)
    assert health.parse_address(" localhost:1 ") == ("localhost", 1)


def test_a_host_that_isnt_this_machines_is_refused(totals: LiveTotals) -> None:
    # 192.0.2.0/24 is for documentation; no machine has it.
    with pytest.raises(UsageError, match=r"can't be served at 192\.0\.2\.1:0"):
        health.start("192.0.2.1:0", totals)


def test_an_ipv6_address_works_where_there_is_one(totals: LiveTotals) -> None:
    try:
        with closing(socket.socket(socket.AF_INET6)) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with closing(health.start("[::1]:0", totals)) as server:
        assert server.url == f"http://[::1]:{server.port}"
        with closing(http.client.HTTPConnection("::1", server.port, timeout=10)) as connection:
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
