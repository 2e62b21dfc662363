import json
import math
import operator as op
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.envelope import SCHEMA
from footfall.errors import ExpressionError
from footfall.event_property import PropertyKind, property_reader
from footfall.expression import (
    EventField,
    EventProperty,
    Expression,
    event,
    expression_from_dict,
    field,
    polars_condition,
    property_,
    subtype,
)
from footfall.expression_base import RowBuild
from footfall.expression_nodes import (
    AllOf,
    AnyOf,
    Arithmetic,
    Comparison,
    Constant,
    LowerCase,
    Membership,
    Not,
    NullTest,
    TextTest,
)
from footfall.polars_condition import JsonValue
from footfall.taken_events import last

Row = dict[str, Any]

TIME = datetime(2025, 10, 9, tzinfo=UTC)


def event_frame(rows: list[Row]) -> pl.DataFrame:
    full = [{name: row.get(name) for name in SCHEMA} for row in rows]
    return pl.DataFrame(full, schema=SCHEMA)


def answers(condition: Expression, rows: list[Row]) -> list[bool]:
    return event_frame(rows).select(condition.to_polars().alias("answer"))["answer"].to_list()


# What the language says, spelt out for one event: the lowering to columns must agree with it.
def value_of(node: Expression, row: Row) -> object:
    if isinstance(node, NullTest):
        return (value_of(node.operand, row) is None) == node.absent
    if isinstance(node, (AllOf, AnyOf)):
        decisive = isinstance(node, AnyOf)
        values = [value_of(operand, row) for operand in node.operands]
        return decisive if decisive in values else None if None in values else not decisive
    if not node.children:
        return leaf_value(node, row)
    parts = [value_of(child, row) for child in node.children]
    return None if None in parts else computed(node, parts)


def leaf_value(node: Expression, row: Row) -> object:
    match node:
        case EventField(name=name):
            value = row[name]
            return value / 1_000_000 if name == "value" and value is not None else value
        case EventProperty(path=path, type=kind):
            return property_reader(path, kind)(row["properties"])
        case Constant(value=constant):
            return constant
    raise AssertionError(node)


def computed(node: Expression, parts: list[Any]) -> object:
    match node:
        case Comparison(operator=name):
            return COMPARE[name](*parts)
        case Arithmetic(operator=name):
            return quotient(*parts) if name == "/" else finite(COMPUTE[name](*map(float, parts)))
        case Membership(values=allowed):
            return any(parts[0] == one.value for one in allowed)
        case Not():
            return not parts[0]
        case LowerCase():
            # Python's own lower() has older tables than Polars, which the language follows.
            return pl.Series([parts[0]], dtype=pl.String).str.to_lowercase()[0]
        case TextTest(test=test, text=text):
            return text in parts[0] if test == "contains" else getattr(parts[0], test.replace("_", ""))(text)
    raise AssertionError(node)


COMPARE = {"==": op.eq, "!=": op.ne, "<": op.lt, "<=": op.le, ">": op.gt, ">=": op.ge}
COMPUTE = {"+": op.add, "-": op.sub, "*": op.mul}


def quotient(left: float, right: float) -> float | None:
    return None if right == 0 else finite(left / right)


def finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


WORDS = st.one_of(
    st.sampled_from(
        ["click", "Click", "page_view", "", "/book", "a.b", "bo", "é", "ΟΔΟΣ", "İstanbul", "\ua7cb"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
)
NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 99.5, -(2**53), 2**53]))
DOCUMENTS = st.sampled_from(
    [
        "{}",
        '{"s":"click","n":2}',
        '{"s":7,"n":"2.0"}',
        '{"s":null,"n":1e300}',
        '{"s":{"n":1}}',
        "[]",
        "no JSON",
        "",
    ]
)
ROWS = st.fixed_dictionaries(
    {
        "event": st.one_of(st.none(), WORDS),
        "path": st.one_of(st.none(), WORDS),
        "x": st.one_of(st.none(), st.integers(-3, 3)),
        "y": st.one_of(st.none(), st.integers(-3, 3)),
        "value": st.one_of(st.none(), st.sampled_from([0, 500_000, 99_500_000, -3_000_000])),
        "bot": st.one_of(st.none(), st.booleans()),
        "properties": st.one_of(st.none(), DOCUMENTS),
    }
)
TEXTS = st.sampled_from([event, field("path"), event.lower(), property_("s")])
QUANTITIES = st.recursive(
    st.sampled_from([field("x"), field("y"), field("value"), property_("n", "number")]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] + pair[1]),
        st.tuples(inner, NUMBERS).map(lambda pair: pair[0] * pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] / pair[1]),
        st.tuples(NUMBERS, inner).map(lambda pair: pair[0] - pair[1]),
    ),
    max_leaves=4,
)


