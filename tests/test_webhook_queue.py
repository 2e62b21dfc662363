import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from footfall.errors import SinkError
from footfall.webhook_queue import FILE, NewMessage, WaitingMessage, WebhookQueue

FAR = 10**13
HOUR = 3_600_000


def message(number: int, visitor: int | None = None, *, expires: int = FAR) -> NewMessage:
    name = number if visitor is None else visitor
    return NewMessage(f"t{number}", 0, f"v{name}", "rule", expires, b'{"n":%d}' % number)


def ids(messages: list[WaitingMessage]) -> list[str]:
    return [each.trigger_id for each in messages]


def taken(queue: WebhookQueue, now: int = 1) -> list[str]:
    """All that is due, in the order in which one sender would deliver it."""
    found = []
    while due := queue.due(now, 1, set()):
        found += ids(due)
        queue.delivered(due[0])
    return found


def test_messages_come_back_as_they_were_in_their_order(tmp_path: Path) -> None:
    queue = WebhookQueue(tmp_path)
    assert queue.add([message(number) for number in range(5)], 7) == 5
    (first, *rest) = queue.due(1, 10, set())
    assert first == WaitingMessage(1, "t0", 0, "v0", "rule", FAR, b'{"n":0}', 0, 0)
    assert ids(rest) == ["t1", "t2", "t3", "t4"]
    assert (queue.waiting, queue.waiting_bytes, queue.oldest()) == (5, 5 * 7, 7)
    queue.delivered(first)
    assert (queue.waiting, queue.waiting_bytes) == (4, 4 * 7)
    queue.close()


def test_a_visitor_has_one_message_at_a_time(tmp_path: Path) -> None:
    queue = WebhookQueue(tmp_path)
    queue.add([message(number, number % 2) for number in range(6)], 0)
    assert ids(queue.due(1, 10, set())) == ["t0", "t1"]
    assert ids(queue.due(1, 10, {"v0"})) == ["t1"]
    queue.delivered(queue.due(1, 1, set())[0])
    assert ids(queue.due(1, 10, set())) == ["t1", "t2"]
    queue.close()


def test_a_message_that_is_put_off_holds_its_visitors_later_ones_and_no_others(tmp_path: Path) -> None:
    queue = WebhookQueue(tmp_path)
    queue.add([message(0, 1), message(1, 1), message(2, 2)], 0)
    queue.put_off(queue.due(100, 1, set())[0], since=100, due=500)
    assert ids(queue.due(499, 10, set())) == ["t2"]
    again = queue.due(500, 10, set())
    assert ids(again) == ["t0", "t2"]
    assert (again[0].tries, again[0].since) == (1, 100)
    queue.close()


def test_a_clock_that_was_set_back_holds_nothing_for_ever(tmp_path: Path) -> None:
    queue = WebhookQueue(tmp_path)
    queue.add([message(0)], 0)
    queue.put_off(queue.due(10 * HOUR, 1, set())[0], since=10 * HOUR, due=10 * HOUR + 1000)
    assert ids(queue.due(1, 10, set())) == ["t0"]
    queue.close()


def test_a_known_message_is_not_taken_again_whatever_became_of_it(tmp_path: Path) -> None:
    queue = WebhookQueue(tmp_path)
    queue.add([message(number) for number in range(3)], 0)
    delivered, dead, _ = queue.due(1, 3, set())
    queue.delivered(delivered)
    queue.give_up(dead, "why", "so")
    assert queue.add([message(number) for number in range(3)], 0) == 0
    queue.bury([each.number for each in queue.dead(set())])
    assert queue.add([message(number) for number in range(3)], 0) == 0
    assert queue.add([message(0)._replace(revision=1)], 0) == 1
    assert queue.waiting == 2
    queue.close()


def test_what_is_done_with_is_forgotten_once_it_has_expired(tmp_path: Path) -> None:
    queue = WebhookQueue(tmp_path)
    queue.add([message(0, expires=1000), message(1, expires=5 * HOUR), message(2, expires=1000)], 0)
    first, second, _ = queue.due(1, 3, set())
    queue.delivered(first)
    queue.delivered(second)
    queue.tidy(2 * HOUR)
    assert queue.add([message(0), message(1), message(2)], 0) == 1
    assert queue.waiting == 2
    queue.close()


