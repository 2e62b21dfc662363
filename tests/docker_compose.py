"""Docker Compose itself, built from its Go module: its `config` checks a file without any container engine.

It is built once, in some minutes, into the user's cache folder.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

VERSION = "v2.40.3"
MODULE = "github.com/docker/compose/v2/cmd"
BUILD_SECONDS = 1200
LACKING = "no Docker Compose"
"""How the reason of a skip begins that CI allows: a machine need not have Go, or reach its modules."""


class ModuleAwayError(RuntimeError):
    """The Go module can't be fetched."""


def missing() -> str | None:
    """What this machine lacks for building Docker Compose, or None."""
    if _program().exists() or shutil.which("go"):
        return None
    return f"{LACKING}: no go on the PATH to build it with"


def docker_compose() -> Path:
    """The program; built now if it isn't there yet (safe in parallel processes).

    Raises:
        ModuleAwayError: its module can't be fetched.
        RuntimeError: it can't be built.
    """
    program = _program()
    program.parent.mkdir(parents=True, exist_ok=True)
    with program.with_name("lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            with tempfile.TemporaryDirectory(dir=program.parent) as folder:
                _go(folder, "mod", "init", "compose")
                try:
                    _go(folder, "get", "-tool", f"{MODULE}@{VERSION}")
                except RuntimeError as error:
                    raise ModuleAwayError(f"{LACKING}: its module can't be fetched: {error}") from error
                _go(folder, "build", "-o", "docker-compose", MODULE)
                Path(folder, "docker-compose").rename(program)
    return program


def _program() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "footfall-tests" / f"docker-compose-{VERSION}"


def _go(folder: str, *arguments: str) -> None:
    done = subprocess.run(
        ["go", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS
    )
    if done.returncode:
        raise RuntimeError(f"go {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
