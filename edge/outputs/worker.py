"""A thread for what may take long, such as a message over the network: no frame waits for it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from edge.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

WAITING = 8
"""Jobs that may wait; a further one takes the oldest's place: late news is no news."""
PATIENCE = 2.0
"""Seconds that the job at hand gets to end."""


class Worker:
    """Do jobs one after another, in a thread of its own, without ever keeping the caller.

    A job that raises is named in the log. `stopping` is set when the worker is being closed: a job
    that waits should wait on that.

    Args:
        name: what does the jobs, for messages, such as `webhook`.
        waiting: jobs that may wait.
    """

    def __init__(self, name: str, waiting: int = WAITING) -> None:
        self.name = name
        self._waiting, self._until = waiting, 0.0
        self.stopping = threading.Event()
        self._jobs: queue.Queue[Callable[[], object] | None] = queue.Queue()
        self._spare: deque[Callable[[], object]] = deque()
        self._thread = threading.Thread(target=self._work, name=f"handwave {name}", daemon=True)
        self._thread.start()

    def do(self, job: Callable[[], object]) -> None:
        """Have `job()` called soon; returns at once."""
        while self._jobs.qsize() >= self._waiting:
            try:
                self._jobs.get_nowait()
            except queue.Empty:
                break
        self._jobs.put(job)

    def prepare(self, job: Callable[[], object]) -> None:
        """Have `job()` called once nothing else waits; none of these is dropped."""
        self._spare.append(job)
        if self._jobs.empty():
            self._jobs.put(lambda: None)  # wakes it

    def end(self, *, timeout: float = PATIENCE) -> None:
        """Ask the job at hand to end within `timeout` seconds; does not wait for it."""
        if not self.stopping.is_set():
            self._until = time.monotonic() + timeout
            self.stopping.set()

    def close(self, *, timeout: float = PATIENCE) -> None:
        """Let the job at hand end, for `timeout` seconds at most; those that wait are dropped.

        Where it was asked to `end` before, the seconds count from then.
        """
        self.end(timeout=timeout)
        self._jobs.put(None)
        self._thread.join(max(0.0, self._until - time.monotonic()))
        if self._thread.is_alive():
            log.error("%s: was not done yet when it had to stop", self.name)

    def _next(self) -> Callable[[], object] | None:
        with suppress(queue.Empty):
            return self._jobs.get_nowait()
        return self._spare.popleft() if self._spare else self._jobs.get()

    def _work(self) -> None:
        while (job := self._next()) is not None and not self.stopping.is_set():
            try:
                job()
            except Exception as problem:  # a worker outlives a job
                why = printable(str(problem)) or type(problem).__name__
                log.error("%s: %s", self.name, why, exc_info=log.isEnabledFor(logging.DEBUG))