def test_the_dead_are_told_until_they_are_buried(tmp_path: Path) -> None:
    queue = WebhookQueue(tmp_path)
    queue.add([message(0, 1), message(1, 1)], 0)
    queue.give_up(queue.due(1, 1, set())[0], "webhook_refused", "answer 400")
    (dead,) = queue.dead(set())
    assert (dead.body, dead.reason, dead.detail) == (b'{"n":0}', "webhook_refused", "answer 400")
    assert queue.dead({dead.number}) == []
    assert ids(queue.due(1, 10, set())) == ["t1"]
    queue.commit()
    queue.close()
    queue = WebhookQueue(tmp_path)
    assert [each.body for each in queue.dead(set())] == [b'{"n":0}']
    queue.bury([dead.number])
    assert queue.dead(set()) == []
    queue.close()


def test_the_file_gives_its_room_back(tmp_path: Path) -> None:
    queue = WebhookQueue(tmp_path)
    bodies = [message(number, expires=1)._replace(body=b"x" * 10_000) for number in range(500)]
    queue.add(bodies, 0)
    queue.commit()
    for each in queue.due(0, 500, set()):
        queue.delivered(each)
    queue.tidy(2 * HOUR)
    queue.close()
    assert (tmp_path / FILE).stat().st_size < 100_000


