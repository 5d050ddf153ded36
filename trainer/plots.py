"""Two plots of a training run, as PNG: the loss per epoch, and the confusion matrix."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from trainer.training import History

BLUE, ORANGE, GREY = "#2563a8", "#d9730d", "#777777"
LONGEST = 24
"""Letters of a label that are shown: a longer one would leave no room for the plot."""


def plot_loss(history: History, path: Path) -> None:
    """Draw the loss of each epoch, on training pictures and on the held-out sessions."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    numbers = [epoch.number for epoch in history.epochs]
    axes.plot(numbers, [epoch.loss for epoch in history.epochs], color=BLUE, label="training")
    held_out = [e.validation_loss for e in history.epochs if e.validation_loss is not None]
    if held_out:
        axes.plot(numbers, held_out, color=ORANGE, label="sessions held out")
        if history.best is not None:
            best = history.best.number
            axes.axvline(best, color=GREY, linestyle=":", label=f"best: epoch {best}")
    axes.set(xlabel="epoch", ylabel="cross-entropy loss", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    _save(figure, path)


def plot_confusion(
    labels: Sequence[str], confusion: NDArray[np.int64], title: str, path: Path
) -> None:
    """Draw how often each label (row) was taken for each (column), `[classes, classes]`."""
    side = 2.4 + 0.6 * len(labels)
    figure = Figure(figsize=(side + 0.4, side), layout="constrained")
    axes = figure.add_subplot()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*confusion.shape):
        if confusion[row, column]:
            dark = shares[row, column] > 0.55
            axes.text(
                column, row, str(confusion[row, column]),
                ha="center", va="center", color="white" if dark else "black", fontsize=9,
            )  # fmt: skip
    ticks = range(len(labels))
    names = [label if len(label) <= LONGEST else label[: LONGEST - 1] + "…" for label in labels]
    names = [name.replace("$", r"\$") for name in names]  # matplotlib would read formulas
    axes.set_xticks(ticks, names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, names)
    axes.set(xlabel="taken for", ylabel="shown", title=title)
    axes.spines[:].set_visible(False)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # its font lacks some scripts: boxes will do
        figure.savefig(path, dpi=120)
