"""A Pi's camera, seen from a laptop over SSH: `ssh://user@host`, and a port if it has another."""

from __future__ import annotations

import io
import logging
import os
import re
import shlex
import signal
import subprocess
import tempfile
import threading
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec
import numpy as np

import edge
from edge.errors import SourceError, printable
from edge.frame import Frame, Source
from edge.openssh import LOST, OPTIONS, explain, lines_of
from edge.sources.lending import HEADER, HELLO, JPEG, PICTURE, RAW, Opened, Wanted
from edge.sources.newest import Newest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.frame import Image

log = logging.getLogger(__name__)

AHEAD = 3
"""Pictures requested in advance, so that 300 ms of latency still allows ten a second."""
STALLED = 15.0
"""Seconds without a picture after which the connection has failed; ssh reports sooner."""
CLOSING = 60.0
"""Seconds that we wait for the Pi to restart its service."""
MOST_BYTES = 50_000_000
"""Of one picture."""
GREETING = 65_536
"""Bytes that a login shell may print before the camera speaks."""
# Takes this package from stdin into memory, and runs it: the same version on both sides, and one
# can teach before the first push. Nothing is written there.
BOOT = """
import os, sys
left, fd = int(sys.argv[1]), os.memfd_create("edge")
while left:
    part = os.read(0, left)
    if not part:
        sys.exit("edge: nothing came")
    os.write(fd, part)
    left -= len(part)
sys.path.insert(0, f"/proc/self/fd/{fd}")
from edge.sources.lending import serve
serve(sys.argv[2])
"""


class RemoteCamera(Source):
    """The camera of a Pi that `deploy setup` has made ready: the newest frame at each time.

    Its service is stopped for that long, and started again however this ends. It is opened as the
    service opens it: model's size, `[camera]` of its edge.toml. Frames have the sensor's times.

    Args:
        name: `ssh://user@host` or `ssh://user@host:port`, or what `ssh` knows in place of the host.
        wanted: where handwave lives there.

    Raises:
        SourceError: no such host, no handwave or no camera there, or a host key that is not known.
    """

    def __init__(self, name: str, wanted: Wanted = Wanted()) -> None:  # noqa: B008  (it is frozen)
        if not re.fullmatch(r"ssh://([\w.-]+@)?([\w.-]+|\[[\w:.%]+\])(:\d{1,5})?/?", name):
            raise SourceError(f"{name}: say ssh://user@host, or ssh://user@host:22")
        self._name = name.rstrip("/")
        self._newest: Newest[Frame] = Newest()
        self._reader: threading.Thread | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed in close)
        self._ssh = self._start(wanted)
        try:
            opened = self._hello()
        except BaseException:
            self.close()
            raise
        paused = f"; {wanted.unit} is stopped until this ends" if opened.stopped else ""
        self.taken = opened.taken
        log.warning("%s: %s", self._name, printable(f"{opened.source}, {opened.settings}{paused}"))
        self._reader = threading.Thread(target=self._read, name="remote camera", daemon=True)
        self._reader.start()

    def _start(self, wanted: Wanted) -> subprocess.Popen[bytes]:
        package = pack()
        python = f"{wanted.root}/venv/bin/python"
        words = [python, "-I", "-c", BOOT, str(len(package)), msgspec.json.encode(wanted).decode()]
        options = (word for pair in OPTIONS.items() for word in ("-o", "=".join(pair)))
        try:
            ssh = subprocess.Popen(
                ["ssh", "-T", *options, "--", self._name, shlex.join(words)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
                start_new_session=True,  # Ctrl-C is for us; we then let the Pi put all back
            )  # fmt: skip
        except FileNotFoundError:
            self._errors.close()
            raise SourceError("there is no `ssh` here; install the OpenSSH client") from None
        # In a thread: a host that writes without reading must not hold us up.
        self._sender = threading.Thread(target=_send, args=(ssh.stdin, package), daemon=True)
        self._sender.start()
        return ssh

    def _hello(self) -> Opened:
        read = 0
        while line := _pipe(self._ssh.stdout).readline(GREETING):
            read += len(line)
            if line.startswith(HELLO):
                self._ask(AHEAD)
                return msgspec.json.decode(line[len(HELLO) :], type=Opened)
            if read >= GREETING:
                self._kill()
                break
        raise SourceError(self._why())

    def __iter__(self) -> Iterator[Frame]:
        while True:
            newest = self._newest.take(STALLED)
            if self._newest.closed:
                return
            if newest is not None:
                yield newest
            elif self._newest.ended:
                raise SourceError(self._why())
            else:
                raise SourceError(f"{self._name}: no picture for {STALLED:g} s; is it still on?")

    def _read(self) -> None:
        """Keep the newest frame, until there are no more; in a thread of its own."""
        try:
            while (frame := read_frame(_pipe(self._ssh.stdout))) is not None:
                self._ask(1)
                self._newest.put(frame)
        except Exception as problem:  # noqa: BLE001  (whatever came: the reader of frames is told)
            log.debug("%s: %s", self._name, problem)
        finally:
            self._newest.end()

    def _ask(self, number: int) -> None:
        with suppress(OSError, ValueError):  # ssh has ended, which is noticed elsewhere
            _pipe(self._ssh.stdin).write(b"." * number)
            _pipe(self._ssh.stdin).flush()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._ssh.pid, signal.SIGTERM)  # with what a ProxyCommand started

    def _end_input(self) -> None:
        """Tell the Pi that this is the end."""
        if self._sender.is_alive():  # it never took our package: there is nothing to wait for
            self._kill()
        with suppress(OSError):
            _pipe(self._ssh.stdin).close()

    def close(self) -> None:
        """Give the camera back, and wait until the Pi has started its service; twice is fine."""
        if not self._newest.close():
            return
        self._end_input()
        reader = self._reader  # it reads on, so that the Pi can finish writing
        if reader is None or self._newest.ended:
            reader = threading.Thread(target=_drain, args=(self._ssh.stdout,), daemon=True)
            reader.start()
        try:
            self._ssh.wait(CLOSING)
        except subprocess.TimeoutExpired:
            log.warning("%s: does not say whether its service runs again; see there", self._name)
            self._kill()
            self._ssh.wait()
        else:
            self._tell_end()
        reader.join()
        _pipe(self._ssh.stdout).close()
        self._errors.close()

    def _tell_end(self) -> None:
        said = [line for line in self._said() if line.startswith("edge: systemctl")]
        for line in said:
            log.warning("%s: %s; see there", self._name, line.removeprefix("edge: "))

    def _said(self) -> list[str]:
        self._errors.seek(0)
        return lines_of(self._errors.read())

    def _why(self) -> str:
        """Say why it ended, in one line."""
        self._end_input()
        with suppress(subprocess.TimeoutExpired):
            self._ssh.wait(CLOSING)
        said = self._said()
        ours = [line.removeprefix("edge: ") for line in said if line.startswith("edge: ")]
        if ours:
            return f"{self._name}: {ours[0]}"
        host = self._name.removeprefix("ssh://")
        if self._ssh.returncode in {126, 127}:
            why = (said or ["no Python of its own"])[-1]
            return f"{self._name}: no handwave there: {why}; deploy setup {host}"
        if self._ssh.returncode == LOST:
            self._errors.seek(0)
            return explain(self._name, self._errors.read())
        return f"{self._name}: the camera ended: {(said or ['without a word'])[-1]}"


