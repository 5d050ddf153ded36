"""The card: read back as it was written, and refused when it is anything else."""

from __future__ import annotations

import base64
import hashlib
import json
import tracemalloc
import zlib

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import card as cards
from edge.card import (
    CARD_KEY,
    MAX_GOLDEN_BYTES,
    Card,
    Golden,
    pack_golden,
    read_card,
    unpack_golden,
    write_card,
)
from edge.errors import ModelError

IMAGES = [np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3), np.full((2, 3, 3), 7, np.uint8)]


def make_card(images=IMAGES, **changes):
    card = Card(
        labels=["background", "rock"],
        camera=cards.Camera(size=(640, 480), white_balance="auto", exposure=1e-3),
        thresholds=cards.Thresholds(enter=0.7, leave=0.5, novelty=3.0),
        training=cards.Training(
            features="edges",
            hidden=64,
            seed=0,
            pictures={"background": 10, "rock": 12},
            sessions={"background": 2, "rock": 3},
            accuracy=0.97,
            measured_on="nobody",
            temperature=1.1,
        ),
        golden=[
            Golden(
                label="rock",
                sha256=hashlib.sha256(image.tobytes()).hexdigest(),
                size=(image.shape[1], image.shape[0]),
                probabilities=[0.25, 0.75],
                novelty=1.5,
            )
            for image in images
        ],
    )
    return msgspec.structs.replace(card, **changes)


def read(text):
    return read_card({CARD_KEY: text}, "m.onnx")


def complaint(text):
    with pytest.raises(ModelError) as caught:
        read(text)
    assert str(caught.value).startswith("m.onnx: ")
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix("m.onnx: ")


def edited(change):
    """A good card's JSON, changed in place by a function."""
    value = json.loads(write_card(make_card()))
    change(value)
    return json.dumps(value)


def test_what_is_written_is_read():
    card = make_card()
    assert read(write_card(card)) == card


@given(
    st.lists(st.text(min_size=1), min_size=2, max_size=5, unique=True),
    st.none() | st.floats(0, 1),
    st.text(),
)
def test_any_labels_make_the_round_trip(labels, accuracy, words):
    training = msgspec.structs.replace(make_card().training, accuracy=accuracy, measured_on=words)
    golden = [
        msgspec.structs.replace(one, probabilities=[1 / len(labels)] * len(labels))
        for one in make_card().golden
    ]
    card = make_card(labels=labels, training=training, golden=golden)
    assert read(write_card(card)) == card


def test_an_onnx_file_without_a_card_is_somebody_elses():
    with pytest.raises(ModelError, match=r"m.onnx: an ONNX file, but not handwave's"):
        read_card({"author": "me"}, "m.onnx")


def test_a_newer_card_asks_for_a_newer_handwave_even_with_keys_unknown_today():
    def newer(value):
        value["format"] = 2
        value["hologram"] = {"size": 3}

    assert complaint(edited(newer)) == (
        "the card has format 2, this edge reads 1; update handwave here"
    )


@pytest.mark.parametrize("number", [0, -3])
def test_an_older_card_asks_for_training_again(number):
    line = complaint(edited(lambda value: value.update(format=number)))
    assert line == f"the card has format {number}, this edge reads 1; train the model again"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.update(extra=1), "unknown field `extra`"),
        (lambda v: v["camera"].update(iso=100), "unknown field `iso`"),
        (lambda v: v["golden"][0].update(more=1), "unknown field `more`"),
        (lambda v: v.pop("labels"), "missing required field `labels`"),
        (lambda v: v.pop("format"), "missing required field `format`"),
        (lambda v: v.update(format="1"), "Expected `int`"),
        (lambda v: v.update(labels="rock"), "Expected `array`"),
        (lambda v: v["thresholds"].update(enter="high"), "Expected `float`"),
        (lambda v: v["thresholds"].update(enter=None), "Expected `float`"),
        (lambda v: v.update(labels=["rock"]), "fewer than two labels"),
        (lambda v: v.update(labels=["rock", "rock"]), "a label twice"),
        (lambda v: v.update(labels=["rock", ""]), "an empty label"),
        (lambda v: v["thresholds"].update(leave=0.8), "thresholds out of order"),
        (lambda v: v["thresholds"].update(enter=1.0), "thresholds out of order"),
        (lambda v: v["thresholds"].update(leave=0), "thresholds out of order"),
        (lambda v: v["camera"].update(size=[0, 480]), "a size out of range"),
        (lambda v: v["camera"].update(white_balance="sunny"), "a white balance that is none"),
        (lambda v: v["camera"].update(exposure=0), "an exposure out of range"),
        (lambda v: v["camera"].update(exposure=1.5), "an exposure out of range"),
        (lambda v: v["golden"][0].update(size=[-6, -4]), "a size out of range"),
        (lambda v: v["golden"][0].update(size=[10**9, 4]), "a size out of range"),
        (lambda v: v.update(labels=["a", "b", "c"]), "golden frames of another number of labels"),
    ],
)
def test_a_card_that_contradicts_itself_or_us_is_refused(change, words):
    line = complaint(edited(change))
    assert line.startswith("the card is damaged: ")
    assert words in line


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "1", '"x"', "{}", "\0", "[" * 100_000])
def test_damaged_json_is_refused(text):
    assert complaint(text).startswith("the card is damaged: ")


