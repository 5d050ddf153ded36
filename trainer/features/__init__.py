"""From a picture to the numbers a network learns from: ONNX graphs, each kind in a file of its own.

`kinds` is what `--features` names, and how kinds are joined. `edges` learned from drawn hands, here
(`learn_edges`); `backbone` reads a file of PyTorch's (`torch_file`); `hand` and `face` read
MediaPipe's (`tflite_file`), find what they look for (`subjects`, `landmarks` = `seek` + `look`) and
say what it does (`poses`, or `points` where no picture was kept); `two_hands` and `two_poses` are
the same for both hands. `weights` fetches what others have taught.
"""

from trainer.features.kinds import AUTO, KINDS, VIEWS, Features, candidates, join, make_features
from trainer.features.subjects import looks_for

__all__ = [
    "AUTO", "KINDS", "VIEWS",
    "Features", "candidates", "join", "looks_for", "make_features",
]  # fmt: skip
