"""How changed patterns are taken up while a run goes on: held partitions, a record, workers that go by it."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from control_records import LEFT, REMIND, T0, clicks

from footfall.control_log import ControlLog
from footfall.control_record import ControlRecord, content_digest
from footfall.control_topic import ControlTopic
from footfall.errors import BrokerError, FootfallError, PatternFilesError
from footfall.expression import event
from footfall.kafka_client import KafkaClient
from footfall.pattern import Pattern
from footfall.pattern_files import PatternFolder
from footfall.pattern_switch import LEAD_MS, PatternSwitch
from footfall.pattern_watch import PatternWatch
from footfall.read_ahead import NOT_READ, ReadAhead, ReadingTable
from footfall.settings import Settings
from footfall.state_folder import StateFolder
from footfall.trigger_rule import TriggerRule
from footfall.worker_pool import WorkerPool

PARTITIONS = 3
Found = PatternFolder | PatternFilesError | None
BROKEN = PatternFilesError(["mine/one.py:3: it isn't Python"])


def folder(*patterns: Pattern, rules: Sequence[TriggerRule] = (REMIND,)) -> PatternFolder:
    return PatternFolder((*patterns, LEFT), {}, tuple(rules))


FIRST = folder(clicks(2))


class Files(PatternWatch):
    """A folder of patterns that says what it is told to."""

    def __init__(self) -> None:
        super().__init__(None, 0.0)
        self.next: list[Found] = []

    def look(self) -> Found:
        return self.next.pop(0) if self.next else None


class Topic(ControlTopic):
    """A topic in memory that may be away."""

    def __init__(self) -> None:
        super().__init__(KafkaClient("127.0.0.1:1"))
        self.numbers: list[int] = []
        self.fault: FootfallError | None = None

    def write(self, record: ControlRecord) -> None:
        if self.fault is not None:
            raise self.fault
        self.numbers.append(record.number)


class Pool(WorkerPool):
    """Two workers without processes: the test says how far they have read, and whether they hold and take records.

    Attributes:
        read: how far each partition has been read.
        holding: which of them hold when they are asked to.
        taking: which workers take up what they are handed.
        done: what happened, in order: `hand`, `kill`.
        held: whether all partitions held, at each of these.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(2)
        self.reading = ReadingTable(path, PARTITIONS)
        self.table = self.reading
        self.read = [T0 + number for number in range(PARTITIONS)]
        self.holding = set(range(PARTITIONS))
        self.taking = {0, 1}
        self.done: list[str] = []
        self.held: list[bool] = []
        self.records: list[ControlRecord] = []
        self.fault: OSError | None = None
        self.take: Callable[[int, int], None] = lambda _worker, _number: None
        self.ahead = ReadAhead.mapped(path, 10)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(0.001):
            for partition in self.holding:
                self.ahead.is_held(partition, self.read[partition])

    def is_held(self) -> bool:
        """Whether partitions are asked to hold now."""
        return self.ahead.is_held(0, self.read[0])

    def hand(self, record: ControlRecord) -> None:
        if self.fault is not None:
            raise self.fault
        self.done.append("hand")
        self.held.append(self.is_held())
        self.records.append(record)
        for worker in self.taking:
            self.take(worker, record.number)

    def kill(self) -> None:
        self.done.append("kill")
        self.held.append(self.is_held())
        self.table = None

    def restart(self, path: Path) -> None:
        """As if the workers had been started again: another table."""
        self.reading = ReadingTable(path, PARTITIONS)
        self.ahead = ReadAhead.mapped(path, 10)
        self.table = self.reading

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join(10)


class World:
    """A run with its records, and the switch."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = StateFolder(path / "state")
        self.topic = Topic()
        self.log = ControlLog(self.state, self.topic)
        self.log.add(ControlRecord(0, None, FIRST.patterns, FIRST.rules, {"remind": T0 - 5}, T0))
        self.files = Files()
        self.pool = Pool(path / "ahead")
        self.events: list[tuple[str, str]] = []
        self.switch = PatternSwitch(Settings(), self.log, self.files, self.pool, self._happened)
        self.pool.take = self.switch.note_taken
        self.stopped = False

    def _happened(self, event: str, text: str, *, level: str | None = None) -> None:
        self.events.append((event, text))

    @property
    def names(self) -> list[str]:
        """The events' names."""
        return [name for name, _ in self.events]

    def look(self, *found: Found) -> list[str]:
        """Look as often as there is something to find, once at least; the names of the events that come of it."""
        before = len(self.events)
        for each in found or (None,):
            self.files.next = [each]
            self.switch.look(lambda: self.stopped)
        return self.names[before:]

    @property
    def last(self) -> ControlRecord:
        """The last record, which the state has as well."""
        kept, _ = self.state.controls()
        assert kept == self.log.records
        return kept[-1]

    @property
    def reads(self) -> bool:
        """Whether partitions may read."""
        return not self.pool.is_held()

    def close(self) -> None:
        self.pool.close()
        self.state.close()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in ("_HOLD_SECONDS", "_TAKE_SECONDS"):
        monkeypatch.setattr(f"footfall.pattern_switch.{name}", 5.0)
    world = World(tmp_path)
    yield world
    world.close()


