"""`footfall patterns list`: the patterns and trigger rules of a run, for people or as JSON."""

import sys
from pathlib import Path

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from footfall.pattern_files import read_folder
from footfall.pattern_picture import printable
from footfall.trigger_rule import TriggerRule
from footfall.trigger_rule_words import rule_facts, rule_json, rule_summary


def print_patterns(folder: Path | None, *, as_json: bool) -> None:
    """Print the patterns and rules of a folder, the shipped ones if it is None.

    As JSON it is an object with `patterns` and `rules`.

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
        said = {"patterns": listed, "rules": [rule_json(rule) for rule in read.rules]}
        sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
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
    for rule in read.rules:
        _print_rule(console, rule)
    console.print(Text("footfall patterns show NAME says one in words, and draws a pattern.", "dim"))


def _print_rule(console: Console, rule: TriggerRule) -> None:
    console.print(Text.assemble(("rule ", "dim"), (rule.name, "bold"), (f"  version {rule.version}", "dim")))
    for line, style in (
        (rule_summary(rule), ""),
        (rule.description.partition(". ")[0], ""),  # where its defaults come from is for `show`
        (rule_facts(rule), "dim"),
    ):
        if line:
            console.print(Padding(Text(printable(line), style), (0, 0, 0, 4), expand=False))
