"""What tests of outputs that work in threads and processes of their own share."""

from __future__ import annotations

import gc
import time
from pathlib import Path

import pytest


@pytest.fixture
def wait_for():
    """Wait for what happens soon; a minute is for ever, even here."""

    def wait_for(condition):
        until = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < until, "it never happened"
            time.sleep(0.002)

    return wait_for


@pytest.fixture
def open_files():
    """Count a process's open files; ours, if not said otherwise."""

    def open_files(pid="self"):
        gc.collect()
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))

    return open_files
