"""Sessions that are one recording: found by their pictures, whatever their folders are called."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

from edge.pictures import read_picture
from edge.sources.virtual import Scene, draw
from trainer.dataset import read_dataset
from trainer.repeats import join_repeating


def save(path, image, quality=92):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=quality)


def save_again(picture, path):
    """Save a picture as another program might: smaller, and at another quality."""
    save(path, PIL.Image.fromarray(read_picture(picture)).resize((40, 30)), quality=70)


def sessions_of(root):
    return join_repeating(read_dataset(root)).sessions()


def test_sessions_of_their_own_stay_apart(make_data):
    dataset = read_dataset(make_data(sessions=3, pictures=6))
    assert join_repeating(dataset) is dataset


def test_a_session_saved_again_is_the_same_recording_for_every_label(make_data):
    root = make_data(sessions=2, pictures=6)
    for picture in sorted((root / "fist" / "s1").iterdir()):
        save_again(picture, root / "fist" / "copy" / picture.name)
    dataset = join_repeating(read_dataset(root))
    assert dataset.sessions() == {
        "background": {"s0", "copy+s1"}, "fist": {"s0", "copy+s1"}, "palm": {"s0", "copy+s1"}
    }  # fmt: skip
    assert "the pictures of sessions copy and s1 nearly repeat each other" in dataset.notes[-1]
    assert len(dataset.pictures) == 42  # none is lost


def test_sessions_that_each_repeat_the_next_are_one(make_data):
    root = make_data(sessions=4, pictures=6)
    for number in range(3):
        for picture in sorted((root / "palm" / f"s{number}").iterdir()):
            save_again(picture, root / "palm" / f"s{number + 1}" / f"again-{picture.name}")
    assert sessions_of(root)["palm"] == {"s0+3"}


def test_a_film_dealt_out_to_two_folders_is_one_recording(tmp_path):
    for room in range(3):
        scene = Scene.random(room, (64, 48))
        for label in ("fist", "palm"):
            for number in range(12):
                session = f"room{room}" if room else f"room0{'ab'[number % 2]}"
                # A hand that hardly moves between one frame and the next.
                image = PIL.Image.fromarray(draw(label, scene, number // 2))
                save(tmp_path / label / session / f"{number}.jpg", image)
    assert sessions_of(tmp_path)["fist"] == {"room0a+room0b", "room1", "room2"}


def test_the_empty_scene_of_a_camera_that_stays_joins_nothing(make_data):
    root = make_data(sessions=2, pictures=6)
    for picture in sorted((root / "background" / "s0").iterdir()):
        save_again(picture, root / "background" / "s1" / f"again-{picture.name}")
    assert sessions_of(root)["fist"] == {"s0", "s1"}


@pytest.mark.parametrize("copies", [0, 1])
def test_a_single_picture_like_another_is_chance(make_data, copies):
    root = make_data(sessions=2, pictures=6)
    for picture in sorted((root / "fist" / "s0").iterdir())[:copies]:
        save_again(picture, root / "fist" / "s1" / f"again-{picture.name}")
    assert sessions_of(root)["fist"] == {"s0", "s1"}


def test_a_dark_picture_in_each_session_joins_nothing(make_data):
    root = make_data(sessions=3, pictures=6)
    rng = np.random.default_rng(0)
    for folder in sorted(root.glob("*/*")):
        dark = rng.normal(6, 1.5, (48, 64, 3)).clip(0, 255).astype(np.uint8)
        save(folder / "dark.jpg", PIL.Image.fromarray(dark))
    assert sessions_of(root)["fist"] == {"s0", "s1", "s2"}


def test_other_gestures_in_the_same_room_and_a_picture_of_many_join_nothing(tmp_path):
    """Alike is not enough, nor is one label's hand in another's session, nor two of many."""
    for session in range(2):
        for label, first in (("fist", 0), ("palm", 100)):
            for number in range(50):
                image = draw(label, Scene.random(0, (64, 48)), first + 50 * session + number)
                path = tmp_path / label / f"s{session}" / f"{number}.jpg"
                save(path, PIL.Image.fromarray(image))
    for number in range(10):
        save_again(tmp_path / "fist" / "s0" / f"{number}.jpg", tmp_path / f"palm/s1/x{number}.jpg")
    for number in range(3):
        save_again(tmp_path / "fist" / "s0" / f"{number}.jpg", tmp_path / f"fist/s1/x{number}.jpg")
    assert sessions_of(tmp_path) == {"fist": {"s0", "s1"}, "palm": {"s0", "s1"}}


def test_recordings_without_pictures_are_left_as_they_are(tmp_path):
    for name in ("a/1", "a/2", "b/1", "b/2"):
        (tmp_path / "rock" / name).with_suffix(".points").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "rock" / name).with_suffix(".points").write_text("a hand")
    assert sessions_of(tmp_path) == {"rock": {"a", "b"}}