def value_tests(
    values: st.SearchStrategy[Any], constants: st.SearchStrategy[Any]
) -> st.SearchStrategy[Expression]:
    compare = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
    return st.one_of(
        st.tuples(compare, values, constants).map(lambda t: Comparison(t[0], t[1], Constant(t[2]))),
        st.tuples(compare, values, values).map(lambda t: Comparison(t[0], t[1], t[2])),
        st.tuples(values, st.lists(constants, max_size=3)).map(lambda t: t[0].is_in(t[1])),
        values.map(lambda value: value.is_null()),
        values.map(lambda value: value.is_not_null()),
    )


CONDITIONS: st.SearchStrategy[Expression] = st.recursive(
    st.one_of(
        value_tests(TEXTS, WORDS),
        value_tests(QUANTITIES, st.integers(-3, 3) | st.sampled_from([0.5, 99.5])),
        st.tuples(TEXTS, WORDS).map(lambda t: t[0].starts_with(t[1])),
        st.tuples(TEXTS, WORDS).map(lambda t: t[0].ends_with(t[1])),
        st.tuples(TEXTS, WORDS).map(lambda t: t[0].contains(t[1])),
        st.just(field("bot")),
    ),
    lambda inner: st.one_of(
        inner.map(lambda one: ~one),
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
    ),
    max_leaves=6,
)


@given(CONDITIONS, st.lists(ROWS, min_size=1, max_size=8))
def test_columns_say_what_the_language_says(condition: Expression, rows: list[Row]) -> None:
    assert answers(condition, rows) == [value_of(condition, row) is True for row in rows]


TIMES = st.sampled_from([field("event_time"), field("arrival_time")])
MOMENTS = st.integers(-2, 2).map(lambda ms: TIME + timedelta(milliseconds=ms))
TIME_CONDITIONS: st.SearchStrategy[Expression] = st.one_of(
    value_tests(TIMES, MOMENTS | st.just(TIME + timedelta(microseconds=1500))),
    st.tuples(TIMES, TIMES, st.integers(-3, 3)).map(lambda t: t[0] - t[1] > t[2]),
)
POLARS_CONDITIONS: st.SearchStrategy[Expression] = st.sampled_from(
    [
        polars_condition(pl.col("path").str.len_chars() > pl.col("x"), words="a long path"),
        polars_condition(pl.col("bot") | pl.col("value").is_null(), words="odd"),
        polars_condition(pl.col("event_time").dt.hour() < 6, words="at night"),
    ]
)


@given(
    st.one_of(
        CONDITIONS,
        TIME_CONDITIONS,
        POLARS_CONDITIONS,
        st.tuples(CONDITIONS, TIME_CONDITIONS, POLARS_CONDITIONS).map(lambda t: (t[0] | t[1]) & ~t[2]),
    ),
    st.lists(ROWS, min_size=1, max_size=6),
    st.lists(st.none() | MOMENTS, min_size=12, max_size=12),
)
def test_closures_say_what_columns_say(
    condition: Expression, rows: list[Row], times: list[datetime | None]
) -> None:
    timed = [
        row | {"event_time": times[2 * number], "arrival_time": times[2 * number + 1]}
        for number, row in enumerate(rows)
    ]
    frame = event_frame(timed)
    closure = condition.to_closure()
    assert [closure(row) for row in frame.to_dicts()] == answers(condition, timed)
    # Unknown and false differ below the top, so the values themselves must agree too.
    values = frame.select(condition.column(SCHEMA).alias("answer"))["answer"].to_list()
    compute = condition.compute(RowBuild(SCHEMA))
    assert [compute(row) for row in frame.to_dicts()] == values


@given(QUANTITIES, st.lists(ROWS, min_size=1, max_size=6))
def test_numbers_are_computed_alike(quantity: Expression, rows: list[Row]) -> None:
    frame = event_frame(rows)
    compute = quantity.compute(RowBuild(SCHEMA))
    assert [compute(row) for row in frame.to_dicts()] == frame.select(
        quantity.column(SCHEMA)
    ).to_series().to_list()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_lower_case_is_the_same_in_every_script(text: str) -> None:
    compute = event.lower().compute(RowBuild(SCHEMA))
    frame = event_frame([{"event": text}])
    assert compute({"event": text}) == frame.select(event.lower().column(SCHEMA)).item()


