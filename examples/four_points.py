"""Four points that no single layer can tell apart: 1 where the first two inputs differ.

python examples/four_points.py [LOSS_CURVE.png]
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from trainer.network import Network
from trainer.training import History, fit

X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], np.float32)
y = np.array([[0], [1], [1], [0]], np.float32)


def learn(seed: int) -> tuple[Network, History]:
    network = Network(3, 4, 1, activation="sigmoid", output="sigmoid", biases=False, seed=seed)
    # The loss is half the mean over 4 points: 8 is a step of 1 down the plain sum of squares.
    history = fit(network, X, y, optimiser="sgd", learning_rate=8, epochs=1500, batch=4)
    return network, history


if __name__ == "__main__":
    network, history = learn(seed=0)
    for point, wanted, said in zip(X, y, network.forward(X), strict=True):
        print(f"{point.astype(int)}: wanted {wanted[0]:.0f}, said {said[0]:.3f}")

    path = Path(sys.argv[1] if len(sys.argv) > 1 else "four_points.png")
    figure = Figure()
    axes = figure.subplots()
    axes.semilogy([epoch.number for epoch in history.epochs], [e.loss for e in history.epochs])
    axes.set(title="Four points, four hidden units", xlabel="iteration", ylabel="loss")
    figure.savefig(path)
    print(f"loss curve: {path}")
