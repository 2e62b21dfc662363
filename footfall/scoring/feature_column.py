"""What a column of a model's input means; the rows themselves are float64 arrays of shape (rows, columns)."""

from dataclasses import dataclass
from typing import Literal

FeatureKind = Literal["number", "category"]


@dataclass(frozen=True, slots=True)
class FeatureColumn:
    """One column of a model's input.

    Attributes:
        name: unique among the columns of a model; what reasons and reports call it by.
        kind: a `number` has an order and a scale; a `category` holds whole codes from 0 on, as floats. NaN in either:
            not known.
        unit: what numbers count in, such as `days`; empty for a plain count or a category.
        description: one sentence for people.
        words: what the codes of a category stand for, by code; codes beyond it are others.
    """

    name: str
    kind: FeatureKind = "number"
    unit: str = ""
    description: str = ""
    words: tuple[str, ...] = ()
