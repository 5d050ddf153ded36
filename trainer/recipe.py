"""How a gesture is learned: describe, choose features, cross-validate, calibrate, learn it all.

Networks that learn from some sessions and are shown the others say which features are worth their
cost, how good all this is, how far to believe it (temperature, thresholds) and what is strange. The
network that is exported then learns from every picture.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from edge.card import BACKGROUND
from trainer.calibrate import NOT_FOUND_NOVELTY, USUAL_TEMPERATURE, pick_thresholds
from trainer.choose import Candidate, Choice, choose, worth_trying
from trainer.dataset import check_teachable
from trainer.describe import describe
from trainer.errors import TrainingError
from trainer.features import Features, join
from trainer.learn import learn, learns_with_noise
from trainer.remembered import recall, remember
from trainer.splits import FOLDS, folds
from trainer.words import count, names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from edge.card import Thresholds
    from trainer.cache import FeatureCache
    from trainer.dataset import Dataset
    from trainer.describe import Described
    from trainer.learn import Learned
    from trainer.network import Array
    from trainer.training import Epoch, History
    from trainer.validate import HeldOut

ROWS = 8000
"""Rows of features to aim for: few pictures get up to `COPIES` augmented copies, many get fewer."""
COPIES = 8
MANY = 500
"""Number of pictures from which three folds are as good as five, in half the time."""
SCRAPS = 2
"""Scrambled copies a picture, as long as there are fewer of them than augmented ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """Everything the exporter needs, and everything the user wants to know."""

    described: Described
    features: Features
    learned: Learned
    """What is exported."""
    temperature: float
    thresholds: Thresholds
    history: History
    """Of a network validated on a held-out session, or else of the only network."""
    held_out: HeldOut | None
    """None if no session could be held out, or the training was stopped."""
    candidates: list[Candidate]
    """The candidates; the chosen one is marked."""
    why: str
    """Why it was chosen."""
    recalled: bool
    """Whether the features were chosen in an earlier training."""
    interrupted: bool
    seed: int

    def probabilities(self, rows: NDArray[np.float32]) -> Array:
        """Return the exported model's expected probabilities for raw features `[n, features]`."""
        return self.learned.probabilities(rows, self.temperature)

    def novelty(self, rows: NDArray[np.float32]) -> Array:
        """Return the exported model's expected novelty for raw features `[n, features]`."""
        return self.learned.novelty(rows)

    @property
    def refused(self) -> float:
        """The share of held-out pictures that are too strange to act, of those with a find."""
        if self.held_out is None:
            return 0.0
        labels = np.array(self.described.dataset.labels, dtype=object)
        gestures = labels[self.held_out.targets] != BACKGROUND  # which does nothing anyway
        found = self.held_out.novelty[gestures & (self.held_out.novelty < NOT_FOUND_NOVELTY)]
        return float((found > self.thresholds.novelty).mean()) if len(found) else 0.0

    @property
    def absent(self) -> list[str]:
        """The labels of which no picture could be held out."""
        held = set() if self.held_out is None else set(self.held_out.targets.tolist())
        labels = enumerate(self.described.dataset.labels)
        return [label for number, label in labels if number not in held]

    @property
    def measured_on(self) -> str:
        """What the accuracy was measured on, in words."""
        if self.interrupted:
            return "nothing: the training was stopped early"
        if self.held_out is None:
            return "nothing: no session could be spared"
        pictures = count(len(self.held_out.targets), "picture")
        words = f"{pictures} of {count(self.held_out.sessions, 'session')}"
        missing = f"; {names(self.absent)} could not be measured" if self.absent else ""
        return f"{words} not trained on{missing}"


