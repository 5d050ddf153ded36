"""Reading picture files: whatever people have, as upright RGB."""

from __future__ import annotations

import logging
import os
import re
import stat
import warnings
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import PictureError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import PIL.Image

    from edge.frame import Image

log = logging.getLogger(__name__)

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".heic", ".heif"}
)
POINTS = ".points"
"""Suffix of recordings of a hand's points, without pictures: see `trainer.features.points`."""
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
"""The decoders ever tried, but for HEIF's; JPEG's opens MPO too."""
OF_SYSTEMS = {"__macosx", "@eadir", "$recycle.bin", "thumbs.db", "desktop.ini"}
"""Files and folders that systems put beside people's files."""
EXIF_IFD, DATE_TIME_ORIGINAL = 0x8769, 0x9003
MAX_SIDE = 640  # pixels; what a photograph is shrunk to
MAX_PIXELS = 50_000_000  # to decode: more is no photograph but a decompression bomb
MAX_JPEG = 150_000_000  # as far as phones go; unless progressive, it decodes to a part of its size
HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
"""Brands of HEIC, an iPhone's; films and AVIF begin alike but for these."""
MAX_BYTES = 200_000_000  # as many pixels, uncompressed


def find_pictures(folder: Path) -> list[Path]:
    """Return every picture file below `folder`, in the order a person would count them."""
    return [path for path in find_files(folder) if path.suffix.lower() in SUFFIXES]


def find_files(folder: Path) -> list[Path]:
    """Return every file of a person's below `folder`, in the order a person would count them.

    Raises:
        OSError: a folder that may not be read: a session must not vanish without a word.
    """
    return sorted(_walk(folder), key=lambda path: natural_key(path.relative_to(folder).as_posix()))


def find_folders(folder: Path) -> list[Path]:
    """Return a person's own folders in `folder`, in the order a person would count them."""
    found = (path for path in folder.iterdir() if path.is_dir() and not is_of_systems(path.name))
    return sorted(found, key=lambda path: natural_key(path.name))


def keeps_points(path: Path) -> bool:
    """Tell a recording of points alone from a picture, by its name."""
    return path.suffix.lower() == POINTS


def is_of_systems(name: str) -> bool:
    """Tell what systems add to folders by themselves, and hide."""
    return name.startswith(".") or name.casefold() in OF_SYSTEMS


