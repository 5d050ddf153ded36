"""The choice of features, remembered: one more picture costs no new comparison."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from trainer.cache import digest
from trainer.choose import Candidate  # noqa: TC001  (msgspec reads the annotation)
from trainer.dataset import content_of
from trainer.words import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.cache import FeatureCache
    from trainer.choose import Choice
    from trainer.dataset import Dataset
    from trainer.features import Features


class _Memory(msgspec.Struct):
    """A choice made before."""

    pictures: list[str]
    """Digests of the pictures that it was based on."""
    table: list[Candidate]
    luck: int
    """Selection bias, in pictures."""


@dataclass(frozen=True, slots=True, eq=False)
class Recalled:
    """The features chosen in an earlier training, and the report of that choice."""

    features: Features
    table: list[Candidate]
    why: str
    luck: int

    def told_of(self, choice: Choice) -> Choice:
        """Return the new measurement with the earlier table, reason and bias correction."""
        held = choice.held_out
        if held is not None:
            right = int(held.right.sum()) - self.luck
            held = replace(held, honest=min(max(right, 0) / len(held.targets), 1.0))
        return replace(choice, held_out=held, table=self.table, why=self.why)


def recall(dataset: Dataset, kinds: Sequence[Features], cache: FeatureCache) -> Recalled | None:
    """Return an earlier choice for nearly the same pictures, or None.

    Nearly: at least 90 % of today's pictures were there, and at least 90 % of those of then still
    are. So one more picture costs no new comparison, but one more session does.
    """
    text = cache.noted(_topic(dataset, kinds))
    if text is None:
        return None
    try:
        memory = msgspec.json.decode(text, type=_Memory)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None  # another version's
    digests = _digests(dataset)
    before, now = set(memory.pictures), set(digests)
    chosen = [one.name for one in memory.table if one.chosen]
    kind = next((kind for kind in kinds if kind.name in chosen), None)
    if kind is None or len(before & now) < 0.9 * max(len(before), len(now)):
        return None
    which = count(len(memory.pictures), "picture")
    same = sorted(memory.pictures) == sorted(digests)
    which = f"these {which}" if same else f"{which}, most of these,"
    return Recalled(kind, memory.table, f"chosen when {which} were measured", memory.luck)


def remember(
    choice: Choice, dataset: Dataset, kinds: Sequence[Features], cache: FeatureCache
) -> None:
    """Keep a choice for the next training."""
    held = choice.held_out
    luck = 0 if held is None else round((held.right.mean() - held.accuracy) * len(held.targets))
    memory = _Memory(_digests(dataset), choice.table, luck)
    cache.note(_topic(dataset, kinds), msgspec.json.encode(memory).decode())


def _topic(dataset: Dataset, kinds: Sequence[Features]) -> bytes:
    """Return the cache key of a choice: its kinds, labels and their sessions."""
    sessions = (f"{label}/{one}" for label, of in dataset.sessions().items() for one in sorted(of))
    root = str(dataset.root.resolve())
    return digest(*(kind.digest for kind in kinds), *dataset.labels, *sessions, root)


def _digests(dataset: Dataset) -> list[str]:
    return [
        digest(picture.label, picture.session, content_of(picture.path)).hex()
        for picture in dataset.pictures
    ]
