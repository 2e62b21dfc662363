"""The control records of a run: kept first, then told, and told again until the topic has them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from control_records import control_record
from hand_clock import Hand

from footfall.control_log import ControlLog
from footfall.control_record import ControlRecord, standing_records
from footfall.control_topic import ControlTopic
from footfall.errors import BrokerError, ControlError, FootfallError, SourceError, StateError
from footfall.kafka_client import KafkaClient
from footfall.state_folder import StateFolder

AWAY = BrokerError("no answer", code="_TIMED_OUT", retriable=True)
MISSING = BrokerError("there is no topic control", code="UNKNOWN_TOPIC_OR_PART", retriable=False)
LARGE = ControlError("it is too large", where="topic control")


class Topic(ControlTopic):
    """A topic in memory."""

    def __init__(self) -> None:
        super().__init__(KafkaClient("127.0.0.1:1"))
        self.written: list[ControlRecord] = []
        self.fault: FootfallError | None = None
        self.tried = 0
        self.takes = 1_000

    def read_all(self) -> list[ControlRecord]:
        if self.fault is not None:
            raise self.fault
        return list(standing_records(self.written))

    def write(self, record: ControlRecord) -> None:
        self.tried += 1
        if self.fault is not None:
            raise self.fault
        if not self.takes:
            raise AWAY
        self.takes -= 1
        self.written.append(record)

    @property
    def numbers(self) -> list[int]:
        return [record.number for record in self.written]


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFolder]:
    state = StateFolder(tmp_path / "state")
    yield state
    state.close()


@pytest.fixture
def log(state: StateFolder, topic: Topic, hand: Hand) -> ControlLog:
    return ControlLog(state, topic, clock=hand)


def test_a_record_is_kept_before_it_is_told(log: ControlLog, state: StateFolder, topic: Topic) -> None:
    assert log.records == ()
    for number in range(2):
        log.add(control_record(number))
    assert state.controls() == ((control_record(0), control_record(1)), 0)
    assert topic.tried == 0
    assert log.publish() is None
    assert topic.written == list(log.records) == [control_record(0), control_record(1)]
    assert state.controls() == (log.records, 2)


def test_each_is_told_once(log: ControlLog, topic: Topic, hand: Hand) -> None:
    for number in range(3):
        log.add(control_record(number))
        for _ in range(3):
            assert log.publish() is None
            hand.now += 100
    assert topic.numbers == [0, 1, 2]


@pytest.mark.parametrize("fault", [AWAY, MISSING, LARGE], ids=["away", "missing", "large"])
def test_what_the_topic_does_not_take_is_tried_again_by_and_by(
    log: ControlLog, state: StateFolder, topic: Topic, hand: Hand, fault: FootfallError
) -> None:
    topic.fault = fault
    log.add(control_record(0))
    assert log.publish() is fault
    for _ in range(9):
        hand.now += 1
        assert log.publish() is None, "it isn't asked without a pause"
    assert topic.tried == 1
    hand.now += 1
    assert log.publish() is fault
    assert topic.tried == 2
    assert state.controls() == ((control_record(0),), 0)
    topic.fault = None
    hand.now += 10
    assert log.publish() is None
    assert topic.numbers == [0]
    assert state.controls() == ((control_record(0),), 1)


def test_a_new_record_is_told_without_waiting_for_the_pause(log: ControlLog, topic: Topic) -> None:
    topic.fault = AWAY
    log.add(control_record(0))
    assert log.publish() is AWAY
    topic.fault = None
    log.add(control_record(1))
    assert log.publish() is None
    assert topic.numbers == [0, 1]


def test_what_went_through_before_the_fault_is_not_told_again(
    log: ControlLog, state: StateFolder, topic: Topic, hand: Hand
) -> None:
    topic.takes = 2
    for number in range(4):
        log.add(control_record(number))
    assert log.publish() is AWAY
    assert state.controls()[1] == 2
    topic.takes = 9
    hand.now += 10
    assert log.publish() is None
    assert topic.numbers == [0, 1, 2, 3]


def test_a_restart_tells_what_is_missing(
    log: ControlLog, state: StateFolder, topic: Topic, hand: Hand
) -> None:
    log.add(control_record(0))
    assert log.publish() is None
    log.add(control_record(1))
    log.add(control_record(2))
    again = ControlLog(state, topic, clock=hand)
    assert again.records == log.records
    assert again.publish() is None
    assert topic.numbers == [0, 1, 2]


def test_killed_before_it_was_noted_that_the_topic_has_them(
    log: ControlLog, state: StateFolder, topic: Topic, hand: Hand
) -> None:
    for number in range(3):
        log.add(control_record(number))
    assert log.publish() is None
    for published in range(3):
        state.keep_controls(log.records, published)
        again = ControlLog(state, topic, clock=hand)
        assert again.publish() is None
        assert standing_records(topic.written) == log.records


def test_what_cannot_be_kept_does_not_count(
    log: ControlLog, state: StateFolder, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.add(control_record(0))
    with monkeypatch.context() as full:
        full.setattr("os.fsync", _disk_full)
        with pytest.raises(StateError, match=r"controls\.json can't be written: No space left"):
            log.add(control_record(1))
    assert log.records == (control_record(0),)
    assert state.controls() == (log.records, 0)
    log.add(control_record(1, times=9))
    assert log.publish() is None
    assert topic.written == [control_record(0), control_record(1, times=9)]


def test_a_disk_that_is_full_is_told_when_records_went_out(
    log: ControlLog, state: StateFolder, topic: Topic, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.add(control_record(0))
    monkeypatch.setattr("os.fsync", _disk_full)
    assert isinstance(log.publish(), StateError)
    assert topic.numbers == [0]
    hand.now += 100
    assert log.publish() is None
    assert topic.numbers == [0], "not again and again"
    assert state.controls()[1] == 0, "but by the next start"


def _disk_full(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_without_a_topic_records_are_kept_all_the_same(state: StateFolder) -> None:
    log = ControlLog(state, None)
    log.add(control_record(0))
    assert log.publish() is None
    assert log.earlier() == ()
    assert state.controls() == ((control_record(0),), 0)


def test_what_runs_before_left_in_the_topic(log: ControlLog, topic: Topic) -> None:
    assert log.earlier() == ()
    topic.written = [control_record(0), control_record(1)]
    assert log.earlier() == (control_record(0), control_record(1))
    topic.fault = ControlError("its schema is None", where="topic control, offset 0")
    assert log.earlier() == ()


@pytest.mark.parametrize("fault", [AWAY, SourceError("it stopped answering", source="control-0")], ids=type)
def test_a_topic_that_cannot_be_asked_is_an_error(
    log: ControlLog, topic: Topic, fault: FootfallError
) -> None:
    topic.fault = fault
    with pytest.raises(BrokerError, match="answer") as caught:
        log.earlier()
    assert caught.value.retriable


def test_what_is_damaged_is_refused(state: StateFolder, topic: Topic) -> None:
    (state.folder / "controls.json").write_text("{")
    with pytest.raises(StateError, match="damaged"):
        ControlLog(state, topic)
