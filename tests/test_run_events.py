import pytest
from live_messages import Clock, progress, shard_status, sink_status

from footfall.run_events import LEVELS, EventWatch, RunEvent, cleaned, outlet
from footfall.run_messages import Notice, PartitionDone, WorkerEnded, WorkerFailed, WorkerStarted


class Told(list[RunEvent]):
    """The events that a watch told, and the watch."""

    def __init__(self, *, resumed: bool = False, secrets: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.clock = Clock()
        self.watch = EventWatch(
            self.append,
            resumed=resumed,
            secrets=secrets,
            wall=self.clock.wall,
            monotonic=self.clock.monotonic,
        )

    def names(self) -> list[str]:
        return [event.event for event in self]


def test_workers_start_end_fail_and_start_again() -> None:
    told = Told()
    told.watch.note(WorkerStarted(0, 1.0))
    told.watch.note(WorkerFailed(0, "no room on the disk", 1, "Traceback …"))
    told.watch.note(WorkerStarted(0, 2.0))
    told.watch.note(WorkerEnded(0, stopped=True, monotonic=3.0, peak_rss_kb=2048))
    assert told.names() == ["worker_started", "worker_failed", "worker_restarted", "worker_ended"]
    assert [event.level for event in told] == ["info", "error", "warning", "info"]
    assert told[1].fields == {"worker": 0, "exit_code": 1}
    assert told[3].fields == {"worker": 0, "peak_rss_mb": 2.0}
    assert told[0].time == told.clock.ms()


def test_a_notice_keeps_its_level_and_what_happened_has_its_own() -> None:
    told = Told()
    told.watch.note(Notice(1, "error", "something"))
    told.watch.happened("partition_added", "events-10 is new", partition="events-10")
    told.watch.happened("of_my_own", "it is so")
    assert [(event.event, event.level) for event in told] == [
        ("notice", "error"),
        ("partition_added", "warning"),
        ("of_my_own", "info"),
    ]
    assert told[1].fields == {"partition": "events-10"}


def test_dead_letters_are_added_up_by_reason_and_told_once_a_minute() -> None:
    told = Told()
    for _ in range(100):
        told.clock.now += 0.5
        told.watch.note(progress("p0", dead_reasons={"not JSON": int(told.clock.now)}))
    assert told == []
    told.clock.now += 10
    told.watch.note(PartitionDone("p1", 9, 0, 2, 0, (0, 0), {"no time": 1, "not JSON": 1}))
    assert [(event.event, event.fields["reason"], event.fields["count"]) for event in told] == [
        ("dead_letters", "no time", 1),
        ("dead_letters", "not JSON", 1_051),
    ]
    assert told[0].text == "1 record couldn't be decoded: no time"
    told.clock.now += 61
    told.watch.note(progress("p0", dead_reasons={"not JSON": 900}))
    assert len(told) == 2, "a recovery repeats what was told"
    told.watch.note(progress("p0", dead_reasons={"not JSON": 1_055}))
    told.watch.close()
    assert told[-1].fields["count"] == 5
    told.watch.close()
    assert len(told) == 3


def test_a_resumed_run_doesnt_tell_its_past() -> None:
    told = Told(resumed=True)
    told.watch.note(progress("p0", dead_reasons={"not JSON": 7}))
    told.watch.note(shard_status(dropped_partials=5))
    told.watch.close()
    assert told == []


def test_limits_and_slow_snapshots_are_added_up() -> None:
    told = Told()
    told.watch.note(shard_status("a", dropped_partials=3, snapshot_seconds=0.6))
    told.watch.note(shard_status("b", dropped_partials=4, snapshot_seconds=0.9))
    told.watch.note(shard_status("c", snapshot_seconds=0.4))
    told.watch.close()
    assert told.names() == ["limit_hit", "snapshot_slow"]
    assert told[0].fields["count"] == 7
    assert (told[1].fields["shard"], told[1].fields["snapshot_seconds"]) == ("b", 0.9)
    told.watch.note(shard_status("b", dropped_partials=4, snapshot_seconds=0.9))
    told.watch.close()
    assert len(told) == 2, "a status repeats the last snapshot's time"


def test_a_store_is_away_when_tries_fail_for_a_while_and_back_when_rows_go() -> None:
    told = Told()
    told.watch.note(sink_status({"events": 10}))
    for second in range(1, 10):
        told.clock.now += 1
        told.watch.note(sink_status({"events": 10}, waiting_rows=5, errors=second))
        assert told.names() == ([] if second < 6 else ["store_away"])
    told.watch.note(sink_status({"events": 11}, waiting_rows=4, errors=9))
    assert told.names() == ["store_away", "store_back"]


def test_a_store_is_back_when_nothing_waits_any_more() -> None:
    told = Told()
    for second in range(8):
        told.clock.now += 1
        told.watch.note(sink_status({"events": 10}, waiting_rows=5, errors=second))
    told.watch.note(sink_status({"events": 10}, errors=8))
    assert told.names() == ["store_away", "store_back"]


def test_an_outage_that_the_parent_told_of_is_told_once_and_ends() -> None:
    told = Told()
    told.watch.happened("broker_back", "")
    assert told == [], "it wasn't away"
    for _ in range(3):
        told.watch.happened("broker_away", "no answer", level="warning")
        told.watch.happened("store_away", "refused")
    assert told.names() == ["broker_away", "store_away"]
    told.watch.note(progress(records=5))
    told.watch.note(sink_status({"events": 0}, waiting_rows=1))
    assert told.names()[2:] == ["broker_back"]
    told.watch.note(sink_status({"events": 1}))
    assert told.names()[3:] == ["store_back"]
    told.watch.happened("broker_away", "no answer")
    told.watch.happened("broker_back", "")
    assert told.names()[4:] == ["broker_away", "broker_back"]


def test_an_outage_lasts_while_anyone_finds_it() -> None:
    told = Told()
    told.watch.happened("store_away", "refused")
    for second in range(8):
        told.clock.now += 1
        told.watch.note(sink_status({"events": 0}, waiting_rows=5, errors=second))
    told.watch.note(sink_status({"events": 1}, worker=1))
    assert told.names() == ["store_away"], "worker 1 has it back, worker 0 has not"
    told.watch.note(sink_status({"events": 5}, errors=8))
    assert told.names() == ["store_away", "store_back"]


def test_one_failed_try_is_no_outage_and_neither_are_rows_that_wait_for_their_batch() -> None:
    told = Told()
    for _ in range(100):
        told.clock.now += 1
        told.watch.note(sink_status({"events": 0}, waiting_rows=5, errors=0))
    told.watch.note(sink_status({"events": 0}, waiting_rows=5, errors=1))
    told.clock.now += 4
    told.watch.note(sink_status({"events": 5}, errors=1))
    assert told == []


def test_a_broker_is_away_when_messages_wait_and_none_goes() -> None:
    told = Told()
    told.watch.note(sink_status({"triggers": 5}, "kafka", waiting_rows=1, oldest_seconds=3_600.0))
    told.clock.now += 9
    told.watch.note(sink_status({"triggers": 6}, "kafka", waiting_rows=1, oldest_seconds=0.0))
    for _ in range(11):
        told.clock.now += 1
        told.watch.note(sink_status({"triggers": 6}, "kafka", waiting_rows=1))
    told.watch.note(sink_status({"triggers": 7}, "kafka"))
    assert told.names() == ["broker_away", "broker_back"]


def test_the_store_is_back_when_all_workers_have_it_back_even_after_a_restart() -> None:
    told = Told()
    for second in range(8):
        told.clock.now += 1
        for worker in (0, 1):
            told.watch.note(sink_status({"events": 9}, worker=worker, waiting_rows=5, errors=second))
    assert told.names() == ["store_away"]
    told.watch.note(WorkerStarted(0, 1.0))
    told.watch.note(WorkerStarted(0, 2.0))
    told.watch.note(sink_status({"events": 9}, worker=0, waiting_rows=5))
    assert told.names()[1:] == ["worker_started", "worker_restarted"]
    told.watch.note(sink_status({"events": 10}, worker=1, errors=8))
    assert told.names()[-1] == "store_back"


@pytest.mark.parametrize(
    "text",
    [
        "connect to clickhouse://ann:hunter2@host:8123/db failed",
        "http://h/?password=hunter2&x=1 is away",
        'sasl.password = "hunter2"',
        "{'api_key': 'hunter2'}",
        "client_secret=hunter2",
        "Authorization: Bearer hunter2",
        "first line\nclickhouse://ann:hunter2@host\nlast",
        "the value hunter2 stands alone",
    ],
)
def test_no_event_holds_a_secret(text: str) -> None:
    told = Told(secrets=("hunter2",) if "alone" in text else ())
    told.watch.happened("of_my_own", text, where=text, names=[text], password="hunter2")
    told.watch.note(Notice(0, "error", text))
    told.watch.note(WorkerFailed(0, text, 1, text))
    assert len(told) == 3
    for event in told:
        assert "hunter2" not in repr(event)
        assert "***" in event.text
    assert told[0].fields["password"] == "***"


def test_what_is_no_secret_stays_and_long_texts_are_cut() -> None:
    text = "topic events, partition 3: 12 records at 10:30 (tokens and keys are words)"
    assert cleaned(text) == text
    assert len(cleaned("x" * 10_000)) < 2_100


def test_sinks_are_named_by_what_they_send_to() -> None:
    assert [outlet(name) for name in ("kafka", "clickhouse", "store", "webhook", "File")] == [
        "broker",
        "store",
        "store",
        "webhook",
        "file",
    ]
    assert {"store_away", "store_back", "broker_away", "broker_back"} <= set(LEVELS)
