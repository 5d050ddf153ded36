"""A camera that needs no hardware: drawn hands in drawn rooms, with the truth about each frame.

It stands in for a camera in demos and tests: everything from picture to pin can run without one.
It is never evidence of accuracy: a model that knows drawn hands has not met a real one.

One `Scene` is one person in one place. `draw` gives single pictures of it; `Virtual` films it.
All randomness comes from seeds: the same seed gives the same bytes.

From joint angles to frames, each module knowing only those before it:
`planes -> hands -> relief -> shading -> rooms -> scenes -> gestures -> exposure -> stream`.
NumPy only: a Pi can draw it.
"""

from edge.sources.virtual.exposure import draw
from edge.sources.virtual.gestures import GESTURES, LABELS
from edge.sources.virtual.scenes import Scene
from edge.sources.virtual.stream import Virtual

__all__ = ["GESTURES", "LABELS", "Scene", "Virtual", "draw"]
