"""How Kafka is reached: the properties file, what Footfall owns, secrets, and what errors say; without a broker."""

import logging
import pickle
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from footfall.errors import FootfallError, SettingsError
from footfall.kafka_client import KafkaClient, LibrdkafkaLog, broker_error, error_of, explain
from footfall.kafka_properties import OWNED, read_properties

SECRET = "s3cret-v4lue"


def _file(folder: Path, text: str) -> Path:
    path = folder / "client.properties"
    path.write_text(text, encoding="utf-8")
    return path


def _problems(folder: Path, text: str, bootstrap: str = "k:9092") -> list[str]:
    with pytest.raises(SettingsError) as raised:
        KafkaClient(bootstrap, _file(folder, text))
    return [problem.replace(f"{folder}/client.properties", "FILE") for problem in raised.value.problems]


def test_a_plain_client_needs_only_brokers() -> None:
    client = KafkaClient("a:9092, b:9093")
    assert client.servers == "a:9092, b:9093"
    consumer = client.consumer_config(fetch_wait_max_ms=7)
    assert consumer["bootstrap.servers"] == "a:9092, b:9093"
    assert consumer["fetch.wait.max.ms"] == 7
    assert consumer["enable.auto.commit"] is False
    assert consumer["isolation.level"] == "read_committed"
    assert client.producer_config()["enable.idempotence"] is True
    Consumer(consumer).close()
    Producer(client.producer_config())
    AdminClient(client.admin_config())


def test_the_file_is_read_as_java_reads_it(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        "# a comment\n! another\n\n  client.id = shop \nlinger.ms:7\ncompression.type=lz4\n"
        "client.rack=a=b\nssl.cipher.suites=one,\\\n  two\n",
    )
    found = read_properties(path)
    assert found.problems == []
    assert found.values == {
        "client.id": "shop",
        "linger.ms": "7",
        "compression.type": "lz4",
        "client.rack": "a=b",
        "ssl.cipher.suites": "one,two",
    }
    assert KafkaClient("k:1", path).producer_config(linger_ms=5)["linger.ms"] == "7"


def test_brokers_may_stand_in_the_file(tmp_path: Path) -> None:
    client = KafkaClient("", _file(tmp_path, "bootstrap.servers=k:9092\n"))
    assert client.servers == client.consumer_config()["bootstrap.servers"] == "k:9092"


def test_secrets_come_from_the_environment_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_USER", "me")
    (tmp_path / "plain").write_text(f"{SECRET}\n")
    (tmp_path / "many").write_text(f"other=1\npassword = {SECRET}2\n")
    lines = "sasl.username=${{env:KAFKA_USER}}-${{env:KAFKA_USER}}\nsasl.password=${{file:{0}}}\n"
    path = _file(tmp_path, lines.format(tmp_path / "plain"))
    config = KafkaClient("k:1", path).consumer_config()
    assert (config["sasl.username"], config["sasl.password"]) == ("me-me", SECRET)
    path = _file(tmp_path, lines.format(f"{tmp_path / 'many'}:password"))
    assert KafkaClient("k:1", path).consumer_config()["sasl.password"] == f"{SECRET}2"


