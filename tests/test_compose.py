"""docker-compose.yml against what it names: paths, ports, variables, users, commands and the settings' own rules."""

import importlib
import io
import re
import shlex
import sys
import tomllib
from datetime import timedelta
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import bytewax.run
import pytest
import yaml
from compose_file import COMPOSE, PASSWORDS, ROOT, example, loaded, services, settings_of, variables

from footfall.cli import _parser
from footfall.health import parse_address
from footfall.migrations import read_migrations
from footfall.settings import SETTING_NAMES, Settings, load_settings, setting_infos
from footfall.simulate_to_kafka import kafka_topic
from footfall.store import parse_dsn
from footfall.store_sql import split_statements
from footfall.topics import load_topics

OURS = ("topics", "live", "member-0", "member-1", "simulator")
FLOWS = ("live", "member-0", "member-1")
MEMBERS = ("member-0", "member-1")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SERVICES = services()


def mounts(name: str) -> dict[str, str]:
    """Path in the container -> volume or path on the host."""
    found = (each.split(":") for each in SERVICES[name].get("volumes", ()))
    return {parts[1]: parts[0] for parts in found}


def users() -> dict[str, ET.Element]:
    tree = ET.parse(ROOT / "clickhouse" / "users.d" / "footfall.xml")
    found = tree.getroot().find("users")
    assert found is not None
    return {user.tag: user for user in found}


# ---- what the services are


def test_there_is_what_the_issue_asks_for() -> None:
    assert set(SERVICES) == {"kafka", "clickhouse", "grafana", *OURS}
    profiles = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    assert profiles["live"] == ["live"]
    assert profiles["member-0"] == profiles["member-1"] == ["cluster"]
    assert profiles["simulator"] == ["simulator"]
    assert [name for name, own in profiles.items() if not own] == ["kafka", "clickhouse", "grafana", "topics"]


def test_images_are_pinned_to_a_release() -> None:
    for name, service in SERVICES.items():
        assert re.fullmatch(r"[a-z/-]+:\d+(\.\d+){2,3}", service["image"]), name
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.12\.\d+-slim-bookworm", bases[0])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {SERVICES[name]["image"] for name in OURS} == {f"footfall:{project['version']}"}
    assert "3.12" in "".join(project["classifiers"])


def test_kafka_is_the_release_that_the_tests_run() -> None:
    pom = (ROOT / "tests" / "kafka" / "pom.xml").read_text(encoding="utf-8")
    assert SERVICES["kafka"]["image"].partition(":")[2] in re.findall(r"<(?:kafka\.)?version>([\d.]+)<", pom)


def test_ports_are_open_to_this_machine_only_and_lead_to_what_listens() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {
        "kafka": ["127.0.0.1:9092:9092"],
        "clickhouse": ["127.0.0.1:8123:8123"],
        "grafana": ["127.0.0.1:3000:3000"],
        "live": ["127.0.0.1:9464:9464"],
    }
    assert parse_address(settings_of(SERVICES["live"])["FOOTFALL_METRICS"]) == ("0.0.0.0", 9464)
    kafka = settings_of(SERVICES["kafka"])
    assert "OUTSIDE://:9092" in kafka["KAFKA_LISTENERS"]
    assert "OUTSIDE://localhost:9092" in kafka["KAFKA_ADVERTISED_LISTENERS"]


def test_our_containers_may_do_little() -> None:
    for name in OURS:
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert [each.partition(":")[0] for each in service["tmpfs"]] == ["/tmp"]
        assert re.fullmatch(r"mode=1777,size=\d+[mg]", service["tmpfs"][0].partition(":")[2])
        assert not {"privileged", "user", "network_mode", "cap_add"} & set(service)
    user = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    assert user == [("10001", "10001")]
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    assert last_stage.index("USER ") < last_stage.index("ENTRYPOINT ")


# ---- start order


def test_what_is_waited_for_can_come_about() -> None:
    for name, service in SERVICES.items():
        for other, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for {other}"
            else:
                assert wait["condition"] == "service_completed_successfully"
                assert SERVICES[other]["restart"] == "on-failure"
            assert "profiles" not in SERVICES[other], f"{name} waits for what may not be there"


