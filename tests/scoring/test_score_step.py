"""The models' step as Bytewax keeps it: beside the shards or at once, and stopped anywhere, with the same answers."""

import threading
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from score_worlds import Drawn, parts_of, records, rows_by_table, step_of, whole_plan

from footfall.plan_in_force import PlanInForce
from footfall.run_messages import Message, ModelStatus
from footfall.scoring.model_step import ModelStep
from footfall.scoring.score_rows import ScoreRows
from footfall.scoring.score_step import ScoreStep
from footfall.scoring.shard_scores import ShardScoring

DAYS = [
    (25 * 60_000, "abcde"[n % 5], "order_completed" if n % 3 else "page_view", n % 11 - 3) for n in range(90)
]


def score_step(
    step: ModelStep | None = None, *, live: bool = False, told: list[Message] | None = None
) -> ScoreStep:
    told = [] if told is None else told
    return ScoreStep(
        step or step_of(), PlanInForce(whole_plan()), recoverable=True, tell=told.append, live=live
    )


def batches_of(parts: Sequence[ShardScoring], sizes: Sequence[int]) -> list[list[ShardScoring]]:
    batches, at = [], 0
    for size in sizes:
        batches.append(list(parts[at : at + size]))
        at += size
    return [*(batch for batch in batches if batch), list(parts[at:])]


@settings(max_examples=15)
@given(records, st.lists(st.integers(1, 5), max_size=6), st.sets(st.integers(0, 6)), st.booleans())
def test_what_goes_out_is_the_same_wherever_it_runs_and_is_stopped(
    drawn: Drawn,
    sizes: list[int],
    stops: set[int],
    live: bool,  # noqa: FBT001 - Hypothesis gives it
) -> None:
    parts = parts_of(drawn)
    at_once = [step_of().take(parts)]
    given_out: list[ScoreRows] = []
    step = score_step(live=live)
    for number, batch in enumerate(batches_of(parts, sizes)):
        given_out += step.on_batch(batch)[0]
        if number in stops:
            models = step_of()
            models.restore(step.snapshot())
            step = score_step(models, live=live)
    told: list[Message] = []
    step._tell = told.append
    given_out += step.on_eof()[0]
    assert rows_by_table(given_out) == rows_by_table(at_once)
    (status,) = told
    assert isinstance(status, ModelStatus)
    assert status.final


class Held(ModelStep):
    """A step whose rounds wait until they are let go."""

    def __post_init__(self) -> None:
        ModelStep.__post_init__(self)
        self.let_go = threading.Event()
        self.rounds = 0

    def take(self, parts: Sequence[ShardScoring]) -> ScoreRows:
        assert self.let_go.wait(60)
        self.rounds += 1
        if self.rounds == 3:
            raise ValueError("the third")
        return ModelStep.take(self, parts)


def test_shards_go_on_while_the_models_are_at_work_up_to_a_few_rounds() -> None:
    held = Held(step_of().settings, step_of().shards)
    step = score_step(held)
    parts = parts_of(DAYS)
    for part in parts[:4]:
        assert step.on_batch([part])[0] == []
    assert held.rounds == 0
    timer = threading.Timer(0.2, held.let_go.set)
    timer.start()

    def go_on() -> None:
        for part in parts[4:8]:
            step.on_batch([part])
        step.on_eof()

    with pytest.raises(ValueError, match="the third"):
        go_on()
    timer.join()


def test_a_live_step_gives_out_what_it_can_with_each_batch() -> None:
    parts = parts_of(DAYS)
    plain, step = step_of(), score_step(live=True)
    for part in parts:
        rows = plain.take([part])
        assert rows_by_table(step.on_batch([part])[0]) == rows_by_table([rows])
