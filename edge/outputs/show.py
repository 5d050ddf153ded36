"""The program that draws pictures on a whole screen: `edge/outputs/screen.py` starts it.

It runs alone and imports nothing of ours, so that it is small and quick to start. Each line of its
stdin is a JSON list, what to do and a path or null:

    ["start", null]    take the screen, and make it black
    ["show", path]     show a picture, or black
    ["load", path]     read a picture that will be shown
    ["save", path]     write what is shown to a BMP or PNG

Each is answered by a line, `handwave: ok` or `handwave: ` and what is wrong. The end of stdin ends
it, so it never outlives the device that started it.
"""

from __future__ import annotations

import io
import json
import os
import select
import sys
import time
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import PIL.Image

MAX_BYTES = 30_000_000
MAX_PIXELS = 50_000_000
UNSEEN = ("offscreen", "dummy", "evdev")
"""What SDL falls back to where there is no screen: fine for tests, who ask for it."""
KEPT = 64_000_000
"""Bytes of pictures kept ready to be shown."""
PUMP = 1.0
"""Seconds between two looks at what the desktop says, if there is one."""


class Show:
    """The screen, and what it shows.

    Raises:
        pygame.error: there is no screen.
    """

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pygame's own, about how it is packaged
            import pygame

        self.pygame = pygame
        pygame.display.init()  # and nothing else of it: no sound, no joystick
        driver = pygame.display.get_driver()
        if driver in UNSEEN and os.environ.get("SDL_VIDEODRIVER") != driver:
            raise pygame.error(f"SDL has only '{driver}'")
        self.surface = pygame.display.set_mode((0, 0), pygame.FULLSCREEN)
        pygame.mouse.set_visible(False)
        self._kept: OrderedDict[str, Any] = OrderedDict()  # stills, scaled
        self._moving: Iterator[tuple[Any, float]] | None = None
        self._next_at = 0.0
        self._draw(None)

    def show(self, path: str | None) -> None:
        """Show a picture, black if there is none or it cannot be read."""
        self._moving = None
        try:
            self._begin(path)
        except BaseException:
            self._draw(None)
            raise

    def load(self, path: str) -> Any | None:
        """Return a still as a surface, scaled and kept for later; None if it moves."""
        if path in self._kept:
            self._kept.move_to_end(path)
            return self._kept[path]
        picture = read(path)
        if getattr(picture, "n_frames", 1) > 1:
            return None
        surface = self._as_surface(picture).convert()
        self._kept[path] = surface
        while len(self._kept) > 1 and sum(map(_size, self._kept.values())) > KEPT:
            self._kept.popitem(last=False)
        return surface

    def save(self, path: str) -> None:
        """Write what is shown to a picture file."""
        self.pygame.image.save(self.surface, path)

    def tick(self) -> float:
        """Draw the next picture of what moves, if it is time; return the seconds until the next."""
        self.pygame.event.clear()  # a desktop greys out a window that never looks at them
        if self._moving is None:
            return PUMP
        now = time.monotonic()
        if now >= self._next_at:
            try:
                self._step(self._moving, now)
            except self.pygame.error:
                raise
            except Exception:  # noqa: BLE001  (a file that is damaged later on stands still there)
                self._moving = None
        return max(0.0, min(PUMP, self._next_at - now))

    def _begin(self, path: str | None) -> None:
        still = None if path is None else self.load(path)
        if path is None or still is not None:
            self._draw(still)
            return
        moving, self._next_at = self._frames(path), time.monotonic()
        self._step(moving, self._next_at)
        self._moving = moving

    def _step(self, moving: Iterator[tuple[Any, float]], now: float) -> None:
        surface, seconds = next(moving)
        self._draw(surface)
        # From when it was due, so that it keeps time; from now, if this machine cannot.
        self._next_at = max(self._next_at + seconds, now)

    def _frames(self, path: str) -> Iterator[tuple[Any, float]]:
        """Yield each picture of one that moves and its seconds, over and over.

        One at a time: all of them at the size of a screen would fill the memory of a small Pi.
        """
        picture = read(path)
        while True:
            for number in range(picture.n_frames):  # type: ignore[attr-defined]  # a GIF's
                picture.seek(number)
                milliseconds = float(picture.info.get("duration", 0))
                # As browsers do it: no time at all means a tenth of a second.
                yield self._as_surface(picture), milliseconds / 1000 if milliseconds > 10 else 0.1

    def _as_surface(self, picture: PIL.Image.Image) -> Any:
        from PIL import Image, ImageOps

        upright = ImageOps.exif_transpose(picture)
        if "A" in upright.getbands() or "transparency" in upright.info:
            upright = upright.convert("RGBA")
            black = Image.new("RGBA", upright.size, "black")
            upright = Image.alpha_composite(black, upright)
        fitted = ImageOps.contain(upright.convert("RGB"), self.surface.get_size())
        return self.pygame.image.frombuffer(fitted.tobytes(), fitted.size, "RGB")

    def _draw(self, surface: Any | None) -> None:
        self.surface.fill("black")
        if surface is not None:
            self.surface.blit(surface, surface.get_rect(center=self.surface.get_rect().center))
        self.pygame.display.flip()


def read(path: str) -> PIL.Image.Image:
    """Return a picture, from memory, not yet decoded.

    Raises:
        ValueError: it is too large, or not a picture.
    """
    from PIL import Image, UnidentifiedImageError

    warnings.simplefilter("ignore")  # of odd metadata: pixels are what counts
    with Path(path).open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError("too large a file")
    try:
        picture = Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "GIF"))
    except UnidentifiedImageError:
        raise ValueError("not a picture (PNG, JPEG, GIF)") from None
    if picture.width * picture.height > MAX_PIXELS:
        raise ValueError("too large a picture")
    return picture


def do(show: Show, what: str, path: str | None) -> str:
    """Do what a line says; return `ok`, or what is wrong."""
    try:
        if what == "show":
            show.show(path)
        elif what == "load" and path:
            show.load(path)
        elif what == "save" and path:
            show.save(path)
    except show.pygame.error:
        raise  # the screen is gone: a new start may find it again
    except Exception as problem:  # noqa: BLE001  (decoders raise nearly anything)
        why = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
        return f"{Path(path or '').name}: cannot be shown: {why}".partition("\n")[0]
    return "ok"


def serve(show: Show) -> None:
    """Do what stdin says, line by line, until it ends; what moves moves in between."""
    waiting = b""
    while True:
        if not select.select([0], [], [], show.tick())[0]:
            continue
        more = os.read(0, 65536)
        if not more:
            return
        *lines, waiting = (waiting + more).split(b"\n")
        for line in lines:
            what, path = json.loads(line)
            print(f"handwave: {do(show, what, path)}", flush=True)


def main() -> None:
    """Take the screen and serve; say in one line why not."""
    try:
        show = Show()
    except ImportError as problem:
        sys.exit(f"{problem.name} is missing; on a Pi: sudo apt install python3-pygame python3-pil")
    except Exception as problem:  # noqa: BLE001  (pygame.error, a name that only pygame has)
        sys.exit(
            f"no screen to show pictures on ({problem}); "
            "is one attached, and this user in the groups video and render?"
        )
    try:
        serve(show)
    except show.pygame.error as problem:
        sys.exit(f"the screen is gone ({problem})")


def _size(surface: Any) -> int:
    """Return the bytes that a surface takes."""
    return int(surface.get_height() * surface.get_pitch())


if __name__ == "__main__":
    main()