def test_a_renewed_secret_is_used_by_the_next_client(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("old")
    client = KafkaClient("k:1", _file(tmp_path, f"sasl.password=${{file:{tmp_path / 'password'}}}\n"))
    (tmp_path / "password").write_text("new")
    assert client.consumer_config()["sasl.password"] == "new"
    (tmp_path / "password").unlink()
    with pytest.raises(SettingsError, match="can't be read"):
        client.consumer_config()


def test_no_secret_is_in_the_object_or_its_pickle(tmp_path: Path) -> None:
    client = KafkaClient("k:1", _file(tmp_path, f"sasl.username=me\nsasl.password={SECRET}\n"))
    assert client.consumer_config()["sasl.password"] == SECRET
    kept = pickle.dumps(client)
    assert SECRET.encode() not in kept
    assert pickle.loads(kept) == client
    assert SECRET not in repr(client)
    assert client.properties is not None
    assert SECRET not in repr(read_properties(client.properties))


def test_all_that_is_wrong_is_said_at_once_and_no_value(tmp_path: Path) -> None:
    text = (
        f"sasl.pasword={SECRET}\n"
        "no property\n"
        "=x\n"
        "bootstrap.servers=k:1\n"
        "group.id=mine\n"
        f"security.protocol={SECRET}\n"
        "fetch.wait.max.ms=-3\n"
        "linger.ms=1\n"
        "linger.ms=2\n"
        "ssl.key.password=${env:NOT_SET_ANYWHERE}\n"
        "sasl.password=${file:/nowhere/at/all}\n"
        "sasl.username=${vault:x}\n"
        f"ssl.truststore.location=/{SECRET}\n"
        "error_cb=x\n"
        "enable.idempotence=false\n"
    )
    found = _problems(tmp_path, text)
    assert [problem for problem in found if SECRET in problem] == []
    expected = [
        "FILE, line 1: sasl.pasword is unknown; the properties are those of librdkafka",
        "FILE, line 2: neither a comment nor key=value",
        "FILE, line 3: neither a comment nor key=value",
        "FILE, line 4: bootstrap.servers is given by the setting `kafka` too",
        "FILE, line 5: group.id is Footfall's own; take it out (there is no consumer group",
        "FILE, line 6: security.protocol has a value that won't do",
        "FILE, line 7: fetch.wait.max.ms has a value that won't do (it has to be in 0..300000)",
        "FILE, line 9: linger.ms is given again; it stands in FILE, line 8 too",
        "FILE, line 10: ssl.key.password: the environment variable NOT_SET_ANYWHERE isn't set",
        "FILE, line 11: sasl.password: the file /nowhere/at/all can't be read: No such file or directory",
        "FILE, line 12: sasl.username: ${vault:…} isn't known",
        "FILE, line 13: ssl.truststore.location is the Java client's; give ssl.ca.location",
        "FILE, line 14: error_cb can't be given in a file",
        "FILE, line 15: enable.idempotence is Footfall's own; take it out (what is sent",
    ]
    assert len(found) == len(expected)
    for start in expected:
        assert len([problem for problem in found if problem.startswith(start)]) == 1, start


@pytest.mark.parametrize("name", sorted(OWNED))
def test_what_footfall_owns_can_be_given_by_nobody(tmp_path: Path, name: str) -> None:
    (problem,) = _problems(tmp_path, f"{name}=1\n")
    assert problem.startswith(f"FILE, line 1: {name} is Footfall's own")


def test_properties_that_dont_go_together_are_told_without_secrets(tmp_path: Path) -> None:
    (problem,) = _problems(
        tmp_path, f"security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.password={SECRET}\n"
    )
    assert "sasl.username and sasl.password must be set" in problem
    (tmp_path / "ca").write_text(f"/nowhere/{SECRET}")
    (problem,) = _problems(tmp_path, f"security.protocol=SSL\nssl.ca.location=${{file:{tmp_path / 'ca'}}}\n")
    assert "ssl.ca.location failed" in problem
    assert SECRET not in problem


@pytest.mark.parametrize("line", ["retries=0", "max.in.flight=6", "queuing.strategy=lifo"])
def test_what_an_idempotent_producer_cant_have_is_told_before_there_is_one(tmp_path: Path, line: str) -> None:
    (problem,) = _problems(tmp_path, f"{line}\n")
    assert "don't go together" in problem
    assert "enable.idempotence" in problem


@pytest.mark.parametrize("servers", ["k", "k:", ":9092", "k:x", "k:0", "k:70000", "k:1,,l:2"])
def test_brokers_are_host_and_port(servers: str) -> None:
    with pytest.raises(SettingsError, match="isn't host:port"):
        KafkaClient(servers)


def test_without_brokers_or_a_file_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no brokers are named"):
        KafkaClient("")
    with pytest.raises(SettingsError, match=r"kafka_properties: .*none can't be read"):
        KafkaClient("k:1", tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe=1")
    with pytest.raises(SettingsError, match="isn't UTF-8"):
        KafkaClient("k:1", tmp_path / "binary")


def test_what_librdkafka_repeats_is_for_debugging(caplog: pytest.LogCaptureFixture) -> None:
    log = LibrdkafkaLog()
    with caplog.at_level(logging.DEBUG):
        log.log(logging.ERROR, "%s [%s] %s", "FAIL", "c-1", "Connection refused")
        log.log(logging.WARNING, "%s [%s] %s", "CONFWARN", "c-1", "linger.ms is a producer property")
        log.log(logging.ERROR, "%s [%s] %s", "SSL", "c-1", "handshake")
    assert [record.levelno for record in caplog.records] == [logging.DEBUG, logging.DEBUG, logging.ERROR]
    assert caplog.records[2].getMessage() == "SSL [c-1] handshake"
    assert {record.name for record in caplog.records} == {"footfall.kafka"}


def test_errors_say_what_where_and_what_to_do() -> None:
    denied = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    error = broker_error(KafkaException(denied), "asking for topic events")
    assert isinstance(error, FootfallError)
    assert str(error).startswith("Kafka, asking for topic events: ")
    assert "ACL on the topic" in str(error)
    assert (error.code, error.retriable) == ("TOPIC_AUTHORIZATION_FAILED", False)
    assert broker_error(KafkaError(KafkaError._TRANSPORT), "x").retriable
    assert explain(KafkaError(KafkaError._STATE, "odd.")) == "odd (_STATE)"
    assert error_of(KafkaException("bare")).str() == "bare"
