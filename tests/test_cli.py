import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import environment

from footfall import replay_command
from footfall.cli import main
from footfall.cli_flags import LIVE_STATE
from footfall.live_run import STATE
from footfall.settings import Settings, setting_infos


def test_every_setting_of_a_run_is_a_flag_of_replay_or_live(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("replay", "live"):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "--partitioned" not in shown.partition("usage: footfall live")[2]
    for info in setting_infos():
        assert f"{info.flag} " in shown or f"{info.flag}\n" in shown, info.name


def test_flags_reach_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    taken: list[tuple[Settings, tuple[str, ...], bool, bool]] = []

    def replay(settings: Settings, inputs: tuple[str, ...], *, as_json: bool, quiet: bool) -> int:
        taken.append((settings, inputs, as_json, quiet))
        return 130

    monkeypatch.setattr(replay_command, "replay", replay)
    monkeypatch.chdir(tmp_path)
    assert (
        main(["replay", "a", "-", "--gap", "10 min", "--partitioned", "--split-on-campaign", "no", "--json"])
        == 130
    )
    ((settings, inputs, as_json, quiet),) = taken
    assert (settings.gap, settings.partitioned, settings.split_on_campaign) == (600_000, True, False)
    assert (inputs, as_json, quiet) == (("a", "-"), True, False)


@pytest.mark.parametrize("count", ["0", "-1", "many", "1.5", ""])
def test_a_count_that_is_none_is_told(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "out.ndjson", f"--visitors={count}"]) == 2
    assert f"{count!r} is no count; write a whole number, 1 or more" in capsys.readouterr().err


def test_ctrl_c_before_the_run_has_begun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(replay_command, "replay", interrupted)
    assert main(["replay", "a"]) == 130
    assert capsys.readouterr().err == "footfall: interrupted\n"


def test_the_command_line_loads_no_engine() -> None:
    code = (
        "import sys, footfall.replay_command, footfall.cli; "
        "print(*(name for name in ('numba', 'clickhouse_connect', 'pyarrow', 'chdb') if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, env=environment()
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["live", "--lat", "3 s"],
            "footfall live: unrecognized arguments: --lat 3 s; did you mean --lateness? ",
        ),
        (["live", "--stat=x"], "unrecognized arguments: --stat=x; did you mean --state? "),
        (["live", "--zzzzz"], "footfall live: unrecognized arguments: --zzzzz (see footfall live --help)"),
        (["patterns", "list", "--jsn"], "did you mean --json? (see footfall patterns list --help)"),
        (["patterns", "test", "a", "b"], "unrecognized arguments: b (see footfall patterns test --help)"),
        (["live", "--gap"], "(see footfall live --help)"),
        (["nothing"], "(see footfall --help)"),
        (["replay"], "(see footfall replay --help)"),
    ],
)
def test_flags_are_whole_and_the_hint_is_the_subcommands(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_help_says_where_a_live_run_keeps_its_state(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for command, default in (("live", str(STATE)), ("replay", "none")):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        (words,) = re.findall(r"--state PATH +(.*\)$)", capsys.readouterr().out, re.MULTILINE)
        assert words.endswith(f"uses {LIVE_STATE} (default: {default})")
    assert str(STATE) == LIVE_STATE
