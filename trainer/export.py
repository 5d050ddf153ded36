"""One ONNX file: features, network, temperature, novelty and card; checked before it is written."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import cv2
import msgspec
import numpy as np
import onnx
from onnx import compose

import edge.card
from edge.card import CARD_KEY, GOLDEN_KEY, Card, Golden, pack_golden, write_card
from edge.classifier import Classifier, open_session
from edge.errors import PictureError
from edge.pictures import keeps_points, read_picture
from edge.seal import seal
from edge.sources.virtual import LABELS, Scene, draw
from trainer.calibrate import NOT_FOUND_NOVELTY
from trainer.errors import ExportError
from trainer.files import write_whole
from trainer.graphs import parse_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

    from edge.frame import Image
    from trainer.recipe import Taught

AGREEMENT = 1e-5
"""Largest difference allowed between the exported model's probabilities and NumPy's."""
GOLDEN_SIDE = 128
"""Pixels of a golden frame's longer side: enough to check arithmetic, small enough to travel."""
GOLDEN_FRAMES = 8
GOLDEN_SIZE = (128, 96)
"""Width and height of a drawn one, where no picture was kept."""
GOLDEN_TRIES = 8
"""Pictures of a label that are tried until one is `_steady`."""
STEADY = 1e-4
"""Largest probability difference between optimised and plain runs: a tenth of the Pi's limit."""
COMPARED = 32
"""Labels of which a full-size picture is compared as well."""

_NOVELTY = "novelty = ReduceMin <keepdims = 0> (distances)"
_NOVELTY_UNSEEN = """
            strange = ReduceMin <keepdims = 0> (distances)
            confidences = Gather (features, sight)
            surest = ReduceMax <keepdims = 0> (confidences)
            found = Cast <to = 9> (surest)
            unseen = Not (found)
            as_number = Cast <to = 1> (unseen)
            more = Mul (as_number, nothing)
            novelty = Add (strange, more)
"""
_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}


def export(taught: Taught, path: Path) -> Card:
    """Write the model file, whole and checked, or leave what was there as it was.

    Raises:
        ExportError: the graph does not compute what NumPy does, or the file cannot be written.
    """
    model = _merge(taught)
    labels = taught.described.dataset.labels
    whole = [next(_pictures(taught, label)) for label in labels[:COMPARED]]
    images = [_shrink(image) for image in whole[:GOLDEN_FRAMES]]
    if taught.features.state:
        images = _steady(model, taught, images)
    results = _agree(model, taught, [*images, *whole])
    card = _card(taught, images, results[: len(images)])
    _attach(model, {CARD_KEY: write_card(card), GOLDEN_KEY: pack_golden(images)})
    onnx.checker.check_model(model, full_check=True)
    # Loaded as the Pi will, before it takes the old one's place.
    write_whole(seal(model.SerializeToString()), path, error=ExportError, check=Classifier)
    return card


def _merge(taught: Taught) -> onnx.ModelProto:
    """Put the features' graph in front of the two layers."""
    merged = compose.merge_models(
        taught.features.model,
        _head(taught),
        io_map=[("features", "features")],
        prefix2="head/",
    )
    names = {"head/probabilities": "probabilities", "head/novelty": "novelty"}
    for node in merged.graph.node:
        for index, name in enumerate(node.output):
            node.output[index] = names.get(name, name)
    for output in merged.graph.output:
        output.name = names.get(output.name, output.name)
    # What everybody asks for comes first, a state last.
    ordered = sorted(merged.graph.output, key=lambda output: output.name == "next_state")
    del merged.graph.output[:]
    merged.graph.output.extend(ordered)
    merged.graph.name = "handwave"
    merged.producer_name = "handwave"
    return merged


def _head(taught: Taught) -> onnx.ModelProto:
    """Return scaling, the two layers, temperature and novelty as a graph."""
    network = taught.learned.network
    inputs, hidden, classes = network.sizes
    activation = _ACTIVATIONS[network.activation]
    text = f"""
        head (float[{inputs}] features) => (float[{classes}] probabilities, float novelty) {{
            centred = Sub (features, mean)
            scaled = Mul (centred, scale)
            weighted = MatMul (scaled, W1)
            summed = Add (weighted, b1)
            hidden = {activation} (summed)

            votes = MatMul (hidden, W2)
            logits = Add (votes, b2)
            tempered = Div (logits, temperature)
            probabilities = Softmax <axis = 0> (tempered)

            white = MatMul (hidden, whiten)
            apart = Sub (white, centres)
            far = Mul (apart, apart)
            over_hidden = Constant <value_ints = [1]> ()
            distances = ReduceMean <keepdims = 0> (far, over_hidden)
            {_NOVELTY_UNSEEN if len(taught.learned.sight) else _NOVELTY}
        }}
    """
    numbers = {
        "mean": taught.learned.scaler.mean,
        "scale": taught.learned.scaler.scale,
        "b1": np.zeros(hidden),  # a network without biases adds nothing
        "b2": np.zeros(classes),
        **network.parameters,
        "temperature": np.float32(taught.temperature),
        "whiten": taught.learned.strangeness.whiten,
        "centres": taught.learned.strangeness.centres,
    }
    constants: dict[str, NDArray[Any]] = {
        name: np.ascontiguousarray(one, np.float32) for name, one in numbers.items()
    }
    if len(taught.learned.sight):
        constants |= {
            "sight": taught.learned.sight,
            "nothing": np.array(NOT_FOUND_NOVELTY, np.float32),
        }
    return parse_model(text, constants)


