"""What one thread hands to another: only the newest counts."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Newest(Generic[Item]):
    """Holds the last item that was put in, until it is taken; what came before it is dropped.

    So whoever is slow gets fewer items, and none that is old.

    Attributes:
        ended: whether nothing more will come.
        closed: whether nothing more is wanted.
    """

    def __init__(self) -> None:
        self.ended = self.closed = False
        self._item: Item | None = None
        self._change = threading.Condition()

    def put(self, item: Item) -> None:
        """Put in an item, in place of one that nobody has taken."""
        with self._change:
            self._item = item
            self._change.notify_all()

    def take(self, patience: float) -> Item | None:
        """Wait for an item and take it; None if so many seconds pass, it has ended or is closed."""
        with self._change:
            self._change.wait_for(self._something, patience)
            item, self._item = self._item, None
            return None if self.closed else item

    def end(self) -> None:
        """Say that nothing more will come."""
        with self._change:
            self.ended = True
            self._change.notify_all()

    def close(self) -> bool:
        """Say that nothing more is wanted; return whether nobody has said so before."""
        with self._change:
            first, self.closed = not self.closed, True
            self._change.notify_all()
        return first

    def _something(self) -> bool:
        return self._item is not None or self.ended or self.closed
