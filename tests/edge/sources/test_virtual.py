from __future__ import annotations

import itertools
import math
import time
from collections import Counter

import numpy as np
import pytest

from edge.errors import SourceError
from edge.sources.virtual import GESTURES, LABELS, Scene, Virtual, draw
from edge.sources.virtual.gestures import SHAPES, random_pose
from edge.sources.virtual.hands import extent

SMALL = (64, 48)
RATE = 4.0  # frames a second: slow, yet no move from gesture to gesture is missed


def difference(one, other):
    """Mean absolute difference of two pictures, in grey levels."""
    return float(np.abs(one.astype(float) - other).mean())


def film(seconds, **options):
    return list(Virtual(SMALL, paced=False, seconds=seconds, **options))


@pytest.fixture(scope="module")
def long_film():
    return film(34.0, seed=5, rate=RATE)


# --- Single pictures


@pytest.mark.parametrize("label", LABELS)
def test_the_same_seeds_give_the_same_bytes(label):
    one = draw(label, Scene.random(3, SMALL), 8)
    other = draw(label, Scene.random(3, SMALL), 8)
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("label", LABELS)
def test_another_seed_gives_another_picture(label):
    scene = Scene.random(3, SMALL)
    assert draw(label, scene, 1).tobytes() != draw(label, scene, 2).tobytes()


def test_another_scene_is_another_place_and_person():
    one, other = Scene.random(1, SMALL), Scene.random(2, SMALL)
    assert one == Scene.random(1, SMALL) != other
    assert difference(one.room, other.room) > 10
    assert not np.allclose(one.look.back, other.look.back)


@pytest.mark.parametrize("size", [(16, 16), (64, 48), (48, 64), (101, 77), (320, 240), (640, 480)])
def test_pictures_have_the_size_asked_for(size):
    picture = draw("palm", Scene.random(0, size), 0)
    assert picture.shape == (size[1], size[0], 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("label", GESTURES)
@pytest.mark.parametrize("seed", range(4))
def test_every_gesture_differs_from_the_empty_scene(label, seed):
    scene = Scene.random(seed, SMALL)
    with_hand, empty = draw(label, scene, 0).astype(float), draw("background", scene, 0)
    changed = np.abs(with_hand - empty).max(axis=2) > 25  # (48, 64)
    assert changed.mean() > 0.03


def test_gestures_differ_from_each_other_in_outline():
    scene = Scene.random(1)
    sizes = {label: np.subtract(*extent(SHAPES[label], scene.look)[::-1]) for label in GESTURES}
    assert sizes["palm"][0] > 1.3 * sizes["vsign"][0]  # wider: thumb and little finger stand out
    assert sizes["vsign"][1] > 1.3 * sizes["fist"][1]  # taller
    assert sizes["point"][1] > 1.3 * sizes["fist"][1]


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (96, 54)])
@pytest.mark.parametrize("label", GESTURES)
def test_hands_are_big_and_inside_the_frame(label, size):
    width = size[0] / size[1]  # in frame heights
    for seed in range(4):
        scene = Scene.random(seed, size)
        pose = random_pose(label, scene, np.random.default_rng(seed))
        low, high = (pose.place + corner * pose.scale for corner in extent(pose, scene.look))
        assert (low > 0).all()
        assert (high < [width, 1.0]).all()
        assert high[1] - low[1] < 0.81
        assert high[1] - low[1] > 0.44 or high[0] - low[0] > 0.8 * width  # a narrow frame is full


def test_left_and_right_hands_and_all_skins_occur():
    looks = [Scene.random(seed, (16, 16)).look for seed in range(60)]
    assert 15 < sum(look.left for look in looks) < 45
    brightness = np.array([look.back.mean() for look in looks])
    assert brightness.min() < 0.05
    assert brightness.max() > 0.55


# --- The stream


def test_the_stream_is_the_same_each_time_and_for_each_source():
    source = Virtual(SMALL, seed=4, rate=5.0, paced=False, seconds=4)
    first, again = list(source), list(source)
    other = film(4, seed=4, rate=5.0)
    for frames in (again, other):
        assert [f.image.tobytes() for f in frames] == [f.image.tobytes() for f in first]
        assert [(f.time, f.truth) for f in frames] == [(f.time, f.truth) for f in first]


def test_another_seed_is_another_stream():
    one, other = film(0.1, seed=1), film(0.1, seed=2)
    assert difference(one[0].image, other[0].image) > 10


