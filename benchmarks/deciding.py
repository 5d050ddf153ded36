"""How soon is a gesture seen, and how often is something seen that was not there?

    python benchmarks/deciding.py FOLDER [--features hand] [--rate 15] [--stay 0.4]

FOLDER holds sets, each `<set>/<label>/<session>/<picture>`. A third of each set's sessions is put
aside. The others, in three folds, choose: each fold is shown to a model that learned the other two,
and each rule of deciding is tried with each of its settings. Then all of them are learned, and the
sessions put aside are shown: only that is reported. A set with two recordings is only reported on,
one learned and the other shown, both ways.

Pictures are real, their order is composed, since the sets are pictures and no films. Each frame is
a view of a picture that trembles: shifted, scaled and lit a little otherwise, with noise.

- Gestures: nothing for 3 to 8 s, then a gesture for 1.2 to 2.5 s: pictures of a label's session in
  their own order, each standing for `--stay` seconds. Before it the hand comes up for 0.2 s: its
  first picture, lower and blurred by motion. The delay counts from the end of that.
- Nothing: things that stand for 0.5 to 2 s each. *Rooms* are parts of the set's own pictures, the
  largest without the hand as far as it is found; *office* is the sets of nothing but `background`,
  rooms that no model has seen. *Passing* is things that the model takes for nothing, and every five
  seconds a hand that nobody means: 0.05 to 0.15 s of a gesture, blurred by motion.

False triggers are per hour of each. A thing that a model takes for a gesture is taken so every time
that it comes, so hours say how busy the stream is and the number of different things how much they
prove. `mistaken` is a false trigger while a gesture is shown, as a share of gestures.

`background` is taught with such parts of the learned pictures, where there are enough.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator  # noqa: TC003  (a script)
from dataclasses import dataclass, field, replace
from itertools import islice, product
from pathlib import Path
from statistics import median
from typing import TypeAlias

import cv2
import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

from edge.card import BACKGROUND, Thresholds
from edge.classifier import Prediction
from edge.decider import Decider, Decision
from edge.pictures import read_picture
from edge.replay.events import Events, poisson_upper
from trainer.cache import FeatureCache, cache_folder, digest
from trainer.dataset import Dataset, Picture, read_dataset
from trainer.features import Features, make_features
from trainer.recipe import Taught, teach
from trainer.splits import folds, split

VERSION = "1"
LEARNED, SHOWN = 30, 40
"""Pictures of a label to learn from and to show, at most."""
VIEWS = 4
"""Trembling views of a picture."""
MOVING = VIEWS
"""The view after them: blurred by motion."""
LEAST = 0.33
"""Side of a part without the hand, in sides of the picture, at the least."""
FEW = 10
"""Things that a stream of them needs at the least."""
SURE = 0.9
"""Confidence from which on a hand is where it was found."""
GOAL = 1.0
"""False triggers an hour that are allowed."""

Said: TypeAlias = list[tuple[np.ndarray, float]]
"""Probabilities and novelty of each view of a picture; the last is blurred by motion."""
Frame: TypeAlias = tuple[Prediction, str | None, float | None]
"""What is said of a frame, the label it shows, and since when."""
Stream: TypeAlias = list[Frame]
View: TypeAlias = tuple[Said, int]


@dataclass
class Scene:
    """A model, and what it says to what it is shown."""

    name: str
    labels: tuple[str, ...]
    thresholds: Thresholds
    gestures: list[tuple[str, list[Said]]]
    """Of each label's session, in order."""
    rooms: list[Said]
    office: list[Said]

    @property
    def nothing(self) -> list[Said]:
        """Things in none of whose views the model takes them for a gesture."""
        return [said for said in [*self.rooms, *self.office] if not self.mistakes(said)]

    def mistakes(self, said: Said) -> bool:
        """Return whether a thing is taken for a gesture in any of its views."""
        return any(self.takes(*view) for view in said[:MOVING])

    def takes(self, probabilities: np.ndarray, novelty: float) -> bool:
        """Return whether a picture alone is surely enough a gesture, as far as the card goes."""
        sure = novelty <= self.thresholds.novelty and probabilities.max() >= self.thresholds.enter
        return bool(sure) and self.labels[int(probabilities.argmax())] != BACKGROUND


