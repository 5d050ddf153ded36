"""A worker: jobs in order, never in anybody's way."""

from __future__ import annotations

import threading

from edge.outputs.worker import WAITING, Worker


def test_jobs_are_done_in_order_in_another_thread():
    seen, done = [], threading.Event()
    worker = Worker("post")
    for number in range(3):
        worker.do(lambda n=number: seen.append((n, threading.current_thread().name)))
    worker.do(done.set)
    assert done.wait(10)
    worker.close()
    assert seen == [(0, "handwave post"), (1, "handwave post"), (2, "handwave post")]


def test_a_job_that_fails_is_said_and_the_next_is_done(caplog):
    done = threading.Event()
    worker = Worker("post")
    worker.do(lambda: 1 / 0)
    worker.do(done.set)
    assert done.wait(10)
    worker.close()
    assert caplog.messages == ["post: division by zero"]


def test_the_oldest_makes_way_when_too_many_wait():
    begun, gate, seen = threading.Event(), threading.Event(), []
    worker = Worker("post")
    worker.do(lambda: (begun.set(), gate.wait(10)))
    assert begun.wait(10)
    for number in range(WAITING + 3):
        worker.do(lambda n=number: seen.append(n))
    done = threading.Event()
    worker.do(done.set)
    gate.set()
    assert done.wait(10)
    assert seen == list(range(4, WAITING + 3))
    worker.close()


def test_closing_does_not_wait_for_a_job_that_hangs(caplog):
    begun, gate = threading.Event(), threading.Event()
    worker = Worker("post")
    worker.do(lambda: (begun.set(), gate.wait(60)))
    assert begun.wait(10)
    worker.close(timeout=0.05)
    assert worker.stopping.is_set()
    assert caplog.messages == ["post: was not done yet when it had to stop"]
    gate.set()


def test_what_is_prepared_is_never_dropped_and_comes_after_what_was_asked_for():
    begun, gate, done, seen = threading.Event(), threading.Event(), threading.Event(), []
    worker = Worker("picture")
    worker.do(lambda: (begun.set(), gate.wait(10)))
    assert begun.wait(10)
    for number in range(3 * WAITING):
        worker.prepare(lambda n=number: seen.append(n))
    worker.do(lambda: seen.append("shown"))
    worker.prepare(done.set)
    gate.set()
    assert done.wait(10)
    worker.close()
    assert seen == ["shown", *range(3 * WAITING)]


def test_what_is_prepared_while_nothing_waits_is_done_at_once():
    worker = Worker("picture")
    for _ in range(3):
        done = threading.Event()
        worker.prepare(done.set)
        assert done.wait(10)
    worker.close()