def test_what_was_committed_is_there_after_a_kill(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from footfall.webhook_queue import NewMessage, WebhookQueue\n"
        "queue = WebhookQueue(Path(sys.argv[1]))\n"
        "add = lambda number: queue.add([NewMessage(f't{number}', 0, 'v', 'r', 10**13, b'x')], 0)\n"
        "[add(number) for number in range(10)]\n"
        "queue.delivered(queue.due(1, 1, set())[0])\n"
        "queue.commit()\n"
        "add(10)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=60)
    assert killed.returncode == -9
    queue = WebhookQueue(tmp_path)
    assert queue.waiting == 9
    assert taken(queue) == [f"t{number}" for number in range(1, 10)]
    queue.close()


def test_a_full_disk_is_waited_for_and_costs_nothing(tmp_path: Path) -> None:
    queue = WebhookQueue(tmp_path, patience=0.0)
    queue.add([message(0)], 0)
    queue.commit()
    queue.add([message(1)], 0)
    queue.delivered(queue.due(1, 1, set())[0])
    queue._database.execute("PRAGMA max_page_count = 20").fetchall()
    big = [message(number)._replace(body=b"x" * 20_000) for number in range(2, 12)]
    with pytest.raises(SinkError, match="can't be written: database or disk is full; check the disk"):
        queue.add(big, 0)
    with pytest.raises(SinkError, match="is full"):
        queue.add(big, 0)
    queue._database.execute("PRAGMA max_page_count = 1000000").fetchall()
    queue.add(big, 0)
    queue.commit()
    # A full disk has taken back what wasn't committed, that t0 was delivered too. Nothing that was added is lost.
    assert sorted(taken(queue)) == sorted(f"t{number}" for number in range(12))
    assert queue.waiting == queue.waiting_bytes == 0
    queue.close()


def test_what_a_full_disk_took_back_is_added_again(tmp_path: Path) -> None:
    queue = WebhookQueue(tmp_path)
    queue.add([message(0)], 0)
    queue.commit()
    queue.add([message(1)], 0)
    queue.delivered(queue.due(1, 1, set())[0])
    queue._database.execute("ROLLBACK")  # as SQLite itself does when the disk is full
    queue.commit()
    assert queue.waiting == 2
    assert taken(queue) == ["t0", "t1"]
    queue.close()


def test_the_queue_of_a_worker_that_is_gone_is_taken_over(tmp_path: Path) -> None:
    gone = WebhookQueue(tmp_path / "1")
    gone.add([message(number) for number in range(5)], 3)
    done, dead, late, *_ = gone.due(1, 5, set())
    gone.delivered(done)
    gone.give_up(dead, "why", "so")
    gone.put_off(late, since=50, due=100)
    gone.commit()
    own = WebhookQueue(tmp_path / "0")
    own.add([message(4), message(9)], 5)
    with pytest.raises(SinkError, match="in use by another process"):
        own.adopt(tmp_path / "1")
    gone.close()
    assert own.adopt(tmp_path / "1") == 3
    assert not (tmp_path / "1").exists()
    assert [each.reason for each in own.dead(set())] == ["why"]
    assert ids(own.due(99, 10, set())) == ["t4", "t9", "t3"]
    assert [each.tries for each in own.due(100, 10, set()) if each.trigger_id == "t2"] == [1]
    assert own.add([message(0)], 0) == 0
    assert (own.waiting, own.waiting_bytes) == (4, 4 * 7)
    own.close()


def test_what_is_taken_over_waits_behind_what_its_visitors_have_here(tmp_path: Path) -> None:
    gone = WebhookQueue(tmp_path / "1")
    gone.add([message(0, 1), message(1, 1), message(2, 2), message(3, 3), message(4, 3)], 0)
    gone.delivered(gone.due(1, 3, set())[2])  # t3
    gone.commit()
    gone.close()
    own = WebhookQueue(tmp_path / "0")
    own.add([message(5, 1)], 0)
    own.adopt(tmp_path / "1")
    own.add([message(6, 2)], 0)
    assert ids(own.due(1, 10, set())) == ["t5", "t2", "t4"]
    assert taken(own) == ["t5", "t0", "t1", "t2", "t4", "t6"]
    own.close()


def test_a_folder_has_one_process(tmp_path: Path) -> None:
    queue = WebhookQueue(tmp_path)
    with pytest.raises(SinkError, match="in use by another process"):
        WebhookQueue(tmp_path, wait=0.0)
    queue.close()
    queue.close()
    WebhookQueue(tmp_path, wait=0.0).close()


def test_a_closed_queue_takes_nothing(tmp_path: Path) -> None:
    queue = WebhookQueue(tmp_path)
    queue.close()
    with pytest.raises(SinkError, match="closed"):
        queue.add([message(0)], 0)
    with pytest.raises(SinkError, match="closed"):
        queue.commit()
    assert queue.due(1, 1, set()) == []
    assert queue.oldest() is None


def test_a_damaged_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database at all, " * 100)
    with pytest.raises(SinkError, match="move it away"):
        WebhookQueue(tmp_path)


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    WebhookQueue(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(SinkError, match=r"another version \(9\)"):
        WebhookQueue(tmp_path)


def test_looking_for_what_is_due_does_not_cost_more_the_more_waits(tmp_path: Path) -> None:
    """The stream waits meanwhile. Many people may share one visitor id, and a receiver may fail for hours."""
    queue = WebhookQueue(tmp_path)
    blocked = [message(number, 1) for number in range(2_000)]
    put_off = [message(number) for number in range(2_000, 4_000)]
    queue.add([*blocked, *put_off], 0)
    for each in queue.due(1, 2_001, set()):
        queue.put_off(each, since=1, due=1000 if each.visitor_id == "v1" else 5000)
    queue.add([message(4_000)], 0)
    thousands_of_steps: list[None] = []
    queue._database.set_progress_handler(lambda: thousands_of_steps.append(None), 1_000)
    assert ids(queue.due(999, 64, set())) == ["t4000"]
    assert ids(queue.due(1000, 64, set())) == ["t0", "t4000"]
    assert len(thousands_of_steps) < 5
    queue.close()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    visitors=st.lists(st.integers(0, 4), min_size=1, max_size=25),
    fates=st.lists(st.sampled_from(["delivered", "put_off", "give_up", "reopen"]), max_size=60),
)
def test_each_visitors_messages_go_in_order_whatever_becomes_of_others(
    tmp_path_factory: pytest.TempPathFactory, visitors: list[int], fates: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("queue")
    queue = WebhookQueue(folder)
    queue.add([message(number, visitor) for number, visitor in enumerate(visitors)], 0)
    order: list[tuple[str, int]] = []
    now = 0
    for fate in [*fates, *["delivered"] * len(visitors)]:
        now += 10
        due = queue.due(now, 3, set())
        if fate == "reopen":
            queue.commit()
            queue.close()
            queue = WebhookQueue(folder)
        elif due and fate == "put_off":
            queue.put_off(due[-1], now, now + 25)
        elif due:
            order.append((due[-1].visitor_id, due[-1].number))
            if fate == "delivered":
                queue.delivered(due[-1])
            else:
                queue.give_up(due[-1], "why", "so")
    while due := queue.due(now + 1000, 3, set()):
        order += [(each.visitor_id, each.number) for each in due]
        for each in due:
            queue.delivered(each)
    queue.close()
    assert sorted(number for _, number in order) == list(range(1, len(visitors) + 1))
    for visitor in {name for name, _ in order}:
        own = [number for name, number in order if name == visitor]
        assert all(one < two for one, two in pairwise(own))
