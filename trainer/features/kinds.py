"""Features: ONNX graphs from a camera's picture to the numbers the network learns from.

Each graph takes `image`, uint8 `[height, width, 3]` of any size, and gives `features`, float32
`[n]`. The trainer runs that very graph through onnxruntime to make its training features, and the
exporter puts it in front of the two layers: laptop and Pi cannot disagree.
"""

from __future__ import annotations

import hashlib
import time
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from edge.classifier import open_session
from edge.errors import HandwaveError, did_you_mean
from edge.files import read_bounded
from trainer import graphs
from trainer.errors import DataError
from trainer.features.subjects import SUBJECTS, looks_for
from trainer.graphs import IR_VERSION, OPSET, parse_model, rename, side_by_side, then

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

    from edge.frame import Image

AUTO = (
    "pixels", "edges", "backbone",
    "two-hands", "two-hands+backbone",
    "hand", "hand+edges", "hand+backbone",
    "face", "face+backbone",
)  # fmt: skip
"""What `auto` chooses among; of equally good ones it takes the first, unless another costs less."""
MAX_FEATURES_BYTES = 150_000_000
SIDE = 120
"""Pixels of the square that `backbone` sees."""
TIMED = 9
"""Frames timed; a speed is their median."""

# The whole picture, squeezed to a square, then averaged down: antialiasing makes the result depend
# on what is seen, not on the camera's resolution.
_SQUARE = """
    channels_first = Transpose <perm = [2, 0, 1]> (image)
    zero = Constant <value_ints = [0]> ()
    batch = Unsqueeze (channels_first, zero)
    bytes = Cast <to = 1> (batch)
    square_size = Constant <value_ints = [1, 3, {side}, {side}]> ()
    square = Resize <mode = "linear", antialias = 1, coordinate_transformation_mode = "half_pixel">
        (bytes, , , square_size)
"""


