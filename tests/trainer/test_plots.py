"""PNGs that show something."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

from trainer.plots import plot_confusion, plot_loss
from trainer.training import Epoch, History


def history(epochs=5, *, held_out=True):
    made = [
        Epoch(n, epochs, 1 / n, 0.5, 2 / n if held_out else None, 0.5 if held_out else None, n)
        for n in range(1, epochs + 1)
    ]
    return History(made, made[-1])


def colours(path):
    """Return how many different colours a picture has, and its size."""
    with PIL.Image.open(path) as file:
        assert file.format == "PNG"
        image = np.asarray(file.convert("RGB"))
    return len(np.unique(image @ [1, 256, 65536])), image.shape


@pytest.mark.parametrize("held_out", [True, False])
@pytest.mark.parametrize("epochs", [1, 30])
def test_the_loss_is_drawn(tmp_path, epochs, held_out):
    path = tmp_path / "loss.png"
    plot_loss(history(epochs, held_out=held_out), path)
    number, (height, width, _) = colours(path)
    assert number > 20
    assert height > 300
    assert width > 500


def test_held_out_sessions_have_a_line_of_their_own(tmp_path):
    for name, held_out in (("with.png", True), ("without.png", False)):
        plot_loss(history(held_out=held_out), tmp_path / name)
    images = [
        np.asarray(PIL.Image.open(tmp_path / name).convert("RGB"), int)
        for name in ("with.png", "without.png")
    ]
    orange = [(np.abs(image - [0xD9, 0x73, 0x0D]).max(axis=2) < 8).sum() for image in images]
    assert orange[0] > 100
    assert orange[1] == 0


@pytest.mark.parametrize(
    "labels",
    [
        ("background", "palm"),
        ("a$b$", "$\\frac$"),  # no formulas
        ("手", "👍"),  # scripts that matplotlib's font lacks
        ("x" * 64, "y z" * 20),
        tuple(f"label {i}" for i in range(10)),
        ("_hidden", ""),
    ],
)
def test_the_confusion_is_drawn_whatever_the_labels(tmp_path, labels):
    path = tmp_path / "confusion.png"
    n = len(labels)
    plot_confusion(labels, np.eye(n, dtype=int) * 7, "a title", path)
    assert colours(path)[0] > 20


def test_another_confusion_looks_different(tmp_path):
    for name, matrix in (("a", [[5, 0], [0, 5]]), ("b", [[0, 5], [5, 0]]), ("c", [[0, 0], [0, 0]])):
        plot_confusion(["x", "y"], np.array(matrix), "", tmp_path / f"{name}.png")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 3
