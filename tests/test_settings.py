from pathlib import Path

import pytest

from footfall.duration import HOW_TO_WRITE
from footfall.errors import SettingsError, UsageError
from footfall.settings import SETTING_NAMES, Settings, load_settings, redacted, setting_infos

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def problems_of(
    flags: dict[str, object] | None = None,
    environment: dict[str, str] | None = None,
    config: str | None = None,
) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(flags, config=config, environment=environment or {})
    assert caught.value.exit_code == 2
    return list(caught.value.problems)


def test_defaults_are_those_of_the_design() -> None:
    settings = load_settings(environment={})
    assert settings == Settings()
    assert settings.store == "chdb://footfall-store"
    assert (settings.gap, settings.max_session) == (1_800_000, 86_400_000)
    assert (settings.lateness, settings.idle_bound, settings.future_jump) == (5_000, 60_000, 3_600_000)
    assert (settings.workers, settings.shards, settings.batch_size) == (1, 8, 65_536)


def test_later_layers_win(tmp_path: Path) -> None:
    (tmp_path / "footfall.toml").write_text('gap = "10 min"\nlateness = "1 s"\nworkers = 2\n')
    settings = load_settings(
        {"workers": 4, "shards": None},
        environment={"FOOTFALL_LATENESS": "2s", "FOOTFALL_WORKERS": "3", "PATH": "x"},
    )
    assert (settings.gap, settings.lateness, settings.workers, settings.shards) == (600_000, 2_000, 4, 8)


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_another_file_is_read_instead(tmp_path: Path, how: str) -> None:
    (tmp_path / "footfall.toml").write_text("workers = 2\n")
    (tmp_path / "other.toml").write_text('conversions = ["paid", "signed_up"]\nsplit_on_campaign = true\n')
    settings = load_settings(
        config="other.toml" if how == "argument" else None,
        environment={"FOOTFALL_CONFIG": "other.toml"} if how == "variable" else {},
    )
    assert (settings.workers, settings.conversions, settings.split_on_campaign) == (
        1,
        ("paid", "signed_up"),
        True,
    )


def test_every_problem_is_reported_at_once_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "footfall.toml").write_text(
        '# a comment\ngapp = 5\nlateness = "soon"\n\n[sessions]\ngap = 1\n'
    )
    problems = problems_of(
        {"format": "segmnt", "workers": "0"},
        {"FOOTFALL_SHARD": "3", "FOOTFALL_BATCH_SIZE": "many", "FOOTFALL_PARTITIONED": "perhaps"},
    )
    unknown_table = "footfall.toml, line 5, sessions: there is no such setting"
    assert problems == [
        "footfall.toml, line 2, gapp: there is no such setting; did you mean gap?",
        f"footfall.toml, line 3, lateness: 'soon' is no length of time; {HOW_TO_WRITE}",
        f"{unknown_table}; did you mean max_session?; settings stand without a [table]",
        "environment variable FOOTFALL_BATCH_SIZE: 'many' is no whole number; write 1 to 10,000,000",
        "environment variable FOOTFALL_PARTITIONED: 'perhaps' is neither true nor false; write one of them",
        "environment variable FOOTFALL_SHARD: there is no such setting; did you mean FOOTFALL_SHARDS?",
        "flag --format: 'segmnt' is none of footfall, segment; did you mean segment?",
        "flag --workers: 0 is out of bounds; write 1 to 64",
    ]


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("gap", "0"), ("gap", "25 h"), ("gap", 1.5), ("gap", True), ("lateness", "-1"), ("workers", 65),
        ("workers", "1.0"), ("workers", True), ("shards", 0), ("shards", 1025), ("batch_size", 0),
        ("batch_size", 10_000_001), ("batch_size", "9" * 30), ("database", "a-b"), ("database", ""),
        ("store", ""), ("store", "chdb://"), ("store", "folder"), ("store", 3), ("log_level", "loud"),
        ("patterns", "no-such-folder"), ("event_names", "no-such-file"), ("out", 7), ("clicks", 3),
        ("clicks", ["click", 3]), ("split_on_campaign", 2),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_with_its_flag(name: str, bad: object) -> None:
    (problem,) = problems_of({name: bad})
    assert problem.startswith(f"flag --{name.replace('_', '-')}: ")


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ("", None), ("mine", Path("mine")), (Path("mine"), Path("mine")), ("all.ndjson", Path("all.ndjson")),
        ("kafka://control", "kafka://control"), ("KAFKA://control", "kafka://control"),
        ("chdb://a-store", "chdb://a-store"), ("clickhouse://a:b@h/d", "clickhouse://a:b@h/d"),
    ],
)  # fmt: skip
def test_patterns_are_a_folder_or_control_records(given: object, held: object, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "all.ndjson").write_text("")
    (tmp_path / "other.txt").write_text("")
    settings = load_settings({"patterns": given}, environment={})
    assert settings.patterns == held
    if held is None or held == Path("mine"):
        assert settings.pattern_folder == held
    else:
        with pytest.raises(UsageError, match="holds control records, which only a replay takes"):
            _ = settings.pattern_folder


