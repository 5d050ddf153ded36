"""The card: one JSON value inside the model file that says everything about the model.

Both sides of the contract are here: the trainer writes a card, the Pi reads it back. A key it does
not know or a newer format is refused, never guessed at. docs/model-file.md describes each field.
"""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING

import msgspec

from edge.errors import ModelError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.frame import Image

FORMAT = 1
BACKGROUND = "background"
"""The taught "none of these": it is recognised like any class and never triggers anything."""
CARD_KEY = "handwave.card"
GOLDEN_KEY = "handwave.golden"
MAX_GOLDEN_BYTES = 4_000_000  # all golden frames, unpacked
MAX_SIDE = 8192  # of any picture, pixels
NOTE = "handwave.json"
"""Beside a recording's pictures: how they were taken, as a `Camera`; the card gets the commonest
setting."""
WHITE_BALANCES = (
    "auto", "incandescent", "tungsten", "fluorescent", "indoor", "daylight", "cloudy",
)  # fmt: skip
"""White balances that a camera may be set to: libcamera's names, in lower case."""
TOLERANCE = 1e-3
"""How far the Pi's probabilities may be from the trainer's on a golden frame."""


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Thresholds chosen on the validation pictures; `edge.toml` may override them."""

    enter: float
    """Confidence at which a gesture begins."""
    leave: float
    """Confidence below which it ends; lower than `enter` (hysteresis)."""
    novelty: float
    """Novelty above which a picture is like nothing taught."""
    false_triggers: float | None = None
    """Share of the held-out pictures that alone would have switched a wrong output on: the budget
    is 5 %, and this is what came of it. None where no session could be held out."""
    kept: float | None = None
    """Share of the held-out gestures that are right, sure enough and not strange."""


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the model was trained on and how well it did."""

    features: str
    hidden: int
    seed: int
    pictures: dict[str, int]
    """Pictures a label, training and validation together."""
    sessions: dict[str, int]
    """Sessions a label."""
    accuracy: float | None
    """Share of right answers on the pictures named by `measured_on`; None where none were left."""
    measured_on: str
    temperature: float


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One golden frame: which picture it is, and what the trainer got for it."""

    label: str
    sha256: str
    """Of the picture's raw RGB bytes."""
    size: tuple[int, int]
    """`(width, height)`, pixels."""
    probabilities: list[float]
    novelty: float


