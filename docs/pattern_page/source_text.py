"""A function's body as the page shows it: patterns with a stage on each line, whatever the formatter made of them."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable

_LONGEST = 96
_ABOUT_THE_LAST_STAGE = frozenset(
    (
        "times",
        "at_least",
        "one_or_more",
        "optional",
        "greedy",
        "reluctant",
        "consecutive",
        "combinations",
        "until",
    )
)


def source_of(make: Callable[..., object], result: str = "pattern =", *, stage_by_stage: bool = True) -> str:
    """The body of a function, as a person would write it in a notebook.

    Args:
        make: a function with a docstring; else it holds assignments and a return alone.
        result: what stands there instead of its `return`.
        stage_by_stage: whether a pattern is laid out with a stage on each line, or all on one.

    Raises:
        TypeError: it is no such function.
    """
    source = textwrap.dedent(inspect.getsource(make))
    (function,) = ast.parse(source).body
    if not isinstance(function, ast.FunctionDef) or not ast.get_docstring(function):
        raise TypeError(f"{make.__name__} is no function with a docstring")
    lines = []
    for statement in function.body[1:]:
        if not isinstance(statement, (ast.Assign, ast.Return)) or statement.value is None:
            raise TypeError(f"{make.__name__} holds more than assignments and a return")
        name = f"{ast.unparse(statement.targets[0])} =" if isinstance(statement, ast.Assign) else result
        value = statement.value
        code = _laid_out(value, source) if stage_by_stage else _one_line(value, source)
        lines.append(f"{name} {code}".strip())
    return "\n".join(lines)


def _laid_out(value: ast.expr, source: str) -> str:
    calls: list[tuple[str, ast.Call]] = []
    root = value
    while isinstance(root, ast.Call) and isinstance(root.func, ast.Attribute):
        calls.append((root.func.attr, root))
        root = root.func.value
    if not (isinstance(root, ast.Call) and isinstance(root.func, ast.Name) and root.func.id == "Pattern"):
        return _one_line(value, source)
    lines = [_call("Pattern", root, source)]
    for name, call in reversed(calls):
        if name in _ABOUT_THE_LAST_STAGE:
            lines[-1] += _call(f".{name}", call, source)
        else:
            lines.append(_call(f".{name}", call, source))
    return "(\n" + textwrap.indent("\n".join(lines), "    ") + "\n)"


def _call(name: str, call: ast.Call, source: str) -> str:
    arguments = [_one_line(argument, source) for argument in call.args]
    arguments += [f"{keyword.arg}={_one_line(keyword.value, source)}" for keyword in call.keywords]
    whole = f"{name}({', '.join(arguments)})"
    if len(whole) + 4 <= _LONGEST:
        return whole
    return f"{name}(\n" + textwrap.indent(",\n".join(arguments), "    ") + ",\n)"


def _one_line(node: ast.expr, source: str) -> str:
    segment = ast.get_source_segment(source, node) or ""
    joined = " ".join(segment.split())
    return re.sub(r",? ([)\]])", r"\1", re.sub(r"([(\[]) ", r"\1", joined))
