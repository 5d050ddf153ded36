"""What runs on the Pi: camera -> model -> decision -> outputs.

>>> from edge import watch
>>> from gpiozero import LED                        # doctest: +SKIP
>>> watch("model.onnx", when={"rock": LED(17)})     # doctest: +SKIP
"""

from typing import TYPE_CHECKING

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
from edge.outputs import Outputs
from edge.sources import Folder, Video, open_source
from edge.watch import watch
from edge.webcam import Webcam

if TYPE_CHECKING:
    from edge.camera import Camera
    from edge.virtual import Virtual

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


def __getattr__(name: str) -> object:
    """Load what gives frames only when it is asked for: drawing hands alone is 4 MB."""
    if name == "Camera":
        from edge.camera import Camera

        return Camera
    if name == "Virtual":
        from edge.virtual import Virtual

        return Virtual
    raise AttributeError(f"module 'edge' has no attribute {name!r}")
