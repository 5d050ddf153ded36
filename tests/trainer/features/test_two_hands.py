"""Two hands found, followed and described, with MediaPipe's real weights."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.classifier import Classifier, open_session
from edge.frame import Frame
from edge.sources.virtual import Scene, draw
from trainer.dataset import read_dataset
from trainer.errors import DataError
from trainer.export import export
from trainer.features import make_features
from trainer.features.landmarks import STATE
from trainer.features.two_hands import REST
from trainer.features.two_poses import PLACES, SECOND
from trainer.recipe import teach

SIZE = (320, 240)
ONE = slice(-47, None)
"""The features of the hand further left, or the only one."""
OTHER = slice(0, 47)
NEARNESS = slice(47, 47 + len(PLACES) ** 2)
ROOM = draw("background", Scene.random(9, SIZE), 0)


@pytest.fixture(scope="module")
def two(real_kind):
    return real_kind("two-hands")


@pytest.fixture(scope="module")
def hand(real_kind):
    return real_kind("hand")


@pytest.fixture
def stream(two):
    """Return a function that shows frames one after the other: how many hands it sees in each."""
    session = open_session(two.model.SerializeToString(), "two-hands")

    def show(frames):
        state, seen = np.zeros(2 * STATE, np.float32), []
        for frame in frames:
            row, state = session.run(["features", "next_state"], {"image": frame, "state": state})
            seen.append(int(row[SECOND] > 0) + int(row[-1] > 0))
        return seen

    return show


def gesture(label, seed=0):
    return draw(label, Scene.random(seed, SIZE), 0)


def beside(left, right):
    """Two hands in one picture, the right one's mirrored."""
    return np.concatenate([left, right[:, ::-1]], axis=1)


def away(one, other):
    return np.linalg.norm(one - other) / np.linalg.norm(one)


@pytest.mark.parametrize("right", ["palm", "fist", "vsign", "point"])
def test_each_of_two_hands_says_what_it_says_alone(two, hand, right):
    here, there = gesture("palm", 1), gesture(right, 2)
    both = two(beside(here, there))
    assert away(hand(here), both[ONE]) < 0.2
    assert away(hand(np.ascontiguousarray(there[:, ::-1])), both[OTHER]) < 0.2
    assert both[SECOND] == both[OTHER][-1] > 0.9


@pytest.mark.parametrize("place", [0, 1])
def test_a_hand_alone_says_exactly_what_it_says_to_hand_wherever_it_is(two, hand, place):
    halves = [ROOM, ROOM]
    halves[place] = gesture("vsign", 3)
    picture = np.concatenate(halves, axis=1)
    row = two(picture)
    np.testing.assert_array_equal(row[ONE], hand(picture))
    assert hand(picture).any()
    assert not row[:-47].any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 640), (640, 1), (37, 101), (480, 640)])
def test_where_there_is_no_hand_all_is_zero(two, shape):
    for value in (0, 128, 255):
        assert not two(np.full((*shape, 3), value, np.uint8)).any()
    assert not two(np.concatenate([ROOM, ROOM], axis=1)).any()


def test_hands_that_change_places_change_places(two):
    palm, fist = gesture("palm", 1), gesture("fist", 2)
    one, other = two(beside(palm, fist)), two(beside(fist, palm))
    assert away(one[ONE], other[ONE]) > 0.5  # each is mirrored, so only much alike
    assert away(one[ONE][:25], other[OTHER][:25]) < 0.3


def test_hands_that_come_closer_are_nearer_and_never_twice_the_same(two):
    palm, fist = gesture("palm", 1), gesture("fist", 2)
    wide, close = beside(palm, fist), beside(palm[:, :250], fist[:, :250])
    apart, together = two(wide)[NEARNESS], two(close)[NEARNESS]
    assert (together > apart).mean() > 0.9
    assert ((apart > 0) & (together < 1)).all()


def test_a_hand_that_stays_alone_is_never_two(stream):
    frames = [
        cv2.warpAffine(gesture("palm", 1), np.float32([[1, 0, shift], [0, 1, 0]]), SIZE)
        for shift in (*range(0, 40, 4), *range(40, 0, -4))
    ]
    assert stream(frames) == [1] * len(frames)


def test_a_second_hand_is_seen_when_it_comes_and_not_when_it_has_gone(stream):
    palm, fist = gesture("palm", 1), gesture("fist", 2)
    alone, both = beside(palm, ROOM), beside(palm, fist)
    seen = stream([alone] * 5 + [both] * 20 + [alone] * 5)
    assert seen[:5] == [1] * 5
    assert seen[5 + 3 * (1 + REST) : 25] == [2] * (20 - 3 * (1 + REST))
    assert seen[25:] == [1] * 5


def test_the_first_hand_may_go_and_the_second_stays(stream):
    palm, fist = gesture("palm", 1), gesture("fist", 2)
    both, left = beside(palm, fist), beside(ROOM, fist)
    assert stream([both] * 3 + [left] * 6) == [2] * 3 + [1] * 6


def test_a_hand_that_is_only_likely_is_looked_at_again_in_the_next_frame(two):
    """It is sure enough to be found, and not to be followed: it must not wait its turn."""
    session = open_session(two.model.SerializeToString(), "two-hands")
    both = beside(gesture("palm", 1), gesture("fist", 2))
    _, state = session.run(["features", "next_state"], {"image": both})
    state[0] = 0.6
    row, state = session.run(["features", "next_state"], {"image": both, "state": state})
    assert row[SECOND] > 0.9
    assert row[-1] > 0.9
    assert (np.hypot(state[[4, 10]], state[[5, 11]]) < 1.01).all(), "directions, and no counters"


def test_two_hands_are_followed_without_a_search(two):
    """Where they are followed, it sees them in what the detector would not look at."""
    session = open_session(two.model.SerializeToString(), "two-hands")
    both = beside(gesture("palm", 1), gesture("fist", 2))
    still, state = session.run(["features", "next_state"], {"image": both})
    assert state[0] > 0.9
    assert state[STATE] > 0.9
    for _ in range(3):
        again, state = session.run(["features", "next_state"], {"image": both, "state": state})
        assert away(still, again) < 0.1


@pytest.mark.usefixtures("hands")
def test_it_is_one_way_to_look_for_hands():
    with pytest.raises(DataError, match="two of these look for the same"):
        make_features("hand+two-hands")
    assert make_features("two-hands+face").state == 3 * STATE


def test_a_model_tells_gestures_of_two_hands_and_of_one(two, tmp_path, save_picture):
    shown = {
        "both": lambda n: beside(gesture("palm", n), gesture("palm", n + 50)),
        "mixed": lambda n: beside(gesture("palm", n), gesture("fist", n + 50)),
        "alone": lambda n: beside(gesture("palm", n), ROOM),
    }
    for label, picture in shown.items():
        for number in range(8):
            save_picture(tmp_path / "data" / label / "s" / f"{number}.png", picture(number))
    taught = teach(read_dataset(tmp_path / "data"), two, seed=0)
    card = export(taught, tmp_path / "model.onnx")
    assert card.state == 2 * STATE
    classifier = Classifier(tmp_path / "model.onnx")
    right = [
        classifier.predict(Frame(picture(n), 10.0 * n + k)).label == label
        for k, (label, picture) in enumerate(shown.items())
        for n in range(20, 26)
    ]
    assert np.mean(right) > 0.9
