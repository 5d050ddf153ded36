"""How the `edge` command's process loads soon and small: before anything else of ours is loaded."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_ARENA_MAX = -8
"""M_ARENA_MAX of glibc's malloc.h."""


def hurry() -> None:
    """Have everything that is loaded from now on load sooner; `settle` says when that is over."""
    # NumPy's threads for matrices: we multiply none, and they are a third of what it starts with.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.disable()  # modules stay: collecting garbage takes a twentieth of the start
    with suppress(Exception):  # only glibc has it
        # One heap for all threads: else each keeps what a model needed that was tried in it.
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


def preload(*loads: Callable[[], object]) -> None:
    """Begin to import what will be wanted, in a thread: it costs no time while a model is opened.

    onnxruntime needs none of Python meanwhile. Whoever wants a module then waits for it, or is told
    what is wrong with it, as with any second import.

    Args:
        *loads: each imports a library.
    """

    def load_all() -> None:
        for load in loads:
            with suppress(Exception):  # whatever it is
                load()

    # Not a daemon: the interpreter must not exit while C code is importing.
    threading.Thread(target=load_all).start()


def settle() -> None:
    """Re-enable garbage collection, exempting everything loaded so far."""
    if not gc.isenabled():  # a reload has nothing to settle
        gc.freeze()
        gc.enable()