def tremble(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a picture as the next frame might have it: neither hand nor camera is still."""
    height, width = image.shape[:2]
    scale = 1 + rng.uniform(-0.03, 0.03)
    shift = rng.uniform(-0.02, 0.02, 2) * (width, height)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-3, 3), scale)
    matrix = matrix + np.pad(shift[:, None], ((0, 0), (2, 0)))
    moved = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    noisy = moved * rng.uniform(0.95, 1.05) + rng.normal(0, 3, moved.shape)
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)


def passing(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a picture lower, and blurred by motion: a hand on its way."""
    height, width = image.shape[:2]
    matrix = np.array([[1, 0, 0], [0, 1, rng.uniform(0.1, 0.3) * height]])
    moved = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    length = max(3, height // 15)
    return np.asarray(cv2.filter2D(moved, -1, np.full((length, 1), 1 / length)))


def without_hand(image: np.ndarray, finder: Features) -> np.ndarray | None:
    """Return the largest part, of the picture's own shape, that leaves the hand out."""
    height, width = image.shape[:2]
    found = finder._session.run(["next_state"], {"image": image})[0]  # noqa: SLF001  (its region)
    sure, x, y, side = found[:4]
    if sure < SURE:
        return None
    left, top = max(0, x - side / 2) / width, max(0, y - side / 2) / height
    right, bottom = min(width, x + side / 2) / width, min(height, y + side / 2) / height
    # Beside it, above it or below it; as high as it is wide, in sides of the picture.
    share, x0, y0 = max(
        (left, 0, 0), (1 - right, right, 0), (top, 0, 0), (1 - bottom, 0, bottom)
    )  # fmt: skip
    if share < LEAST:
        return None
    return image[
        int(y0 * height) : int((y0 + share) * height), int(x0 * width) : int((x0 + share) * width)
    ]


# --- Teaching


@dataclass
class Studio:
    """Where models are taught, and shown what they have not seen."""

    features: Features
    cache: FeatureCache
    empty: list[Path]
    """Pictures of sets of nothing but background."""
    work: Path
    """A folder for parts of pictures."""

    def scene(self, name: str, learned: list[Picture], shown: list[Picture]) -> Scene:
        """Teach some pictures, and look what that makes of others."""
        background = self._without_hands(learned, self.work / name / "learned")[:LEARNED]
        if len(background) >= LEARNED // 3:
            learned = [*learned, *background]
        model = teach(Dataset(self.work, learned), self.features, cache=self.cache)
        runs: dict[tuple[str, str], list[Said]] = {}
        for picture in shown:
            run = runs.setdefault((picture.label, picture.session), [])
            run.append(self._said(model, picture.path))
        rooms = self._without_hands(shown, self.work / name / "shown")[:SHOWN]
        return Scene(
            name,
            tuple(model.described.dataset.labels),
            model.thresholds,
            [(label, run) for (label, _), run in runs.items()],
            [self._said(model, picture.path) for picture in rooms],
            [self._said(model, path) for path in self.empty],
        )

    def _said(self, model: Taught, path: Path) -> Said:
        """Return what a model says to each view of a picture, whose features are kept."""
        content = path.read_bytes()
        key = digest(self.features.digest, content, f"deciding {VERSION} {VIEWS}")
        found = self.cache.get(key)
        if found is None:
            image = read_picture(path)
            rng = np.random.default_rng(list(digest(content)))
            views = [image, *(tremble(image, rng) for _ in range(VIEWS - 1)), passing(image, rng)]
            found = np.stack([self.features(view) for view in views]), image.shape[:2]
            self.cache.put(key, *found)
        return list(zip(model.probabilities(found[0]), model.novelty(found[0]), strict=True))

    def _without_hands(self, pictures: list[Picture], place: Path) -> list[Picture]:
        """Return the pictures' parts without a hand, in any order."""
        found, finder = [], make_features("hand")
        place.mkdir(parents=True)
        for number, picture in enumerate(pictures):
            part = without_hand(read_picture(picture.path), finder)
            if part is not None:
                path = place / f"{number}.png"
                Image.fromarray(part).save(path)
                found.append(Picture(path, BACKGROUND, picture.session))
        return [found[i] for i in np.random.default_rng(0).permutation(len(found))]


def scenes(studio: Studio, folder: Path) -> Iterator[tuple[bool, Scene]]:
    """Teach each set; yield whether settings are chosen by a scene, else it is reported on."""
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        dataset = read_dataset(place)
        enough = min(dataset.counts().values()) >= LEARNED
        if not enough or any(len(found) < 2 for found in dataset.sessions().values()):
            continue
        for number, (choosing, learned, shown) in enumerate(parts(dataset), start=1):
            print(f"teaching {place.name} {number}", file=sys.stderr, flush=True)
            sides = some(dataset, learned, LEARNED), some(dataset, shown, SHOWN)
            yield choosing, studio.scene(f"{place.name} {number}", *sides)


def parts(dataset: Dataset) -> Iterator[tuple[bool, list[int], list[int]]]:
    """Yield whether to choose by it, what is learned from, and what is shown."""
    sessions = [picture.session for picture in dataset.pictures]
    everything = range(len(sessions))
    if len(set(sessions)) == 2:
        for name in sorted(set(sessions)):
            yield False, [i for i in everything if sessions[i] != name], [
                i for i in everything if sessions[i] == name
            ]  # fmt: skip
        return
    rest, aside = split(dataset, share=1 / 3, seed=0)
    fold = folds(dataset.only(rest), most=3, seed=0)
    for number in range(3):
        learned = [i for i, at in zip(rest, fold, strict=True) if at != number]
        yield True, learned, [i for i, at in zip(rest, fold, strict=True) if at == number]
    yield False, rest, aside


def some(dataset: Dataset, among: list[int], most: int) -> list[Picture]:
    """Return at most so many pictures of each label, evenly from among these, in their order."""
    chosen: list[Picture] = []
    for label in dataset.labels:
        mine = [dataset.pictures[i] for i in among if dataset.pictures[i].label == label]
        places = np.unique(np.linspace(0, len(mine) - 1, most).round().astype(int))
        chosen += [mine[place] for place in places]
    return chosen


# --- Composing


@dataclass
class Streams:
    """Frames of a scene: gestures, and what is none."""

    gestures: Stream
    quiet: dict[str, Stream]

    @classmethod
    def of(cls, scene: Scene, options: argparse.Namespace, seconds: float, seed: int) -> Streams:
        """Compose so many seconds of each."""
        rng = np.random.default_rng(seed)
        rate, count = options.rate, round(seconds * options.rate)
        shown = list(islice(gestures(scene, rng, rate, options.stay), count))
        quiet = {"passing": islice(passers(scene, rng, rate), count)}
        for name, things in (("rooms", scene.rooms), ("office", scene.office)):
            if len(things) >= FEW:
                quiet[name] = islice(standing(things, rng, rate), count)
        timed = {name: _timed(scene, views, rate) for name, views in quiet.items()}
        return cls(shown, timed)


def _timed(scene: Scene, views: Iterator[View], rate: float) -> Stream:
    return [
        (Prediction(scene.labels, *said[view], number / rate), None, None)
        for number, (said, view) in enumerate(views)
    ]


def gestures(scene: Scene, rng: np.random.Generator, rate: float, stay: float) -> Iterator[Frame]:
    """Yield frames without end: nothing, a gesture, nothing, another gesture."""
    number = 0

    def frame(view: View, truth: str | None, since: float | None) -> Frame:
        nonlocal number
        number += 1
        said, which = view
        return Prediction(scene.labels, *said[which], (number - 1) / rate), truth, since

    between = standing(scene.nothing, rng, rate)
    while True:
        for view in islice(between, round(rng.uniform(3, 8) * rate)):
            yield frame(view, None, None)
        label, run = scene.gestures[rng.integers(len(scene.gestures))]
        first = int(rng.integers(len(run)))
        comes, lasts = round(0.2 * rate), round(rng.uniform(1.2, 2.5) * rate)
        since = (number + comes) / rate
        for step in range(-comes, lasts):
            picture = run[(first + int(max(0, step) / rate / stay)) % len(run)]
            yield frame((picture, MOVING if step < 0 else int(rng.integers(VIEWS))), label, since)


def standing(things: list[Said], rng: np.random.Generator, rate: float) -> Iterator[View]:
    """Yield views of one thing after the other, without end."""
    while True:
        said = things[rng.integers(len(things))]
        for _ in range(round(rng.uniform(0.5, 2) * rate)):
            yield said, int(rng.integers(VIEWS))


def passers(scene: Scene, rng: np.random.Generator, rate: float) -> Iterator[View]:
    """Yield views of nothing, and hands that pass through."""
    for view in standing(scene.nothing, rng, rate):
        yield view
        if rng.random() < 1 / (5 * rate):
            _, run = scene.gestures[rng.integers(len(scene.gestures))]
            said = run[rng.integers(len(run))]
            for _ in range(max(1, round(rng.uniform(0.05, 0.15) * rate))):
                yield said, MOVING


# --- Deciding


class Fading(Decider):
    """A mean that falls off with age, by half in `window` seconds, without an edge."""

    _mean: np.ndarray | None = None

    def _average(self, newest: Prediction) -> np.ndarray:
        votes = newest.probabilities * float(newest.novelty <= self.novelty)
        if self._mean is None or not self._recent:
            self._mean = np.zeros(len(votes))
        age = newest.time - self._recent[-1].time if self._recent else 0.07
        self._recent.clear()
        self._recent.append(newest)
        kept = 0.5 ** (age / self.window)
        self._mean = kept * self._mean + (1 - kept) * votes
        return self._mean


@dataclass
class Evidence:
    """A sum of evidence for each label, for or against: what is surely seen is seen sooner.

    Source: Page, "Continuous Inspection Schemes", Biometrika 1954 (CUSUM).
    """

    most: float
    """Evidence of one frame, at most: a logit."""
    enough: float
    """Seconds times logits: what begins a gesture; a tenth of it ends one."""
    even: float
    """The probability that speaks neither for a label nor against it."""
    novelty: float
    cooldown: float
    _sums: np.ndarray | None = None
    _label: str | None = None
    _ended: dict[str, float] = field(default_factory=dict)
    _time: float = -math.inf

    def update(self, prediction: Prediction) -> Decision:
        """Take one more prediction, and decide."""
        now, labels = prediction.time, prediction.labels
        p = np.clip(prediction.probabilities.astype(float), 1e-6, 1 - 1e-6)
        if not prediction.novelty <= self.novelty:
            p[:] = 1e-6
        weight = np.log(p / (1 - p)) - math.log(self.even / (1 - self.even))
        gain = np.clip(weight, -self.most, self.most) * min(now - self._time, 0.1)
        before = np.zeros(len(p)) if self._sums is None else self._sums
        self._sums = np.clip(before + gain, 0, self.enough)
        self._time, old = now, self._label
        if old is not None and self._sums[labels.index(old)] < self.enough / 10:
            self._ended[old] = now
            self._label = None
        best = int(self._sums.argmax())
        rested = now - self._ended.get(labels[best], -math.inf) >= self.cooldown
        if labels[best] != self._label and self._sums[best] >= self.enough - 1e-9 and rested:
            if self._label is not None:
                self._ended[self._label] = now
            self._label = labels[best]
        return Decision(self._label, float(p[best]), 0.0, now, changed=self._label != old)


@dataclass(frozen=True)
class Setting:
    """A rule and its settings."""

    rule: str
    window: float
    hold: float
    enter: float | None
    """None: the card's."""
    leave: float = 2 / 3
    """As a share of `enter`."""
    cooldown: float = 0.5

    def decider(self, limits: Thresholds) -> Decider | Evidence:
        """Return a decider for a model with these thresholds."""
        if self.rule == "evidence":
            even = self.enter or 0.5
            return Evidence(self.window, self.hold, even, limits.novelty, self.cooldown)
        enter = limits.enter if self.enter is None else self.enter
        kind = Fading if self.rule == "fading" else Decider
        return kind(
            enter, enter * self.leave, novelty=limits.novelty,
            window=self.window, hold=self.hold, cooldown=self.cooldown,
        )  # fmt: skip

    def __str__(self) -> str:
        if self.rule == "evidence":
            words = f"logits to {self.window:g}, enough {self.hold:g}, even {self.enter:g}"
        else:
            enter = "card" if self.enter is None else f"{self.enter:g}"
            words = f"window {self.window:g}, hold {self.hold:g}, enter {enter}"
            words += f", leave {self.leave:.2f} of it"
        return f"{self.rule}: {words}, cooldown {self.cooldown:g}"


NOW = Setting("mean", 0.3, 0.2, None)
"""What `edge` did before anything was measured."""


RULES = ("mean", "fading", "evidence")


def settings() -> Iterator[Setting]:
    """Yield everything that is tried; holds are a little less than so many frames at 15 Hz."""
    enters = [None, 0.6, 0.7, 0.8]
    holds = [0.0, 0.06, 0.13, 0.2, 0.26]
    for window, hold, enter in product([0.0, 0.1, 0.2, 0.3, 0.4], holds, enters):
        yield Setting("mean", window, hold, enter)
    for half, hold, enter in product([0.05, 0.1, 0.15, 0.2], holds[:4], enters):
        yield Setting("fading", half, hold, enter)
    for most, enough, even in product(
        [1.0, 2.0, 4.0], [0.2, 0.3, 0.4, 0.5, 0.6, 0.8], [0.5, 0.6, 0.7]
    ):
        yield Setting("evidence", most, enough, even)


@dataclass
class Outcome:
    """What came of a setting, over several scenes."""

    events: Events = field(default_factory=Events)
    false: Counter[str] = field(default_factory=Counter)
    hours: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, setting: Setting, scene: Scene, shown: Streams) -> Outcome:
        """Run a scene's streams through a new decider each."""
        events = run(setting.decider(scene.thresholds), shown.gestures)
        self.events.gestures += events.gestures
        self.events.repeats += events.repeats
        self.events.mistaken += events.mistaken
        for name, stream in shown.quiet.items():
            self.false[name] += run(setting.decider(scene.thresholds), stream).false
            self.hours[name] += stream[-1][0].time / 3600
        return self

    @property
    def worth(self) -> tuple[bool, float]:
        """What settings are compared by: few enough false triggers; then seen soon, rightly."""
        rate = self.false["passing"] / self.hours["passing"]
        right = (self.events.soon - self.events.mistaken) / self.events.shown
        return rate <= GOAL, right if rate <= GOAL else -rate

    def row(self) -> str:
        """Return the cells of a table."""
        events = self.events
        shares = [events.soon, events.seen, events.mistaken, events.repeated]
        cells = [f"{100 * count / events.shown:.1f} %" for count in shares]
        delays = sorted(events.delays) or [math.nan]
        late = delays[math.ceil(0.95 * len(delays)) - 1]
        cells += [f"{median(delays):.2f} s", f"{late:.2f} s"]
        for name in QUIET:
            count, hours = self.false[name], self.hours[name]
            most = poisson_upper(count)
            cells.append(f"{count / hours:.1f} (< {most / hours:.1f})" if hours else "-")
        return " | ".join(cells)


QUIET = ("passing", "rooms", "office")
TITLES = ("in 0.5 s", "seen", "mistaken", "repeated", "median", "95 %", *QUIET)


def run(decider: Decider | Evidence, stream: Stream) -> Events:
    """Return what a decider makes of a stream."""
    events = Events()
    for prediction, truth, since in stream:
        events.update(prediction.time, truth, decider.update(prediction).label, since=since)
    return events


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--features", default="hand")
    parser.add_argument("--rate", type=float, default=15.0, help="frames a second")
    parser.add_argument("--stay", type=float, default=0.4, help="seconds a picture stands")
    parser.add_argument("--minutes", type=float, default=20.0, help="of each stream, to choose by")
    parser.add_argument("--report", type=float, default=60.0, help="minutes, to report")
    options = parser.parse_args()
    with (
        threadpool_limits(1, user_api="blas"),
        FeatureCache(cache_folder() / "benchmark.sqlite") as cache,
        tempfile.TemporaryDirectory() as work,
    ):
        empty = sorted(options.folder.glob(f"*/{BACKGROUND}/*/*.jpg"))
        studio = Studio(make_features(options.features), cache, empty, Path(work))
        found = list(scenes(studio, options.folder))
    for choosing, scene in found:
        rooms, office = (
            [number for number, said in enumerate(things) if scene.mistakes(said)]
            for things in (scene.rooms, scene.office)
        )
        names = f" ({', '.join(empty[number].name for number in office)})" if office else ""
        print(
            f"{scene.name}, {'to choose' if choosing else 'reported'}: {len(scene.labels)} labels, "
            f"{len(scene.gestures)} recordings; taken for a gesture: {len(rooms)} of "
            f"{len(scene.rooms)} rooms, {len(office)} of {len(scene.office)} of the office{names}"
        )
    chosen = choose([scene for choosing, scene in found if choosing], options)
    report([scene for choosing, scene in found if not choosing], chosen, options)


def choose(shown: list[Scene], options: argparse.Namespace) -> list[Setting]:
    """Print the best of each rule; return those and the present settings, surer ones as well."""
    seconds = 60 * options.minutes
    composed = [Streams.of(scene, options, seconds, seed) for seed, scene in enumerate(shown)]
    results: dict[Setting, Outcome] = {}

    def tried(setting: Setting) -> Outcome:
        if setting not in results:
            results[setting] = Outcome()
            for scene, streams in zip(shown, composed, strict=True):
                results[setting].add(setting, scene, streams)
        return results[setting]

    def worth(setting: Setting) -> tuple[bool, float]:
        return tried(setting).worth

    print(f"\n| chosen by | {' | '.join(TITLES)} |\n| --- |{' ---: |' * len(TITLES)}")
    best = [NOW, *(replace(NOW, enter=enter) for enter in (0.6, 0.65, 0.7, 0.8))]
    for setting in best:
        print(f"| {setting} | {tried(setting).row()} |", flush=True)
    for rule in RULES:
        several = sorted((one for one in settings() if one.rule == rule), key=worth, reverse=True)
        for setting in several[:4]:
            print(f"| {setting} | {tried(setting).row()} |", flush=True)
        best += [one for one in several[:1] if one not in best]
    for leave, cooldown in product((0.33, 0.5, 0.8), (0.0, 0.25, 0.5, 1.0)):
        setting = replace(NOW, leave=leave, cooldown=cooldown)
        print(f"| {setting} | {tried(setting).row()} |", flush=True)
    return best


def report(shown: list[Scene], chosen: list[Setting], options: argparse.Namespace) -> None:
    """Print what settings do where nothing was chosen."""
    totals = {setting: Outcome() for setting in chosen}
    print(f"\n| reported | set | {' | '.join(TITLES)} |\n| --- | --- |{' ---: |' * len(TITLES)}")
    for seed, scene in enumerate(shown):
        streams = Streams.of(scene, options, 60 * options.report, 1000 + seed)
        for setting, total in totals.items():
            alone = Outcome().add(setting, scene, streams)
            print(f"| {setting} | {scene.name} | {alone.row()} |", flush=True)
            total.add(setting, scene, streams)
    for setting, total in totals.items():
        print(f"| {setting} | all | {total.row()} |")


if __name__ == "__main__":
    main()
