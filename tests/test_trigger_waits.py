import pickle
import time

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

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


class AnyOrder(RuleBasedStateMachine):
    """Waits beside a plain dict; with `alike`, all visitors and rules have one hash."""

    @initialize(alike=st.booleans())
    def begin(self, *, alike: bool) -> None:
        self.patch = pytest.MonkeyPatch()
        if alike:
            self.patch.setattr(trigger_waits, "hash", lambda _: 1, raising=False)
        self.waits = Waits()
        self.model: dict[tuple[int, bytes], Wait] = {}

    # Two bytes alone, so that a key is also found where one ends and the next begins.
    @rule(
        due=st.integers(0, 2),
        name=st.lists(st.sampled_from((0, 1)), min_size=16, max_size=16).map(bytes),
        visitor=st.sampled_from("vw"),
        generation=st.integers(1, 3),
    )
    def add(self, due: int, name: bytes, visitor: str, generation: int) -> None:
        if (due, name) not in self.model:
            self.model[due, name] = wait(visitor, generation)
            self.waits.add(due, name, wait(visitor, generation), withdrawable=generation < 3)

    @rule()
    def pop(self) -> None:
        if self.waits.next_due == FOREVER:
            assert not self.model
            return
        found = self.waits.pop()
        if found is not None:
            assert found[:2] == min(self.model)
            assert self.model.pop(found[:2]) == found[2]

    @rule(visitor=st.sampled_from("vw"), under=st.frozensets(st.integers(1, 3)))
    def withdraw(self, visitor: str, under: frozenset[int]) -> None:
        wanted = sorted(
            key
            for key, each in self.model.items()
            if each.visitor_id == visitor and each.generation in under - {3}
        )
        assert self.waits.withdraw(visitor, under) == [(*key, self.model.pop(key)) for key in wanted]

    @rule()
    def restart(self) -> None:
        self.waits = pickle.loads(pickle.dumps(self.waits))

    @invariant()
    def as_many(self) -> None:
        assert len(self.waits) == len(self.model)

    def teardown(self) -> None:
        self.patch.undo()


TestAnyOrder = AnyOrder.TestCase


def test_a_visitor_may_have_any_number_of_waits() -> None:
    """Many people may share one visitor id, as where cookies are refused."""
    waits = Waits()
    begin = time.perf_counter()
    for number in range(20_000):
        waits.add(number, trigger(number), wait("v", number % 2), withdrawable=True)
    assert len([waits.pop() for _ in range(5_000)]) == 5_000
    assert len(waits.withdraw("v", frozenset((0,)))) == 7_500
    assert len(waits.withdraw("v", frozenset((1,)))) == 7_500
    assert time.perf_counter() - begin < 5