@contextmanager
def seconds(monkeypatch: pytest.MonkeyPatch, name: str, value: float) -> Iterator[None]:
    with monkeypatch.context() as short:
        short.setattr(f"footfall.pattern_switch.{name}", value)
        yield


# ---- a change


def test_a_change_is_taken_up(world: World) -> None:
    found = folder(clicks(3))
    assert world.look(None, FIRST) == [], "the first look finds what is in force"
    assert world.look(found) == ["patterns_switched"]
    record = world.last
    assert (record.number, record.patterns, record.rules) == (1, (clicks(3), LEFT), (REMIND,))
    assert record.since == T0 + PARTITIONS - 1 + LEAD_MS, "a minute after the latest of all partitions"
    assert world.events[0][1].startswith("changed pattern clicks; for events at 2025-10-09T")
    assert (world.pool.done, world.pool.held, world.pool.records) == (["hand"], [True], [record])
    assert world.reads
    assert world.look(None, found, None) == []
    assert world.topic.numbers == [0, 1]


def test_what_changes_is_said_by_name(world: World) -> None:
    one = TriggerRule("one", pattern="clicks", action="x")
    other = TriggerRule("remind", pattern="left", action="mail", delay="2 h")
    extra = Pattern("extra").begin("a", event == "a")
    world.look(PatternFolder((clicks(3), extra), {}, (one,)), folder(clicks(3), rules=(one, other)))
    assert [text.partition("; for")[0] for _, text in world.events] == [
        "new pattern extra; changed pattern clicks; gone pattern left; new rule one; gone rule remind",
        "new pattern left; gone pattern extra; new rule remind",
    ]


def test_each_record_is_a_minute_after_the_one_before_at_least(world: World) -> None:
    sinces = []
    for times in (3, 4, 5):
        assert world.look(folder(clicks(times))) == ["patterns_switched"]
        sinces.append(world.last.since)
    latest = T0 + PARTITIONS - 1
    assert sinces == [latest + LEAD_MS, latest + 2 * LEAD_MS, latest + 3 * LEAD_MS]
    world.pool.read[1] = T0 + 10 * LEAD_MS
    world.look(folder(clicks(6)))
    assert world.last.since == T0 + 11 * LEAD_MS
    assert [record.number for record in world.log.records] == [0, 1, 2, 3, 4]


def test_before_anything_was_read_it_goes_by_the_clock(world: World) -> None:
    world.pool.read = [NOT_READ] * PARTITIONS
    before = int(time.time() * 1000)
    assert world.look(folder(clicks(3))) == ["patterns_switched"]
    since = world.last.since
    assert since is not None
    assert before + LEAD_MS <= since <= int(time.time() * 1000) + LEAD_MS


def test_what_was_read_counts_and_not_the_clock(world: World) -> None:
    world.pool.read = [NOT_READ, 5, NOT_READ]
    world.look(folder(clicks(3)))
    assert world.last.since == 5 + LEAD_MS


def test_rules_keep_the_time_of_their_first_deployment(world: World) -> None:
    late = TriggerRule("late", pattern="left", action="x")
    world.look(folder(clicks(2), rules=(REMIND, late)))
    first = world.last.since
    assert world.last.deployed == {"remind": T0 - 5, "late": first}
    world.look(folder(clicks(2), rules=()))
    world.look(folder(clicks(2), rules=(late,)))
    assert world.last.deployed == {"remind": T0 - 5, "late": first}


def test_other_words_are_a_record_and_change_no_version(world: World) -> None:
    said = Pattern.from_dict({**clicks(2).to_dict(), "description": "Many clicks."})
    assert said.version == clicks(2).version
    assert world.look(folder(said)) == ["patterns_switched"]
    assert world.events[0][1].startswith("other words for the same patterns and rules; for events at")
    assert world.last.pattern_versions == world.log.records[0].pattern_versions
    assert world.look(folder(said)) == []


def test_back_to_what_was_before_is_a_change(world: World) -> None:
    world.look(folder(clicks(3)))
    assert world.look(FIRST) == ["patterns_switched"]
    assert world.last.number == 2
    assert world.last.digest == world.log.records[0].digest
    assert world.look(FIRST) == []