def _agree(
    model: onnx.ModelProto, taught: Taught, images: list[Image]
) -> list[tuple[NDArray[np.float32], float]]:
    """Run the merged graph on real frames beside NumPy; return what NumPy got."""
    session = open_session(model.SerializeToString(), "the exported model")

    def one(image: Image) -> tuple[NDArray[np.float32], float]:
        row = taught.features(image)[None]  # (1, features)
        expected, strange = taught.probabilities(row)[0], float(taught.novelty(row)[0])
        got, novelty = session.run(["probabilities", "novelty"], {"image": image})
        off = float(np.abs(got - expected).max())
        strange_off = abs(float(novelty) - strange) / max(1.0, strange)
        if not (off < AGREEMENT and strange_off < edge.card.TOLERANCE):
            raise ExportError(
                f"the exported model disagrees with NumPy by {max(off, strange_off):.2g}; "
                "nothing was written; please report this"
            )
        return expected.astype(np.float32), strange

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, images))


def _steady(model: onnx.ModelProto, taught: Taught, images: list[Image]) -> list[Image]:
    """Return golden frames insensitive to rounding: these, or later pictures.

    A region halfway between two points of the grid is rounded by its last bits, and a hand's points
    move: in one picture in a thousand. Other processors would then reject a sound model.
    """
    ours = open_session(model.SerializeToString(), "the exported model")
    another = _unoptimised(model)

    def steady(image: Image) -> bool:
        asked = ["probabilities"], {"image": image}
        return bool(np.abs(ours.run(*asked)[0] - another.run(*asked)[0]).max() < STEADY)

    def choose(label: str, first: Image) -> Image:
        others = map(_shrink, islice(_pictures(taught, label), 1, GOLDEN_TRIES))
        return next(filter(steady, chain([first], others)), first)

    return list(map(choose, taught.described.dataset.labels, images))


def _unoptimised(model: onnx.ModelProto) -> InferenceSession:
    """Open the model unoptimised, so that rounding differs."""
    import onnxruntime  # slow to load, and `open_session` has told it to keep quiet

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _pictures(taught: Taught, label: str) -> Iterator[Image]:
    """Return a label's pictures, uint8 `[height, width, 3]`; at least one, or it is an error.

    Where no pictures were kept they are drawn hands, of no label: they are to check arithmetic.
    """
    dataset, any_there = taught.described.dataset, False
    for number, picture in enumerate(dataset.pictures):
        if picture.label != label:
            continue
        with suppress(PictureError):  # gone since it was learned from: take the next one
            if keeps_points(picture.path):
                yield draw(LABELS[number % len(LABELS)], Scene.random(number, GOLDEN_SIZE), 0)
            else:
                yield read_picture(picture.path)
            any_there = True
    if not any_there:
        raise ExportError(
            f"{dataset.root}: the pictures of '{label}' are gone; nothing was written"
        )


def _shrink(image: Image) -> Image:
    height, width = image.shape[:2]
    ratio = min(1.0, GOLDEN_SIDE / max(height, width))
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _card(
    taught: Taught, images: list[Image], results: list[tuple[NDArray[np.float32], float]]
) -> Card:
    dataset, held_out = taught.described.dataset, taught.held_out
    width, height = taught.described.size
    even = max(32, width // 2 * 2), max(32, height // 2 * 2)  # as picamera2 wants sides
    return Card(
        labels=dataset.labels,
        camera=msgspec.structs.replace(dataset.taken, size=even),
        thresholds=taught.thresholds,
        state=taught.features.state,
        licences=taught.features.licences,
        training=edge.card.Training(
            features=taught.features.name,
            hidden=taught.learned.network.sizes[1],
            seed=taught.seed,
            pictures=dataset.counts(),
            sessions={label: len(found) for label, found in dataset.sessions().items()},
            accuracy=None if held_out is None else round(held_out.accuracy, 4),
            measured_on=taught.measured_on,
            temperature=round(taught.temperature, 4),
        ),
        golden=[
            Golden(
                label=label,
                sha256=hashlib.sha256(image.tobytes()).hexdigest(),
                size=(image.shape[1], image.shape[0]),
                probabilities=[float(p) for p in probabilities],
                novelty=novelty,
            )
            for label, image, (probabilities, novelty) in zip(
                dataset.labels,
                images,
                results,
                strict=False,  # many labels have fewer frames
            )
        ],
    )


def _attach(model: onnx.ModelProto, metadata: dict[str, str]) -> None:
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
