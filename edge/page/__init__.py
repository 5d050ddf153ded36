"""`edge run --serve`: a small live page for whoever stands before the device, and /metrics."""

from edge.page.guard import find_token
from edge.page.server import Page

__all__ = ["Page", "find_token"]
