"""As much of SQL's surface as the store needs: statements, their first word, an INSERT's data.

It reads words, strings and comments, and leaves the grammar to the engine. Statements are bytes, because the
data that follows an INSERT may be of any kind.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    rb"""(?P<gap>\s+|--[^\n]*|\#[ !][^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<text>'(?:[^'\\]|\\.|'')*'?|"(?:[^"\\]|\\.|"")*"?|`(?:[^`\\]|\\.|``)*`?)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
_DATA_GAP = re.compile(rb"[ \t\r]*;?[ \t\r]*\n?")

# A look at a long list of values, before it is read word by word.
_SUSPECT = re.compile(rb"\b(file|executable|python)", re.IGNORECASE)

_SELECTS = frozenset({b"SELECT", b"WITH", b"FROM", b"("})
_ANSWERS = frozenset({b"SHOW", b"DESCRIBE", b"DESC", b"EXISTS", b"EXPLAIN", b"CHECK", b"KILL", b"VALUES"})

# Called as functions, or named as table engines and dictionary sources, these reach the files and programs of
# the process that runs the statement.
_LOCAL_ACCESS = frozenset({b"FILE", b"FILECLUSTER", b"EXECUTABLE", b"EXECUTABLEPOOL", b"PYTHON"})


@dataclass(frozen=True, slots=True)
class Statement:
    """What the store knows of a statement before the engine sees it.

    Attributes:
        first: its first word in upper case, or b"(", or b"" when there is none.
        streams: whether its rows can be taken block by block (a SELECT).
        answers: whether it has a result at all (a SELECT, or SHOW, DESCRIBE …).
        format: the name after its FORMAT, where it ends in one or is an INSERT with data of that format.
        data_at: for an INSERT whose FORMAT is followed by data, where the data begins.
        head: for such an INSERT, the statement up to its FORMAT.
        settings_at: where in the head its SETTINGS begin, or where it ends.
        takes_input: whether it is an INSERT … SELECT from the data after it, by `input()`.
        local_access: the name that reaches for local files or programs, where there is one.
    """

    first: bytes
    streams: bool
    answers: bool
    format: str | None = None
    data_at: int | None = None
    head: bytes = b""
    settings_at: int = 0
    local_access: str | None = None
    takes_input: bool = False


def read_statement(sql: bytes) -> Statement:
    """Look a statement over. What follows an INSERT's FORMAT is never looked at."""
    first = before = b""
    format_at = settings_at = depth = 0
    format_name: str | None = None
    fresh = selects = takes_input = False
    local: str | None = None
    for kind, token, start, end in _tokens(sql):
        word = token.strip(b'"`').upper() if kind == "word" or token[:1] in b'"`' else token
        first = first or word
        if fresh and word not in (b";", b"SETTINGS"):
            # What follows shows that this was a name, not the clause.
            format_name = None
        fresh = kind == "word" and before == b"FORMAT"
        if fresh:
            format_name = token.decode()
            if first == b"INSERT" and not selects and word != b"VALUES":
                data_at = _data_begin(sql, end)
                head = sql[:format_at]
                return Statement(
                    first, False, False, format_name, data_at, head, settings_at or len(head), local
                )
        format_at = start
        depth += (token == b"(") - (token == b")")
        # Not a table or a column of that name.
        if kind == "word" and word == b"SETTINGS" and not depth and before not in (b"INTO", b"TABLE", b"."):
            settings_at = start
        selects = selects or (first == b"INSERT" and word in (b"SELECT", b"WITH"))
        local = _local_access(before, word) or local
        takes_input = takes_input or (selects and before == b"INPUT" and word == b"(")
        before = word
        if first == b"INSERT" and word == b"VALUES" and not _SUSPECT.search(sql, end):
            break
    streams = first in _SELECTS
    answers = streams or first in _ANSWERS
    return Statement(first, streams, answers, format_name, local_access=local, takes_input=takes_input)


def _data_begin(sql: bytes, end: int) -> int:
    gap = _DATA_GAP.match(sql, end)
    return gap.end() if gap else end


def _local_access(before: bytes, word: bytes) -> str | None:
    if word == b"(" and before in _LOCAL_ACCESS:
        return before.decode().lower()
    if (before, word) in ((b"INTO", b"OUTFILE"), (b"FROM", b"INFILE")):
        return f"{before.decode()} {word.decode()}"
    return None


def without_end(sql: str) -> str:
    """The statement without semicolons, comments and blanks at its end, so that a clause can follow."""
    raw = sql.encode()
    last = 0
    for kind, token, _, end in _tokens(raw):
        if kind != "gap" and token != b";":
            last = end
    return raw[:last].decode()


def split_statements(sql: str) -> list[str]:
    """The statements of a script, in order, without their semicolons; empty ones are left out."""
    raw = sql.encode()
    statements: list[str] = []
    begin = 0
    filled = False
    for kind, token, start, _ in _tokens(raw, gaps=True):
        if kind == "sign" and token == b";":
            if filled:
                statements.append(raw[begin:start].decode().strip())
            begin, filled = start + 1, False
        elif kind != "gap":
            filled = True
    if filled:
        statements.append(raw[begin:].decode().strip())
    return statements


def quoted(text: str) -> str:
    """The text as an SQL string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quoted_name(name: str) -> str:
    """The name as an SQL identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _tokens(sql: bytes, *, gaps: bool = False) -> Iterator[tuple[str, bytes, int, int]]:
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or "sign"
        if gaps or kind != "gap":
            yield kind, match.group(), match.start(), match.end()
