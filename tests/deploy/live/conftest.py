"""A service that is seen: the real socket and the real page, with a frame loop in this process."""

import shutil
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from deploy import Target
from deploy.live.tunnel import Tunnel
from edge.classifier import Prediction
from edge.decider import Decision
from edge.door import Door
from edge.frame import Frame
from edge.loop import Step
from edge.page import Page, server
from edge.status import Status

LABELS = ("background", "palm", "rock")
WIRING = SimpleNamespace(names={17: "rock: led"}, states=lambda: {17: True, 22: False})


def turn(label="rock", shares=(0.02, 0.03, 0.95), now=1.0):
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :32, 0] = 250  # red on the left
    image[:, 32:, 2] = 250
    return Step(
        Frame(image, now),
        Prediction(LABELS, np.array(shares, np.float32), 0.4, now),
        Decision(label, float(max(shares)), 0.5, now, changed=False),
        None,
        True,
        0.01,
        0.06,
    )


class Service:
    """What stands behind `live.sock`; `step` is what its loop shows."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="live-", dir="/tmp"))  # short, for a socket
        self.step, self.kept = turn(), None
        self.status = self._door = self._thread = None

    def start(self):
        self.status, self._stop = Status(), threading.Event()
        self._door = Door(self.folder / "live.sock", self._open)
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()

    def _open(self, listener):
        return Page(self.status, 0, listener=listener, kept=lambda: self.kept)

    def _loop(self):
        while not self._stop.wait(0.01):
            self.status.step(self.step, 0.06)
            self._door.show(self.step, WIRING)

    def stop(self):
        if self._door is not None:
            self._stop.set()
            self._thread.join()
            self._door.close()
            self._door = None

    def close(self):
        self.stop()
        shutil.rmtree(self.folder)


def until(true, seconds=30.0):
    """Wait until a function returns something true; return that."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, true
        time.sleep(0.02)
    return found


@pytest.fixture(autouse=True)
def _quick_end(monkeypatch):
    monkeypatch.setattr(server, "WAKE", 0.02)


@pytest.fixture
def service(monkeypatch):
    """A service that runs; its folder stands for /run/handwave."""
    service = Service()
    monkeypatch.setattr(Target, "runtime", property(lambda _: str(service.folder)))
    service.start()
    yield service
    service.close()


@pytest.fixture
def tunnel(service, sshd):
    with Tunnel("pi", Target(), config=sshd / "ssh_config") as tunnel:
        yield tunnel


@pytest.fixture(name="turn")
def _turn():
    return turn


@pytest.fixture(name="until")
def _until():
    return until
