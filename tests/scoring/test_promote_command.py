"""Another champion for a live run: asked for in its state folder, taken up by its parent, kept in a control record."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from control_records import T0, clicks
from test_pattern_switch import FIRST, PARTITIONS, World, folder

from footfall import event
from footfall.cli import main
from footfall.control_record import ControlRecord
from footfall.errors import RunError, StateError, UsageError
from footfall.pattern_switch import LEAD_MS, PatternSwitch
from footfall.scoring.champion_requests import ChampionAnswer, ChampionRequests
from footfall.scoring.feature import Feature, count
from footfall.scoring.promote_command import is_live, kept_records, promote
from footfall.scoring.score_model import ScoreModel, at_session_end, happens
from footfall.settings import Settings

MODELS = tuple(
    ScoreModel(
        name, "", [Feature("events", count())], [at_session_end()], happens(event == "buy", within="1 h"),
        challengers=["scaled_logistic", "adaptive_tree"],
    )
    for name in ("lead", "next")
)  # fmt: skip


class Scoring(World):
    """A run with models that looks for requests."""

    def __init__(self, path: Path, models: tuple[ScoreModel, ...] = MODELS) -> None:
        super().__init__(path)
        self.requests = ChampionRequests(self.state.folder)
        self.switch = PatternSwitch(
            Settings(), self.log, self.files, self.pool, self._happened, self.requests, models
        )
        self.pool.take = self.switch.note_taken

    def asked(self, model: str, learner: str | None) -> ChampionAnswer | None:
        """What the run answers at its next look."""
        request = self.requests.ask(model, learner)
        self.look(None)
        return self.requests.fetch(request)

    def command(self, model: str, learner: str | None, capsys: pytest.CaptureFixture[str]) -> str:
        """What the command prints while the run looks."""
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(0.01):
                self.look(None)

        looking = threading.Thread(target=look)
        looking.start()
        try:
            assert promote(self.state.folder, model, learner, wait=20, as_json=True) == 0
        finally:
            ended.set()
            looking.join()
        return capsys.readouterr().out


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scoring]:
    for name in ("_HOLD_SECONDS", "_TAKE_SECONDS"):
        monkeypatch.setattr(f"footfall.pattern_switch.{name}", 5.0)
    world = Scoring(tmp_path)
    yield world
    world.close()


def test_a_challenger_becomes_champion_a_minute_after_the_latest_event(world: Scoring) -> None:
    answer = world.asked("lead", "scaled_logistic")
    record = world.last
    since = T0 + PARTITIONS - 1 + LEAD_MS
    assert answer == ChampionAnswer("", "scaled_logistic", since, 1)
    assert (record.number, record.since, record.champions) == (1, since, {"lead": "scaled_logistic"})
    assert (record.patterns, record.rules, record.deployed) == (
        FIRST.patterns, FIRST.rules, {"remind": T0 - 5},
    )  # fmt: skip
    assert world.pool.done == ["hand"]
    assert world.pool.held == [True], "nothing is read until all workers have it"
    assert world.pool.records == [record]
    assert world.reads
    assert world.names == ["champion_promoted"]
    assert "scaled_logistic is champion of lead" in world.events[0][1]
    world.look(None)
    assert world.topic.numbers == [0, 1]


def test_promotions_patterns_and_rollbacks_leave_each_other_alone(world: Scoring) -> None:
    world.asked("lead", "scaled_logistic")
    assert world.look(folder(clicks(3))) == ["patterns_switched"]
    assert world.last.champions == {"lead": "scaled_logistic"}
    assert world.look(folder(clicks(3))) == [], "what is in force has a champion, too"
    world.asked("next", "adaptive_tree")
    assert clicks(3) in world.last.patterns
    assert world.last.champions == {"lead": "scaled_logistic", "next": "adaptive_tree"}
    answer = world.asked("lead", None)
    assert answer is not None
    assert (answer.learner, answer.number) == ("binned_logistic", 4)
    assert world.last.champions == {"next": "adaptive_tree"}
    answer = world.asked("lead", None)
    assert answer is not None
    assert answer.learner == "scaled_logistic", "a second rollback takes back the first"


def test_who_is_champion_already_needs_no_record(world: Scoring) -> None:
    assert world.asked("lead", "binned_logistic") == ChampionAnswer("", "binned_logistic", None, 0)
    assert len(world.log.records) == 1
    assert world.events == []


def test_what_there_is_not_is_refused_with_what_there_is(world: Scoring) -> None:
    for model, learner, said in (
        ("leed", "x", "there is no model 'leed'"),
        ("lead", "x", "binned_logistic, scaled_logistic, adaptive_tree"),
        ("lead", None, "nothing to roll back"),
    ):
        answer = world.asked(model, learner)
        assert answer is not None
        assert said in answer.refused
    assert len(world.log.records) == 1
    assert world.names == ["notice"] * 3
    assert world.requests.next() is None, "a refused request is done with"


def test_a_request_waits_until_there_are_workers_and_all_hold(
    world: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.pool.table = None
    request = world.requests.ask("lead", "scaled_logistic")
    world.look(None)
    assert world.requests.fetch(request) is None
    world.pool.table = world.pool.reading
    world.pool.holding = {0}
    monkeypatch.setattr("footfall.pattern_switch._HOLD_SECONDS", 0.05)
    monkeypatch.setattr("footfall.pattern_switch._AGAIN_SECONDS", 0.05)
    world.look(None)
    assert world.reads
    assert world.requests.fetch(request) is None
    world.pool.holding = set(range(PARTITIONS))
    monkeypatch.setattr("footfall.pattern_switch._HOLD_SECONDS", 5.0)
    time.sleep(0.1)
    world.look(None)
    assert world.last.champions == {"lead": "scaled_logistic"}


def test_workers_that_do_not_take_it_up_start_again_with_the_record(
    world: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.pool.taking = {0}
    monkeypatch.setattr("footfall.pattern_switch._TAKE_SECONDS", 0.05)
    answer = world.asked("lead", "scaled_logistic")
    assert answer is not None, "the record stands"
    assert answer.number == world.last.number == 1
    assert (world.pool.done, world.pool.held) == (["hand", "kill"], [True, True])


def test_a_run_that_was_killed_before_it_answered_answers_at_its_next_start(tmp_path: Path) -> None:
    first = Scoring(tmp_path)
    request = first.requests.ask("lead", "scaled_logistic")
    record = ControlRecord(
        1, T0, FIRST.patterns, FIRST.rules, {"remind": T0 - 5}, T0, {"lead": "scaled_logistic"}
    )
    first.log.add(record)
    first.look(None)
    assert first.requests.fetch(request) == ChampionAnswer("", "scaled_logistic", None, 1)
    first.close()


def test_the_command_waits_for_the_run(world: Scoring, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(world.command("lead", "scaled_logistic", capsys))
    assert told == {
        "model": "lead", "champion": "scaled_logistic", "changed": True, "from": "2025-10-09T08:54:20.125Z",
        "control_record": 1,
    }  # fmt: skip
    assert json.loads(world.command("lead", "scaled_logistic", capsys))["changed"] is False
    assert json.loads(world.command("lead", None, capsys))["champion"] == "binned_logistic"
    with pytest.raises(UsageError, match="there is no model 'x'; there are lead, next"):
        world.command("x", "y", capsys)
    assert kept_records(world.state.folder) == world.log.records


def test_the_command_does_not_wait_for_ever(world: Scoring) -> None:
    with pytest.raises(RunError, match=r"hasn't taken it up in 0\.2 s\. The request stands"):
        promote(world.state.folder, "lead", "scaled_logistic", wait=0.2, as_json=False)
    world.look(None)
    assert world.last.champions == {"lead": "scaled_logistic"}


def test_without_a_live_run_nothing_is_asked(world: Scoring, tmp_path: Path) -> None:
    assert is_live(world.state.folder)
    (world.state.folder / "run.json").write_text("{}")
    world.state.close()
    assert not is_live(world.state.folder)
    with pytest.raises(RunError, match="no run is live on"):
        promote(world.state.folder, "lead", "scaled_logistic", wait=1, as_json=False)
    assert world.requests.next() is None
    with pytest.raises(UsageError, match="is no state folder of a live run"):
        promote(tmp_path / "nothing", "lead", "scaled_logistic", wait=1, as_json=False)


def test_a_run_that_ends_meanwhile_leaves_no_request(world: Scoring, monkeypatch: pytest.MonkeyPatch) -> None:
    alive = iter([True, True, False])
    monkeypatch.setattr("footfall.scoring.promote_command.is_live", lambda _state: next(alive))
    with pytest.raises(RunError, match="has ended meanwhile"):
        promote(world.state.folder, "lead", "scaled_logistic", wait=20, as_json=False)
    assert world.requests.next() is None


def test_requests_are_read_in_their_order_and_files_that_are_none_passed_over(tmp_path: Path) -> None:
    now = [0.0]
    requests = ChampionRequests(tmp_path, 2.0, clock=lambda: now[0])
    assert requests.next() is None, "there is no folder yet"
    one, two = requests.ask("lead", "a"), requests.ask("lead", None)
    assert requests.next() is None, "it isn't time yet"
    for name, text in (("0.request.json", "{"), ("1.request.json", "[]"), ("2.request.json", '{"model": 1}')):
        (tmp_path / "requests" / name).write_text(text)
    now[0] = 2.0
    assert requests.next() == one
    requests.answer(one, ChampionAnswer(refused="no"))
    now[0] = 4.0
    assert requests.next() == two
    requests.withdraw(two)
    now[0] = 6.0
    assert requests.next() is None
    assert requests.fetch(one) == ChampionAnswer(refused="no")
    assert requests.fetch(one) is None
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="can't be made"):
        ChampionRequests(tmp_path / "file").ask("lead", "a")


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "promote", "lead", "x", "--state", str(tmp_path)]) == 2
    assert "is no state folder of a live run" in capsys.readouterr().err
    assert main(["models", "rollback", "lead", "--state", str(tmp_path), "--wait", "soon"]) == 2
    assert "--wait" in capsys.readouterr().err
