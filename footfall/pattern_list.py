"""`footfall patterns list`: the patterns of a run, for people or as JSON."""

import sys
from pathlib import Path

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from footfall.pattern_files import read_folder
from footfall.pattern_picture import printable


def print_patterns(folder: Path | None, *, as_json: bool) -> None:
    """Print the patterns of a folder, the shipped ones if it is None.

    Raises:
        UsageError: a pattern file won't do; all faults are listed.
    """
    read = read_folder(folder)
    parameters = {name: parametric.parameters for name, parametric in read.parametric.items()}
    if as_json:
        listed = [
            {
                "version": pattern.version,
                **pattern.to_dict(),
                "parameters": parameters.get(pattern.name, ()),
            }
            for pattern in read.patterns
        ]
        sys.stdout.write(msgspec.json.encode(listed).decode() + "\n")
        return
    console = Console(highlight=False)
    for pattern in read.patterns:
        console.print(
            Text.assemble(
                (pattern.name, "bold"), (f"  {pattern.severity} · version {pattern.version}", "dim")
            )
        )
        facts = [f"owner {pattern.owner}"] if pattern.owner else []
        facts += [f"tags {', '.join(pattern.tags)}"] if pattern.tags else []
        facts += [f"{each.name} = {each.default}" for each in parameters.get(pattern.name, ())]
        for line, style in ((pattern.description, ""), ("; ".join(facts), "dim")):
            if line:
                console.print(Padding(Text(printable(line), style), (0, 0, 0, 4), expand=False))
    console.print(Text("footfall patterns show NAME draws one, and says it in words.", "dim"))