class Features:
    """One kind of features, ready to run.

    Args:
        name: what the user calls it, and what the card says.
        model: a graph from `image` to `features`.
        parts: the kinds that these are joined from; none: they are one kind.
    """

    def __init__(
        self,
        name: str,
        model: onnx.ModelProto | Callable[[], onnx.ModelProto],
        parts: Sequence[Features] = (),
    ) -> None:
        self.name = name
        self.parts = tuple(parts) or (self,)
        self._model = model

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The graph; of joined kinds it is put together when it is first wanted."""
        return self._model() if callable(self._model) else self._model

    @cached_property
    def _session(self) -> InferenceSession:
        # One thread a picture: the trainer runs as many pictures at once as there are cores.
        return open_session(self.model.SerializeToString(), f"{self.name} features")

    @cached_property
    def size(self) -> int:
        """How many numbers a picture becomes."""
        return int(self(np.zeros((8, 8, 3), np.uint8)).size)

    @cached_property
    def file_size(self) -> int:
        """Bytes of the graph."""
        return int(self.model.ByteSize())

    @cached_property
    def digest(self) -> bytes:
        """Tells one graph from any other."""
        if len(self.parts) > 1:
            return hashlib.blake2b(b"".join(p.digest for p in self.parts), digest_size=20).digest()
        content = self.model.SerializeToString(deterministic=True)
        return hashlib.blake2b(content, digest_size=20).digest()

    @cached_property
    def state(self) -> int:
        """How many numbers a frame hands on to the next; 0: none."""
        if len(self.parts) > 1:
            return sum(part.state for part in self.parts)
        found = [one for one in self.model.graph.input if one.name == "state"]
        return found[0].type.tensor_type.shape.dim[0].dim_value if found else 0

    @property
    def licences(self) -> list[str]:
        """Of the weights in it that others made."""
        names = dict.fromkeys(looks_for(part.name) for part in self.parts)
        return [LICENCES[name] for name in names if name in LICENCES]

    @cached_property
    def milliseconds(self) -> float:
        """Processor time that a 320 x 240 frame takes here, in one thread.

        For features that follow something: the slower of a frame with a followed hand and a frame
        with nothing. Joined ones count no less than a part, so that a busy machine cannot skew the
        choice.
        """
        frames = [np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)]
        if self.state:
            from edge.sources.virtual import Scene, draw

            frames.append(draw("palm", Scene.random(0, (320, 240)), 0))
        own = 1000 * max(self._seconds(frame) for frame in frames)
        return max(own, *(part.milliseconds for part in self.parts if part is not self), 0.0)

    def _seconds(self, frame: Image) -> float:
        times, feed = [], {"image": frame}
        for _ in range(TIMED + 2):
            start = time.thread_time()
            _, *following = self._session.run(None, feed)
            times.append(time.thread_time() - start)
            feed |= {"state": following[0]} if following else {}
        return float(np.median(times[2:]))

    def __call__(self, image: Image) -> NDArray[np.float32]:
        """Return the features, float32 `[n]`, of a uint8 `[height, width, 3]` picture."""
        features: NDArray[np.float32] = self._session.run(["features"], {"image": image})[0]
        return features


def make_features(name: str) -> Features:
    """Return the features that `--features` names: a kind, kinds joined by `+`, or an ONNX file.

    Raises:
        DataError: there are none of that name, their weights are not here, or the file is none.
    """
    if name.endswith(".onnx") and ("+" not in name or Path(name).is_file()):
        return _embedding(Path(name))
    if "+" in name:
        parts = [make_features(part.strip()) for part in name.split("+")]
        sought = [looks_for(part.name) for part in parts if part.state]
        if len(set(sought)) < len(sought):
            raise DataError(f"--features {name}: two of these look for the same; take one of them")
        return join(parts)
    if name not in KINDS:
        raise DataError(f"--features {name}: not known{did_you_mean(name, ['auto', *KINDS])}")
    return Features(name, KINDS[name]())


def join(parts: Sequence[Features]) -> Features:
    """Return features that are several kinds side by side, in one graph.

    Beside a kind that finds something, such as a hand, the others are computed only where nothing
    is found, and are zero elsewhere: a hand's points say everything about its gesture, and the rest
    of the picture only misleads (docs/decisions/0013-hands.md).

    Raises:
        DataError: the same kind twice.
    """
    names = [part.name for part in parts]
    if len(set(names)) < len(names):
        raise DataError(f"--features {'+'.join(names)}: the same kind twice; name each once")
    if len(parts) == 1:
        return parts[0]

    return Features("+".join(names), partial(side_by_side, parts), parts)


def candidates() -> tuple[list[Features], list[str]]:
    """Return the features that `auto` measures, and notes on why others are left out."""
    made: dict[str, Features] = {}
    missing: list[str] = []
    for name in AUTO:
        try:
            parts = [made.get(part) or make_features(part) for part in name.split("+")]
        except DataError as problem:
            if "+" not in name and str(problem) not in missing:  # two kinds may want the same
                missing.append(str(problem))
            continue
        made[name] = join(parts)
    return list(made.values()), missing


def _embedding(path: Path) -> Features:
    """Return somebody's own ONNX embedding, if it is one that can go in front of the network.

    Raises:
        DataError: it cannot be read, or its input or output is another.
    """
    content = read_bounded(
        path, MAX_FEATURES_BYTES, what="features", missing="no such file", error=DataError
    )
    try:
        model = onnx.load_model_from_string(content)
        onnx.checker.check_model(model)
    except Exception:  # noqa: BLE001  (protobuf's and the checker's errors have no other base)
        raise DataError(f"{path}: damaged, or no ONNX file") from None
    opset = next((entry.version for entry in model.opset_import if not entry.domain), 0)
    inputs = [value.name for value in model.graph.input]
    outputs = [value.name for value in model.graph.output]
    if inputs != ["image"] or outputs != ["features"] or opset != OPSET:
        raise DataError(
            f"{path}: needs one input 'image', uint8 [height, width, 3], one output 'features', "
            f"float32 [n], and opset {OPSET}; it has {inputs}, {outputs} and opset {opset}"
        )
    model.ir_version = IR_VERSION
    # Whatever it calls what is inside, the exported graph may call something so as well.
    rename(model.graph, "own/", {"image": "image", "features": "features"})
    kind = Features(path.stem.replace("+", "-"), model)
    try:
        got = kind(np.zeros((48, 64, 3), np.uint8))
    except HandwaveError as problem:
        raise DataError(str(problem)) from None
    except Exception:  # noqa: BLE001  (onnxruntime's errors have no other base)
        raise DataError(f"{path}: does not run on a uint8 [48, 64, 3] picture") from None
    if got.shape != kind(np.zeros((30, 40, 3), np.uint8)).shape:
        raise DataError(f"{path}: gives as many numbers as a picture is large; needed are always n")
    if got.ndim != 1 or got.dtype != np.float32:
        raise DataError(f"{path}: gives {got.dtype} {list(got.shape)}; float32 [n] is needed")
    return kind


def pixels(side: int = 32) -> onnx.ModelProto:
    """Return the plainest features: the picture's brightness, `side` x `side`, from -1 to 1."""
    return parse_model(
        "features (uint8[height, width, 3] image) => (float[n] features) {"
        + _SQUARE.format(side=side)
        + """
        grey = Conv (square, to_grey)
        shift = Constant <value_float = 1.0> ()
        centred = Sub (grey, shift)
        flat = Constant <value_ints = [-1]> ()
        features = Reshape (centred, flat)
        }""",
        {"to_grey": (_LUMA.reshape(1, 3, 1, 1) / 127.5).astype(np.float32)},
    )


