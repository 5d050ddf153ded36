"""Hands and faces found, followed and described, with MediaPipe's real weights."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace

import cv2
import numpy as np
import onnx
import PIL.Image
import pytest
from matplotlib.cbook import get_sample_data

import trainer.export
import trainer.learn
from edge.classifier import Classifier, open_session
from edge.frame import Frame
from edge.sources.virtual import Scene, draw
from trainer.calibrate import NOT_FOUND_NOVELTY
from trainer.dataset import read_dataset
from trainer.errors import DataError
from trainer.export import export
from trainer.features import join, make_features
from trainer.features.landmarks import STATE, landmarks
from trainer.features.subjects import HAND, HAND_FULL
from trainer.recipe import teach

SIZE = (320, 240)
SIZES = [(1, 1), (8, 8), (1, 640), (640, 1), (3, 5), (37, 101), (480, 640)]
CLOSE = cv2.resize(draw("palm", Scene.random(0, SIZE), 0)[60:180, 80:240], SIZE)
"""A palm that fills the picture, and more."""


@pytest.fixture(scope="module")
def hand(real_kind):
    return real_kind("hand")


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


def test_the_larger_networks_see_the_same_hand(hand, hands):
    closer = make_features("hand-full")
    assert closer.size == hand.size
    assert closer.state == hand.state
    assert closer.licences == hand.licences
    assert closer.file_size > 1.5 * hand.file_size
    assert min(search.sure for search in HAND_FULL.searches) >= 0.9, "half a face is no hand"
    for gesture in ("palm", "vsign"):
        image = draw(gesture, Scene.random(3, SIZE), 0)
        assert 0 < away(closer(image), hand(image)) < 0.25, gesture
    assert not closer(draw("background", Scene.random(9, SIZE), 0)).any()


@pytest.mark.usefixtures("hands")
def test_a_hand_is_looked_for_only_once():
    with pytest.raises(DataError, match="two of these look for the same"):
        make_features("hand-full+edges+hand")
    assert make_features("hand-full+face").state == 2 * STATE


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


def looking_once(step):
    """Return the state of a stream that showed nobody so far."""
    return np.array([0, 0, 0, step, 0, 0], np.float32)


def test_a_close_hand_is_found_in_the_smaller_size(follow):
    features, state = follow(CLOSE)
    assert features[-1] > 0.8
    in_one_size_only = follow(CLOSE, looking_once(1))
    assert not in_one_size_only[0].any()
    found, state_after = follow(CLOSE, in_one_size_only[1])
    assert away(found, features) < 1e-6
    assert away(state_after, state) < 1e-6


def test_a_far_hand_is_found_in_the_largest_size(follow):
    picture = palm(3)
    far = cv2.GaussianBlur(picture, (0, 0), 50)
    far[96:144, 128:192] = cv2.resize(picture, (64, 48), interpolation=cv2.INTER_AREA)
    features, _ = follow(far)
    assert features[-1] > 0.8
    for step in (1, 2):
        assert not follow(far, looking_once(step))[0].any()
    assert away(follow(far, looking_once(3))[0], features) < 1e-6


def test_what_is_found_in_the_largest_size_must_be_surer_than_what_is_followed(hands):
    image = palm()

    def found(of_the_largest):
        *others, largest = HAND.searches
        subject = replace(HAND, searches=(*others, largest._replace(sure=of_the_largest)))
        session = open_session(landmarks(subject).SerializeToString(), "hand")
        return [
            session.run(["found", "next_state"], {"image": image, "state": state})
            for state in (looking_once(3), followed)
        ]

    _, followed = open_session(landmarks(HAND).SerializeToString(), "hand").run(
        ["found", "next_state"], {"image": image}
    )
    (searched, _), (still_seen, _) = found(1.1)  # surer than anything can be
    assert not searched.any()
    assert still_seen.any()
    (searched, _), _ = found(0.5)
    assert searched.any()


def test_a_stream_that_shows_nobody_is_searched_in_one_size_a_frame(follow):
    room = draw("background", Scene.random(0, SIZE), 0)
    _, first = follow(room)
    steps = []
    state = first
    for _ in range(6):
        steps.append(state[3])
        _, state = follow(room, state)
    assert steps == [1, 2, 3, 1, 2, 3]
    all_of_them = seconds(lambda: follow(room))
    for step, share in ((1, 0.4), (2, 0.3), (3, 0.8)):
        assert seconds(lambda step=step: follow(room, looking_once(step))) < share * all_of_them


def test_a_hand_that_was_lost_is_searched_for_in_one_size_a_frame_too(follow):
    believed_in_a_corner = np.array([1, 5, 5, 10, 0, -1], np.float32)
    features, state = follow(CLOSE, believed_in_a_corner)
    assert not features.any()
    assert state[3] == 2
    assert away(follow(CLOSE, state)[0], follow(CLOSE)[0]) < 1e-6


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e30, 0.4])
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
    assert classifier.run(nobody)[1] > NOT_FOUND_NOVELTY / 2 > card.thresholds.novelty


@pytest.mark.usefixtures("hands", "quick")
def test_a_picture_that_other_processors_may_see_otherwise_is_no_golden_frame(
    hand, make_data, tmp_path, monkeypatch
):
    root = make_data(labels=("fist", "palm"), sessions=2, pictures=3, size=SIZE)
    taught = teach(read_dataset(root), hand, hidden=8)
    usual = export(taught, tmp_path / "usual.onnx").golden
    asked = []

    class Shaky:
        def __init__(self, model):
            self.session = plain(model)

        def run(self, outputs, feed):
            asked.append(feed["image"])
            (probabilities,) = self.session.run(outputs, feed)
            return [probabilities + 0.001 * (len(asked) == 1)]

    plain = trainer.export._unoptimised
    monkeypatch.setattr(trainer.export, "_unoptimised", Shaky)
    fist, palm = export(taught, tmp_path / "other.onnx").golden
    assert fist.sha256 == hashlib.sha256(asked[1].tobytes()).hexdigest() != usual[0].sha256
    assert palm == usual[1]


def test_where_no_hand_is_found_the_rest_of_the_picture_counts(hands):
    both, edges = make_features("hand+edges"), make_features("edges")
    nobody = draw("background", Scene.random(0, SIZE), 0)
    np.testing.assert_allclose(both(nobody)[-edges.size :], edges(nobody), atol=1e-5)
    assert not both(nobody)[: -edges.size].any()
    assert not both(palm())[-edges.size :].any()


FACE_SIZES = [(1, 1), (8, 8), (1, 640), (37, 101), (480, 640)]
SKIN, HAIR, LIPS, DARK, WHITE = [
    (224, 180, 150), (60, 40, 30), (185, 90, 90), (50, 25, 25), (245, 245, 245)
]  # fmt: skip


def draw_face(*, mouth=0.0, smile=0.0, eyes=1.0, brows=0.0, radius=55, at=(160, 120), size=SIZE):
    """Draw a face that the networks take for one: how open, how wide, how high each is."""
    fine = 4
    image = np.full((size[1] * fine, size[0] * fine, 3), (120, 130, 140), np.uint8)

    def place(x, y):
        return (round((at[0] + x * radius) * fine), round((at[1] + y * radius) * fine))

    def oval(x, y, wide, high, colour, *, arc=(0, 360), thick=-1):
        axes = (round(wide * radius * fine), max(2, round(high * radius * fine)))
        cv2.ellipse(image, place(x, y), axes, 0, *arc, colour, thick)

    cv2.rectangle(image, place(-0.35, 0.8), place(0.35, 2.5), (200, 155, 125), -1)
    oval(0, 2.2, 1.6, 0.9, (60, 70, 110))
    oval(0, -0.25, 0.95, 1.2, HAIR)
    oval(0, 0.1, 0.78, 1.1, SKIN)
    for side in (-0.33, 0.33):
        oval(side, -0.12, 0.22, 0.13, (205, 160, 132))
        oval(side, -0.1, 0.16, 0.075 * eyes, WHITE)
        if eyes > 0.3:
            oval(side, -0.1, 0.065, 0.065 * min(eyes, 1.2), DARK)
        oval(side, -0.1, 0.16, 0.075 * eyes, HAIR, arc=(180, 360), thick=fine)
        oval(side, -0.27 - 0.12 * brows, 0.22, 0.08, HAIR, arc=(200, 340), thick=3 * fine)
        oval(side / 5, 0.36, 0.025, 0.025, (120, 80, 65))
    oval(0, 0.34, 0.14, 0.07, (185, 135, 110), arc=(0, 180), thick=2 * fine)
    x = np.linspace(-1, 1, 25)
    middle = 0.62 + 0.07 * smile - 0.14 * smile * x**2
    bow, wide = np.sqrt(np.maximum(0, 1 - x**2)), 0.3 + 0.08 * smile - 0.05 * mouth
    for up, down, colour in (
        (0.22 * mouth + 0.05, 0.22 * mouth + 0.07, LIPS),
        (0.22 * mouth + 0.005, 0.22 * mouth + 0.005, DARK),
    ):
        upper = [place(wide * a, b - up * c) for a, b, c in zip(x, middle, bow, strict=True)]
        lower = [place(wide * a, b + down * c) for a, b, c in zip(x, middle, bow, strict=True)]
        cv2.fillPoly(image, [np.array([*upper, *lower[::-1]], np.int32)], colour)
    return cv2.resize(cv2.GaussianBlur(image, (0, 0), 2.4), size, interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def face(mediapipe):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HANDWAVE_CACHE", str(mediapipe))
        try:
            return make_features("face")
        except DataError as missing:
            pytest.skip(str(missing))


@pytest.fixture(scope="module")
def follow_face(face):
    session = open_session(face.model.SerializeToString(), "face")

    def run(image, state=None):
        feed = {"image": image} | ({} if state is None else {"state": state})
        return session.run(["features", "next_state"], feed)

    return run


@pytest.fixture(scope="module")
def photo_of_a_face():
    """Grace Hopper, United States Navy, public domain; comes with Matplotlib."""
    with get_sample_data("grace_hopper.jpg") as file:
        image = np.asarray(PIL.Image.open(file).convert("RGB"))
    return cv2.resize(image, (256, 300), interpolation=cv2.INTER_AREA)


# What the numbers are, in order; see `trainer.features.poses`.
EYES, WIDTH, MOUTH, CHIN, CORNERS, BROWS = slice(0, 2), 4, slice(2, 4), 7, slice(8, 10), [10, 13]
SIDEWAYS, UP_DOWN, TILT = 19, 20, 21


@pytest.mark.parametrize(("height", "width"), FACE_SIZES)
def test_a_picture_without_a_face_is_all_zeros(face, height, width):
    for value in (0, 128, 255):
        assert not face(np.full((height, width, 3), value, np.uint8)).any()
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    assert not face(noise).any()


def test_a_hand_is_no_face(face):
    assert not face(palm()).any()


def test_faces_are_found_and_the_last_number_says_so(face, photo_of_a_face):
    for image in (draw_face(), draw_face(radius=30), photo_of_a_face):
        row = face(image)
        assert row.shape == (23,)
        assert row[-1] > 0.9


def test_an_open_mouth_is_open(face):
    closed, wide = face(draw_face()), face(draw_face(mouth=1))
    assert (wide[MOUTH] > closed[MOUTH] + 0.3).all()
    assert wide[CHIN] > closed[CHIN]
    assert np.allclose(wide[EYES], closed[EYES], atol=0.05)


def test_a_smile_is_wide_and_its_corners_are_up(face):
    grave, smiling = face(draw_face()), face(draw_face(smile=1))
    assert smiling[WIDTH] > grave[WIDTH] + 0.08
    assert (smiling[CORNERS] < grave[CORNERS] - 0.03).all()


def test_eyes_shut(face):
    assert (face(draw_face(eyes=0.05))[EYES] < 0.8 * face(draw_face())[EYES]).all()


def test_brows_up(face):
    assert (face(draw_face(brows=1))[BROWS] < face(draw_face())[BROWS] - 0.03).all()


def test_place_and_size_of_a_face_hardly_matter(face, photo_of_a_face):
    assert away(face(draw_face()), face(draw_face(radius=35, at=(90, 100)))) < 0.06
    wide = np.zeros((400, 640, 3), np.uint8)
    wide[80:380, 350:606] = photo_of_a_face
    assert away(face(photo_of_a_face), face(wide)) < 0.06


def test_a_head_tilted_says_so_and_shows_the_same(face, photo_of_a_face):
    upright = face(photo_of_a_face)
    height, width = photo_of_a_face.shape[:2]
    for angle in (-35, 35):  # positive: counter-clockwise in the picture, its right side goes up
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 0.9)
        tilted = face(cv2.warpAffine(photo_of_a_face, turn, (width, height)))
        assert away(upright[:19], tilted[:19]) < 0.1
        assert tilted[TILT] == pytest.approx(-np.sign(angle) * 0.37, abs=0.1)
    assert abs(upright[[SIDEWAYS, TILT]]).max() < 0.05


def test_a_face_mirrored_is_the_other_way_round(face, photo_of_a_face):
    row, mirrored = face(photo_of_a_face), face(photo_of_a_face[:, ::-1])
    for one, other in ((0, 1), (8, 9), (10, 13), (11, 14), (12, 15)):
        assert row[one] == pytest.approx(mirrored[other], abs=0.03)
    assert row[[4, 5, 6, 7]] == pytest.approx(mirrored[[4, 5, 6, 7]], abs=0.04)


def test_a_picture_by_itself_says_what_one_of_many_frames_does(follow_face, photo_of_a_face):
    for image in (photo_of_a_face, draw_face(), draw_face(mouth=1)):
        features, state = follow_face(image)
        for _ in range(3):
            again, state = follow_face(image, state)
            assert away(features, again) < 0.08
            assert state[0] > 0.9


def test_a_face_that_is_followed_needs_no_search(follow_face):
    image = draw_face()
    _, state = follow_face(image)
    assert seconds(lambda: follow_face(image, state)) < 0.6 * seconds(lambda: follow_face(image))


def test_a_face_that_has_gone_elsewhere_is_found_in_the_same_frame(follow_face):
    here = draw_face(at=(160, 120), size=(640, 240))
    there = draw_face(at=(500, 120), size=(640, 240))
    _, state = follow_face(here)
    features, after = follow_face(there, state)
    assert features[-1] > 0.9
    assert after[1] > 450
    assert away(follow_face(there)[0], features) < 0.05


def test_a_face_that_has_gone_leaves_nothing(follow_face):
    _, state = follow_face(draw_face())
    features, after = follow_face(draw("background", Scene.random(0, SIZE), 0), state)
    assert not features.any()
    assert after[0] < 0.5


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e30])
def test_a_face_state_of_nonsense_does_no_harm(follow_face, value):
    features, _ = follow_face(draw_face(), np.full(STATE, value, np.float32))
    assert np.isfinite(features).all()


def test_hands_and_faces_are_found_side_by_side(hand, face):
    both = join([hand, face])
    assert both.state == 2 * STATE
    row = both(draw_face())
    assert not row[: hand.size].any()
    np.testing.assert_allclose(row[hand.size :], face(draw_face()), atol=1e-5)
    row = both(palm())
    assert row[hand.size - 1] > 0.9
    assert not row[hand.size :].any()


def test_expressions_are_learned_from_some_faces_and_known_in_others(
    face, tmp_path, save_picture, quick, monkeypatch
):
    monkeypatch.setattr(trainer.learn, "EPOCHS", 20)
    rng = np.random.default_rng(0)
    shown = {
        "rest": {},
        "smiling": {"smile": 1},
        "surprised": {"mouth": 0.9, "brows": 1, "eyes": 1.3},
    }
    for session in range(3):
        for label, expression in shown.items():
            for number in range(3):
                image = draw_face(radius=rng.integers(35, 60), **expression)
                path = tmp_path / "data" / label / f"s{session}" / f"{number}.png"
                save_picture(path, image, quality=95)
    taught = teach(read_dataset(tmp_path / "data"), face, hidden=16)
    assert any("face mesh" in licence for licence in taught.features.licences)
    for number, expression in enumerate(shown.values()):
        row = face(draw_face(radius=50, at=(120, 110), **expression))
        assert taught.probabilities(row[None]).argmax() == number