class Camera(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the pictures were taken, so that the Pi can do the same."""

    size: tuple[int, int]
    """`(width, height)`, pixels."""
    white_balance: str | None = None
    """One of `WHITE_BALANCES`; None: nobody knows, so automatic."""
    exposure: float | None = None
    """Seconds that light fell on each line; None: automatic."""
    horizontal_flip: bool = False
    """Whether the upright picture was mirrored, left for right."""
    vertical_flip: bool = False
    """Whether it was mirrored, top for bottom."""

    @property
    def is_set(self) -> bool:
        """Whether anything but the size differs from a camera's defaults."""
        light = self.white_balance not in {None, "auto"} or self.exposure is not None
        return light or self.horizontal_flip or self.vertical_flip

    @property
    def fault(self) -> str | None:
        """What is wrong with it, in words; None where nothing is."""
        return (
            "a size out of range" if not _is_size(self.size)
            else "a white balance that is none"
            if self.white_balance not in {None, *WHITE_BALANCES}
            else "an exposure out of range"
            if self.exposure is not None and not 0 < self.exposure <= 1
            else None
        )  # fmt: skip


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything about a model that is not arithmetic."""

    labels: list[str]
    """In the order of `probabilities`."""
    camera: Camera
    thresholds: Thresholds
    training: Training
    golden: list[Golden]
    state: int = 0
    """Numbers that a frame hands on to the next, as `state` and `next_state`; 0: none."""
    licences: list[str] = []
    """Licences of other people's weights in it: what they are, whose, and which licence."""
    format: int = FORMAT
    made_by: str = "handwave"


def write_card(card: Card) -> str:
    """Return the card as JSON text, for the model file's metadata."""
    return msgspec.json.format(msgspec.json.encode(card).decode(), indent=1)


def read_card(metadata: dict[str, str], where: str) -> Card:
    """Read the card out of a model file's metadata.

    Raises:
        ModelError: no card, a newer or broken one, or one that contradicts itself.
    """
    text = metadata.get(CARD_KEY)
    if text is None:
        raise ModelError(f"{where}: an ONNX file, but not handwave's (it has no card); train one")
    try:
        # The format first: a newer card may well have keys that this version does not know.
        version = msgspec.json.decode(text, type=_Versioned).format
        if version != FORMAT:
            raise ModelError(
                f"{where}: the card has format {version}, this edge reads {FORMAT}; "
                + ("update handwave here" if version > FORMAT else "train the model again")
            )
        card = msgspec.json.decode(text, type=Card)
    except (msgspec.DecodeError, msgspec.ValidationError) as problem:
        raise ModelError(f"{where}: the card is damaged: {problem}; train it again") from None
    _check(card, where)
    return card


def pack_golden(images: list[Image]) -> str:
    """Pack small pictures as text for the model file's metadata."""
    import numpy as np

    return base64.b64encode(zlib.compress(b"".join(map(np.ndarray.tobytes, images)), 9)).decode()


def unpack_golden(card: Card, text: str, where: str, *, sealed: bool = False) -> list[Image]:
    """Return the golden frames, each uint8 `[height, width, 3]`, after checking their digests.

    A `sealed` file cannot have changed, so its digests are not checked: that would load OpenSSL,
    a twentieth of the whole memory.

    Raises:
        ModelError: the frames are damaged or not those that the card names.
    """
    import numpy as np

    need = sum(3 * width * height for width, height in (golden.size for golden in card.golden))
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(base64.b64decode(text, validate=True), MAX_GOLDEN_BYTES)
    except (ValueError, zlib.error):
        raw = b""
    if len(raw) != need or not unpacker.eof:
        raise ModelError(f"{where}: its golden frames are damaged; send or train it again")
    images, start = [], 0
    for golden in card.golden:
        width, height = golden.size
        piece = raw[start : start + 3 * width * height]
        start += len(piece)
        if not sealed and _digest(piece) != golden.sha256:
            raise ModelError(f"{where}: a golden frame is not the card's; send or train it again")
        images.append(np.frombuffer(piece, np.uint8).reshape(height, width, 3))
    return images


def _digest(picture: bytes) -> str:
    import hashlib

    return hashlib.sha256(picture).hexdigest()


def no_such_class(label: str, labels: Iterable[str]) -> str:
    """Say that a model has no such label, and which one may be meant."""
    gestures = [known for known in labels if known != BACKGROUND]
    return f"the model has no class '{label}'{did_you_mean(label, gestures)}"


def _is_size(size: tuple[int, int]) -> bool:
    return all(0 < side <= MAX_SIDE for side in size)


class _Versioned(msgspec.Struct, frozen=True):
    format: int


def _check(card: Card, where: str) -> None:
    """Refuse what no trainer writes: the Pi would only notice it frame by frame."""
    limits = card.thresholds
    sizes = [golden.size for golden in card.golden]
    broken = (
        "fewer than two labels" if len(card.labels) < 2
        else "a label twice" if len(set(card.labels)) != len(card.labels)
        else "an empty label" if not all(card.labels)
        else "thresholds out of order" if not 0 < limits.leave <= limits.enter < 1
        else "a size out of range" if not all(map(_is_size, sizes))
        else "no golden frames" if not card.golden
        else "golden frames of another number of labels"
        if any(len(golden.probabilities) != len(card.labels) for golden in card.golden)
        else card.camera.fault
    )  # fmt: skip
    if broken:
        raise ModelError(f"{where}: the card is damaged: {broken}; train it again")
