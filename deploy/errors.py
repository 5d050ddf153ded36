"""What can go wrong on the way to a Pi."""

from __future__ import annotations

from edge.errors import HandwaveError


class DeployError(HandwaveError):
    """A bundle that cannot be made, a host that cannot be reached, or a step that failed there."""


class ConnectionLostError(DeployError):
    """ssh itself gave up: the host cannot be reached, is not trusted, or is gone in the middle."""


class UnknownKeyError(ConnectionLostError):
    """The host's key is not known yet; a person may look at it and say yes."""