def test_the_flow_comes_after_the_topics_and_the_store() -> None:
    for name in FLOWS:
        assert set(SERVICES[name]["depends_on"]) == {"topics", "clickhouse"}
    assert set(SERVICES["topics"]["depends_on"]) == {"kafka"}
    assert set(SERVICES["simulator"]["depends_on"]) == {"topics"}


def test_what_runs_for_long_comes_back_and_stops_in_order() -> None:
    for name, service in SERVICES.items():
        wanted = "always" if name in {*MEMBERS, "simulator"} else "unless-stopped"
        assert service["restart"] == ("on-failure" if name == "topics" else wanted)
    for name in FLOWS:
        assert SERVICES[name]["stop_grace_period"] == "1m"
    assert "STOPSIGNAL SIGTERM" in DOCKERFILE


# ---- variables


def test_the_example_names_every_variable() -> None:
    known = example()
    for variable in variables():
        value, is_set = known[variable.name]
        assert value == variable.default, variable.name
        assert is_set == variable.needed, variable.name
    assert {name for name, (value, is_set) in known.items() if is_set and not value} == set(PASSWORDS)
    profiles, is_set = known["COMPOSE_PROFILES"]
    assert is_set
    assert profiles in {each for service in SERVICES.values() for each in service.get("profiles", ())}


def test_every_variable_of_the_example_is_used() -> None:
    used = {variable.name for variable in variables()} | {"COMPOSE_PROFILES"}
    assert {name for name in example() if not name.startswith("FOOTFALL_")} <= used


def test_no_secret_has_a_default() -> None:
    for variable in variables():
        if "PASSWORD" in variable.name:
            assert variable.needed
    with pytest.raises(KeyError):
        services({})
    for service in SERVICES.values():
        for name, value in settings_of(service).items():
            assert "PASSWORD" not in name or value in PASSWORDS.values()


@pytest.mark.parametrize("name", OURS)
def test_settings_are_taken_by_the_program(name: str) -> None:
    settings = load_settings(environment=settings_of(SERVICES[name]))
    inside = re.search(r"INSIDE://(kafka:\d+)", settings_of(SERVICES["kafka"])["KAFKA_ADVERTISED_LISTENERS"])
    assert inside is not None
    assert settings.kafka == inside[1]
    if name in FLOWS:
        address = parse_dsn(settings.store, database=settings.database)
        assert (address.host, address.port, address.user) == ("clickhouse", 8123, "footfall_writer")
        assert address.password == PASSWORDS["CLICKHOUSE_WRITER_PASSWORD"]
        assert address.database == "footfall"
        # The simulator keys by visitor, and early answers need it.
        assert settings.keyed_by_visitor
        assert settings.early


def test_defaults_that_are_repeated_are_the_settings_own() -> None:
    own = {info.variable: info.default for info in setting_infos()}
    for variable in variables():
        if variable.name.startswith("FOOTFALL_"):
            assert variable.default == own[variable.name]


# ---- paths


def test_what_is_mounted_from_here_is_here_and_read_only() -> None:
    found = [
        each for service in SERVICES.values() for each in service.get("volumes", ()) if each.startswith(".")
    ]
    assert len(found) == 3
    for each in found:
        host, _, mode = each.split(":")
        assert (ROOT / host).exists(), host
        assert mode == "ro"


def test_named_volumes_are_declared_and_used() -> None:
    used = {volume for name in SERVICES for volume in mounts(name).values() if not volume.startswith(".")}
    assert used == set(loaded()["volumes"])


@pytest.mark.parametrize("name", FLOWS)
def test_all_that_a_flow_writes_is_on_a_volume(name: str) -> None:
    settings = load_settings(environment=settings_of(SERVICES[name]))
    assert settings.state is not None
    kept = mounts(name)
    assert settings.state.parent.as_posix() in kept
    cache = re.search(r"NUMBA_CACHE_DIR=(\S+)", DOCKERFILE)
    assert cache is not None
    assert cache[1] in kept
    # Volumes take their owner from the image's folders.
    owned = re.findall(r"chown footfall:footfall (.*)$", DOCKERFILE, re.MULTILINE)
    assert set(owned[0].split()) == set(kept)
    assert set(re.findall(r'"(/[^"]+)"', re.findall(r"^VOLUME (.*)$", DOCKERFILE, re.MULTILINE)[0])) == set(
        kept
    )


