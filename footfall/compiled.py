"""The compiled inner loops' one decorator: numba's, typed, and cached on disk between runs.

A loop over rows is compiled only where a row's answer depends on the rows before it, or where no library has the
operation on columns (the scan of JSON text). Such functions take NumPy arrays and scalars alone, allocate nothing
that outlives the call, and raise nothing. Numba looks for changes in a function's own module only: after a change
to a function that another module's compiled one calls, `make clean` empties the caches.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call; the result is kept in numba's cache beside the module.

    The interpreter's lock is released while it runs. Integer overflow wraps, as NumPy's does.
    """
    decorated: Callable[P, R] = numba.njit(cache=True, nogil=True, boundscheck=False)(function)
    return decorated


def compiled_inline(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a small function that other compiled ones call; it isn't cached on its own."""
    decorated: Callable[P, R] = numba.njit(boundscheck=False)(function)
    return decorated
