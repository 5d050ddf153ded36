"""The Pi's side of a camera over SSH: lends the camera of a service, and gives it back.

`edge.sources.remote` on the laptop sends this package along and runs `serve` in the Pi's own
Python. Two processes: one stops the service, waits for the other to end, however it does, and
starts the service again; the other opens the camera and sends pictures: one at once, and one more
for each byte that comes on stdin, so a slow line never queues old ones. Where none comes for a
while, or stdin ends, as it does when the connection is cut, it is over.

What goes to stdout, all of it little-endian:

    "handwave camera 1 " and one JSON object    a line
    HEADER, and a picture                       each picture
"""

from __future__ import annotations

import io
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from edge import card  # noqa: TC001  (msgspec reads the types of `Opened`)
from edge.config import CameraSettings, read_config
from edge.errors import HandwaveError, SourceError
from edge.frame import SIZE
from edge.sources.opening import default_source, open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge.frame import Frame, Image, Source

HELLO = b"handwave camera 1 "
HEADER = struct.Struct("<4sHHBdI")
"""`PICTURE`, width, height, `RAW` or `JPEG`, the frame's time in seconds, and bytes that follow."""
PICTURE = b"HWP1"
RAW, JPEG = 0, 1
QUALITY = 95
"""As `trainer capture` keeps pictures: a fifth to a tenth of the raw bytes."""
SILENCE = 20.0
"""Seconds without a byte from the laptop after which it counts as gone."""
GRACE = 10.0
"""Seconds that the camera may take to end by itself; it waits 3 for a frame and 5 to close."""
ENDS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
SYSTEMCTL = 120.0
"""Seconds that starting the service may take; the unit's own limits come first."""


class Wanted(msgspec.Struct, frozen=True):
    """What the laptop asks for."""

    root: str = "/opt/handwave"
    unit: str = "handwave.service"
    source: str | None = None
    """None: the service's own."""


class Opened(msgspec.Struct, frozen=True):
    """What the laptop is told first."""

    source: str
    settings: str
    """Size, rate and light, in words."""
    stopped: bool
    """Whether the service was stopped for it."""
    taken: card.Camera | None = None
    """How its pictures are taken."""


class _Setup(NamedTuple):
    """How the service opens its camera."""

    source: str
    settings: CameraSettings
    taken: card.Camera | None
    as_what: str


def serve(text: str) -> None:
    """Lend the camera until the laptop ends; exits the process, with code 1 for an error."""
    wanted = msgspec.json.decode(text, type=Wanted)
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as the unit does
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)  # until there is a child that can be told
    try:
        with lent(wanted.unit) as stopped:
            code = _in_a_child(
                lambda alone: _stream(wanted, alone, stopped=stopped),
                orphaned=lambda: _systemctl("restart", wanted.unit) if stopped else None,
            )
    except HandwaveError as problem:
        _complain(problem)
        code = 1
    sys.exit(code)


@contextmanager
def lent(unit: str) -> Iterator[bool]:
    """Stop a service for the block, if it runs; yield whether it did.

    Raises:
        HandwaveError: its state is unknown, it may not be stopped, or it does not start again.
    """
    if not _runs(unit):
        yield False
        return
    _systemctl("stop", unit)
    try:
        yield True
    finally:
        _systemctl("restart", unit)  # of a stopped one: start; it is what a push may do, too


