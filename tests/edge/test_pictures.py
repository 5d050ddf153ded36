"""Reading pictures: whatever people have, upright and RGB; anything else is a PictureError."""

from __future__ import annotations

import io
import os
import random
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from edge.errors import PictureError
from edge.pictures import find_pictures, natural_key, read_picture, taken_at

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
ORIENTATION, DATE_TIME_ORIGINAL = 0x0112, 0x9003


def corners(width=32, height=16):
    """Red top left, green top right, blue bottom left, white bottom right; (height, width, 3)."""
    image = np.zeros((height, width, 3), np.uint8)
    top, left = slice(None, height // 2), slice(None, width // 2)
    bottom, right = slice(height // 2, None), slice(width // 2, None)
    image[top, left], image[top, right] = RED, GREEN
    image[bottom, left], image[bottom, right] = BLUE, WHITE
    return image


def chunk(kind, data):
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def png(width, height, *, bits=8, colour=2, rows=b""):
    """A PNG by hand, for what Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.fixture
def save(tmp_path):
    def save(picture, name, **options):
        path = tmp_path / name
        if isinstance(picture, bytes):
            path.write_bytes(picture)
        else:
            picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
            picture.save(path, **options)
        return path

    return save


def complaint(path):
    with pytest.raises(PictureError) as caught:
        read_picture(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


# --- Formats and modes


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.bmp", {}),
        ("a.webp", {"lossless": True}),
        ("a.PNG", {}),
        ("a.jpg", {"format": "PNG"}),  # the content says what it is, not the name
    ],
)
def test_lossless_formats_give_the_very_pixels(save, name, options):
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    got = read_picture(save(image, name, **options))
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, image)


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "a.webp", "a.gif"])
def test_lossy_formats_give_nearly_those_pixels(save, name):
    got = read_picture(save(corners(), name))
    assert got.shape == (16, 32, 3)
    for (y, x), colour in {(3, 5): RED, (3, 26): GREEN, (12, 5): BLUE, (12, 26): WHITE}.items():
        np.testing.assert_allclose(got[y, x], colour, atol=30)


def test_a_phones_multi_picture_jpeg_gives_its_first_picture(save):
    first, second = Image.fromarray(corners()), Image.new("RGB", (32, 16))
    path = save(first, "a.jpg", format="MPO", save_all=True, append_images=[second])
    np.testing.assert_allclose(read_picture(path)[3, 5], RED, atol=30)


def test_the_array_is_the_callers_own(save):
    got = read_picture(save(corners(), "a.png"))
    got[:] = 0
    assert got.flags.c_contiguous


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_every_exif_orientation_ends_upright(save, name, orientation):
    upright = corners(32, 16)
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](upright)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    got = read_picture(save(np.ascontiguousarray(stored), name, exif=exif))
    assert got.shape == upright.shape
    for (y, x), colour in {(3, 5): RED, (3, 26): GREEN, (12, 5): BLUE, (12, 26): WHITE}.items():
        np.testing.assert_allclose(got[y, x], colour, atol=30)


@pytest.mark.parametrize(
    "exif",
    [
        b"\xff" * 50,
        b"Exif\0\0garbage",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x20\0\0\0\x06\0\0\0",  # text, far outside
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0",  # orientation 99
    ],
)
def test_odd_metadata_does_not_spoil_a_picture(save, exif):
    path = save(corners(), "a.jpg", exif=exif)
    assert read_picture(path).shape == (16, 32, 3)
    assert taken_at(path) is None


def test_grey_becomes_three_equal_channels(save):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for name in ["a.png", "a.bmp"]:
        got = read_picture(save(grey, name))
        np.testing.assert_array_equal(got, np.stack([grey] * 3, axis=-1))
    assert read_picture(save(grey, "a.jpg")).shape == (8, 8, 3)


def test_one_bit_is_black_and_white(save):
    bits = np.array([[True, False], [False, True]])
    got = read_picture(save(Image.fromarray(bits), "a.png"))
    np.testing.assert_array_equal(got[..., 1], [[255, 0], [0, 255]])


@pytest.mark.parametrize("suffix", ["png", "gif", "bmp"])
def test_a_palette_is_looked_up(save, suffix):
    picture = Image.fromarray(corners()).convert("P", palette=Image.Palette.ADAPTIVE)
    np.testing.assert_array_equal(read_picture(save(picture, f"a.{suffix}")), corners())


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_transparent_palette_entry_is_white(save, suffix):
    picture = Image.new("P", (2, 1))
    picture.putpalette([*RED, *BLUE])
    picture.putpixel((1, 0), 1)
    got = read_picture(save(picture, f"a.{suffix}", transparency=1))
    np.testing.assert_array_equal(got[0], [RED, WHITE])


def test_transparency_is_laid_on_white(save):
    pixels = np.array([[(*RED, 255), (*RED, 0), (0, 0, 0, 128)]], np.uint8)
    for name, options in [("a.png", {}), ("a.webp", {"lossless": True, "exact": True})]:
        got = read_picture(save(pixels, name, **options))
        np.testing.assert_allclose(got[0], [RED, WHITE, (127, 127, 127)], atol=1)


def test_grey_with_transparency_is_laid_on_white(save):
    picture = Image.fromarray(np.array([[[10, 255], [10, 0]]], np.uint8), "LA")
    np.testing.assert_array_equal(read_picture(save(picture, "a.png"))[0], [[10] * 3, WHITE])


@pytest.mark.parametrize(("mode", "key"), [("L", 7), ("RGB", (7, 7, 7)), ("1", 0)])
def test_a_colour_that_stands_for_nothing_is_white(save, mode, key):
    picture = Image.new(mode, (1, 1), key)
    assert read_picture(save(picture, "a.png", transparency=key))[0, 0].tolist() == [255] * 3


def test_sixteen_bit_grey_is_scaled_to_eight(save):
    values = np.array([[0, 256, 257, 32768, 65400, 65535]], np.uint16)
    got = read_picture(save(values, "a.png"))
    np.testing.assert_array_equal(got[0, :, 0], [0, 1, 1, 128, 254, 255])
    np.testing.assert_array_equal(got[..., 0], got[..., 2])


def test_sixteen_bit_colour_is_scaled_to_eight(save):
    rows = b"\0" + struct.pack(">6H", 65535, 32768, 0, 0, 257, 65535)
    got = read_picture(save(png(2, 1, bits=16, rows=rows), "a.png"))
    np.testing.assert_array_equal(got[0], [(255, 128, 0), (0, 1, 255)])


def test_a_printers_jpeg_in_four_inks(save):
    picture = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # all magenta and yellow: red
    np.testing.assert_allclose(read_picture(save(picture, "a.jpg"))[4, 4], RED, atol=5)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_an_animation_gives_its_first_frame(save, suffix):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    path = save(frames[0], f"a.{suffix}", save_all=True, append_images=frames[1:])
    with Image.open(path) as file:
        assert len(list(ImageSequence.Iterator(file))) == 3
    np.testing.assert_allclose(read_picture(path)[4, 4], RED, atol=12)


# --- max_side


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize(
    ("size", "max_side", "expected"),
    [
        ((400, 200), 100, (100, 50)),
        ((200, 400), 100, (50, 100)),
        ((400, 200), 400, (400, 200)),
        ((40, 20), 100, (40, 20)),
        ((1000, 2), 10, (10, 1)),
    ],
)
def test_pictures_are_shrunk_to_max_side_and_never_enlarged(save, name, size, max_side, expected):
    got = read_picture(save(corners(*size), name), max_side=max_side)
    assert got.shape == (expected[1], expected[0], 3)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "I;16"])
def test_shrinking_is_the_same_for_every_kind_of_picture(save, mode):
    left, right = (200, 40, 40), (40, 40, 200)
    image = Image.new("RGB", (900, 600), left)
    image.paste(right, (450, 0, 900, 600))
    if mode == "I;16":
        grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
        image = Image.fromarray(grey)
    else:
        image = image.convert(mode)
    path = save(image, "a.png")
    whole, small = read_picture(path, max_side=900), read_picture(path, max_side=90)
    assert (whole.shape, small.shape) == ((600, 900, 3), (60, 90, 3))
    tens = whole.reshape(60, 10, 90, 10, 3).mean(axis=(1, 3))  # dots of few colours become one
    np.testing.assert_allclose(small, tens, atol=3)


@pytest.mark.parametrize("orientation", [1, 6])
def test_shrinking_keeps_the_picture_upright(save, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = corners(800, 400) if orientation == 1 else np.rot90(corners(800, 400)).copy()
    got = read_picture(save(stored, "a.jpg", exif=exif), max_side=64)
    assert got.shape == (32, 64, 3)
    np.testing.assert_allclose(got[4, 4], RED, atol=30)
    np.testing.assert_allclose(got[28, 60], WHITE, atol=30)


# --- No pictures


def test_a_missing_picture(tmp_path):
    assert complaint(tmp_path / "none.jpg") == "no such picture"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("kind", ["pipe", "device", "gigabytes"])
def test_what_would_be_read_for_ever_is_not(tmp_path, kind):
    path = tmp_path / "a.jpg"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.touch()
        os.truncate(path, 2**33)  # sparse
    assert complaint(path) == "a pipe, a device or gigabytes; no picture"
    assert taken_at(path) is None


def test_a_folder_called_picture(tmp_path):
    assert complaint(tmp_path) == "a folder; name the pictures in it"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no picture at all\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
        b"P6 1 1 255\n\0\0\0",
        b"%PDF-1.7",
        b"II*\0\x08\0\0\0",
    ],
)
def test_other_files_called_jpg_are_no_pictures(save, content):
    assert complaint(save(content, "a.jpg")) == "not a picture (JPEG, PNG, WebP, BMP, GIF, HEIC)"


@pytest.mark.parametrize("kind", ["PPM", "TIFF", "ICO", "TGA", "PCX"])
def test_other_decoders_are_never_tried(save, kind):
    target = io.BytesIO()
    Image.fromarray(corners(16, 16)).save(target, kind)
    assert "not a picture" in complaint(save(target.getvalue(), "a.png"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_a_truncated_picture_is_damaged_not_half_grey(save, kind):
    target = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    Image.fromarray(noise).save(target, kind)
    content = target.getvalue()
    for share in (0.3, 0.6, 0.9):
        line = complaint(save(content[: int(len(content) * share)], "a.jpg"))
        assert "damaged" in line or "not a picture" in line


@pytest.mark.parametrize("side", [9000, 13_000, 60_000])
@pytest.mark.parametrize("max_side", [None, 640])
def test_a_decompression_bomb_is_never_unpacked(save, side, max_side):
    path = save(png(side, side, rows=bytes(1000)), "bomb.png")
    with pytest.raises(PictureError, match="is too large a picture"):
        read_picture(path, max_side=max_side)


def test_a_bomb_of_another_format(save):
    content = b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0,\0\0\0\0"
    content += struct.pack("<HH", 65535, 65535) + b"\0\x02\x01\0\0;"
    assert complaint(save(content, "a.gif")).startswith("is too large a picture; 50 megapixels")


def test_a_phones_largest_jpeg_is_read_and_a_larger_one_is_not(save):
    target = io.BytesIO()
    Image.new("L", (12_000, 9_000), 90).save(target, "JPEG")  # 108 megapixels
    assert read_picture(save(target.getvalue(), "a.jpg")).shape == (480, 640, 3)
    target = io.BytesIO()
    Image.new("L", (15_000, 11_000), 90).save(target, "JPEG", quality=10)
    assert complaint(save(target.getvalue(), "b.jpg")).startswith("is too large a picture")


def test_a_progressive_jpeg_is_held_as_a_whole_and_so_smaller(save):
    target = io.BytesIO()
    Image.new("L", (8_000, 7_000), 90).save(target, "JPEG", quality=10, progressive=True)
    assert complaint(save(target.getvalue(), "a.jpg")).startswith("is too large a picture")


@pytest.mark.parametrize("brand", [b"isom", b"mp42", b"avif", b"qt  "])
def test_a_film_is_no_iphones_picture(save, monkeypatch, brand):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    assert "not a picture" in complaint(save(b"\0\0\0\x18ftyp" + brand + bytes(40), "a.jpg"))


PHOTO = Path(__file__).with_name("photo.heic")
"""As an iPhone's, turned by its EXIF. Upright it is red above, blue below, white at the right."""


def test_an_iphones_own_pictures_are_read_upright_whatever_they_are_called(save):
    pytest.importorskip("pi_heif")
    image = read_picture(save(PHOTO.read_bytes(), "IMG_0001.jpg"))
    assert image.shape == (32, 24, 3)
    red, blue, white = image[4, 4].astype(int), image[28, 4].astype(int), image[16, 22]
    assert red[0] > red[2] + 100
    assert blue[2] > blue[0] + 100
    assert white.min() > 200
    assert taken_at(PHOTO) == taken_at(save(PHOTO.read_bytes(), "a.heic")) > 1.7e9


@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_half_an_iphones_picture_is_none(save, share):
    pytest.importorskip("pi_heif")
    content = PHOTO.read_bytes()
    line = complaint(save(content[: int(share * len(content))], "a.heic"))
    assert "damaged" in line or "not a picture" in line


def test_an_iphones_picture_without_its_decoder_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    assert "HEIC needs pi-heif here: pip install pi-heif; or have the iPhone" in complaint(PHOTO)
    assert taken_at(PHOTO) is None


def test_a_picture_of_no_pixels(save):
    complaint(save(png(0, 0), "a.png"))


def test_warnings_of_the_reader_are_not_errors(save):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_picture(save(np.zeros((2, 2), np.uint16), "a.png"))
        read_picture(save(corners(), "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"))


def test_threads_do_not_undo_each_others_silence(save):
    path = save(corners(), "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_picture(path)
        filters = list(warnings.filters)
        with ThreadPoolExecutor(4) as pool:
            assert len(list(pool.map(read_picture, [path] * 200))) == 200
        assert list(warnings.filters) == filters
        assert taken_at(path) is None


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "a.jpg"


STARTS = [
    b"",
    b"\xff\xd8\xff\xe0",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF\x24\0\0\0WEBPVP8 ",
    b"BM",
    b"GIF89a",
]


@given(st.sampled_from(STARTS), st.binary(max_size=200))
def test_any_bytes_are_a_picture_or_a_picture_error(anywhere, start, rest):
    anywhere.write_bytes(start + rest)
    try:
        got = read_picture(anywhere)
    except PictureError:
        return
    assert got.ndim == 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_any_damage_is_a_picture_or_a_picture_error(anywhere, kind):
    target, rng = io.BytesIO(), random.Random(kind)
    exif = {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"}
    Image.fromarray(corners()).save(target, kind, **({} if kind in {"BMP", "GIF"} else exif))
    for _ in range(150):
        content = bytearray(target.getvalue())
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        anywhere.write_bytes(content)
        try:
            got = read_picture(anywhere, max_side=rng.choice([None, 8]))
        except PictureError:
            continue
        assert got.dtype == np.uint8
        assert got.shape[2] == 3


# --- When


def test_the_camera_says_when(save):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[DATE_TIME_ORIGINAL] = "2024:05:01 12:00:30"
    assert taken_at(save(corners(), "a.jpg", exif=exif)) == 1714564830.0


@pytest.mark.parametrize("text", ["0000:00:00 00:00:00", "yesterday", ""])
def test_a_clock_that_was_never_set_says_nothing(save, text):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[DATE_TIME_ORIGINAL] = text
    assert taken_at(save(corners(), "a.jpg", exif=exif)) is None


def test_without_a_picture_there_is_no_when(tmp_path):
    assert taken_at(tmp_path / "none.jpg") is None


# --- Counting order


@pytest.mark.parametrize(
    "ordered",
    [
        ["pic1", "pic2", "pic10", "pic100"],
        ["a", "a1", "b"],
        ["a/2", "a/10", "b/1"],
        ["a/z.png", "a 2/a.png"],
        ["IMG_9", "img_10", "IMG_11"],
        ["2024-01-02", "2024-01-10", "2024-11-01"],
        ["1", "01", "001"][::-1],
    ],
)
def test_names_are_counted_as_a_person_would(ordered):
    shuffled = ordered[:]
    random.Random(1).shuffle(shuffled)
    assert sorted(shuffled, key=natural_key) == ordered


names = st.text(st.sampled_from("aAb01 2_./-é٣"), max_size=6)


@given(st.lists(names, max_size=8, unique=True), st.randoms())
def test_the_order_does_not_depend_on_where_one_starts(found, rng):
    expected = sorted(found, key=natural_key)
    rng.shuffle(found)
    assert sorted(found, key=natural_key) == expected


def test_pictures_are_found_below_and_hidden_or_other_files_are_not(tmp_path):
    wanted = ["a/2.png", "a/10.JPG", "a/sub/1.webp", "b.gif", "c.jpeg", "d.bmp"]
    other = ["a/.hidden.png", ".git/x.png", "notes.txt", "a/.thumbs/1.png", "e.tiff", "png"]
    other += ["@eaDir/a.jpg", "a/__MACOSX/2.png"]  # a NAS, a Mac
    for name in wanted + other:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    found = [path.relative_to(tmp_path).as_posix() for path in find_pictures(tmp_path)]
    assert found == wanted


def test_a_hidden_folder_above_does_not_hide_its_pictures(tmp_path):
    folder = tmp_path / ".cache" / "data"
    folder.mkdir(parents=True)
    (folder / "1.png").touch()
    assert find_pictures(folder) == [folder / "1.png"]
    assert find_pictures(Path(tmp_path)) == []
