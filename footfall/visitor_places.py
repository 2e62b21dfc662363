"""Which events are of certain visitors, found in a fraction of a search's time."""

import numpy as np
import numpy.typing as npt

_PARTS = 1 << 16


def places_of_visitors(
    visitors: npt.NDArray[np.uint64], wanted: npt.NDArray[np.uint64]
) -> npt.NDArray[np.int64]:
    """The places of events, by the low words of their visitors' hashes, whose visitors are among the wanted ones.

    A few others are among them, too: what is compared is a part of each hash. Of a visitor there are all or none.
    """
    part = np.uint64(_PARTS - 1)
    is_wanted = np.zeros(_PARTS, np.bool_)
    is_wanted[wanted & part] = True
    return np.flatnonzero(is_wanted[visitors & part])
