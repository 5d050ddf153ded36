"""The lists of labels that Teachable Machine puts beside an exported model."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from edge.files import read_bounded
from trainer.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

MOST_TEXT = 100_000
"""Bytes of such a list."""


def read_labels(path: Path) -> list[str]:
    """Read an exported model's `labels.txt` or `metadata.json`: the labels, counted from 0.

    Raises:
        DataError: missing, too large, or neither of the two.
    """
    content = read_bounded(
        path, MOST_TEXT, what="list of labels", missing="no such file", error=DataError
    )
    labels = parse_labels(content)
    if not labels:
        raise DataError(f"{path}: no labels in it; it should be a labels.txt or metadata.json")
    return labels


def parse_labels(content: bytes) -> list[str]:
    """Return the labels in lines `0 <class>`, plain lines or JSON; none where it is neither."""
    try:
        text = content.decode("utf-8-sig")
        if text.lstrip().startswith("{"):
            found = json.loads(text).get("labels")
            return found if isinstance(found, list) and all(map(_is_text, found)) else []
    except (ValueError, RecursionError):
        return []
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [re.fullmatch(r"(\d+)\s+(.+)", line) for line in lines]
    counted = [int(match[1]) if match else -1 for match in numbered] == list(range(len(lines)))
    return [match[2] for match in numbered if match] if counted else lines


def _is_text(value: object) -> bool:
    return isinstance(value, str)
