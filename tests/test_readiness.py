from typing import Any

from live_messages import Clock, progress, shard_status, sink_status

from footfall.readiness import Readiness
from footfall.run_messages import Message, Notice, PartitionDone, WorkerEnded, WorkerFailed, WorkerStarted


def readiness(clock: Clock | None = None, **more: Any) -> Readiness:
    values: dict[str, Any] = {
        "partitions": ["p0", "p1"],
        "shards": ["a", "b"],
        "workers": 2,
        "silent_after": 60.0,
    }
    return Readiness(**(values | more), monotonic=(clock or Clock()).monotonic)


def begin(run: Readiness) -> None:
    for worker in (0, 1):
        run.note(WorkerStarted(worker, 1.0))
        run.note(progress(f"p{worker}", worker=worker))
        run.note(shard_status("ab"[worker], worker=worker))


def test_a_run_is_ready_when_workers_partitions_and_shards_have_been_heard_of() -> None:
    run = readiness()
    assert run.phase() == "starting"
    assert run.missing() == [
        "2 of 2 workers have not started: 0, 1",
        "2 of 2 partitions are not open yet: p0, p1",
        "2 of 2 shards have no state yet: a, b",
    ]
    run.note(WorkerStarted(0, 1.0))
    run.note(progress("p1"))
    run.note(shard_status("a"))
    assert run.missing() == [
        "1 of 2 workers have not started: 1",
        "1 of 2 partitions are not open yet: p0",
        "1 of 2 shards have no state yet: b",
    ]
    assert run.troubles() == []
    begin(readiness_ := readiness())
    assert (readiness_.phase(), readiness_.missing(), readiness_.troubles()) == ("running", [], [])
    assert (readiness_.workers_alive(), readiness_.restarts) == (2, 0)


def test_what_is_missing_is_named_but_not_all_of_it() -> None:
    run = readiness(partitions=[f"p{number}" for number in range(20)])
    assert run.missing()[1] == "20 of 20 partitions are not open yet: p0, p1, p2, p3, p4, …"


def test_a_death_is_told_until_all_workers_have_started_again() -> None:
    run = readiness()
    begin(run)
    run.happened("worker_died", "worker 1 was ended by SIGKILL")
    assert run.phase() == "restarting"
    assert run.troubles() == ["the workers are being started again: worker 1 was ended by SIGKILL"]
    assert len(run.missing()) == 3
    run.note(WorkerStarted(1, 2.0))
    assert run.troubles()
    run.note(WorkerStarted(0, 2.0))
    assert (run.troubles(), run.phase(), run.restarts) == ([], "restarting", 1)
    begin_rest: list[Message] = [progress("p0"), progress("p1"), shard_status("a"), shard_status("b")]
    for message in begin_rest:
        run.note(message)
    assert (run.phase(), run.missing(), run.leg) == ("running", [], 1)


def test_a_worker_that_takes_long_to_start_again_isnt_stuck() -> None:
    clock = Clock()
    run = readiness(clock)
    begin(run)
    run.happened("worker_died", "worker 1 was ended by SIGKILL")
    for worker in (0, 1):
        run.note(WorkerStarted(worker, 2.0))
    clock.now += 1_000
    assert (run.troubles(), run.phase()) == ([], "restarting")


def test_a_second_start_says_that_the_workers_had_died() -> None:
    run = readiness()
    begin(run)
    begin(run)
    assert (run.restarts, run.phase(), run.missing()) == (1, "running", [])


def test_a_worker_that_gives_up_or_falls_silent_is_trouble() -> None:
    clock = Clock()
    run = readiness(clock)
    begin(run)
    clock.now += 59
    run.note(progress("p0", worker=0))
    assert run.troubles() == []
    clock.now += 2
    assert run.troubles() == ["worker 1 has said nothing for 61 s"]
    run.note(shard_status("b", worker=1))
    assert run.troubles() == []
    run.note(WorkerFailed(0, "the disk is full\nand more", 1, ""))
    assert run.troubles() == ["worker 0 gave up: the disk is full"]
    assert run.workers_alive() == 1
    idle = readiness(clock)
    idle.note(WorkerStarted(0, 1.0))
    idle.note(sink_status({}))
    clock.now += 1e6
    assert idle.troubles() == [], "who has nothing to tell of isn't stuck"
    idle.note(shard_status("a"))
    clock.now += 1e6
    assert idle.troubles() == [], "shards alone may have nothing to tell for long"
    never = readiness(clock, silent_after=None)
    begin(never)
    clock.now += 1e6
    assert never.troubles() == []