def test_one_state_is_never_used_by_both_kinds_of_run() -> None:
    state = "/var/lib/footfall"
    assert mounts("member-0")[state] == mounts("member-1")[state] != mounts("live")[state]


def test_kafka_and_clickhouse_keep_their_data() -> None:
    assert settings_of(SERVICES["kafka"])["KAFKA_LOG_DIRS"] in mounts("kafka")
    assert "/var/lib/clickhouse" in mounts("clickhouse")
    assert "/var/lib/grafana" in mounts("grafana")


def test_the_image_gets_what_the_wheel_is_made_of() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    taken = {line[1:] for line in ignored if line.startswith("!")}
    build, _, last = DOCKERFILE.rpartition("\nFROM ")
    copied = [word for line in re.findall(r"^COPY (.*)$", build, re.MULTILINE) for word in line.split()[:-1]]
    assert set(copied) == taken
    assert all((ROOT / each).exists() for each in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert set(wheel) <= taken
    assert re.findall(r"^COPY --from=build (\S+) (\S+)$", last, re.MULTILINE) == [("/opt/footfall",) * 2]


# ---- commands


@pytest.mark.parametrize("name", ["topics", "live", "simulator"])
def test_commands_are_the_programs(name: str) -> None:
    arguments = _parser().parse_args(SERVICES[name]["command"])
    assert callable(arguments.command)
    assert re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE) == ['["footfall"]']
    assert "entrypoint" not in SERVICES[name]


def test_the_logs_of_a_flow_are_json_lines_to_the_last() -> None:
    for name in FLOWS:
        assert settings_of(SERVICES[name])["FOOTFALL_LOG_FORMAT"] == "json"
    assert {"--quiet", "--json"} < set(SERVICES["live"]["command"])


def test_the_simulator_sends_to_a_topic_that_is_declared_and_read() -> None:
    topic = kafka_topic(SERVICES["simulator"]["command"][1])
    assert topic in {each.name for each in load_topics()}
    assert topic in load_settings(environment=settings_of(SERVICES["live"])).input_topics