@pytest.mark.parametrize("given", ["none.ndjson", "other.txt", "file://x", "kafka://", 3, "http://a:pw@h/"])
def test_what_holds_no_patterns_is_refused(given: object, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("")
    (problem,) = problems_of({"patterns": given})
    assert problem.startswith("flag --patterns: ")
    assert "name a folder, kafka://TOPIC" in problem
    assert "pw" not in problem


def test_a_place_of_patterns_keeps_its_password() -> None:
    settings = Settings(patterns="clickhouse://ann:hunter2@host/db")
    assert "hunter2" not in repr(settings)
    assert "patterns='clickhouse://ann:***@host/db'" in repr(settings)
    with pytest.raises(UsageError) as caught:
        _ = settings.pattern_folder
    assert "hunter2" not in str(caught.value)


def test_where_patterns_come_from_is_no_part_of_a_run_s_identity() -> None:
    assert Settings(patterns="kafka://control").identity() == Settings().identity()


def test_a_file_where_a_folder_belongs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    said = "flag --state: 'taken' is a file; name a folder, which may be new"
    assert problems_of({"state": "taken"}) == [said]
    assert problems_of({"state": "taken/new/state"}) == [said]


def test_a_place_that_cannot_be_looked_at_is_refused() -> None:
    (problem,) = problems_of({"state": "a" * 300})
    assert "can't be looked at: File name too long; name another" in problem


def test_a_setting_that_begins_as_the_word_does_is_nearest(tmp_path: Path) -> None:
    (tmp_path / "footfall.toml").write_text('late = "3 s"\n')
    assert problems_of() == ["footfall.toml, line 1, late: there is no such setting; did you mean lateness?"]


def test_max_session_must_hold_a_gap() -> None:
    (problem,) = problems_of({"gap": "2 h"}, {"FOOTFALL_MAX_SESSION": "1 h"})
    assert problem.startswith(
        "environment variable FOOTFALL_MAX_SESSION: max_session (1 h) is shorter than gap (2 h)"
    )


def test_an_empty_path_means_none_and_an_empty_list_is_empty() -> None:
    settings = load_settings({"conversions": ""}, environment={"FOOTFALL_STATE": ""})
    assert settings.state is None
    assert settings.conversions == ()


@pytest.mark.parametrize(
    ("content", "says"), [(b"gap = ", "isn't TOML"), (b"\xff\xfe", "isn't UTF-8"), (None, "can't be read")]
)
def test_a_file_that_cannot_be_read_is_one_problem_among_the_others(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "mine.toml").write_bytes(content)
    first, second = problems_of({"workers": 0}, config="mine.toml")
    assert first.startswith("mine.toml: ")
    assert says in first
    assert second.startswith("flag --workers")


def test_an_unknown_flag_is_a_programming_error() -> None:
    with pytest.raises(TypeError, match="names no setting"):
        load_settings({"gapp": 1}, environment={})


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("clickhouse://ann:hush@host:9000/db", "clickhouse://ann:***@host:9000/db"),
        ("clickhouse://ann:hu:sh/h@u@host/db", "clickhouse://ann:***@host/db"),
        ("ann:hush@host", "ann:***@host"),
        ("clickhouse://ann@host", "clickhouse://ann@host"),
        ("http://host?user=ann&password=hush&secure=1", "http://host?user=ann&password=***&secure=1"),
        ("chdb://folder", "chdb://folder"),
        ("none", "none"),
    ],
)
def test_redacted(dsn: str, shown: str) -> None:
    assert redacted(dsn) == shown


def test_no_secret_is_shown() -> None:
    settings = load_settings({"store": "clickhouse://ann:hush@host"}, environment={})
    assert settings.store == "clickhouse://ann:hush@host"
    assert "hush" not in repr(settings)
    assert "hush" not in str(problems_of({"store": "clikhouse://ann:hush@host"}))
    assert "hush" not in str(problems_of({"store": "ann:hush@host"}))


def test_identity_holds_what_fixes_the_answers_and_nothing_else(tmp_path: Path) -> None:
    names = tmp_path / "names.toml"
    names.write_text("a")
    here = load_settings({"event_names": str(names)}, environment={})
    elsewhere = load_settings(
        {
            "event_names": str(names),
            "workers": 2,
            "batch_size": 10,
            "store": "none",
            "out": "o",
            "log_level": "debug",
        },
        environment={},
    )
    assert here.identity() == elsewhere.identity()
    names.write_text("b")
    assert here.identity() != load_settings(environment={}).identity()
    for name, value in [
        ("gap", 1000),
        ("shards", 3),
        ("format", "segment"),
        ("clicks", "tap"),
        ("partitioned", "yes"),
    ]:
        assert (
            load_settings({name: value}, environment={}).identity()
            != load_settings(environment={}).identity()
        )


def test_defaults_as_shown_are_read_back() -> None:
    shown = {info.name: info.default for info in setting_infos()}
    assert tuple(shown) == SETTING_NAMES
    assert load_settings(dict(shown), environment={}) == Settings()


def test_the_readme_lists_every_setting_as_it_is() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [
        f"| `{i.name}` | {i.kind} | {f'`{i.default}`' if i.default else ''} | {i.about} |"
        for i in setting_infos()
    ]
    head = lines.index("| setting | kind | default | meaning |")
    table = lines[head + 2 : head + 2 + len(rows)]
    assert table == rows


def test_the_example_environment_lists_every_setting_as_it_is() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    missing = [f'# {i.about}\n#{i.variable}="{i.default}"\n' for i in setting_infos()]
    assert [entry for entry in missing if entry not in text] == []
    assert text.count("\n#FOOTFALL_") == len(missing)


def test_a_tick_is_as_long_as_events_may_lag() -> None:
    assert load_settings(environment={}).tick == 120_000
    assert load_settings({"lateness": "10 min"}, environment={}).tick == 660_000
    assert load_settings({"tick": "65 s"}, environment={}).tick == 65_000
    assert problems_of({"tick": "64 s"}) == [
        "flag --tick: tick (64 s) is shorter than lateness and idle_bound together (65 s); write a longer tick, or none"
    ]