def test_lower_case_follows_polars_where_python_is_older() -> None:
    every = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    differing = [a for a, b in zip(every, pl.Series(every).str.to_lowercase(), strict=True) if a.lower() != b]
    compute = event.lower().compute(RowBuild(SCHEMA))
    assert [compute({"event": text}) for text in differing] == pl.Series(
        differing, dtype=pl.String
    ).str.to_lowercase().to_list()


def test_other_schemas_floats_and_times_are_read_alike() -> None:
    schema = pl.Schema(
        {"price": pl.Float64(), "at": pl.Datetime("us", "Europe/Paris"), "kind": pl.Categorical()}
    )
    frame = pl.DataFrame(
        {
            "price": [1.5, math.nan, math.inf, None],
            "at": [TIME, TIME + timedelta(microseconds=1), TIME - timedelta(microseconds=1), None],
            "kind": ["a", "B", None, "a"],
        },
        schema_overrides={"at": pl.Datetime("us", "UTC"), "kind": pl.Categorical()},
    ).with_columns(pl.col("at").dt.convert_time_zone("Europe/Paris"))
    conditions = {
        field("price") > 1: [True, False, False, False],
        field("price").is_null(): [False, True, True, True],
        field("at") == TIME: [True, True, False, False],
        field("at") < TIME: [False, False, True, False],
        field("kind").lower() == "b": [False, True, False, False],
    }
    for condition, expected in conditions.items():
        assert frame.select(condition.to_polars(schema)).to_series().to_list() == expected
        closure = condition.to_closure(schema)
        assert [closure(row) for row in frame.to_dicts()] == expected


def test_a_subtype_is_in_the_events_name() -> None:
    rows: list[Row] = [
        {"event": name} for name in ("booking", "booking_started", "bookings", "shop", "shop_x", None)
    ]
    assert answers(subtype("booking"), rows) == [True, True, False, False, False, False]
    assert answers(subtype("booking", "shop"), rows) == [True, True, False, True, True, False]


@given(CONDITIONS)
def test_a_condition_goes_to_json_and_back(condition: Expression) -> None:
    again = expression_from_dict(json.loads(json.dumps(condition.to_dict())))
    assert again.same_as(condition)
    assert hash(again) == hash(condition)
    assert str(again) == str(condition)
    assert again.columns() == condition.columns()


@given(CONDITIONS, CONDITIONS)
def test_the_order_of_what_is_joined_changes_no_key(one: Expression, other: Expression) -> None:
    assert (one & other).same_as(other & one)
    assert (one | other).same_as(other | one)


def test_different_meanings_have_different_keys() -> None:
    conditions = [
        event == "a",
        event == "b",
        event != "a",
        field("path") == "a",
        property_("event") == "a",
        event.starts_with("a"),
        event.is_in(["a", "b"]),
        (event == "a") | (event == "b"),
        (event == "a") & (event == "b"),
        ~(event == "a"),
        field("x") == 1,
        field("x") - field("y") == 1,
        field("y") - field("x") == 1,
        property_("n", "number").is_null(),
        property_("n", "text").is_null(),
    ]
    assert len({condition.key() for condition in conditions}) == len(conditions)


def test_one_value_in_a_list_is_equality() -> None:
    assert event.is_in(["a"]).same_as(event == "a")
    assert event.is_in(["b", "a", "b"]).same_as(event.is_in(["a", "b"]))


def test_conditions_print_in_words() -> None:
    condition = (event == "click") & ((field("x") > 3) | ~field("bot")) & field("element").is_null()
    assert str(condition) == "event is 'click' and (x is greater than 3 or not (bot)) and element is missing"
    assert str(property_("product.id").lower().starts_with("ab")) == (
        "property product.id in lower case starts with 'ab'"
    )
    assert repr(event == "click") == "<Comparison: event is 'click'>"


@pytest.mark.parametrize(
    "misuse",
    [
        lambda: (event == "a") and (event == "b"),
        lambda: (event == "a") or field("bot"),
        lambda: not field("bot"),
        lambda: 1 < field("x") < 3,
        lambda: event in ["a", "b"],
        lambda: bool(event),
    ],
)
def test_python_logic_on_conditions_fails_loudly(misuse: Callable[[], object]) -> None:
    with pytest.raises(ExpressionError, match=r"write & for 'and', .* \(1 < x\) & \(x < 5\) for 1 < x < 5"):
        misuse()


