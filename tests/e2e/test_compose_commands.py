"""What docker-compose.yml runs, run as plain processes: with its settings and commands, only elsewhere."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import kafka_broker
from compose_file import services, settings_of
from kafka_broker import KafkaBroker
from kafka_messages import topic_ends

from footfall import health
from footfall.kafka_client import KafkaClient
from footfall.live_totals import LiveTotals
from footfall.run_messages import WorkerFailed, WorkerStarted
from footfall.simulate import Simulation
from footfall.simulate_to_kafka import kafka_topic, simulate_to_kafka
from footfall.store import StoreAddress, parse_dsn
from footfall.store_owner import ensure_owner

SERVICES = services()
ROOT = Path(__file__).resolve().parents[2]
UP_SECONDS = 60.0


class ComposeBroker(KafkaBroker):
    """A broker with the properties that the file gives it, on free ports of this machine."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (node,) = self._nodes
        node.number = int(settings_of(SERVICES["kafka"])["KAFKA_NODE_ID"])
        self.ports = {"19092": node.port, "9092": node.sasl_port, "9093": node.controller_port}
        for name, value in settings_of(SERVICES["kafka"]).items():
            if not name.startswith("KAFKA_"):
                continue
            given = value
            if "LISTENERS" in name or "VOTERS" in name:
                given = re.sub(r"(?<=:)(\d{4,5})\b", lambda match: str(self.ports[match[1]]), given)
                given = re.sub(r"(?<=[/@])(kafka|localhost)?(?=:)", "127.0.0.1", given)
            self._properties[name.removeprefix("KAFKA_").lower().replace("_", ".")] = given
        self._properties["log.dirs"] = str(folder / "data")
        self.cluster_id = settings_of(SERVICES["kafka"])["CLUSTER_ID"]

    def _settings(self, node: kafka_broker._Node) -> dict[str, str]:
        return dict(self._properties)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeBroker]:
    if lacking := kafka_broker.missing():
        pytest.skip(lacking)
    broker = ComposeBroker(tmp_path_factory.mktemp("compose"))
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(name: str, broker: ComposeBroker, folder: Path, port: int) -> dict[str, str]:
    """A service's environment with what is elsewhere here; the rest of it as it stands."""
    given = settings_of(SERVICES[name])
    elsewhere = {
        "FOOTFALL_KAFKA": broker.bootstrap,
        "FOOTFALL_METRICS": f"127.0.0.1:{port}",
        "FOOTFALL_STATE": str(folder / "state"),
        "FOOTFALL_STORE": "none",
    }
    given |= {each: value for each, value in elsewhere.items() if each in given}
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TMPDIR": str(folder / "tmp"), **given}


