"""Bytewax dataflows: thin wiring of the engine's parts."""