def edges() -> onnx.ModelProto:
    """Return what a small network sees that learned from drawn hands; see `edges.py`."""
    from trainer.features.edges import edges as drawn

    return drawn()


def pretrained() -> onnx.ModelProto:
    """Return the first 13 blocks of EfficientNet-Lite0 over 120 x 120 pixels, in 3 x 3 places.

    docs/decisions/0011-backbone.md says why these.

    Raises:
        DataError: its weights are not here.
    """
    from trainer.features import backbone, torch_file
    from trainer.features.weights import converted

    def convert() -> bytes:
        graph: bytes = backbone.backbone(side=SIDE, blocks=13, pool=(3,)).SerializeToString()
        return graph

    return onnx.load_model_from_string(
        converted("backbone", _recipe(backbone, torch_file), convert)
    )


def points_of(kind: str) -> onnx.ModelProto:
    """Return what the points of a hand, two hands or a face say; see `trainer.features.poses`.

    Raises:
        DataError: its weights are not here.
    """
    from trainer.features import (
        geometry,
        landmarks,
        look,
        poses,
        seek,
        subjects,
        tflite_file,
        two_hands,
        two_poses,
    )
    from trainer.features.weights import converted

    subject = SUBJECTS[kind]

    def convert() -> bytes:
        if subject.two:
            graph = then(two_hands.two_hands(subject), two_poses.pose_of_two())
        else:
            graph = then(landmarks.landmarks(subject), poses.pose(subject.name))
        content: bytes = graph.SerializeToString()
        return content

    recipe = _recipe(
        geometry, landmarks, look, poses, seek, subjects, tflite_file, two_hands, two_poses
    )
    return onnx.load_model_from_string(converted(subject.name, recipe + kind.encode(), convert))


def _recipe(*modules: ModuleType) -> bytes:
    """Return all that a converted graph depends on: these sources, what calls them, and onnx."""
    files = [Path(__file__), *(Path(str(one.__file__)) for one in (graphs, *modules))]
    return b"".join([*(file.read_bytes() for file in files), onnx.__version__.encode()])


KINDS: dict[str, Callable[[], onnx.ModelProto]] = {
    "pixels": pixels,
    "edges": edges,
    "backbone": pretrained,
    **{kind: partial(points_of, kind) for kind in SUBJECTS},
}
LICENCES = {
    "backbone": "EfficientNet-Lite0 (Google; PyTorch conversion by ML Illustrated), Apache-2.0",
    "hand": "MediaPipe palm detection and hand landmarks (Google), Apache-2.0",
    "face": "MediaPipe face detection and face mesh (Google), Apache-2.0",
}
VIEWS = dict.fromkeys(SUBJECTS, 2)
"""Augmented copies that the expensive kinds compute per picture; their rows are repeated for the
others. More copies cost time and gained nothing, docs/decisions/0013-hands.md."""

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601: red, green and blue in brightness