def test_a_change_and_back_between_looks_is_none(world: World) -> None:
    world.pool.table = None
    assert world.look(folder(clicks(3)), FIRST) == []
    world.pool.table = world.pool.reading
    assert world.look() == []
    assert world.last.number == 0


def test_the_newest_of_several_changes_counts(world: World) -> None:
    world.pool.table = None
    assert world.look(folder(clicks(3)), folder(clicks(4)), None) == []
    world.pool.table = world.pool.reading
    assert world.look() == ["patterns_switched"]
    assert content_digest(world.last.patterns, world.last.rules) == content_digest(
        (clicks(4), LEFT), (REMIND,)
    )


# ---- broken files


def test_broken_files_change_nothing_until_they_are_mended(world: World) -> None:
    assert world.look(BROKEN) == ["patterns_broken"]
    assert "it isn't Python" in world.events[0][1]
    assert world.look(None, None) == []
    assert world.look(PatternFilesError(["something else"])) == ["patterns_broken"]
    assert world.look(FIRST) == ["patterns_mended"]
    assert world.look(None, FIRST) == []
    assert (world.pool.done, world.last.number) == ([], 0)
    assert world.reads


def test_broken_files_that_then_say_something_else_are_taken_up(world: World) -> None:
    assert world.look(BROKEN, folder(clicks(3))) == ["patterns_broken", "patterns_switched"]
    assert world.look(folder(clicks(3))) == [], "nothing is broken any more"


def test_a_change_that_waits_is_forgotten_when_the_files_break(world: World) -> None:
    world.pool.table = None
    assert world.look(folder(clicks(3)), BROKEN) == ["patterns_broken"]
    world.pool.table = world.pool.reading
    assert world.look(None, None) == []
    assert world.look(FIRST) == ["patterns_mended"]


def test_what_cannot_be_compiled_is_broken(world: World) -> None:
    rules = [
        TriggerRule(f"r{number}", pattern="left", action="x", withdrawn_by=event == f"w{number}")
        for number in range(62)
    ]
    assert world.look(folder(clicks(2), rules=rules)) == ["patterns_broken"]
    assert "withdraw" in world.events[0][1]
    assert world.look(None, None) == [], "told once"
    assert (world.pool.done, world.last.number) == ([], 0)
    assert world.reads
    # What waits under the first set's rule can still be withdrawn, so its condition counts, too.
    assert world.look(folder(clicks(2), rules=rules[:61])) == ["patterns_broken"]
    assert world.look(folder(clicks(2), rules=rules[:60])) == ["patterns_switched"]


def test_what_nobody_thought_of_is_broken_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RecursionError("too deep")

    with monkeypatch.context() as odd:
        odd.setattr("footfall.dataflow.plan_in_force", fail)
        assert world.look(folder(clicks(3))) == ["patterns_broken"]
    assert world.events[0][1].endswith("RecursionError: too deep")
    assert world.look(folder(clicks(3))) == ["patterns_switched"]


# ---- what may go wrong on the way


def test_partitions_that_do_not_hold_are_let_go_and_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.pool.holding.remove(1)
    with seconds(monkeypatch, "_HOLD_SECONDS", 0.05):
        assert world.look(folder(clicks(3))) == ["notice"]
        assert "the workers didn't all hold within" in world.events[0][1]
        assert world.reads, "nobody waits for the one"
        assert world.look(None, None) == []
        assert world.pool.reading._number == 1, "they read for a while"
        with seconds(monkeypatch, "_AGAIN_SECONDS", 0.0):
            world.switch._again = 0.0
            assert world.look(None, None) == [], "told once"
        assert world.pool.reading._number == 3
    assert (world.last.number, world.pool.done) == (0, [])
    world.pool.holding.add(1)
    world.pool.read[2] = T0 + 100
    assert world.look() == ["patterns_switched"]
    assert world.last.since == T0 + 100 + LEAD_MS
    assert world.reads


def test_another_change_is_tried_without_waiting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.pool.holding.remove(1)
    with seconds(monkeypatch, "_HOLD_SECONDS", 0.05):
        world.look(folder(clicks(3)))
    world.pool.holding.add(1)
    assert world.look(folder(clicks(4))) == ["patterns_switched"]


def test_a_record_that_cannot_be_kept_is_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.look()
    with monkeypatch.context() as full:

        def fail(_: int) -> None:
            raise OSError(28, "No space left on device")

        full.setattr("os.fsync", fail)
        assert world.look(folder(clicks(3))) == ["notice"]
    assert "No space left" in world.events[0][1]
    assert (world.last.number, world.pool.done) == (0, [])
    assert world.reads
    world.switch._again = 0.0
    assert world.look() == ["patterns_switched"]