@pytest.mark.parametrize("number", [0, 1])
def test_members_run_the_flow_of_a_cluster(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    service = SERVICES[MEMBERS[number]]
    program, option, module, flow = service["entrypoint"]
    assert (program, option, module) == ("python", "-m", "bytewax.run")
    where, _, factory = flow.partition(":")
    # In an installed wheel the flows lie in the package.
    assert where.startswith("footfall.content_files.flows.")
    assert callable(getattr(importlib.import_module(where.removeprefix("footfall.content_files.")), factory))
    monkeypatch.setattr(sys, "argv", ["bytewax.run", flow, *service["command"]])
    arguments = bytewax.run._parse_args()
    assert arguments.process_id == number
    assert [each.partition(":")[0] for each in arguments.addresses.split(";")] == list(MEMBERS)
    settings = load_settings(environment=settings_of(service))
    assert settings.state is not None
    assert str(arguments.recovery_directory) == str(settings.state / "recovery")
    assert arguments.snapshot_interval == timedelta(milliseconds=Settings().snapshot_interval)


def test_the_flow_is_asked_for_its_health_where_it_answers() -> None:
    for name in FLOWS:
        test = SERVICES[name]["healthcheck"]["test"]
        assert test[:3] == ["CMD", "python", "-c"]
        (url,) = re.findall(r"'(http://[^']+)'", test[3])
        metrics = load_settings(environment=settings_of(SERVICES[name])).metrics
        assert urlsplit(url).port == parse_address(metrics).port
        assert urlsplit(url).path == "/healthz"


# ---- users


def test_each_user_has_a_password_from_the_environment() -> None:
    assert set(users()) == {"default", "footfall_writer", "footfall_reader"}
    given = settings_of(SERVICES["clickhouse"])
    for name, user in users().items():
        password = user.find("password")
        if name == "default":
            assert password is None
            assert [each.text for each in user.iter("ip")] == ["127.0.0.1", "::1"]
        else:
            assert password is not None
            assert given[password.attrib["from_env"]] == PASSWORDS[password.attrib["from_env"]]
    grafana = settings_of(SERVICES["grafana"])
    assert grafana["CLICKHOUSE_USER"] == "footfall_reader"
    assert grafana["CLICKHOUSE_PASSWORD"] == PASSWORDS["CLICKHOUSE_READER_PASSWORD"]
    assert f"{grafana['CLICKHOUSE_HOST']}:{grafana['CLICKHOUSE_PORT']}" == "clickhouse:8123"


def grants(user: str) -> dict[str, set[str]]:
    """What is granted on -> privileges."""
    found: dict[str, set[str]] = {}
    for query in users()[user].iter("query"):
        match = re.fullmatch(r"GRANT ([A-Z, ]+) ON (\S+)", query.text or "")
        assert match, query.text
        found.setdefault(match[2], set()).update(match[1].split(", "))
    return found


def test_users_may_do_what_they_need_and_no_more() -> None:
    writer, reader = grants("footfall_writer"), grants("footfall_reader")
    assert writer["footfall.*"] == {
        "CREATE DATABASE",
        "CREATE TABLE",
        "ALTER ADD COLUMN",
        "INSERT",
        "SELECT",
        "SHOW",
    }
    assert reader["footfall.*"] == {"SELECT", "SHOW"}
    for granted in (writer, reader):
        assert all(place in {"footfall.*", "system.databases", "system.settings"} for place in granted)
        assert all(what == {"SELECT"} for place, what in granted.items() if place.startswith("system."))
    profile = users()["footfall_reader"].findtext("profile")
    tree = ET.parse(ROOT / "clickhouse" / "users.d" / "footfall.xml")
    assert tree.findtext(f"profiles/{profile}/readonly") == "2"
    assert tree.find(f"profiles/{users()['footfall_writer'].findtext('profile')}") is not None


def test_the_writer_may_run_the_migrations() -> None:
    may = grants("footfall_writer")["footfall.*"]
    for migration in read_migrations():
        for statement in split_statements(migration.sql):
            words = re.sub(r"--.*", "", statement).split()
            # Not all that ALTER TABLE may do: deleting is for people.
            wanted = ["ALTER", *words[3:5]] if words[0] == "ALTER" else words[:2]
            assert " ".join(wanted) in may, statement
    assert Settings().database == "footfall"


def test_the_engine_knows_what_is_granted() -> None:
    chdb = pytest.importorskip("chdb", reason="no chdb")
    for user in ("footfall_writer", "footfall_reader"):
        for query in users()[user].iter("query"):
            assert "GrantQuery" in str(chdb.query(f"EXPLAIN AST {query.text} TO {user}", "CSV"))
    with pytest.raises(RuntimeError, match="Syntax error"):
        chdb.query("EXPLAIN AST GRANT BANANA ON footfall.* TO x", "CSV")


def test_grafana_gets_the_variables_that_its_files_name() -> None:
    given = set(settings_of(SERVICES["grafana"]))
    for path in (ROOT / "grafana" / "provisioning").rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"\$\{(\w+)\}", text)) <= given, path.name
        assert yaml.safe_load(text)["apiVersion"] == 1
    folder = settings_of(SERVICES["grafana"])["DASHBOARDS_FOLDER"]
    assert mounts("grafana")[folder] == "./grafana/dashboards"
    assert mounts("grafana")["/etc/grafana/provisioning"] == "./grafana/provisioning"


def test_the_dockerfile_takes_out_what_only_development_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (code,) = re.findall(r"python -c '([^']+)'", DOCKERFILE)
    names: list[str] = []

    def printed(name: str) -> None:
        names.append(name)

    file = io.BytesIO((ROOT / "pyproject.toml").read_bytes())
    exec(code, {"print": printed, "open": lambda *named: {("pyproject.toml", "rb"): file}[named]})
    wanted = [re.split(r"[<>=!~ ]", each)[0] for each in project["dependency-groups"]["dev"]]
    assert names == wanted
    needed = {re.split(r"[<>=!~ ]", each)[0] for each in project["project"]["dependencies"]}
    assert not needed & set(names)


def test_shell_words_of_the_file_are_whole() -> None:
    for name, service in SERVICES.items():
        for word in [*service.get("command", ()), *service.get("healthcheck", {}).get("test", ())]:
            assert isinstance(word, str), f"{name}: {word!r} isn't text"
            assert "'" in word or shlex.split(word) or word == "", name


def test_settings_named_in_the_file_exist() -> None:
    known = {f"FOOTFALL_{name.upper()}" for name in SETTING_NAMES}
    assert set(re.findall(r"FOOTFALL_\w+", COMPOSE.read_text(encoding="utf-8"))) <= known
