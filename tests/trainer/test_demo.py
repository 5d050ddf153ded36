"""The whole path as a user starts it, on a small folder of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from types import SimpleNamespace

import PIL.Image
import pytest
from click.testing import CliRunner
from rich.console import Console

import trainer.demo
from edge.config import read_config
from edge.errors import HandwaveError
from trainer.cli import main
from trainer.demo import _leds, _own_stage, _write_config, run_demo
from trainer.errors import DataError


def demo(*arguments):
    command = [sys.executable, "-m", "trainer", "demo", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_own_pictures_are_taught_exported_run_and_shown(make_data, tmp_path):
    """Two sessions in one room: one to learn from, one to show; easy on purpose."""
    labels = ("background", "fist", "palm 👍")
    data = make_data(sessions=2, pictures=8, rooms=[3, 3])
    (data / "palm").rename(data / labels[2])  # a label that TOML and matplotlib find hard
    folder = tmp_path / "out"
    done = demo(data, "-o", folder)
    assert done.returncode == 0, done.stderr
    out = done.stdout
    assert "GPIO17 GPIO18 on" in out
    assert "GPIO17 GPIO18 off" in out
    for part in ("accuracy", "trained in", "speed", "decisions", "24 pictures of sessions"):
        assert part in out
    assert "\x1b" not in out + done.stderr
    for name in ("model.onnx", "edge.toml", "loss.png", "confusion.png"):
        assert (folder / name).stat().st_size > 100
        assert str(folder / name) in out.replace("\n", "")
    for name in ("loss.png", "confusion.png"):
        with PIL.Image.open(folder / name) as picture:
            picture.verify()
    assert set(read_config(folder / "edge.toml").when) == set(labels[1:])
    assert len(list((folder / "stream").rglob("*.jpg"))) == 24
    assert len(list(data.rglob("*.jpg"))) == 48  # the user's own are all still there


def test_ctrl_c_is_one_line_that_says_where_things_are(monkeypatch, tmp_path):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.demo, "run_demo", stopped)
    done = CliRunner().invoke(main, ["demo", "-o", str(tmp_path)], prog_name="trainer")
    assert done.exit_code == 1
    assert done.stderr == f"trainer: stopped; whatever it had made by then is in {tmp_path}\n"


def test_one_picture_a_label_is_one_line_and_nothing_is_made(make_data, tmp_path):
    arguments = ["demo", make_data(sessions=1, pictures=1), "-o", tmp_path / "out"]
    done = CliRunner().invoke(main, [str(a) for a in arguments], prog_name="trainer")
    assert (done.exit_code, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("trainer: ")
    assert "one picture a label leaves nothing to show" in line
    assert not (tmp_path / "out").exists()


def test_one_session_a_label_shows_its_end_and_says_that_this_flatters(make_data, tmp_path):
    data = make_data(sessions=1, pictures=12)
    stage = _own_stage(data, tmp_path / "out")
    taught = {picture.path.name for picture in stage.dataset.pictures}
    assert len(taught) == 9
    assert "flatters" in stage.about
    shown = list((tmp_path / "out" / "stream").rglob("*.*"))
    assert len(shown) == 3 * len(stage.dataset.labels)


@pytest.mark.parametrize("labels", [("palm",), ()])
def test_pictures_that_cannot_be_taught_are_refused_and_nothing_is_made(
    make_data, tmp_path, labels
):
    data = make_data(labels=labels, sessions=2, pictures=1) if labels else tmp_path / "missing"
    with pytest.raises(DataError):
        run_demo(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_things_in_it_is_never_overwritten(make_data, tmp_path):
    """`trainer demo -o gestures` would otherwise replace the user's gestures/data by drawings."""
    root = make_data("gestures/data", sessions=2, pictures=1).parent
    (root / "edge.toml").write_text("mine")
    before = sorted(root.rglob("*"))
    for data in (None, root / "data"):
        with pytest.raises(DataError, match="no demo made"):
            run_demo(data, root)
    assert sorted(root.rglob("*")) == before
    assert (root / "edge.toml").read_text() == "mine"