def test_time_advances_by_one_over_the_rate():
    frames = film(2, rate=8.0)
    assert [f.time for f in frames] == [n / 8 for n in range(16)]
    assert all(f.name is None for f in frames)


def test_truth_covers_every_label_equally_and_never_repeats(long_film):
    held = [truth for truth, _ in itertools.groupby(f.truth for f in long_film)]
    gestures = held[::2]
    assert held[1::2] == [None] * (len(held) // 2)  # every other stretch is on the way
    assert None not in gestures
    assert all(a != b for a, b in itertools.pairwise(gestures))
    counts = Counter(gestures)
    assert set(counts) == set(LABELS)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_gestures_are_held_and_moves_are_short(long_film):
    stretches = [
        (truth, len(list(frames)))
        for truth, frames in itertools.groupby(f.truth for f in long_film)
    ][1:-1]
    for truth, frames in stretches:
        least, most = (0.3, 0.5) if truth is None else (1.5, 3.0)  # seconds
        assert least - 1 / RATE < frames / RATE < most + 1 / RATE


def test_background_is_the_scene_without_a_hand_up_to_noise(long_film):
    room = Scene.random(5, SMALL).room
    empty = [difference(f.image, room) for f in long_film if f.truth == "background"]
    shown = [difference(f.image, room) for f in long_film if f.truth in GESTURES]
    assert max(empty) < 4.5 < 1.5 * max(empty) < min(shown)


def test_the_stream_is_continuous(long_film):
    pairs = list(itertools.pairwise(long_film))
    steady = [difference(a.image, b.image) for a, b in pairs if a.truth and a.truth == b.truth]
    firsts = {f.truth: f.image for f in long_film if f.truth}
    jumps = [difference(a, b) for a, b in itertools.combinations(firsts.values(), 2)]
    assert np.mean(steady) < 0.5 * min(jumps)


def test_only_the_labels_asked_for_are_shown():
    assert {f.truth for f in film(6, rate=RATE, labels=("fist", "palm"))} == {"fist", "palm", None}
    assert {f.truth for f in film(4, rate=RATE, labels=("background",))} == {"background", None}


# --- Pace and end


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self, monkeypatch):
        self.now, self.slept = 100.0, []
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self.sleep)

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def test_a_paced_stream_waits_until_each_frame_is_due(monkeypatch):
    clock = Clock(monkeypatch)
    arrivals = [clock.now for _ in Virtual(SMALL, rate=10.0, seconds=1.0)]
    assert arrivals == pytest.approx([100 + n / 10 for n in range(10)])


def test_a_late_reader_gets_no_backlog(monkeypatch):
    clock = Clock(monkeypatch)
    stream = iter(Virtual(SMALL, rate=10.0))
    next(stream)
    clock.now += 5.0
    arrivals = [clock.now for _ in itertools.islice(stream, 3)]
    assert arrivals == pytest.approx([105.0, 105.1, 105.2])


def test_an_unpaced_stream_never_sleeps(monkeypatch):
    clock = Clock(monkeypatch)
    assert len(film(1)) == 15
    assert clock.slept == []


def test_close_ends_the_iteration_and_the_next_starts_anew():
    source = Virtual(SMALL, paced=False)
    stream = iter(source)
    first = next(stream)
    source.close()
    source.close()
    assert list(stream) == []
    assert next(iter(source)).image.tobytes() == first.image.tobytes()


def test_a_with_block_closes():
    with Virtual(SMALL, paced=False) as source:
        stream = iter(source)
        next(stream)
    assert list(stream) == []


# --- Refusals


def test_an_unknown_label_suggests_the_right_one():
    with pytest.raises(SourceError, match="did you mean 'palm'"):
        draw("plam", Scene.random(0, SMALL), 0)
    with pytest.raises(SourceError, match="did you mean 'vsign'"):
        Virtual(labels=("fist", "vsing"))


@pytest.mark.parametrize(
    "options",
    [
        {"size": (0, 48)},
        {"size": (64, 100_000)},
        {"rate": 0},
        {"rate": -1.0},
        {"rate": math.nan},
        {"rate": math.inf},
        {"seconds": -1.0},
        {"seconds": math.nan},
        {"labels": ()},
        {"seed": -1},
    ],
)
def test_senseless_options_are_refused(options):
    with pytest.raises(SourceError, match="virtual:"):
        Virtual(**options)


def test_a_scene_refuses_a_senseless_size_and_seed():
    with pytest.raises(SourceError, match="8x8"):
        Scene.random(0, (8, 8))
    with pytest.raises(SourceError, match="seed -1"):
        Scene.random(-1)
