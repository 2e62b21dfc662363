"""Writes docs/patterns.md and docs/pictures."""

from pathlib import Path

from docs.pattern_page.page import write

write(Path(__file__).resolve().parents[1])
