"""Numbers in sentences for a person."""

from __future__ import annotations


def in_words(seconds: float) -> str:
    """Return a span of time as a person says it: `40 s`, `2 min 5 s`, `3 d 4 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for size, name, less, lesser in (
        (86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"),
    ):  # fmt: skip
        if whole >= size:
            rest = whole % size // less
            return f"{whole // size} {name}" + (f" {rest} {lesser}" if rest else "")
    return f"{whole} s"


def times(number: int) -> str:
    """Return `once`, or `3 times`."""
    return "once" if number == 1 else f"{number} times"


def count(number: int, thing: str) -> str:
    """Return `1 picture` or `2 pictures`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
