"""What can go wrong on the way to a Pi."""

from __future__ import annotations

from edge.errors import HandwaveError


class DeployError(HandwaveError):
    """A bundle that cannot be made, a host that cannot be reached, or a step that failed there."""
