"""Concept drift: whether the loss of predictions has risen, by River's ADWIN over one loss after the other."""

from typing import Any

from footfall.scoring.learner import Floats

_CLOCK = 32
"""ADWIN tests its window after every so many values, its default; in between it can find nothing."""


class RisingLoss:
    """Looks for drift in losses, which should be bounded; it pickles, and goes on where it was.

    What it finds depends on the losses and their order alone, not on how many come at once.
    """

    def __init__(self) -> None:
        from river import drift  # noqa: PLC0415 - a second to load, which runs without models needn't wait

        make: Any = drift.ADWIN
        self._detector: Any = make(clock=_CLOCK)
        self._taken = 0
        self._before = 0.0

    def take(self, losses: Floats) -> int:
        """Take the next losses; how often it is found that they have risen."""
        detector, values = self._detector, losses.tolist()
        update = detector.update
        found = begin = 0
        while begin < len(values):
            if self._taken % _CLOCK == 0:
                self._before = detector.estimation
            part = values[begin : begin + _CLOCK - self._taken % _CLOCK]
            for loss in part:
                update(loss)
            begin += len(part)
            self._taken += len(part)
            found += (
                self._taken % _CLOCK == 0 and detector.drift_detected and detector.estimation > self._before
            )
        return found
