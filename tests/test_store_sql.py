import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.store_sql import quoted, quoted_name, read_statement, split_statements, without_end


@pytest.mark.parametrize(
    ("sql", "first", "streams", "answers", "form"),
    [
        (b"SELECT 1", b"SELECT", True, True, None),
        (b"  -- no FORMAT x\n/* nor */ select 1 format JSON", b"SELECT", True, True, "JSON"),
        (b"SELECT format FROM t", b"SELECT", True, True, None),
        (b"SELECT format, a FROM t WHERE format = 'FORMAT CSV'", b"SELECT", True, True, None),
        (b"SELECT 1 FORMAT CSV SETTINGS max_threads = 1", b"SELECT", True, True, "CSV"),
        (b"SELECT 1 FORMAT CSV ; -- end", b"SELECT", True, True, "CSV"),
        (b"(SELECT 1) UNION ALL (SELECT 2)", b"(", True, True, None),
        (b"WITH 1 AS x SELECT x", b"WITH", True, True, None),
        (b"SHOW TABLES", b"SHOW", False, True, None),
        (b"DESC TABLE t FORMAT Native", b"DESC", False, True, "Native"),
        (b"CREATE TABLE t (a Int8) ENGINE = Memory", b"CREATE", False, False, None),
        (b"INSERT INTO t VALUES (1), (2)", b"INSERT", False, False, None),
        (b"INSERT INTO t SELECT * FROM input('a Int8') FORMAT CSV\n1", b"INSERT", False, False, None),
        (b" ; -- nothing", b";", False, False, None),
        (b"", b"", False, False, None),
    ],
)
def test_statement(sql: bytes, first: bytes, *, streams: bool, answers: bool, form: str | None) -> None:
    statement = read_statement(sql)
    assert (statement.first, statement.streams, statement.answers, statement.format) == (
        first,
        streams,
        answers,
        form,
    )
    assert statement.data_at is None


@given(st.binary())
def test_an_inserts_data_is_left_alone(data: bytes) -> None:
    sql = b"INSERT INTO t (`format`, b) FORMAT Native\n"
    statement = read_statement(sql + data)
    assert statement.data_at == len(sql)
    assert statement.format == "Native"
    assert statement.head == b"INSERT INTO t (`format`, b) "


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT * FROM file('/etc/passwd')",
        b"SELECT * FROM /* x */ FILE /* y */ ('/etc/passwd')",
        b"SELECT `file`('/etc/passwd')",
        b"SELECT 1 INTO OUTFILE '/tmp/x'",
        b"INSERT INTO t FROM INFILE '/tmp/x' FORMAT CSV",
        b"INSERT INTO t VALUES ('a', file('/etc/passwd'))",
        b"INSERT INTO t FORMAT Values (file('/etc/passwd'))",
        b"CREATE TABLE t (a Int8) ENGINE = File(CSV, '/tmp/x')",
        b"SELECT * FROM executable('x', CSV, 'a Int8')",
    ],
)
def test_what_reaches_for_local_files_is_seen(sql: bytes) -> None:
    assert read_statement(sql).local_access is not None


@pytest.mark.parametrize(
    "sql", [b"SELECT file FROM t", b"INSERT INTO t VALUES ('file (1)')", b"SELECT 'file(x)'"]
)
def test_what_only_looks_like_it_is_not(sql: bytes) -> None:
    assert read_statement(sql).local_access is None


@given(st.binary())
def test_any_bytes_can_be_read(sql: bytes) -> None:
    read_statement(sql)


def test_scripts_are_split_at_semicolons_that_end_statements() -> None:
    script = "-- one; two\nSELECT ';' ;\n\n; /* ; */ SELECT `a;b` FROM t -- last;"
    assert split_statements(script) == [
        "-- one; two\nSELECT ';'",
        "/* ; */ SELECT `a;b` FROM t -- last;",
    ]
    assert split_statements(" -- nothing\n;") == []


def test_the_end_is_taken_off() -> None:
    assert without_end("SELECT ';' -- é\n ; ;\n-- end") == "SELECT ';'"


def test_quoting() -> None:
    assert quoted("it's \\") == "'it\\'s \\\\'"
    assert quoted_name("a`b") == "`a\\`b`"
