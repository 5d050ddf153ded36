"""Hands found, followed and described, with MediaPipe's real weights on drawn hands."""

from __future__ import annotations

import time

import cv2
import numpy as np
import onnx
import pytest

from edge.classifier import Classifier, open_session
from edge.frame import Frame
from edge.virtual import Scene, draw
from trainer.calibrate import NOTHING
from trainer.dataset import read_dataset
from trainer.export import export
from trainer.features import make_features
from trainer.landmarks import STATE
from trainer.recipe import teach

SIZE = (320, 240)
SIZES = [(1, 1), (8, 8), (1, 640), (640, 1), (3, 5), (37, 101), (480, 640)]


@pytest.fixture(scope="module")
def hand(mediapipe):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HANDWAVE_CACHE", str(mediapipe))
        return make_features("hand")


@pytest.fixture(scope="module")
def follow(hand):
    """Run a frame with a state: `(features, next_state)`."""
    session = open_session(hand.model.SerializeToString(), "hand")

    def run(image, state=None):
        feed = {"image": image} | ({} if state is None else {"state": state})
        return session.run(["features", "next_state"], feed)

    return run


def palm(seed=0):
    return draw("palm", Scene.random(seed, SIZE), 0)


def away(one, other):
    return np.linalg.norm(one - other) / np.linalg.norm(one)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_picture_without_a_hand_is_all_zeros(hand, height, width):
    for value in (0, 128, 255):
        assert not hand(np.full((height, width, 3), value, np.uint8)).any()


def test_a_drawn_hand_is_found_and_its_last_number_says_so(hand):
    for seed in range(4):
        assert hand(palm(seed))[-1] > 0.9


def test_two_gestures_are_farther_apart_than_one_from_two_people(hand):
    here, there = Scene.random(0, SIZE), Scene.random(1, SIZE)
    same = away(hand(draw("palm", here, 0)), hand(draw("palm", there, 0)))
    for label in ("fist", "vsign", "point", "thumb"):
        assert away(hand(draw("palm", here, 0)), hand(draw(label, here, 0))) > 1.5 * same


def test_place_size_and_camera_hardly_matter(hand):
    whole = palm()
    near = hand(whole)
    wide = np.zeros((480, 640, 3), np.uint8)
    wide[200:440, 30:350] = whole
    assert away(near, hand(wide)) < 0.2
    assert away(near, hand(cv2.resize(whole, (640, 480)))) < 0.1


def test_a_hand_turned_points_elsewhere_and_is_bent_the_same(hand):
    image = palm()
    middle = (SIZE[0] / 2, SIZE[1] / 2)
    turn = cv2.getRotationMatrix2D(middle, 90, 1.0)
    turned = hand(cv2.warpAffine(image, turn, SIZE, borderMode=cv2.BORDER_REPLICATE))
    upright = hand(image)
    assert away(upright[:35], turned[:35]) < 0.15
    assert away(upright[35:45], turned[35:45]) > 1.0


def test_a_hand_is_followed_and_says_the_same(follow):
    image = palm()
    features, state = follow(image)
    assert state.shape == (STATE,)
    for _ in range(3):
        again, state = follow(image, state)
        assert away(features, again) < 0.1
        assert state[0] > 0.9


def test_a_hand_that_is_followed_needs_no_search(follow):
    image = palm()
    _, state = follow(image)
    assert seconds(lambda: follow(image, state)) < 0.75 * seconds(lambda: follow(image))


def seconds(run):
    times = []
    for _ in range(9):
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    return float(np.median(times))


def test_a_hand_that_has_gone_elsewhere_is_found_in_the_same_frame(follow):
    image = palm()
    wide = np.zeros((240, 960, 3), np.uint8)
    wide[:, :320] = image
    moved = np.zeros_like(wide)
    moved[:, 640:] = image
    _, state = follow(wide)
    features, after = follow(moved, state)
    assert features[-1] > 0.9
    assert after[1] > 640
    assert away(follow(moved)[0], features) < 0.1


def test_a_hand_that_has_gone_leaves_nothing(follow):
    _, state = follow(palm())
    features, after = follow(draw("background", Scene.random(0, SIZE), 0), state)
    assert not features.any()
    assert after[0] < 0.5


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e30])
def test_a_state_of_nonsense_does_no_harm(follow, value):
    features, _ = follow(palm(), np.full(STATE, value, np.float32))
    assert np.isfinite(features).all()


def test_a_model_with_hands_follows_them_and_can_be_run_without(
    hand, hands, make_data, tmp_path, quick
):
    """The whole way: taught, exported, read by `edge`, which hands the state on."""
    root = make_data(labels=("fist", "palm"), sessions=2, pictures=3, size=SIZE)
    path = tmp_path / "model.onnx"
    card = export(teach(read_dataset(root), hand, hidden=8), path)
    assert card.state == STATE
    assert any("MediaPipe" in licence for licence in card.licences)
    outputs = [one.name for one in onnx.load(path).graph.output]
    assert outputs == ["probabilities", "novelty", "next_state"]
    classifier = Classifier(path)
    image = draw("palm", Scene.random(9, SIZE), 0)
    first = classifier.predict(Frame(image, 0.0))
    again = classifier.predict(Frame(image, 0.1))
    np.testing.assert_allclose(first.probabilities, again.probabilities, atol=0.1)
    assert classifier.run(image)[0].tolist() == first.probabilities.tolist()
    nobody = draw("background", Scene.random(9, SIZE), 0)
    assert classifier.run(nobody)[1] > NOTHING / 2 > card.thresholds.novelty


def test_where_no_hand_is_found_the_rest_of_the_picture_counts(hands):
    both, edges = make_features("hand+edges"), make_features("edges")
    nobody = draw("background", Scene.random(0, SIZE), 0)
    np.testing.assert_allclose(both(nobody)[-edges.size :], edges(nobody), atol=1e-5)
    assert not both(nobody)[: -edges.size].any()
    assert not both(palm())[-edges.size :].any()
