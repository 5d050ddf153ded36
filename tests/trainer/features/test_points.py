"""Recordings that keep no pictures: points in, features out, and nobody to be seen."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from edge.classifier import Classifier, open_session
from edge.errors import PictureError
from edge.sources.turning import Turn, turn
from edge.sources.virtual import Scene, draw
from trainer.cli import main
from trainer.dataset import read_dataset
from trainer.describe import describe
from trainer.errors import DataError
from trainer.features import make_features, poses
from trainer.features import points as points_module
from trainer.features.points import (
    Points,
    describe_points,
    draw_points,
    find,
    look_at,
    mirrored,
    read_points,
    turned_points,
    vary,
    write_points,
)
from trainer.features.poses import CLOUDS

SIZE = (320, 240)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def palm(hands):
    return draw("palm", Scene.random(0, SIZE), 0)


@pytest.fixture
def recorded(hands, tmp_path):
    """Two labels, two sessions, three times the points of a hand."""
    for label in ("fist", "palm"):
        for session in range(2):
            folder = tmp_path / "data" / label / f"s{session}"
            folder.mkdir(parents=True)
            for number in range(3):
                image = draw(label, Scene.random(session, SIZE), number)
                write_points(find("hand", image), folder / f"{number}.points")
    return tmp_path / "data"


def test_points_say_what_the_picture_would_have_said(palm, rng):
    points = find("hand", palm)
    assert points.size == SIZE
    rows = describe_points(points, rng, copies=0)
    np.testing.assert_allclose(rows[0], make_features("hand")(palm), atol=1e-3)


def test_varied_points_are_of_the_same_gesture_and_not_the_same(hands, rng):
    palm, fist = (find("hand", draw(label, Scene.random(0, SIZE), 0)) for label in ("palm", "fist"))
    rows = describe_points(palm, rng, copies=8)
    other = describe_points(fist, rng, copies=0)[0]
    apart = np.linalg.norm(rows[1:] - rows[0], axis=1)
    assert (apart > 0.05).all()
    assert apart.max() < np.linalg.norm(other - rows[0])


def test_varied_points_are_tilted_out_of_the_picture(palm, rng, monkeypatch):
    """Without jitter it is the same hand in space, turned: as far from its wrist as before."""
    monkeypatch.setitem(points_module.JITTER, "hand", 0.0)
    found = np.array(find("hand", palm).found, np.float32)
    varied = vary(found, "hand", rng)
    start, stop = CLOUDS["hand"][0]
    before, after = (one[start:stop].reshape(-1, 3) for one in (found, varied))
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(
        np.linalg.norm(after, axis=1), np.linalg.norm(before, axis=1), atol=1e-4
    )


def test_mirrored_points_are_those_of_the_mirrored_picture(hands, palm, rng):
    points = find("hand", palm)
    other = find("hand", np.ascontiguousarray(palm[:, ::-1]))
    rows = describe_points(points, rng, copies=2, mirror=True)
    theirs = describe_points(other, rng, copies=0)[0]
    assert np.linalg.norm(rows[1] - theirs) < 0.5 * np.linalg.norm(rows[2] - theirs)
    twice = mirrored(mirrored(np.array(points.found, np.float32), "hand"), "hand")
    np.testing.assert_allclose(twice, points.found, atol=1e-6)


@pytest.mark.parametrize("how", [(1, 0), (0, 1), (1, 1)])
def test_points_are_turned_as_their_picture_is(hands, palm, rng, how):
    flip = Turn(horizontal=bool(how[0]), vertical=bool(how[1]))
    points = turned_points(find("hand", palm), flip)
    shown = draw_points(points).mean(axis=2) < 200
    other = turn(draw_points(find("hand", palm)), flip).mean(axis=2) < 200
    assert (shown & other).sum() > 0.7 * (shown | other).sum()


def test_the_points_of_a_face_are_not_mirrored(rng):
    face = Points("face", SIZE, [0.5] * 1410)
    with pytest.raises(DataError, match="--mirror"):
        mirrored(np.array(face.found, np.float32), "face")


def test_where_nothing_was_found_nothing_varies(hands, rng):
    nothing = find("hand", np.zeros((60, 80, 3), np.uint8))
    assert not any(nothing.found)
    assert not describe_points(nothing, rng, copies=2).any()
    found = np.array(nothing.found, np.float32)
    assert vary(found, "hand", rng) is found


def test_a_file_comes_back_as_it_was(palm, tmp_path):
    points = find("hand", palm)
    write_points(points, tmp_path / "a.points")
    assert read_points(tmp_path / "a.points") == points
    assert (tmp_path / "a.points").stat().st_size < 3000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"\xff\xd8 a picture",
        b'{"kind":"hand","size":[4,4],"found":[1,2]}',
        b'{"kind":"foot","size":[4,4],"found":[]}',
        json.dumps({"kind": "hand", "size": [0, 4], "found": [0] * 133}).encode(),
        json.dumps({"kind": "hand", "size": [4, 4], "found": [1e300] * 133}).encode(),
        json.dumps({"kind": "hand", "size": [4, 4], "found": [0] * 133, "format": 2}).encode(),
        b" " * 200_000,
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, content):
    path = tmp_path / "bad.points"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=r"bad\.points: ") as caught:
        read_points(path)
    assert "\n" not in str(caught.value)


def test_a_drawing_shows_the_hand_where_it_was(palm, tmp_path):
    points = find("hand", palm)
    drawing = draw_points(points)
    assert drawing.shape == (240, 320, 3)
    rows, columns = np.nonzero(drawing.mean(axis=2) < 200)
    place = np.array(points.found[-4:-1]) * 320
    assert abs(columns.mean() - 160 - place[0]) < 40
    assert abs(rows.mean() - 120 - place[1]) < 40
    write_points(points, tmp_path / "a.points")
    np.testing.assert_array_equal(look_at(tmp_path / "a.points"), drawing)
    assert (draw_points(Points("hand", SIZE, [0.0] * 133)) == 255).all()


def test_a_model_learns_from_points_alone_and_runs_on_pictures(recorded, tmp_path):
    out = tmp_path / "model.onnx"
    arguments = ["train", str(recorded), "-o", str(out), "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["features"], told["pictures"]) == ("hand", 12)
    classifier = Classifier(out)
    for label in ("fist", "palm"):
        image = draw(label, Scene.random(7, SIZE), 0)
        probabilities, novelty = classifier.run(image)
        assert classifier.labels[probabilities.argmax()] == label
        assert novelty < 1000
    assert "nearly repeat" not in result.stderr
    assert "data:image" in out.with_name("report.html").read_text(), "points are drawn in it"


def test_other_features_want_pictures(recorded):
    with pytest.raises(DataError, match="--features hand"):
        describe(read_dataset(recorded), make_features("pixels"))


def test_capture_keeps_points_and_no_picture(hands, tmp_path):
    data = tmp_path / "data"
    for label in ("palm", "background"):
        arguments = [
            "capture",
            label,
            "-n",
            "3",
            "--source",
            "virtual:1",
            "--keep",
            "hand",
            "--countdown",
            "0",
        ]
        result = CliRunner().invoke(main, [*arguments, "--data", str(data)])
        assert result.exit_code == 0, result.output
        assert "kept the points in 3 frames of" in result.stdout
    files = [path for path in data.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".points"}
    assert all(read_points(path).found[-1] > 0.5 for path in files if "palm" in path.parts)


def test_capture_says_that_no_hand_is_seen_and_keeps_nothing(hands, tmp_path):
    folder = tmp_path / "dark" / "s0"
    folder.mkdir(parents=True)
    from PIL import Image

    for number in range(4):
        Image.new("RGB", (80, 60), (number, 90, 90)).save(folder / f"{number}.png")
    arguments = ["capture", "palm", "--source", str(tmp_path / "dark"), "--keep", "hand"]
    result = CliRunner().invoke(main, [*arguments, "--data", str(tmp_path / "data")])
    assert result.exit_code == 1
    assert "nothing was recorded" in result.stderr
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").iterdir())


def test_the_format_is_what_it_was(tmp_path):
    """Files that people have must be read for ever."""
    text = '{"kind":"hand","size":[320,240],"found":' + json.dumps([0.0] * 133) + ',"format":1}'
    (tmp_path / "old.points").write_text(text)
    assert msgspec.json.encode(read_points(tmp_path / "old.points")).decode() == text.replace(
        ", ", ","
    )


def test_features_of_the_other_hand_are_those_of_its_mirrored_points(hands):
    session = open_session(poses.pose("hand").SerializeToString(), "pose")
    for seed in range(4):
        found = np.array(
            find("hand", draw("palm", Scene.random(seed, (320, 240)), 0)).found, np.float32
        )
        (row,) = session.run(["features"], {"found": found})
        (other,) = session.run(["features"], {"found": mirrored(found, "hand")})
        np.testing.assert_allclose(poses.other_hand(row), other, atol=1e-5)
        assert len(row) == poses.NUMBERS
    nothing = np.zeros((2, poses.NUMBERS), np.float32)
    np.testing.assert_array_equal(poses.other_hand(nothing), nothing)
