"""Apache Kafka for tests: one node or three (KRaft), as processes that end with the test process.

The jars come from Maven Central by `tests/kafka/pom.xml`, once, into the git-ignored `build/kafka`.
"""

import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

ROOT = Path(__file__).resolve().parents[1]
POM = ROOT / "tests" / "kafka" / "pom.xml"
JARS = ROOT / "build" / "kafka"
HEAP = "512m"
# Half of the processor time to get up, and on two shared cores no slower afterwards.
QUICK_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
UP_SECONDS = 60.0
USER, PASSWORD = "tester", "tester-secret"  # of the SASL listener
# Below the range that outgoing connections take theirs from: a client that knocks at a dead broker's port would
# now and then be given that very port, and be connected to itself.
_PORTS = range(12_000, 32_000)

_NOT_YET = frozenset(
    {"INVALID_REPLICATION_FACTOR", "NOT_CONTROLLER", "REQUEST_TIMED_OUT", "_TIMED_OUT", "_TRANSPORT"}
)


def missing() -> str | None:
    """What this machine lacks for running a broker, or None."""
    lacking = [each for each in ("java", "mvn") if shutil.which(each) is None]
    return f"no {' and no '.join(lacking)} on the PATH, which a Kafka broker needs" if lacking else None


def class_path() -> str:
    """The broker's class path; the jars are copied if they aren't there yet (safe in parallel processes)."""
    JARS.mkdir(parents=True, exist_ok=True)
    with (JARS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # The folder's name changes with the pom's content, and it appears whole or not at all.
        folder = JARS / f"jars-{uuid.uuid5(uuid.NAMESPACE_OID, POM.read_text(encoding='utf-8')).hex[:8]}"
        if not folder.is_dir():
            unfinished = folder.with_suffix(".new")
            shutil.rmtree(unfinished, ignore_errors=True)
            copy = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
            _run([*copy, f"-DoutputDirectory={unfinished}"])
            unfinished.rename(folder)
    return f"{folder}/*"


@dataclass(slots=True)
class _Node:
    number: int
    folder: Path
    port: int
    sasl_port: int
    controller_port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "server.log"


class KafkaCluster:
    """Brokers that are also controllers, on free ports of 127.0.0.1, with their data and logs in `folder`.

    There are two listeners: one without authentication (`bootstrap`), one with SASL PLAIN (`sasl_bootstrap`,
    `USER`, `PASSWORD`), whose user may do whatever no ACL denies. Nodes are counted from 0. Topics aren't
    created by being used; retention and compaction are looked after every second or less.

    Args:
        folder: an empty or new folder.
        nodes: 1 or 3.
        properties: further broker properties; they go before the ones set here.
        java_options: of the brokers; for long benchmarks, give none to have the full compiler.
    """

    def __init__(
        self,
        folder: Path,
        nodes: int = 1,
        properties: Mapping[str, str] | None = None,
        java_options: Sequence[str] = QUICK_START,
    ) -> None:
        self.folder = folder
        # As Kafka makes them: never with a dash first, which would be taken for an option.
        self.cluster_id = urlsafe_b64encode(b"\x00" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
        ports = _free_ports(3 * nodes)
        self._nodes = [
            _Node(number, folder / f"node{number}", ports.pop(), ports.pop(), ports.pop())
            for number in range(nodes)
        ]
        self._properties = dict(properties or {})
        self._java_options = tuple(java_options)
        self._admin: AdminClient | None = None

    @property
    def bootstrap(self) -> str:
        """The bootstrap servers, without authentication."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self._nodes)

    @property
    def sasl_bootstrap(self) -> str:
        """The bootstrap servers of the SASL_PLAINTEXT listener (mechanism PLAIN)."""
        return ",".join(f"127.0.0.1:{node.sasl_port}" for node in self._nodes)

    @property
    def admin(self) -> AdminClient:
        """A client for topics, configurations and the like; one for the cluster's life."""
        if self._admin is None:
            self._admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        return self._admin

    def start(self) -> None:
        """Format the storage, start all nodes, and wait until each of them serves."""
        for node in self._nodes:
            node.folder.mkdir(parents=True)
            settings = "".join(f"{key}={value}\n" for key, value in self._settings(node).items())
            (node.folder / "server.properties").write_text(settings, encoding="utf-8")
            tool = [*_java("128m", QUICK_START), "kafka.tools.StorageTool"]
            _run([*tool, "format", "-t", self.cluster_id, "-c", str(node.folder / "server.properties")])
        for node in self._nodes:
            self._launch(node)
        self.wait_until_up()

    def wait_until_up(self, seconds: float = UP_SECONDS) -> None:
        """Wait until every node that should run is registered, and serves."""
        running = {node.number for node in self._nodes if node.process is not None}
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for node in self._nodes:
                if node.process is not None and node.process.poll() is not None:
                    raise RuntimeError(f"Kafka node {node.number} ended:\n{_tail(node.log)}")
            try:
                if running <= set(self.admin.list_topics(timeout=2).brokers):
                    return
            except KafkaException:
                pass
            time.sleep(0.05)
        logs = "\n".join(_tail(node.log) for node in self._nodes)
        raise RuntimeError(f"Kafka wasn't up after {seconds:g} s:\n{logs}")

    def kill(self, node: int = 0) -> None:
        """End a node at once (SIGKILL)."""
        self._end(self._nodes[node], signal.SIGKILL)

    def stop(self, node: int = 0) -> None:
        """End a node in order (SIGTERM)."""
        self._end(self._nodes[node], signal.SIGTERM)

    def pause(self, node: int = 0) -> None:
        """Halt a node's process (SIGSTOP): its connections stay open, and nothing answers."""
        self._signal(self._nodes[node], signal.SIGSTOP)

    def resume(self, node: int = 0) -> None:
        """Let a halted node go on."""
        self._signal(self._nodes[node], signal.SIGCONT)

    def restart(self, node: int = 0) -> None:
        """Start a node that was killed or stopped again, on its ports and data, and wait until it serves."""
        if self._nodes[node].process is not None:
            raise ValueError(f"Kafka node {node} is running")
        self._launch(self._nodes[node])
        self.wait_until_up()

    def pid(self, node: int = 0) -> int:
        """The process id of a running node."""
        process = self._nodes[node].process
        if process is None:
            raise ValueError(f"Kafka node {node} isn't running")
        return process.pid

    def close(self) -> None:
        """End all nodes at once; their data stays."""
        self._admin = None
        for node in self._nodes:
            self._end(node, signal.SIGKILL)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def new_topic(
        self,
        partitions: int = 1,
        *,
        name: str | None = None,
        log_append_time: bool = True,
        config: Mapping[str, str] | None = None,
    ) -> str:
        """Create a topic, replicated to all nodes, under that name or a unique one, and wait until it is there."""
        name = name or f"topic-{uuid.uuid4().hex[:12]}"
        settings = {"message.timestamp.type": "LogAppendTime" if log_append_time else "CreateTime"}
        topic = NewTopic(
            name,
            num_partitions=partitions,
            replication_factor=len(self._nodes),
            config=settings | dict(config or {}),
        )
        until = time.monotonic() + 60
        again = False
        while True:
            try:
                self.admin.create_topics([topic], operation_timeout=5, request_timeout=5)[name].result(
                    timeout=20
                )
                break
            except KafkaException as error:
                # Just after a start a node may not have found the controller, nor the controller all nodes.
                code = error.args[0].name()
                if again and code == "TOPIC_ALREADY_EXISTS":
                    break
                if code not in _NOT_YET or time.monotonic() > until:
                    raise
                again = True
                time.sleep(0.1)
        self._wait_for_partitions(name, partitions)
        return name

    def add_partitions(self, topic: str, total: int) -> None:
        """Give a topic more partitions, `total` in all, and wait until they are there."""
        self.admin.create_partitions([NewPartitions(topic, total)], operation_timeout=30)[topic].result(
            timeout=40
        )
        self._wait_for_partitions(topic, total)

    def delete_topic(self, topic: str) -> None:
        """Delete a topic."""
        self.admin.delete_topics([topic], operation_timeout=30)[topic].result(timeout=40)

    def _wait_for_partitions(self, topic: str, partitions: int) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            found = self.admin.list_topics(topic, timeout=10).topics[topic].partitions
            if len(found) == partitions and all(each.leader >= 0 for each in found.values()):
                return
            time.sleep(0.02)
        raise RuntimeError(f"topic {topic} hasn't {partitions} partitions with leaders after 30 s")

    def _settings(self, node: _Node) -> dict[str, str]:
        copies = str(len(self._nodes))
        own, sasl = f"127.0.0.1:{node.port}", f"127.0.0.1:{node.sasl_port}"
        login = "org.apache.kafka.common.security.plain.PlainLoginModule"
        return {
            "process.roles": "broker,controller",
            "node.id": str(node.number),
            "controller.quorum.voters": ",".join(
                f"{each.number}@127.0.0.1:{each.controller_port}" for each in self._nodes
            ),
            "listeners": f"PLAINTEXT://{own},SASL_PLAINTEXT://{sasl},"
            f"CONTROLLER://127.0.0.1:{node.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{own},SASL_PLAINTEXT://{sasl}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,"
            "CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": f'{login} required user_{USER}="{PASSWORD}";',
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "allow.everyone.if.no.acl.found": "true",
            "log.dirs": str(node.folder / "data"),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "num.network.threads": "2",
            "num.io.threads": "4",
            "group.initial.rebalance.delay.ms": "0",
            # A killed node is noticed within seconds.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            "log.initial.task.delay.ms": "200",
            "log.retention.check.interval.ms": "500",
            "log.cleaner.backoff.ms": "200",
            "log.cleaner.dedupe.buffer.size": str(32 << 20),
        } | self._properties

    def _launch(self, node: _Node) -> None:
        command = [*_java(HEAP, self._java_options), "kafka.Kafka", str(node.folder / "server.properties")]
        if shutil.which("setpriv"):  # on Linux: so that no broker outlives a test process that was killed
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        with node.log.open("ab") as log:
            # A session of its own: Ctrl-C is for the tests, which then end the broker.
            node.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _end(self, node: _Node, how: signal.Signals) -> None:
        process, node.process = node.process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=30)

    def _signal(self, node: _Node, number: signal.Signals) -> None:
        os.kill(self.pid(node.number), number)


class KafkaBroker(KafkaCluster):
    """A cluster of one node."""

    def __init__(
        self,
        folder: Path,
        properties: Mapping[str, str] | None = None,
        java_options: Sequence[str] = QUICK_START,
    ) -> None:
        super().__init__(folder, 1, properties, java_options)


def _java(heap: str, options: Sequence[str]) -> list[str]:
    level = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return ["java", f"-Xmx{heap}", *options, "-XX:+PerfDisableSharedMem", level, "-cp", class_path()]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    choose = random.SystemRandom()
    while len(found) < count:
        port = choose.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-4000:] if log.exists() else "(no log)"
