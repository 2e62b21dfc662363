"""Where the shipped content is: the flows, patterns, schemas, migrations and dashboards beside the engine.

In a checkout they are folders beside the `footfall` package; in an installed wheel they lie inside it, under
`footfall/content_files`. The engine reaches them through this module alone, by name.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from footfall.errors import UsageError

ContentName = Literal["flows", "patterns", "schemas", "clickhouse", "grafana"]

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / "content_files"


def content_folder(name: ContentName) -> Path:
    """The folder of that content: the installed one where there is one, else the checkout's.

    Raises:
        UsageError: neither exists, so the installation is incomplete.
    """
    for folder in (_INSTALLED / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise UsageError(
        f"the shipped folder {name!r} is missing: {_PACKAGE} is incomplete; install footfall again"
    )


def content_module(name: ContentName) -> str:
    """The dotted name under which that content's Python modules are imported.

    Snapshots keep module names, so a run's content is always imported by this name: `flows` in a checkout,
    `footfall.content_files.flows` in an installed wheel.
    """
    return f"footfall.content_files.{name}" if (_INSTALLED / name).is_dir() else name


def load_flow(name: str) -> Callable[..., Any]:
    """The function `build` of `flows/<name>.py`, which makes the dataflow.

    Raises:
        UsageError: there is no such flow, or it has no function `build`.
    """
    folder = content_folder("flows")
    known = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
    if name not in known:
        raise UsageError(f"there is no flow {name!r}; the flows are: {', '.join(known) or '(none)'}")
    module = importlib.import_module(f"{content_module('flows')}.{name}")
    if Path(module.__file__ or "").resolve().parent != folder.resolve():
        raise UsageError(
            f"{module.__name__} was imported from {module.__file__}, which hides the one in {folder}"
        )
    build = getattr(module, "build", None)
    if not callable(build):
        raise UsageError(f"{folder / (name + '.py')} has no function build(...)")
    found: Callable[..., Any] = build
    return found
