"""`footfall patterns show`: a pattern drawn and in words, on the terminal, as JSON, or as an SVG file.

A trigger rule, which has no picture, is said in words.
"""

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from footfall.errors import UsageError
from footfall.pattern import Pattern
from footfall.pattern_files import read_folder
from footfall.pattern_parameters import Parameter
from footfall.pattern_picture import picture_of, printable
from footfall.pattern_picture_svg import picture_svg
from footfall.pattern_picture_text import picture_text
from footfall.trigger_rule import TriggerRule
from footfall.trigger_rule_words import acting_on, rule_facts, rule_json, rule_words


def pattern_named(patterns: Sequence[Pattern], name: str, rules: Sequence[TriggerRule] = ()) -> Pattern:
    """The pattern of that name.

    Args:
        patterns: those that there are.
        name: the name.
        rules: trigger rules whose names would do as well, for the message.

    Raises:
        UsageError: there is none; names like it are told, or that it is a rule's.
    """
    names = [pattern.name for pattern in patterns]
    rule = rule_named(rules, name, patterns)
    if rule is not None:
        raise UsageError(f"{name} is a trigger rule; name its pattern: {rule.pattern}")
    if name not in names:
        known = [*names, *(rule.name for rule in rules)]
        close = get_close_matches(name, known, n=3)
        guess = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}"
        raise UsageError(f"there is no pattern {'or rule ' if rules else ''}{name!r}: {guess}")
    return patterns[names.index(name)]


def rule_named(
    rules: Sequence[TriggerRule], name: str, patterns: Sequence[Pattern] = ()
) -> TriggerRule | None:
    """The trigger rule of that name; None if there is none, or a pattern has the name, which then is the one meant."""
    if any(pattern.name == name for pattern in patterns):
        return None
    return next((rule for rule in rules if rule.name == name), None)


def show_pattern(folder: Path | None, name: str, *, svg: str | None, as_json: bool) -> None:
    """Print a pattern or a trigger rule of a folder, of the shipped ones if it is None.

    Args:
        folder: the patterns' folder.
        name: the pattern's name, or a rule's.
        svg: the file that its picture is written to ("-" for standard output, which then gets nothing else);
            None for no file.
        as_json: print what it says as JSON rather than drawn.

    Raises:
        UsageError: pattern files won't do, there is no such pattern or rule, or the picture can't be written.
    """
    read = read_folder(folder)
    rule = rule_named(read.rules, name, read.patterns)
    if rule is not None:
        _show_rule(rule, svg=svg, as_json=as_json)
        return
    pattern = pattern_named(read.patterns, name, read.rules)
    rules = acting_on(read.rules, name)
    parameters = read.parametric[name].parameters if name in read.parametric else ()
    if svg is not None:
        _write(svg, picture_svg(picture_of(pattern)))
    if svg == "-":
        return
    if as_json:
        words = pattern.describe().splitlines()
        said = {
            "version": pattern.version,
            **pattern.to_dict(),
            "parameters": parameters,
            "words": [line.strip() for line in words],
            "rules": rules,
        }
        sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
        return
    console = Console(highlight=False)
    print_pattern(pattern, console, parameters)
    if rules:
        console.print()
        console.print(Text.assemble(("trigger rules", "bold"), f"  {', '.join(rules)}"))
    if svg is not None:
        print(f"picture written to {svg}", file=sys.stderr)


def print_pattern(pattern: Pattern, console: Console, parameters: Sequence[Parameter] = ()) -> None:
    """Print a pattern drawn, then in words, then its parameters with their defaults and where these come from."""
    picture = picture_of(pattern)
    console.print(Text.assemble((picture.name, "bold"), "  ", (picture.facts, "dim")))
    if picture.description:
        console.print(Text(picture.description))
    owner = [f"owner {pattern.owner}"] if pattern.owner else []
    tags = [f"tags {', '.join(pattern.tags)}"] if pattern.tags else []
    if owner or tags:
        console.print(Text(printable("; ".join(owner + tags)), "dim"))
    console.print()
    for line in picture_text(picture, console.width - 2):
        console.print(Text.assemble("  ", line), no_wrap=True, overflow="ignore", crop=False)
    console.print()
    console.print(Text("in words", "bold"))
    # A description's own lines aren't indented, and were printed above.
    for words in pattern.describe().splitlines()[1:]:
        if words.startswith(" "):
            console.print(Padding(Text(printable(words)), (0, 0, 0, 2), expand=False))
    if parameters:
        console.print()
        console.print(Text("parameters", "bold"))
    for each in parameters:
        said = Text.assemble((f"{each.name} = {each.default}", "bold"), "  ", (printable(each.about), "dim"))
        console.print(Padding(said, (0, 0, 0, 2), expand=False))


def _show_rule(rule: TriggerRule, *, svg: str | None, as_json: bool) -> None:
    if svg is not None:
        raise UsageError(
            f"{rule.name} is a trigger rule, which has no picture; its pattern has: {rule.pattern}"
        )
    if as_json:
        said = {**rule_json(rule), "words": list(rule_words(rule))}
        sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
        return
    console = Console(highlight=False)
    head = f"  trigger rule on {rule.pattern} · version {rule.version}"
    console.print(Text.assemble((rule.name, "bold"), (head, "dim")))
    if rule.description:
        console.print(Text(printable(rule.description)))
    if facts := rule_facts(rule):
        console.print(Text(printable(facts), "dim"))
    console.print()
    console.print(Text("in words", "bold"))
    for words in rule_words(rule):
        console.print(Padding(Text(printable(words)), (0, 0, 0, 2), expand=False))


def _write(svg: str, text: str) -> None:
    if svg == "-":
        sys.stdout.write(text)
        return
    path = Path(svg)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the picture can't be written to {path}: {error.strerror}") from error
