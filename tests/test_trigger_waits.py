import pickle

import pytest

from footfall import trigger_waits
from footfall.clock import FOREVER
from footfall.trigger_waits import Wait, Waits


def wait(visitor: str, generation: int = 1) -> Wait:
    return Wait(generation, 5, visitor, None, "s", "m", "v1", "{}", "{}")


def trigger(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_what_is_due_first_comes_first_then_the_lesser_name() -> None:
    waits = Waits()
    assert waits.next_due == FOREVER
    for due, name in ((30, 1), (10, 300), (10, 2), (20, 1)):
        waits.add(due, trigger(name), wait("v"), withdrawable=False)
    assert (len(waits), waits.next_due) == (4, 10)
    again: Waits = pickle.loads(pickle.dumps(waits))
    for one in (waits, again):
        popped = [one.pop() for _ in range(4)]
        assert [each and each[:2] for each in popped] == [
            (10, trigger(2)), (10, trigger(300)), (20, trigger(1)), (30, trigger(1)),
        ]  # fmt: skip
        assert (len(one), one.next_due) == (0, FOREVER)


def test_withdrawing_takes_a_visitors_waits_under_some_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two visitors may have one hash.
    monkeypatch.setattr(trigger_waits, "hash", lambda text: 1, raising=False)
    waits = Waits()
    for number, (visitor, generation) in enumerate((("v", 1), ("w", 1), ("v", 2), ("v", 1), ("v", 3))):
        waits.add(10 - number, trigger(number), wait(visitor, generation), withdrawable=generation < 3)
    waits = pickle.loads(pickle.dumps(waits))
    taken = waits.withdraw("v", frozenset((1, 3)))
    assert [(due, each.visitor_id, each.generation) for due, _, each in taken] == [(7, "v", 1), (10, "v", 1)]
    assert waits.withdraw("v", frozenset((1, 3))) == []
    assert waits.generations() == {1, 2, 3}
    waits = pickle.loads(pickle.dumps(waits))
    popped = [waits.pop() for _ in range(3)]
    assert [each[2] if each else None for each in popped] == [wait("v", 3), wait("v", 2), wait("w")]


def test_a_withdrawn_wait_is_passed_over() -> None:
    waits = Waits()
    waits.add(10, trigger(1), wait("v"), withdrawable=True)
    waits.withdraw("v", frozenset((1,)))
    assert (len(waits), waits.next_due) == (0, 10)
    assert waits.pop() is None
    assert waits.next_due == FOREVER
