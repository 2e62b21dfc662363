"""Which bit of an event's mask stands for which condition.

A mask is one or more words of 64 bits. All conditions of a pattern that the compiled loops run lie in one word, so
that these look at one number; a condition that patterns of several words share has a bit in each.
"""

from collections.abc import Sequence

from footfall.errors import PatternError
from footfall.expression import Expression

WORD_BITS = 64


class ConditionWords:
    """Gives conditions their bits, the same one in a word for the same `key()`.

    Args:
        reserved: conditions of others, which get the first bits of the first word.

    Attributes:
        words: by word, the conditions in the order of their bits.
    """

    def __init__(self, reserved: Sequence[Expression] = ()) -> None:
        if len(reserved) > WORD_BITS:
            raise PatternError(f"more than {WORD_BITS} conditions are reserved", pattern="(reserved)")
        self.words: list[list[Expression]] = [list(reserved)]
        self._bits: list[dict[str, int]] = [{}]
        for bit, condition in enumerate(reserved):
            self._bits[0].setdefault(condition.key(), bit)

    def word_for(self, pattern: str, conditions: Sequence[Expression]) -> int:
        """A word that has room for all of a pattern's conditions; a new one if none has.

        Raises:
            PatternError: they are more than a word has bits.
        """
        wanted = {condition.key() for condition in conditions}
        for word, known in enumerate(self._bits):
            if len(self.words[word]) + len(wanted - known.keys()) <= WORD_BITS:
                return word
        if len(wanted) > WORD_BITS:
            raise PatternError(f"it has more than {WORD_BITS} distinct conditions", pattern=pattern)
        self.words.append([])
        self._bits.append({})
        return len(self.words) - 1

    def bit(self, word: int, condition: Expression) -> int:
        """The condition's bit in that word, which must have room for it."""
        known = self._bits[word]
        bit = known.setdefault(condition.key(), len(self.words[word]))
        if bit == len(self.words[word]):
            self.words[word].append(condition)
        return bit

    def number(self, condition: Expression) -> int:
        """The condition's bit among those of all words, in whichever it is or fits."""
        key = condition.key()
        for word, known in enumerate(self._bits):
            if key in known:
                return word * WORD_BITS + known[key]
        word = self.word_for("", [condition])
        return word * WORD_BITS + self.bit(word, condition)