@pytest.mark.parametrize(
    ("misuse", "words"),
    [
        (lambda: event == None, r"\.is_null\(\)"),  # noqa: E711  # the mistake itself
        (lambda: event == "a" & field("bot"), "parentheses"),
        (lambda: field("bot") | 3, "parentheses"),
        (lambda: event == ["a"], "can't hold"),
        (lambda: event == b"a", "can't hold"),
        (lambda: field("x") > math.inf, "2\\*\\*53"),
        (lambda: field("x") > 2**60, "2\\*\\*53"),
        (lambda: field("event_time") > datetime(2025, 1, 1), "time zone"),  # noqa: DTZ001  # the mistake itself
        (lambda: event.is_in("click"), r"is_in\(\['click'\]\)"),
        (lambda: event.starts_with(3), "takes a text"),  # type: ignore[arg-type]  # the mistake itself
        (subtype, "names of events"),
        (lambda: subtype(""), "names of events"),
        (lambda: property_(""), "path"),
        (lambda: property_("a", "date"), "text, number or boolean"),  # type: ignore[arg-type]  # the mistake itself
    ],
)
def test_what_is_wrong_at_once_is_said_at_once(misuse: Callable[[], object], words: str) -> None:
    with pytest.raises(ExpressionError, match=words):
        misuse()


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (field("elemnt") == "#buy", r"no field 'elemnt'; did you mean 'element'\?"),
        (field("service") == "iphone", r"property_\('service'\)"),
        (field("x") == "3", "compares a number with a text"),
        (event > 3, "compares a text with a number"),
        (event == field("bot"), "compares a text with a boolean"),
        (field("bot") > True, "which of two booleans"),
        (event, "must be true or false"),
        (field("x") + 1, "must be true or false"),
        (event & (field("x") > 1), "joins conditions, and 'event' is a text"),
        (~field("x"), "joins conditions"),
        (field("x").starts_with("a"), "needs a text"),
        (field("x").lower() == "a", "needs a text"),
        (event + 1 > 2, "computes with a text and a number"),
        (field("event_time") + field("event_time") > 2, "computes with a time"),
        (event.is_in(["a", 3]), "a number, in a text$"),
        (property_("price") > 3, r'a text with a number; write property_\("price", "number"\)$'),
        (property_("a.price") * 2 > 3, r'computes .*; write property_\("a.price", "number"\)$'),
        (property_(["a.b", "c"]).is_in([3]), r'; write property_\(\["a.b", "c"\], "number"\)$'),
        (property_("n", "number") == "x", r'; write property_\("n", "text"\)$'),
        (last("a").property_("price") < field("value"), r'; write property_\("price", "number"\)$'),
        (property_("price").lower() == 3, "a text with a number; compare values of one type$"),
        (property_("at") == TIME, "a text with a time; compare values of one type$"),
        (polars_condition(pl.col("elemnt") == "a", words="odd"), "did you mean 'element'"),
        (polars_condition(pl.col("x") + 1, words="odd"), "must be true or false"),
        (polars_condition(pl.col("x") == "a", words="odd"), "Polars can't evaluate it"),
        (polars_condition(pl.lit(True), words="always"), "doesn't look at the event"),
    ],
)
def test_a_condition_is_checked_against_the_schema(condition: Expression, words: str) -> None:
    with pytest.raises(ExpressionError, match=words):
        condition.check()
    with pytest.raises(ExpressionError, match=words):
        condition.to_polars()


def test_money_reads_in_its_currency() -> None:
    rows: list[Row] = [{"value": 99_500_000}, {"value": 99_499_999}, {"value": None}]
    assert answers(field("value") == 99.5, rows) == [True, False, False]
    assert answers(field("value") >= 99.5, rows) == [True, False, False]


def test_times_are_compared_and_subtracted() -> None:
    rows: list[Row] = [
        {"event_time": TIME, "arrival_time": TIME + timedelta(milliseconds=1500)},
        {"event_time": TIME + timedelta(milliseconds=1), "arrival_time": None},
    ]
    assert answers(field("event_time") <= TIME, rows) == [True, False]
    assert answers(field("arrival_time") - field("event_time") == 1500, rows) == [True, False]
    written = (field("event_time") <= TIME).to_dict()
    assert expression_from_dict(json.loads(json.dumps(written))).same_as(field("event_time") <= TIME)


