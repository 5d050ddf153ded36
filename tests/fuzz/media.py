"""Pictures and films to damage: small ones of every kind, and texts that pretend to be films."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import cv2
import numpy as np
from damage import damaged, with_sound_chunks
from PIL import Image, PngImagePlugin

PHONE = Path(__file__).parents[1] / "edge" / "photo.heic"
PLAYLISTS = (
    "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
    "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "ffconcat version 1.0\nfile /etc/passwd\nfile http://127.0.0.1:9/\n",
    (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n"
    ),
    (
        "<?xml version='1.0'?><MPD><Period><AdaptationSet><Representation><BaseURL>"
        "http://127.0.0.1:9/</BaseURL></Representation></AdaptationSet></Period></MPD>"
    ),
)


def picture(width=40, height=30):
    """Return something with edges and colours."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 5 % 256, y * 7 % 256, (x * y) % 256], axis=-1).astype(np.uint8)


def pictures():
    """Return small pictures of every kind, by suffix and what is special."""
    rgb = Image.fromarray(picture())
    turned = Image.Exif()
    turned[0x0112] = 6
    grey16 = Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50)
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 3000, zip=True)
    frames = [rgb, rgb.rotate(90), rgb.convert("L").convert("RGB")]
    moving = {"save_all": True, "append_images": frames, "duration": 40}
    kinds = {
        "plain.jpg": (rgb, {"exif": turned}),
        "progressive.jpg": (rgb, {"progressive": True}),
        "cmyk.jpg": (rgb.convert("CMYK"), {}),
        "two.jpg": (rgb, {"format": "MPO", "save_all": True, "append_images": [rgb]}),
        "plain.png": (rgb, {"pnginfo": text}),
        "palette.png": (rgb.convert("P"), {"transparency": 3}),
        "alpha.png": (rgb.convert("RGBA"), {}),
        "grey16.png": (grey16, {}),
        "bits.png": (rgb.convert("1"), {}),
        "moving.png": (rgb, moving),
        "lossy.webp": (rgb, {"exif": turned}),
        "lossless.webp": (rgb.convert("RGBA"), {"lossless": True}),
        "moving.webp": (rgb, moving),
        "plain.bmp": (rgb, {}),
        "palette.bmp": (rgb.convert("P"), {}),
        "moving.gif": (rgb, moving),
    }
    made = {name: _saved(name, image, **how) for name, (image, how) in kinds.items()}
    return made | {"phone.heic": PHONE.read_bytes()}  # nothing here writes one


def _saved(name, image, **how):
    file = io.BytesIO()
    file.name = name  # Pillow takes the format from it
    image.save(file, **how)
    return file.getvalue()


def films(folder):
    """Return small films of every kind that OpenCV writes here."""
    found = {}
    for name, codec in (("a.mp4", "mp4v"), ("b.avi", "MJPG"), ("c.avi", "XVID"), ("d.mkv", "mp4v")):
        path = folder / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25, (64, 48))
        for number in range(12):
            writer.write(np.roll(picture(64, 48), 5 * number, axis=1))
        writer.release()
        found[name] = path.read_bytes()
    return found


def huge_png(rng):
    """Return a PNG of few bytes and many pixels, of a kind that takes much memory."""
    side = rng.choice([3000, 6900, 7071, 20_000, 2**31 - 1])
    depth, colour, channels = rng.choice([(16, 0, 2), (8, 6, 4), (8, 3, 1), (1, 0, 1), (16, 6, 8)])
    size = min(side, 7071)
    rows = zlib.compress(
        bytes(size * channels + 1) * min(size, 3000 if rng.random() < 0.5 else size)
    )
    header = side.to_bytes(4, "big") * 2 + bytes([depth, colour, 0, 0, 0])
    body = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), (b"PLTE", bytes(768)), (b"IDAT", rows), (b"IEND", b"")):
        if kind != b"PLTE" or colour == 3:
            body += len(data).to_bytes(4, "big") + kind + data + bytes(4)
    return with_sound_chunks(body)


def broken_picture(rng, content):
    """Return a picture with something wrong in it."""
    if rng.random() < 0.02:
        return huge_png(rng)
    content = damaged(rng, content)
    return with_sound_chunks(content) if content[1:4] == b"PNG" and rng.random() < 0.7 else content


def broken_film(rng, content):
    """Return a film with something wrong in it."""
    if rng.random() < 0.05:
        text = rng.choice(PLAYLISTS).encode()
        return damaged(rng, text) if rng.random() < 0.5 else text
    return damaged(rng, content)