def natural_key(text: str) -> list[tuple[int, str]]:
    """Sort key under which `pic2` comes before `pic10`, and folders before what follows them."""
    parts = re.split(r"(\d+)", text.replace("/", "\0").casefold())
    key = [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
    return [*key, (-1, text)]  # pic2, pic02 and Pic2 always in the same order


def read_picture(path: Path, *, max_side: int = MAX_SIDE) -> Image:
    """Read a JPEG, PNG, WebP, BMP or GIF (first frame) as uint8 `[height, width, 3]` RGB.

    An iPhone's HEIC as well, where pi-heif is installed: on the laptop. EXIF
    orientation is applied, transparency is laid on white, 16-bit grey is scaled to 8 bits. A
    photograph is shrunk to about what a camera sends: for laptop and Pi alike, as both read here.

    Args:
        path: the file.
        max_side: neither side is longer than this many pixels; the shape is kept.

    Raises:
        PictureError: the file is missing, damaged, of another kind, or absurdly large.
    """
    import PIL.Image  # a standing device with a camera never reads files

    _hush_pillow()
    if not is_bounded(path):
        raise PictureError(f"{path}: a pipe, a device or gigabytes; no picture")
    try:
        with _opened(path) as file:
            whole = file.width * file.height
            limit = MAX_PIXELS if file.info.get("progressive") else MAX_JPEG
            file.draft("RGB", (max_side, max_side))  # a JPEG decodes straight to near it
            if whole > limit or file.width * file.height > MAX_PIXELS:
                raise PIL.Image.DecompressionBombError  # noqa: TRY301  (as Pillow's own, later)
            return _as_rgb(file, max_side)
    except PictureError:
        raise
    except FileNotFoundError:
        raise PictureError(f"{path}: no such picture") from None
    except IsADirectoryError:
        raise PictureError(f"{path}: a folder; name the pictures in it") from None
    except PIL.UnidentifiedImageError:
        raise PictureError(f"{path}: not a picture (JPEG, PNG, WebP, BMP, GIF, HEIC)") from None
    except PIL.Image.DecompressionBombError:
        most = f"{MAX_PIXELS / 1e6:.0f} megapixels, a plain JPEG {MAX_JPEG / 1e6:.0f}"
        raise PictureError(f"{path}: is too large a picture; {most} at most: shrink it") from None
    except Exception as problem:  # decoders raise nearly anything on damaged files
        reason = str(problem) or type(problem).__name__
        raise PictureError(f"{path}: damaged picture ({reason})") from problem


def read_those_that_can_be(folder: Path, names: Iterable[Path]) -> Iterator[tuple[Path, Image]]:
    """Yield `(name, picture)` of each file in a folder, as `read_picture` does.

    One that cannot be read is named in the log and skipped.
    """
    for name in names:
        try:
            image = read_picture(folder / name)
        except PictureError as problem:
            log.warning("skipped: %s", problem)
            continue
        yield name, image


def taken_at(path: Path) -> float | None:
    """Return when a camera says it took a picture, seconds since 1970; None where it does not."""
    _hush_pillow()
    try:
        if not is_bounded(path):
            return None
        with _opened(path) as file:
            text = file.getexif().get_ifd(EXIF_IFD).get(DATE_TIME_ORIGINAL)
        return datetime.strptime(str(text), "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    except Exception:  # noqa: BLE001  (metadata is a courtesy: damaged ones say nothing)
        return None


def is_bounded(path: Path) -> bool:
    """Return False for pipes, devices and huge files; True if missing (opening it reports that)."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: a null byte in the name
        return True
    return stat.S_ISDIR(found.st_mode) or (
        stat.S_ISREG(found.st_mode) and found.st_size <= MAX_BYTES
    )


def is_heif(head: bytes) -> bool:
    """Return whether a file that begins so is a HEIC."""
    return head[4:8] == b"ftyp" and head[8:12] in HEIF


def _opened(path: Path) -> PIL.Image.Image:
    """Open a picture file.

    Raises:
        PictureError: it is a HEIC, and pi-heif is not here.
    """
    import PIL.Image

    with path.open("rb") as file:
        head = file.read(12)
    if not is_heif(head):
        return PIL.Image.open(path, formats=FORMATS)
    try:
        import pi_heif
    except ImportError:
        raise PictureError(
            f"{path}: HEIC needs pi-heif here: pip install pi-heif; or have the iPhone take JPEGs: "
            "Settings, Camera, Formats, Most Compatible"
        ) from None
    pi_heif.register_heif_opener()
    return PIL.Image.open(path, formats=("HEIF",))


def _hush_pillow() -> None:
    """Silence Pillow's warnings of odd metadata: pixels are what counts.

    Once for the process: `warnings.catch_warnings` is not for the trainer's threads, which would
    put each other's filters back.
    """
    if ("ignore", None, Warning, re.compile(r"PIL\."), 0) not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")


def _as_rgb(file: PIL.Image.Image, max_side: int) -> Image:
    from PIL import Image, ImageOps

    file.load()
    with suppress(Exception):  # damaged metadata is no reason to lose the pixels
        ImageOps.exif_transpose(file, in_place=True)
    picture = _shrunk(file, max_side)  # before what takes several times its memory
    if picture.mode.startswith(("I", "F")):  # 16-bit grey: its high byte
        high = np.clip(np.asarray(picture, dtype=np.float64) / 257, 0, 255)
        picture = Image.fromarray(high.round().astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return np.array(picture.convert("RGB"))


def _shrunk(picture: PIL.Image.Image, max_side: int) -> PIL.Image.Image:
    """Return a picture no side of which is longer than `max_side`, each pixel a mean."""
    from PIL import Image

    if max(picture.size) <= max_side:
        return picture
    if picture.mode == "P" or "transparency" in picture.info:  # numbers of colours have no mean
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    elif picture.mode == "1":
        picture = picture.convert("L")
    elif picture.mode.startswith("I;"):
        picture = picture.convert("I")
    picture.thumbnail((max_side, max_side), Image.Resampling.BOX)
    return picture


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, following links, skipping hidden ones."""
    seen: set[str] = set()  # real places, so that links in a circle end
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        here = Path(place)
        folders[:] = [name for name in folders if not is_of_systems(name)]
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (here / name for name in files if not is_of_systems(name))


def _raise(problem: OSError) -> None:
    raise problem
