"""Handwritten digits, 8 x 8 pixels each: scikit-learn's bundled set, with a third held out."""

import numpy as np
from sklearn.datasets import load_digits

from trainer.network import Network, one_hot
from trainer.progress import progress_bar
from trainer.training import fit

digits = load_digits()  # 1797 pictures, values 0 to 16
X, Y = np.float32(digits.data / 16), one_hot(digits.target, 10)
order = np.random.default_rng(0).permutation(len(X))
test, train = order[: len(X) // 3], order[len(X) // 3 :]

network = Network(inputs=64, hidden=128, classes=10)
with progress_bar() as show:
    history = fit(
        network,
        X[train],
        Y[train],
        learning_rate=3e-3,
        epochs=60,
        label_smoothing=0.1,
        progress=show,
    )
_, accuracy = network.evaluate(X[test], Y[test])
print(f"{accuracy:.1%} of {len(test)} unseen digits are right, after {history.seconds:.1f} s")
