"""Names and numbers in sentences for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.errors import printable
from edge.words import count

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["clean", "count", "names", "percent", "shorten"]

LONGEST = 40
"""Letters of a name that are shown: a label or a file's name can be any length."""
NAMED = 3
"""Names in a list, before the rest becomes a number."""


def clean(name: str) -> str:
    """Return a name without what is no text."""
    return printable(name, "\ufffd")


def shorten(name: str, longest: int = LONGEST) -> str:
    """Return a name as it can stand in a sentence, its middle left out where it is long."""
    name = clean(name)
    if len(name) <= longest:
        return name
    return f"{name[: longest - longest // 3 - 1]}…{name[-(longest // 3) :]}"


def names(found: Sequence[str]) -> str:
    """Return `a`, `a and b`, `a, b and c`, or `a, b, c and 4 more`."""
    if len(found) > NAMED + 1:  # "and 1 more" would be as long as its name
        shown = [shorten(name) for name in found[:NAMED]]
        return f"{', '.join(shown)} and {len(found) - NAMED} more"
    shown = [shorten(name) for name in found]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def percent(share: float) -> str:
    """Return a share as `83 %`; only all is 100 %, and only none is 0 %."""
    whole = round(100 * share)
    if whole == 100 and share < 1:
        return "over 99 %"
    if whole == 0 and share > 0:
        return "under 1 %"
    return f"{whole} %"
