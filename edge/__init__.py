"""What runs on the Pi: camera -> model -> decision -> outputs.

>>> from edge import watch
>>> from gpiozero import LED                        # doctest: +SKIP
>>> watch("model.onnx", when={"rock": LED(17)})     # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.card import BACKGROUND, Card
    from edge.classifier import Classifier, Prediction
    from edge.config import Config, read_config
    from edge.decider import Decider, Decision
    from edge.errors import (
        ConfigError,
        HandwaveError,
        ModelError,
        OutputError,
        PictureError,
        SourceError,
    )
    from edge.frame import Frame, Source
    from edge.loop import watch
    from edge.outputs import Outputs
    from edge.sources.camera import Camera
    from edge.sources.opening import open_source
    from edge.sources.recordings import Folder
    from edge.sources.video import Video
    from edge.sources.virtual import Virtual
    from edge.sources.webcam import Webcam

__all__ = [
    "BACKGROUND",
    "Camera",
    "Card",
    "Classifier",
    "Config",
    "ConfigError",
    "Decider",
    "Decision",
    "Folder",
    "Frame",
    "HandwaveError",
    "ModelError",
    "OutputError",
    "Outputs",
    "PictureError",
    "Prediction",
    "Source",
    "SourceError",
    "Video",
    "Virtual",
    "Webcam",
    "open_source",
    "read_config",
    "watch",
]

# What is offered, by the module it is in: loaded when asked for. Without NumPy, `edge off` and
# `deploy` start in half the time, and drawing hands alone is 4 MB.
_PLACES = {
    "sources.camera": ("Camera",),
    "card": ("BACKGROUND", "Card"),
    "classifier": ("Classifier", "Prediction"),
    "config": ("Config", "read_config"),
    "decider": ("Decider", "Decision"),
    "errors": (
        "ConfigError", "HandwaveError", "ModelError", "OutputError", "PictureError", "SourceError",
    ),
    "frame": ("Frame", "Source"),
    "loop": ("watch",),
    "outputs": ("Outputs",),
    "sources.recordings": ("Folder",),
    "sources.opening": ("open_source",),
    "sources.video": ("Video",),
    "sources.virtual": ("Virtual",),
    "sources.webcam": ("Webcam",),
}  # fmt: skip
_MODULES = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load what is asked for (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'edge' has no attribute {name!r}")
    return getattr(import_module(f"edge.{_MODULES[name]}"), name)
