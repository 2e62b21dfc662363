"""The documents' pages, and what makes those of them that are made by running the engine."""
