"""The triggers of early rules come back from a pickle as they were."""

import pickle

from footfall.trigger_early import EarlyTriggers, _Told


def test_what_was_told_is_kept_across_a_restart() -> None:
    told = {
        bytes(range(16)): _Told(1_780_000_000_000, 2, ("one", "other")),
        b"\xff" * 16: _Told(-5, 0, ()),
    }
    again: EarlyTriggers = pickle.loads(pickle.dumps(EarlyTriggers(told, 3), 5))
    assert again == EarlyTriggers(told, 3)
    assert all(isinstance(each, _Told) for each in again._told.values())
