"""The page about the pattern language: its examples, run and drawn. `python -m docs.pattern_page` writes it."""
