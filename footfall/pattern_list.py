"""`footfall patterns list`: the patterns of a run, for people or as JSON."""

import sys
from pathlib import Path

import msgspec
from rich.console import Console

from footfall.pattern_files import load_patterns


def print_patterns(folder: Path | None, *, as_json: bool) -> None:
    """Print the patterns of a folder, the shipped ones if it is None.

    Raises:
        UsageError: a pattern file won't do; all faults are listed.
    """
    patterns = load_patterns(folder)
    if as_json:
        listed = [{"version": pattern.version, **pattern.to_dict()} for pattern in patterns]
        sys.stdout.write(msgspec.json.encode(listed).decode() + "\n")
        return
    console = Console(highlight=False)
    for pattern in patterns:
        console.print(
            f"[bold]{pattern.name}[/] [dim]{pattern.version} {pattern.severity}[/] {pattern.description}"
        )
        for line in str(pattern).splitlines():
            console.print(f"    {line}", style="dim", markup=False)
