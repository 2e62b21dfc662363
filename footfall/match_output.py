"""What a trigger's message takes along: constants, and outputs of the match."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MatchOutput:
    """An output of the match that a trigger comes of, by its name in the pattern. Made by `output`."""

    name: str


FieldValue = str | int | float | bool | MatchOutput
"""The value of a field of a trigger's message: a constant, or what the match gives out."""


def output(name: str) -> MatchOutput:
    """A field that takes what the pattern's `output` gives under that name.

    fields={"form": output("form"), "campaign": "spring"}
    """
    return MatchOutput(name)