@given(st.text())
def test_any_text_is_a_card_or_a_model_error(text):
    complaint(text)


@given(st.data())
def test_any_damage_to_a_cards_text_is_a_card_or_a_model_error(data):
    text = write_card(make_card())
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    damaged = text[:start] + data.draw(st.text(max_size=8)) + text[end:]
    try:
        card = read(damaged)
    except ModelError:
        return
    assert 0 < card.thresholds.leave <= card.thresholds.enter < 1
    assert len(card.labels) >= 2


# --- Golden frames


def test_golden_frames_make_the_round_trip():
    got = unpack_golden(make_card(), pack_golden(IMAGES), "m.onnx")
    assert len(got) == 2
    for image, same in zip(IMAGES, got, strict=True):
        np.testing.assert_array_equal(image, same)


def test_a_card_without_golden_frames_unpacks_to_none():
    assert unpack_golden(make_card(images=[]), pack_golden([]), "m.onnx") == []


def refused(text, card=None):
    with pytest.raises(ModelError, match=r"^m\.onnx: .*golden frame.*; send or train it again$"):
        unpack_golden(card or make_card(), text, "m.onnx")


def test_one_changed_pixel_is_found():
    changed = [image.copy() for image in IMAGES]
    changed[1][0, 0, 0] ^= 1
    refused(pack_golden(changed))


def test_swapped_frames_are_found():
    images = [np.zeros((2, 2, 3), np.uint8), np.ones((2, 2, 3), np.uint8)]
    refused(pack_golden(images[::-1]), make_card(images))


def test_a_changed_digest_is_found():
    card = make_card()
    forged = msgspec.structs.replace(card.golden[0], sha256="0" * 64)
    refused(pack_golden(IMAGES), make_card(golden=[forged, card.golden[1]]))


def test_another_size_of_the_same_bytes_is_another_picture():
    # 6x4 read as 4x6 has the same bytes; the digest cannot tell, the model's answer will.
    card = make_card()
    turned = msgspec.structs.replace(card.golden[0], size=(4, 6))
    got = unpack_golden(make_card(golden=[turned, card.golden[1]]), pack_golden(IMAGES), "m")
    assert got[0].shape == (6, 4, 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no base64!",
        "é",
        "AAAA",
        base64.b64encode(b"not zlib").decode(),
        pack_golden(IMAGES)[:-8],
        pack_golden(IMAGES[:1]),
        pack_golden([*IMAGES, *IMAGES]),
    ],
)
def test_damaged_golden_frames_are_refused(text):
    refused(text)


def test_a_zip_bomb_is_not_unpacked(monkeypatch):
    bomb = zlib.compressobj(9)
    text = b"".join(bomb.compress(bytes(10_000_000)) for _ in range(30)) + bomb.flush()
    packed = base64.b64encode(text).decode()
    assert len(packed) < 500_000, "300 MB fit into half a megabyte"
    side = 8192  # even when the card asks for as much
    golden = [msgspec.structs.replace(make_card().golden[0], size=(side, side))]
    tracemalloc.start()
    try:
        refused(packed)
        refused(packed, make_card(golden=golden))
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
    assert 3 * side * side > MAX_GOLDEN_BYTES


@given(st.text() | st.binary().map(lambda raw: base64.b64encode(raw).decode()))
def test_any_golden_text_is_refused(text):
    refused(text)