def _runs(unit: str) -> bool:
    """Return whether a service runs, or is about to: one that waits for its camera does."""
    try:
        done = subprocess.run(
            ["systemctl", "show", "--property=LoadState,ActiveState", "--", unit],
            capture_output=True, text=True, check=False, timeout=10, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError:  # no systemd, no service
        return False
    except subprocess.TimeoutExpired:
        raise HandwaveError(f"systemctl show {unit}: no answer") from None
    if done.returncode:  # when in doubt, assume that the service has the camera
        why = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise HandwaveError(f"systemctl show {unit}: {why}")
    running = {f"ActiveState={state}" for state in ("active", "activating", "reloading")}
    return not running.isdisjoint(done.stdout.split())


def _systemctl(verb: str, unit: str) -> None:
    sudo = [] if os.getuid() == 0 else ["sudo", "-n"]
    try:
        done = subprocess.run(
            [*sudo, "systemctl", verb, unit],
            capture_output=True, text=True, check=False, timeout=SYSTEMCTL,
            stdin=subprocess.DEVNULL, start_new_session=True,  # the end of ours is not its end
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise HandwaveError(f"systemctl {verb} {unit}: {problem}") from None
    if done.returncode:
        why = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise HandwaveError(f"systemctl {verb} {unit}: {why}")


def _in_a_child(act: Callable[[Callable[[], bool]], None], *, orphaned: Callable[[], None]) -> int:
    """Run `act` in a child process, which may hang or crash; return its exit code.

    Args:
        act: what to run; its argument returns whether the parent was killed.
        orphaned: what the child does at its end, if the parent was killed.
    """
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        for number in ENDS:
            signal.signal(number, signal.SIG_DFL)

        def alone() -> bool:
            return os.getppid() != parent

        code = _told(lambda: act(alone))
        os._exit(_told(orphaned) if alone() else code)

    def end(_number: int, _frame: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)

    for number in ENDS:
        signal.signal(number, end)  # whatever comes: the service is started again
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _told(act: Callable[[], None]) -> int:
    """Run `act`; return an exit code, having printed any error."""
    try:
        act()
    except BrokenPipeError:  # the laptop has gone
        return 0
    except HandwaveError as problem:
        _complain(problem)
    except Exception as problem:  # noqa: BLE001  (a bug is one line there as well)
        _complain(HandwaveError(f"a mistake of ours ({type(problem).__name__}: {problem})"))
    else:
        return 0
    return 1


def _complain(problem: Exception) -> None:
    with suppress(OSError):
        os.write(2, f"edge: {problem}\n".encode())


def _stream(wanted: Wanted, alone: Callable[[], bool], *, stopped: bool) -> None:
    """Send the camera's pictures, one for each byte that comes."""
    setup = _setup(wanted)
    with _open(setup) as camera:
        asked = _Asked()
        words = Opened(setup.source, _in_words(setup), stopped, camera.taken)
        _write(HELLO + msgspec.json.encode(words) + b"\n")
        encode = encoder()
        for frame in camera:
            _write(packed(frame, encode))
            if not asked.wait() or alone():
                return


def packed(frame: Frame, encode: Callable[[Image], tuple[int, bytes]]) -> bytes:
    """Return a frame as it travels."""
    kind, content = encode(frame.image)
    height, width = frame.image.shape[:2]
    return HEADER.pack(PICTURE, width, height, kind, frame.time, len(content)) + content


def encoder() -> Callable[[Image], tuple[int, bytes]]:
    """Return the encoder of pictures: JPEG, or raw without Pillow."""
    try:
        from PIL import Image as Pictures
    except ImportError:
        return lambda image: (RAW, image.tobytes())

    def encode(image: Image) -> tuple[int, bytes]:
        stream = io.BytesIO()
        Pictures.fromarray(image).save(stream, "JPEG", quality=QUALITY, subsampling=0)
        return JPEG, stream.getvalue()

    return encode


class _Asked:
    """Counts the bytes on stdin in a thread, until stdin ends."""

    def __init__(self) -> None:
        self._wanted = threading.Semaphore(0)
        self._over = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def wait(self) -> bool:
        """Wait until one more picture is wanted; return False at the end."""
        self._wanted.acquire()
        return not self._over.is_set()

    def _read(self) -> None:
        while True:
            ready, _, _ = select.select([0], [], [], SILENCE)
            number = len(os.read(0, 64)) if ready else 0
            if not number:
                break
            self._wanted.release(number)
        self._over.set()
        self._wanted.release()
        time.sleep(GRACE)  # a camera or a connection that hangs
        os._exit(1)


def _setup(wanted: Wanted) -> _Setup:
    """Return how the service opens its camera, from its release if there is one."""
    path = Path(wanted.root) / "current" / "edge.toml"
    if not path.exists():
        return _Setup(_camera_of(wanted.source), CameraSettings(), None, "nothing is pushed yet")
    config = read_config(path)
    source = _camera_of(wanted.source or config.source)
    return _Setup(source, config.camera, _taken(config.model), "as the service has it")


def _taken(model: Path) -> card.Camera | None:
    """Return how a model's pictures were taken; None where it cannot be opened."""
    from edge.classifier import Classifier

    with suppress(HandwaveError):  # a broken model needs new pictures all the more
        return Classifier(model).card.camera
    return None


def _camera_of(source: str | None) -> str:
    name = source or default_source()
    if source is None and name.startswith("virtual"):
        raise SourceError("no camera found there; ask: edge doctor")
    return name


def _open(setup: _Setup) -> Source:
    size = SIZE if setup.taken is None else setup.taken.size
    return open_source(setup.source, size=size, camera=setup.settings, taken=setup.taken)


def _in_words(setup: _Setup) -> str:
    """Return how the camera is set."""
    balance, exposure = setup.settings.light(setup.taken)
    size = SIZE if setup.taken is None else setup.taken.size
    parts: list[Any] = [f"{size[0]}x{size[1]}"]
    if setup.settings.rotation:
        parts.append(f"turned by {setup.settings.rotation} degrees")
    parts += [f"white balance {balance}", f"exposure {exposure}"]
    return f"{', '.join(parts)}; {setup.as_what}"


def _write(content: bytes) -> None:
    """Write all to stdout, past Python's own buffer."""
    view = memoryview(content)
    while view:
        view = view[os.write(1, view) :]