def teach(
    dataset: Dataset,
    features: Features | Sequence[Features],
    *,
    hidden: int = 64,
    seed: int = 0,
    mirror: bool = False,
    cache: FeatureCache | None = None,
    reading: Callable[[int, int], None] | None = None,
    measuring: Callable[[int, int], None] | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> Taught:
    """Teach a network to tell a dataset's labels apart.

    Args:
        dataset: the pictures.
        features: what to make of each, or several such to choose among.
        hidden: hidden units.
        seed: of the folds, the weights and the order of pictures.
        mirror: whether a gesture means the same with the other hand.
        cache: where features are kept from one training to the next.
        reading: called with how many of how many pictures were read.
        measuring: called with how many of how many networks have been cross-validated.
        progress: called after every epoch of the network that learns everything.

    Raises:
        DataError: nothing that can be taught from.
        TrainingError: a setting out of range, or stopped before the first epoch ended.
    """
    check_teachable(dataset)
    kinds = [features] if isinstance(features, Features) else list(features)
    recalled = recall(dataset, kinds, cache) if cache and len(kinds) > 1 else None
    asked = kinds
    if recalled is not None:
        kinds = [recalled.features]
    elif len(kinds) > 1:
        kinds = worth_trying(dataset, kinds)
    copies = int(np.clip(ROWS // len(dataset.pictures), 1, COPIES))
    everything = join(_parts(kinds))
    described = describe(
        dataset,
        everything,
        copies=copies,
        scraps=min(SCRAPS, copies),
        mirror=mirror,
        cache=cache,
        progress=reading,
    )
    check_teachable(described.dataset)
    # The same folds whether or not the choice is recalled: reported figures must not change.
    most = FOLDS if len(described.rows) <= MANY else 3
    parted = folds(described.dataset, most=most, seed=seed)

    def measure() -> Choice:
        return choose(
            described,
            kinds,
            parted,
            hidden=hidden,
            seed=seed,
            timed=recalled is None,  # else the table is that of the earlier training
            progress=measuring,
        )

    def learn_all(described: Described) -> Learned:
        everyone = np.arange(len(described.rows))
        return learn(described, everyone, hidden=hidden, seed=seed, progress=progress)

    try:
        if len(kinds) == 1:
            choice, learned = _side_by_side(measure, lambda: learn_all(described.only(kinds[0])))
        else:
            choice = measure()
            learned = learn_all(choice.described)
    except KeyboardInterrupt:
        what = "on held-out sessions" if (parted >= 0).any() else "features"
        raise TrainingError(
            f"stopped while measuring {what}; nothing was learned or written"
        ) from None
    if recalled is not None:
        choice = recalled.told_of(choice)
    elif cache and len(asked) > 1 and choice.held_out is not None:
        remember(choice, described.dataset, asked, cache)
    return _calibrated(choice, learned, recalled=recalled is not None, seed=seed)


def _side_by_side(
    measure: Callable[[], Choice], learn_all: Callable[[], Learned]
) -> tuple[Choice, Learned]:
    """With one kind there is nothing to choose, so that learning need not wait for measuring."""
    # The limit is the process's: set here as well, or the first to end would lift it for the other.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(1) as aside:
        measured = aside.submit(measure)
        learned = learn_all()
        return measured.result(), learned


def _calibrated(choice: Choice, learned: Learned, *, recalled: bool, seed: int) -> Taught:
    """Combine the learned network with its temperature and thresholds."""
    # Fully trained folds say nothing about an interrupted network.
    held_out = None if learned.history.interrupted else choice.held_out
    usual = USUAL_TEMPERATURE if learns_with_noise(choice.described) else 1.0
    temperature = usual if held_out is None else held_out.temperature
    unseen = (
        None if held_out is None else (held_out.probabilities, held_out.targets, held_out.novelty)
    )
    labels = choice.described.dataset.labels
    nothing = labels.index(BACKGROUND) if BACKGROUND in labels else None
    own = choice.described.rows[:, 0]
    familiar, strange = learned.probabilities(own, temperature), learned.novelty(own)
    return Taught(
        choice.described,
        choice.features,
        learned,
        temperature,
        pick_thresholds(familiar, strange, unseen, background=nothing),
        learned.history if held_out is None else held_out.history,
        held_out,
        choice.table,
        choice.why,
        recalled,
        learned.history.interrupted,
        seed,
    )


def _parts(kinds: Sequence[Features]) -> list[Features]:
    """Return each single kind among these once."""
    found = {part.name: part for kind in kinds for part in kind.parts}
    return list(found.values())