def test_a_worker_that_does_not_take_it_is_killed_holding(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.pool.taking = {0}
    with seconds(monkeypatch, "_TAKE_SECONDS", 0.05):
        assert world.look(folder(clicks(3))) == ["patterns_switched"]
    assert world.pool.done == ["hand", "kill"]
    assert world.pool.held == [True, True]
    assert not world.reads, "what is about to die reads nothing"
    assert world.last.number == 1, "they start again with it"
    world.pool.restart(world.path / "next")
    world.pool.taking = {0, 1}
    assert world.look(folder(clicks(4))) == ["patterns_switched"]
    assert world.reads


def test_workers_that_cannot_be_told_are_killed(world: World) -> None:
    world.pool.fault = OSError(28, "No space left on device")
    assert world.look(folder(clicks(3))) == ["patterns_switched"]
    assert (world.pool.done, world.last.number) == (["kill"], 1)


def test_workers_that_take_it_one_after_the_other_are_waited_for(world: World) -> None:
    world.pool.taking = set()
    taken: list[bool] = []

    def take_late() -> None:
        for worker in (1, 0):
            time.sleep(0.15)
            taken.append(world.reads)
            world.switch.note_taken(worker, 1)

    thread = threading.Thread(target=take_late)
    thread.start()
    assert world.look(folder(clicks(3))) == ["patterns_switched"]
    thread.join(10)
    assert taken == [False, False]
    assert world.reads
    assert world.pool.done == ["hand"]


def test_a_word_of_an_earlier_record_is_none_of_this_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.look(folder(clicks(3)))
    world.pool.taking = {1}
    with seconds(monkeypatch, "_TAKE_SECONDS", 0.05):
        world.look(folder(clicks(4)))
    assert world.pool.done == ["hand", "hand", "kill"]


def test_without_workers_it_waits(world: World) -> None:
    world.pool.table = None
    assert world.look(folder(clicks(3)), None) == []
    assert world.last.number == 0
    world.pool.table = world.pool.reading
    assert world.look() == ["patterns_switched"]


def test_workers_that_go_while_it_asks_are_asked_again(world: World) -> None:
    """A table of the next workers, which nobody holds, is no answer."""
    world.pool.holding.remove(0)
    before = world.pool.reading

    def restart() -> None:
        time.sleep(0.1)
        world.pool.table = None
        world.pool.restart(world.path / "next")

    thread = threading.Thread(target=restart)
    thread.start()
    assert world.look(folder(clicks(3))) == []
    thread.join(10)
    assert world.pool.reading is not before
    assert (world.last.number, world.pool.done) == (0, [])
    world.pool.holding.add(0)
    assert world.look() == ["patterns_switched"]


def test_workers_that_die_with_the_record_handed_start_with_it(world: World) -> None:
    def die(worker: int, _number: int) -> None:
        world.pool.table = None

    world.pool.take = die
    assert world.look(folder(clicks(3))) == ["patterns_switched"]
    assert world.last.number == 1
    assert world.pool.done[0] == "hand"


# ---- stopping in between


def test_a_stop_before_all_hold_leaves_nothing(world: World) -> None:
    world.pool.holding.remove(2)
    threading.Timer(0.1, lambda: setattr(world, "stopped", True)).start()
    began = time.monotonic()
    assert world.look(folder(clicks(3))) == []
    assert time.monotonic() - began < 4
    assert (world.last.number, world.pool.done) == (0, [])
    assert world.reads


def test_a_stop_before_all_have_taken_it_kills_nobody(world: World) -> None:
    """The workers take a last snapshot; until they have, they hold, and the next start goes by the record."""
    world.pool.taking = {1}
    threading.Timer(0.3, lambda: setattr(world, "stopped", True)).start()
    began = time.monotonic()
    assert world.look(folder(clicks(3))) == ["patterns_switched"]
    assert time.monotonic() - began < 4
    assert (world.last.number, world.pool.done) == (1, ["hand"])
    assert not world.reads


# ---- the topic


def test_a_topic_that_is_away_holds_nothing_up_and_is_told_once(world: World) -> None:
    hand = world.log._due
    world.log._clock = lambda: hand
    world.topic.fault = BrokerError("no answer", code="_TIMED_OUT", retriable=True)
    assert world.look() == ["notice"]
    assert "control records wait to be written: no answer" in world.events[0][1]
    for _ in range(3):
        hand += 10
        assert world.look() == []
    assert world.look(folder(clicks(3))) == ["patterns_switched"]
    hand += 10
    world.topic.fault = BrokerError("there is no topic", code="UNKNOWN_TOPIC_OR_PART", retriable=False)
    assert world.look() == ["notice"]
    world.topic.fault = None
    hand += 10
    assert world.look() == []
    assert world.topic.numbers == [0, 1]