def pack() -> bytes:
    """Return the `edge` package as a zip of its Python files."""
    folder = Path(edge.__file__).parent
    stream = io.BytesIO()
    # Where files are dated before 1980, as in images built alike each time, they are of 1980.
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for path in sorted(folder.rglob("*.py")):
            archive.write(path, f"edge/{path.relative_to(folder).as_posix()}")
    return stream.getvalue()


def read_frame(stream: IO[bytes]) -> Frame | None:
    """Read one frame; None at the end of the stream.

    Raises:
        SourceError: the stream is not the camera's, or is damaged.
    """
    head = stream.read(HEADER.size)
    if len(head) < HEADER.size:
        return None
    mark, width, height, kind, time, length = HEADER.unpack(head)
    if mark != PICTURE or kind not in {RAW, JPEG} or length > MOST_BYTES or not width or not height:
        raise SourceError("the stream is not the camera's")
    content = stream.read(length)
    if len(content) < length:
        return None
    image = _decoded(content, kind)
    if image.size != 3 * width * height:
        raise SourceError("a picture of the stream is damaged")
    return Frame(image.reshape(height, width, 3), time)


def _decoded(content: bytes, kind: int) -> Image:
    if kind == RAW:
        return np.frombuffer(content, np.uint8)
    import PIL.Image

    with PIL.Image.open(io.BytesIO(content), formats=["JPEG"]) as file:
        return np.array(file.convert("RGB"))


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # noqa: S101  (all three were asked for)
    return pipe


def _send(pipe: IO[bytes], content: bytes) -> None:
    with suppress(OSError, ValueError):  # ssh itself says why it ended
        pipe.write(content)
        pipe.flush()


def _drain(pipe: IO[bytes]) -> None:
    """Read on and forget."""
    with suppress(OSError, ValueError):
        while pipe.read(65_536):
            pass
