"""Handing on the newest: what is old is dropped, and nobody waits for what will not come."""

from __future__ import annotations

import threading
import time

import pytest

from edge.sources.newest import Newest

LONG = 30.0


def test_only_the_last_one_is_taken_and_once():
    newest = Newest()
    newest.put("old")
    newest.put("new")
    assert newest.take(LONG) == "new"
    assert newest.take(0) is None


def test_one_that_comes_later_is_waited_for():
    newest = Newest()
    timer = threading.Timer(0.05, newest.put, ["late"])
    timer.start()
    assert newest.take(LONG) == "late"
    timer.join()


@pytest.mark.parametrize("how", ["end", "close"])
def test_whoever_waits_is_told_at_once_that_nothing_comes(how):
    newest = Newest()
    timer = threading.Timer(0.05, getattr(newest, how))
    began = time.monotonic()
    timer.start()
    assert newest.take(LONG) is None
    assert time.monotonic() - began < LONG / 2
    timer.join()
    assert (newest.ended, newest.closed) == (how == "end", how == "close")


def test_what_came_before_the_end_is_still_taken_but_not_what_nobody_wants():
    newest = Newest()
    newest.put("last")
    newest.end()
    assert newest.take(LONG) == "last"
    newest.put("unwanted")
    assert newest.close()
    assert not newest.close()
    assert newest.take(LONG) is None
