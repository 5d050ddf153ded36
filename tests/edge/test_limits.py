"""Memory is bounded inside the block, and only there."""

from __future__ import annotations

import resource
import sys

import pytest

from edge.limits import more_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits it")
HUGE = 2_000_000_000


def limit():
    return resource.getrlimit(resource.RLIMIT_DATA)


def test_what_wants_more_fails_and_afterwards_does_not():
    before = limit()
    with more_memory(100_000_000):
        small = bytearray(10_000_000)
        with pytest.raises(MemoryError):
            bytearray(HUGE)
    assert limit() == before
    assert len(small) == 10_000_000
    assert len(bytearray(HUGE)) == HUGE  # never touched: it costs nothing


def test_an_error_in_the_block_leaves_no_limit_behind():
    before = limit()
    with pytest.raises(KeyError), more_memory(100_000_000):
        raise KeyError
    assert limit() == before


def test_a_stricter_limit_of_somebody_else_is_kept(monkeypatch):
    asked = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1000, 2000))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    with more_memory(100_000_000):
        pass
    assert asked == [(1000, 2000), (1000, 2000)]
