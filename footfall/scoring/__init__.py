"""Scores that learn while the stream runs: features, labels, models, and how good they are."""
