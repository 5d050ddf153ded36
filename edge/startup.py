"""How the `edge` command's process loads soon and small: before anything else of ours is loaded."""

import ctypes
import gc
import os
from contextlib import suppress

_ARENA_MAX = -8
"""M_ARENA_MAX of glibc's malloc.h."""


def hurry() -> None:
    """Have everything that is loaded from now on load sooner; `settle` says when that is over."""
    # NumPy's threads for matrices: we multiply none, and they are a third of what it starts with.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.disable()  # modules stay: looking for what to throw away is a twentieth of the start
    with suppress(Exception):  # only glibc has it
        # One heap for all threads: else each keeps what a model needed that was tried in it.
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


def settle() -> None:
    """Throw away what is no longer used from now on; what was loaded until now is not looked at."""
    if not gc.isenabled():  # a reload has nothing to settle
        gc.freeze()
        gc.enable()
