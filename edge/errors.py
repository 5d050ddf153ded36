"""What can go wrong, as a tree. Every message says what, where, and what to do next."""

from __future__ import annotations

import unicodedata
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


NOT_PLAIN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
"""Unicode's unprintable categories: control, format, unassigned, private, surrogate, breaks."""


FOREIGN = (Exception, SystemExit)
"""What an output that somebody else wrote may raise; one that calls `sys.exit` ends nothing."""


class HandwaveError(Exception):
    """Anything a user can mend. Commands print it as one line and end with exit code 1.

    Args:
        line: what, where, and what to do next.
        picture: a drawing that says it better; commands print it below the line.
    """

    def __init__(self, line: str = "", *, picture: str | None = None) -> None:
        super().__init__(line)
        self.picture = picture

    def __str__(self) -> str:
        """Return the message as one line, safe to print and log: others choose the names in it."""
        line = " ".join(part.strip() for part in super().__str__().splitlines())
        return printable(line)


class PictureError(HandwaveError):
    """A picture file that cannot be read."""


class SourceError(HandwaveError):
    """A camera, folder or video that cannot be opened or stopped giving frames."""


class ModelError(HandwaveError):
    """A model file that is missing, damaged, or not ours."""


class ConfigError(HandwaveError):
    """A mistake in edge.toml."""


class OutputError(HandwaveError):
    """A pin or other output that cannot be driven."""


@contextmanager
def named(place: str) -> Iterator[None]:
    """Say of any error in the block where it is: the place, such as `port: `, goes before it."""
    try:
        yield
    except HandwaveError as problem:
        raise type(problem)(f"{place}{problem}", picture=problem.picture) from problem


def printable(text: str, instead: str = "?") -> str:
    """Return a text without what a terminal would obey: files' words may hold escapes.

    Args:
        text: anybody's words.
        instead: replaces control characters, undecodable bytes and bidirectional marks.
    """
    return "".join(c if _is_plain(c) else instead for c in text)


def _is_plain(letter: str) -> bool:
    joins_emoji = letter == "\u200d"
    return joins_emoji or unicodedata.category(letter) not in NOT_PLAIN


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest known word, or the list of known ones."""
    from difflib import get_close_matches  # slow to load: only for a mistake

    known = list(known)
    folded = {one.casefold(): one for one in known}  # LED is very near led
    near = get_close_matches(word.casefold(), folded, n=1)
    return f"; did you mean '{folded[near[0]]}'?" if near else f"; there is: {', '.join(known)}"
