"""What comes on top of the journeys: in its bounds, and without changing them."""

from pathlib import Path
from random import Random

import pytest

from footfall import simulate_traffic
from footfall.simulate import Simulation, simulate
from footfall.simulate_signals import LONGEST_AFTER_MS, signals
from footfall.simulate_site import Action, visit

NOISY = Simulation(visitors=150, bots=0.1, dirty=0, clock_errors=0.2, duplicates=0.1, late=0.05)


def test_signals_stay_inside_their_visit_and_at_times_of_their_own() -> None:
    random, counted = Random(5), set()
    for _ in range(1_500):
        actions = visit(random, 1_000_000, bot=False)
        before = [(action.at, action.event) for action in actions]
        more = signals(random, actions)
        assert [(action.at, action.event) for action in actions] == before
        times = [action.at for action in (*actions, *more)]
        assert len(set(times)) == len(times)
        assert [action.at for action in more] == sorted(action.at for action in more)
        assert all(actions[0].at < action.at <= actions[-1].at + LONGEST_AFTER_MS for action in more)
        counted |= {action.event for action in more}
    assert counted == {
        "click", "exit_intent", "form_field_changed", "mouse_moved", "page_changed", "page_view", "quote_viewed",
        "script_error", "scroll_milestone", "service_completed",
    }  # fmt: skip


def test_the_journeys_of_a_seed_are_the_same_with_and_without_signals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = simulate(NOISY, tmp_path / "whole.ndjson")
    monkeypatch.setattr(simulate_traffic, "signals", _no_signals)
    bare = simulate(NOISY, tmp_path / "bare.ndjson")
    journeys = [line for line in whole.records[0].read_bytes().splitlines() if b'"message_id":"m' in line]
    assert journeys == bare.records[0].read_bytes().splitlines()
    assert 1_000 < len(journeys) < whole.lines


def test_fields_of_a_form_come_before_it_is_sent() -> None:
    actions = [Action(0, "page_view", "/contact"), Action(60_000, "form_submit", "/contact", "form.contact")]
    more = signals(Random(1), actions)
    changes = [action for action in more if action.event == "form_field_changed" and action.at < 60_000]
    assert [change.properties for change in changes] == [{"field": f} for f in ("name", "email", "message")]
    assert {change.element for change in changes} == {"form.contact"}


def _no_signals(random: Random, actions: object) -> list[Action]:
    return []
