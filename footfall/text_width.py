"""How wide a text can be in a picture, whatever sans-serif font the viewer has.

The widths are those of DejaVu Sans, one of the widest fonts in use, rounded up, and generous outside the Latin
letters, so that a text takes no more room than is kept for it.
"""

import unicodedata
from collections.abc import Iterator

from rich.cells import cell_len

_CLASSES = {
    0.3: "'IJijl",
    0.35: " ,./:;\\|",
    0.4: "()-[]ft",
    0.45: "!r",
    0.5: '"*_`',
    0.55: "?csz",
    0.6: "FLkvxy",
    0.65: "$0123456789EPSTYabdeghnopqu{}",
    0.7: "ABCKRVXZ",
    0.75: "NU",
    0.8: "&DGHOQ",
    0.85: "#+<=>^w~",
    0.9: "M",
    1.0: "%@Wm",
}
_WIDTHS = {sign: width for width, signs in _CLASSES.items() for sign in signs}
_BOLDER = 0.105
_ACCENT = 0.12
_OTHER = 1.6


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """The most room that the text takes on its line, in the unit of the font size."""
    return sum(_sign_width(sign, bold=bold) for sign in text) * size


def wrap_text(text: str, room: float, size: float, *, bold: bool = False) -> list[str]:
    """The text on lines that are no wider than `room`, broken at blanks where they are, else anywhere.

    There is at least one line, and at least one sign on each.
    """
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if text_width(longer, size, bold=bold) <= room:
            line = longer
            continue
        if line:
            lines.append(line)
        *full, line = _pieces(word, room, size, bold=bold)
        lines.extend(full)
    return [*lines, line] if line or not lines else lines


def _pieces(word: str, room: float, size: float, *, bold: bool) -> Iterator[str]:
    piece, used = "", 0.0
    for sign in word:
        width = _sign_width(sign, bold=bold) * size
        if piece and used + width > room:
            yield piece
            piece, used = "", 0.0
        piece += sign
        used += width
    yield piece


def _sign_width(sign: str, *, bold: bool) -> float:
    known = _WIDTHS.get(sign)
    if known is None and ord(sign) < 0x250:
        letter = _WIDTHS.get(unicodedata.normalize("NFD", sign)[0])
        known = None if letter is None else letter + _ACCENT
    if known is None:
        known = 0.0 if cell_len(sign) == 0 else _OTHER
    return known + (_BOLDER if bold else 0.0)