def test_the_demos_own_stream_is_no_data_for_it(make_data, tmp_path):
    data = make_data("out/stream", sessions=2, pictures=1)
    (tmp_path / "out" / trainer.demo.MARK).touch()
    with pytest.raises(DataError, match="its own pictures"):
        run_demo(data, tmp_path / "out")
    assert len(list(data.rglob("*.jpg"))) == 6


def test_a_folder_that_cannot_be_made_is_one_line(make_data, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written to"):
        run_demo(make_data(sessions=2, pictures=1), tmp_path / "file" / "out")


def test_a_second_demo_takes_the_first_ones_folder(make_data, tmp_path):
    data = make_data(sessions=2, pictures=1)
    for _ in range(2):
        stage = _own_stage(data, tmp_path / "out")
    assert len(list((tmp_path / "out" / "stream").rglob("*.jpg"))) == 3
    held = {path.parent.name for path in (tmp_path / "out" / "stream").rglob("*.jpg")}
    assert not held & {picture.session for picture in stage.dataset.pictures}


def test_an_edge_toml_that_somebody_made_theirs_is_kept_beside_the_new_one(tmp_path):
    (tmp_path / trainer.demo.MARK).touch()
    one, other = (SimpleNamespace(labels=["background", label]) for label in ("fist", "palm"))
    path = _write_config(one, tmp_path)
    _write_config(other, tmp_path)
    assert not (tmp_path / "edge.toml.old").exists(), "that was a demo's own"
    path.write_text("mine")
    _write_config(other, tmp_path)
    assert (tmp_path / "edge.toml.old").read_text() == "mine"
    assert "palm" in path.read_text()


def test_a_stream_nobody_can_read_is_one_line(make_data, tmp_path, quick, monkeypatch):
    """And however much the service complains about it, it never stops for a full pipe."""
    data = make_data(labels=("fist", "palm"), sessions=2, pictures=1)
    stage = _own_stage(data, tmp_path / "out")
    monkeypatch.setattr(trainer.demo, "_own_stage", lambda *_: stage)
    shutil.rmtree(tmp_path / "out" / "stream")
    for number in range(900):
        path = tmp_path / "out" / "stream" / "palm" / ("long " * 15) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"?")
    with (
        (tmp_path / "said").open("w") as said,
        pytest.raises(HandwaveError, match="not one picture"),
    ):
        run_demo(data, tmp_path / "out", Console(file=said))


def test_every_gesture_gets_an_led_of_its_own_and_background_none(tmp_path):
    labels = ["background", "C++", '"quoted"', "back\\slash", "手", "👍🏽", "a.b", "it's"]
    pins = _leds(labels)
    assert set(pins) == set(labels[1:])
    assert len(set(pins.values())) == len(pins)
    config = read_config(_write_config(SimpleNamespace(labels=labels), tmp_path))
    assert set(config.when) == set(labels[1:])


def test_more_gestures_than_pins_are_fine(tmp_path):
    labels = [f"g{number}" for number in range(40)]
    config = read_config(_write_config(SimpleNamespace(labels=labels), tmp_path))
    assert 10 <= len(config.when) < 40


def test_what_is_drawn_is_the_same_every_time_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer.demo, "ROOMS", 2)
    monkeypatch.setattr(trainer.demo, "PICTURES", 1)
    monkeypatch.setattr(trainer.demo, "SIZE", (64, 48))
    stages = [trainer.demo._drawn_stage(tmp_path / name) for name in ("a", "b", "a")]
    pictures = [[p.path.read_bytes() for p in stage.dataset.pictures] for stage in stages]
    assert pictures[0] == pictures[1]
    assert len(pictures[0]) == 12
    assert {len(found) for found in stages[0].dataset.sessions().values()} == {2}
    first = stages[0].dataset.pictures[0].path
    written = first.stat().st_mtime_ns
    trainer.demo._drawn_stage(tmp_path / "a")
    assert first.stat().st_mtime_ns == written  # not drawn again
    first.unlink()
    trainer.demo._drawn_stage(tmp_path / "a")
    assert first.exists()  # an incomplete set is
