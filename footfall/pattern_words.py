"""Patterns in words, whole or as rows of a list."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from footfall.duration import format_duration
from footfall.pattern_spec import Skip

if TYPE_CHECKING:
    from footfall.pattern import Pattern

_SKIP_WORDS: dict[Skip, str] = {
    "no_skip": "every match counts",
    "to_next": "after a match, others that begin with the same event are dropped",
    "past_last": "after a match, the next one begins behind its last event",
    "to_first": "after a match, the next one begins at or behind its first",
    "to_last": "after a match, the next one begins at or behind its last",
}


def describe(pattern: "Pattern") -> str:
    """The pattern in words, a line for each part."""
    lines = [f"{pattern.name}: {pattern.description}" if pattern.description else pattern.name]
    lines += [f"  {stage}" for stage in pattern.stages]
    if pattern.within_ms is not None:
        lines.append(f"  within less than {format_duration(pattern.within_ms)}")
    if pattern.same_field is not None:
        lines.append(f"  for each {pattern.same_field} on its own")
    if pattern.ties_by is not None:
        lines.append(f"  events of the same time in the order of {pattern.ties_by}")
    target = "" if pattern.skip_stage is None else f" {pattern.skip_stage!r}"
    must = ", which must not be missing" if pattern.skip_raises else ""
    lines.append(f"  {_SKIP_WORDS[pattern.skip]}{target}{must}")
    if pattern.gives_timeouts:
        lines.append("  partial matches that time out are given out too")
    lines += [f"  gives {name}: {value}" for name, value in pattern.outputs]
    return "\n".join(lines)


def pattern_list(patterns: "Sequence[Pattern]") -> list[dict[str, str]]:
    """Rows of texts, by name: name, version, severity, stages, within, skip, owner, tags."""
    return [
        {
            "name": pattern.name,
            "version": pattern.version,
            "severity": pattern.severity,
            "stages": "; ".join(str(stage) for stage in pattern.stages)
            + (f"; for each {pattern.same_field}" if pattern.same_field else ""),
            "within": "" if pattern.within_ms is None else format_duration(pattern.within_ms),
            "skip": pattern.skip,
            "owner": pattern.owner,
            "tags": ", ".join(pattern.tags),
        }
        for pattern in sorted(patterns, key=lambda pattern: pattern.name)
    ]