@contextmanager
def process(command: Sequence[str], cwd: Path, given: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that has ended by the end of the block, and its group with it."""
    started = subprocess.Popen(
        command, cwd=cwd, env=dict(given), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        with started:
            yield started
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)


def healthy(name: str, port: int) -> bool:
    """What the service's health command says, asked at another port."""
    command, change = re.subn(
        r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", json.dumps(SERVICES[name]["healthcheck"]["test"][1:])
    )
    assert change == 1
    words = json.loads(command)
    if words[0] == "python":
        words[0] = sys.executable
    return subprocess.run(words, capture_output=True, timeout=30, check=False).returncode == 0


def wait_until_healthy(name: str, port: int, *processes: subprocess.Popen[str]) -> None:
    until = time.monotonic() + UP_SECONDS
    while not healthy(name, port):
        for each in processes:
            assert each.poll() is None, each.stdout.read() if each.stdout else ""
        assert time.monotonic() < until
        time.sleep(0.2)


def footfall(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "footfall.cli", *words]


def apply_topics(broker: ComposeBroker, folder: Path) -> str:
    (folder / "tmp").mkdir(exist_ok=True)
    given = environment("topics", broker, folder, 0) | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        footfall(SERVICES["topics"]["command"]), cwd=folder, env=given, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for_matches(broker: ComposeBroker, *processes: subprocess.Popen[str]) -> None:
    """Send what the simulator would, and wait until matches are told of it."""
    topic = kafka_topic(SERVICES["simulator"]["command"][1])
    assert topic is not None
    before = sum(topic_ends(broker.bootstrap, "matches").values())
    plan = Simulation(visitors=200, duration=600_000, rate=20, seed=time.time_ns() % 1_000_000)
    simulate_to_kafka(plan, KafkaClient(broker.bootstrap), topic, speed=600)
    until = time.monotonic() + UP_SECONDS
    while sum(topic_ends(broker.bootstrap, "matches").values()) == before:
        for each in processes:
            assert each.poll() is None
        assert time.monotonic() < until
        time.sleep(0.2)


def test_kafka_is_healthy_once_it_serves_and_not_before(broker: ComposeBroker) -> None:
    test = SERVICES["kafka"]["healthcheck"]["test"]
    assert test[1] == "/opt/kafka/bin/kafka-configs.sh"  # a script that runs the class below

    def asked(server: str, seconds: float = 15.0) -> bool:
        words = [re.sub(r"localhost:19092", server, word) for word in test[2:]]
        command = [*kafka_broker._java("128m", kafka_broker.QUICK_START), "kafka.admin.ConfigCommand", *words]
        try:
            done = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            return False  # as the container's health check has it, within its time
        return done.returncode == 0

    assert asked(broker.bootstrap)
    assert not asked(f"127.0.0.1:{free_port()}", 4.0)


def test_the_flows_health_is_that_of_its_run() -> None:
    totals = LiveTotals(partitions=["p0"], shards=["a"], workers=1)
    with closing(health.start("127.0.0.1:0", totals)) as server:
        totals.note(WorkerStarted(0, 1.0))
        assert healthy("live", server.port)
        totals.note(WorkerFailed(0, "it broke", 1, ""))
        assert not healthy("live", server.port)
    assert not healthy("live", server.port)


@pytest.mark.skipif(shutil.which("wget") is None, reason="no wget, which ClickHouse's health check calls")
def test_clickhouse_is_asked_as_its_interface_answers(tmp_path: Path) -> None:
    owner = ensure_owner(StoreAddress("embedded", folder=tmp_path / "store"))
    try:
        port = parse_dsn(owner.url.replace("http://", "clickhouse://", 1)).port
        assert healthy("clickhouse", port)
    finally:
        owner.close()
    assert not healthy("clickhouse", free_port())


def test_the_live_service_runs_stops_in_order_and_writes_where_it_may(
    broker: ComposeBroker, tmp_path: Path
) -> None:
    apply_topics(broker, tmp_path)
    assert "create" not in apply_topics(broker, tmp_path).lower()
    port = free_port()
    given = environment("live", broker, tmp_path, port) | {"PYTHONPATH": str(ROOT)}
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    with process(footfall(SERVICES["live"]["command"]), cwd, given) as live:
        wait_until_healthy("live", port, live)
        wait_for_matches(broker, live)
        live.send_signal(signal.SIGTERM)
        assert live.wait(60) == 128 + signal.SIGTERM
        assert live.stdout is not None
        said = live.stdout.read()
    assert list(cwd.iterdir()) == []
    assert not re.search(r"Traceback|secret", said), said


class Members:
    """The cluster's members, on addresses of this machine."""

    def __init__(self, broker: ComposeBroker, folder: Path) -> None:
        self._broker = broker
        self._folder = folder
        self._addresses = {f"{name}:2101": f"127.0.0.1:{free_port()}" for name in ("member-0", "member-1")}
        self.running: dict[str, subprocess.Popen[str]] = {}

    def start(self) -> None:
        """Start both, and wait until they are healthy."""
        ports = {name: free_port() for name in ("member-0", "member-1")}
        for name, port in ports.items():
            given = environment(name, self._broker, self._folder, port) | {"PYTHONPATH": str(ROOT)}
            self.running[name] = subprocess.Popen(
                self._command(name), cwd=self._folder, env=given, start_new_session=True, text=True
            )
        for name, port in ports.items():
            wait_until_healthy(name, port, *self.running.values())
        # A member waits for its peers, and is healthy meanwhile.
        wait_for_matches(self._broker, *self.running.values())

    def _command(self, name: str) -> list[str]:
        _, _, module, flow = SERVICES[name]["entrypoint"]
        words = "\n".join(SERVICES[name]["command"]).replace("/var/lib/footfall", str(self._folder))
        for host, address in self._addresses.items():
            words = words.replace(host, address)
        return [
            sys.executable,
            "-m",
            module,
            flow.removeprefix("footfall.content_files."),
            *words.split("\n"),
        ]

    def close(self) -> None:
        """End them at once."""
        for member in self.running.values():
            if member.poll() is None:
                os.killpg(member.pid, signal.SIGKILL)
            member.wait(10)


def test_the_cluster_ends_together_and_comes_back(broker: ComposeBroker, tmp_path: Path) -> None:
    apply_topics(broker, tmp_path)
    with closing(Members(broker, tmp_path)) as members:
        members.start()
        members.running["member-1"].kill()
        members.running["member-1"].wait(10)
        # Its peer ends as well, and compose starts both again.
        assert members.running["member-0"].wait(60) != 0
        members.start()
        for member in members.running.values():
            member.send_signal(signal.SIGTERM)
        assert {member.wait(60) for member in members.running.values()} == {128 + signal.SIGTERM}
