"""What can go wrong on the laptop, besides what can go wrong on the Pi."""

from edge.errors import HandwaveError


class DataError(HandwaveError):
    """A folder of pictures that cannot be learned from."""


class ExportError(HandwaveError):
    """A model that could not be made, or does not compute what was trained."""


class TrainingError(HandwaveError):
    """Data or settings that no network can learn from, or learning that ran away."""