@pytest.mark.parametrize(
    ("path", "kind", "document", "value"),
    [
        ("service", "text", '{"service":"iphone"}', "iphone"),
        ("service", "text", '{"service":12}', "12"),
        ("service", "text", '{"service":12.5}', None),
        ("service", "text", '{"service":true}', None),
        ("a.b", "text", '{"a":{"b":"c"}}', "c"),
        ("a.1.b", "text", '{"a":[{},{"b":"c"}]}', "c"),
        ("a.2.b", "text", '{"a":[{},{"b":"c"}]}', None),
        ("a.b", "text", '{"a.b":"c"}', None),
        (["a.b"], "text", '{"a.b":"c"}', "c"),
        ("n", "number", '{"n":3}', 3.0),
        ("n", "number", '{"n":"3.5"}', 3.5),
        ("n", "number", '{"n":"NaN"}', None),
        ("n", "number", '{"n":"1e999"}', None),
        ("n", "number", '{"n":false}', None),
        ("n", "boolean", '{"n":false}', False),
        ("n", "boolean", '{"n":0}', None),
        ("n", "boolean", "not JSON", None),
        ("n", "boolean", '{"n":null}', None),
    ],
)
def test_properties_are_read_by_path_and_type(
    path: str | list[str], kind: PropertyKind, document: str, value: object
) -> None:
    node = property_(path, kind)
    assert property_reader(node.path, node.type)(document) == value
    column = event_frame([{"properties": document}]).select(node.column(SCHEMA)).to_series()
    assert column.to_list() == [value]


def test_a_polars_expression_is_taken_as_it_is() -> None:
    condition = polars_condition(
        pl.col("path").str.contains("^/book/[0-9]+$") & (pl.col("event_time").dt.hour() < 6),
        words="a booking page at night",
    )
    rows: list[Row] = [
        {"path": "/book/12", "event_time": TIME},
        {"path": "/book/", "event_time": TIME},
        {"path": None},
    ]
    assert answers(condition, rows) == [True, False, False]
    assert condition.columns() == {"path", "event_time"}
    assert str(condition) == "a booking page at night"
    again = expression_from_dict(json.loads(json.dumps(condition.to_dict())))
    assert again.same_as(condition)
    assert answers(again & ~field("bot"), [{**rows[0], "bot": False}]) == [True]


@pytest.mark.parametrize(
    "expr",
    [
        pl.col("x").shift(1) > 0,
        pl.col("x").sum().over("path") > 0,
        pl.col("x") > pl.col("x").mean(),
        pl.col("x").cum_sum() > 0,
        pl.col("x").is_duplicated(),
        pl.col("bot").any(),
        pl.col("x").rank() > 1,
        pl.col("x").fill_null(strategy="forward") > 0,
        pl.col("x") > pl.int_range(pl.len()),
        pl.col("path").cast(pl.Int64) > 0,
        pl.col("x").map_batches(lambda x: x, return_dtype=pl.Boolean),
        pl.all() == 0,
    ],
)
def test_a_polars_expression_that_looks_further_than_the_event_is_refused(expr: pl.Expr) -> None:
    with pytest.raises(ExpressionError, match="'odd': "):
        polars_condition(expr, words="odd")


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        [],
        {"fields": "event"},
        {"compare": ["a"]},
        {"compare": [{"field": "x"}, "~", 3]},
        {"all": []},
        {"all": 3},
        {"is_in": [{"field": "x"}, [{"field": "y"}]]},
        {"starts_with": [{"field": "x"}]},
        {"time": "now"},
        {"time": 10**30},
        {"property": [], "type": "text"},
        {"polars": {"AnonymousFunction": {"input": [], "function": []}}, "words": "code"},
        {"polars": {"Function": {"input": [], "function": {"FfiPlugin": {"lib": "x.so"}}}}, "words": "code"},
        {"polars": {"BinaryExpr": {}}, "words": "odd"},
        {"polars": 3, "words": "odd"},
    ],
)
def test_what_is_no_expression_is_refused(data: JsonValue) -> None:
    with pytest.raises(ExpressionError):
        expression_from_dict(data)


def test_expressions_are_immutable() -> None:
    with pytest.raises(AttributeError):
        event.name = "path"  # type: ignore[misc]  # the mistake itself
