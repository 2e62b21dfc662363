"""Drift in losses: what River's ADWIN finds, however many losses come at once, and after a restart."""

import itertools
import pickle
from random import Random
from typing import Any

import numpy as np
from river import drift

from footfall.scoring.rising_loss import RisingLoss


def losses(seed: int, levels: list[float], each: int = 3_000) -> list[float]:
    """Losses around one level after the other."""
    random = Random(seed)
    return [level * random.random() for level in levels for _ in range(each)]


def found_by_river(values: list[float]) -> int:
    make: Any = drift.ADWIN
    detector = make()
    found = 0
    for value in values:
        before = detector.estimation
        detector.update(value)
        found += detector.drift_detected and detector.estimation > before
    return found


def taken(values: list[float], sizes: Random) -> int:
    """What is found in parts, pickled between some of them."""
    rising = RisingLoss()
    found = begin = 0
    while begin < len(values):
        size = sizes.choice([0, 1, 5, 31, 32, 33, 500])
        found += rising.take(np.array(values[begin : begin + size]))
        begin += size
        if sizes.random() < 0.05:
            rising = pickle.loads(pickle.dumps(rising))
    return found


def test_it_finds_what_adwin_finds_whatever_the_parts() -> None:
    for seed, levels in enumerate([[0.1], [0.1, 0.4], [0.4, 0.1], [0.1, 0.4, 0.1, 0.5]]):
        values = losses(seed, levels)
        rises = sum(after > before for before, after in itertools.pairwise(levels))
        expected = found_by_river(values)
        assert RisingLoss().take(np.array(values)) == expected
        assert {taken(values, Random(number)) for number in range(5)} == {expected}
        assert expected >= rises
        assert expected <= rises + 1
