"""A threshold unit tells two cars apart: is weights @ figures + bias above 0?

It learns by the perceptron rule (Rosenblatt 1958): where it is wrong, add or take away the figures.
"""

import numpy as np

from trainer.network import Network

CARS = {  # length in metres, kerb mass in tonnes: well-known figures, rounded
    "Fiat 500 1.2": (3.55, 0.87),
    "Fiat 500 1.3 diesel": (3.55, 0.98),
    "Fiat 500 Abarth 595": (3.66, 1.04),
    "Fiat 500 electric": (3.63, 1.33),
    "Volkswagen Golf II": (3.99, 0.91),
    "Volkswagen Golf III": (4.02, 1.03),
    "Volkswagen Golf IV": (4.15, 1.17),
    "Volkswagen Golf VIII": (4.28, 1.30),
}
X = np.array(list(CARS.values()), np.float32)
is_golf = np.array(["Golf" in car for car in CARS])

# Figures are never negative, so a relu layer with these weights hands them on as they are, and the
# second layer alone is the threshold unit: its sigmoid passes a half where its sum passes 0.
unit = Network(2, 2, 1, activation="relu", output="sigmoid")
unit.load({"W1": np.eye(2), "b1": np.zeros(2), "W2": np.zeros((2, 1)), "b2": np.zeros(1)})
weights, bias = unit.parameters["W2"][:, 0], unit.parameters["b2"]

while ((unit.logits(X)[:, 0] > 0) != is_golf).any():  # it ends: a straight line parts these cars
    for figures, golf in zip(X, is_golf, strict=True):
        error = int(golf) - int(unit.logits(figures[None])[0, 0] > 0)  # 0 when right, else 1 or -1
        weights += error * figures
        bias += error

print(f"Golf if {weights[0]:.2f} * metres + {weights[1]:.2f} * tonnes + {bias[0]:.2f} > 0")
for car, total in zip(CARS, unit.logits(X)[:, 0], strict=True):
    print(f"{car:21} {total:6.2f}  {'Golf' if total > 0 else 'Fiat 500'}")