def test_the_threads_of_a_sink_dont_speak_for_a_stream_that_is_stuck() -> None:
    clock = Clock()
    run = readiness(clock)
    begin(run)
    for _ in range(61):
        clock.now += 1
        for worker in (0, 1):
            run.note(sink_status({"events": 5}, worker=worker))
        run.note(Notice(0, "warning", "rows of a table are refused"))
    assert run.troubles() == [f"worker {worker} has said nothing for 61 s" for worker in (0, 1)]
    assert run.silent_seconds() == {0: 61.0, 1: 61.0}


def test_a_stream_that_a_sink_holds_isnt_stuck() -> None:
    clock = Clock()
    run = readiness(clock)
    begin(run)
    run.note(sink_status({}, worker=1, waiting_rows=3, oldest_seconds=3_600.0))
    clock.now += 600
    assert run.troubles() == []
    run.note(sink_status({}, worker=1, waiting_rows=3, oldest_seconds=1.0))
    assert len(run.troubles()) == 2


def test_a_worker_whose_partitions_have_ended_isnt_stuck() -> None:
    clock = Clock()
    run = readiness(clock)
    begin(run)
    run.note(PartitionDone("p0", 5, 0, 0, 0, (0, 0), {}))
    run.note(progress("p1", worker=1, final=True))
    clock.now += 600
    assert run.troubles() == []


def test_a_run_over_empty_topics_is_ready_without_state_until_a_record_comes() -> None:
    run = readiness()
    for worker in (0, 1):
        run.note(WorkerStarted(worker, 1.0))
        run.note(progress(f"p{worker}", worker=worker, lag=None))
    assert run.missing() == ["2 of 2 shards have no state yet: a, b"], (
        "it isn't known yet whether they are empty"
    )
    for worker in (0, 1):
        run.note(progress(f"p{worker}", worker=worker))
    assert (run.missing(), run.phase()) == ([], "running")
    run.note(progress("p0", 3))
    assert run.missing() == ["2 of 2 shards have no state yet: a, b"]


def test_a_run_that_is_stopped_is_not_in_trouble_until_it_is_over() -> None:
    clock = Clock()
    run = readiness(clock)
    begin(run)
    run.happened("run_stopping", "")
    clock.now += 100
    assert (run.phase(), run.troubles()) == ("stopping", [])
    for worker in (0, 1):
        run.note(WorkerEnded(worker, stopped=True, monotonic=2.0, peak_rss_kb=1))
    assert run.workers_alive() == 0
    run.happened("run_stopped", "stopped by SIGTERM")
    assert (run.phase(), run.troubles()) == ("ended", ["stopped by SIGTERM"])


def test_a_controlled_restart_is_one_restart_and_no_trouble() -> None:
    run = readiness()
    begin(run)
    run.note(WorkerEnded(0, stopped=True, monotonic=2.0, peak_rss_kb=1))
    assert (run.phase(), run.missing()) == ("stopping", ["1 of 2 workers have ended: 0"])
    run.happened("workers_restarted", "start 1")
    assert (run.phase(), run.restarts, run.troubles()) == ("restarting", 1, [])
    begin(run)
    assert (run.phase(), run.restarts) == ("running", 1)
    run.happened("worker_died", "gone")
    run.happened("workers_restarted", "start 2")
    begin(run)
    assert (run.phase(), run.restarts) == ("running", 2)


def test_a_partition_that_is_read_to_its_end_was_open_and_new_ones_are_waited_for() -> None:
    run = readiness()
    begin(run)
    run.expect(["p0", "p1", "p2"])
    assert run.missing() == ["1 of 3 partitions are not open yet: p2"]
    run.note(PartitionDone("p2", 0, 0, 0, 0, (0, 0), {}))
    assert run.phase() == "running"
