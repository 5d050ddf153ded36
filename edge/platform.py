"""What kind of machine this is."""

from __future__ import annotations

from pathlib import Path

DEVICE_TREE_MODEL = Path("/proc/device-tree/model")


def is_raspberry_pi() -> bool:
    """Return whether this machine calls itself a Raspberry Pi."""
    try:
        return "Raspberry Pi" in DEVICE_TREE_MODEL.read_text(errors="replace")
    except OSError:
        return False
