"""The `trainer` command as people and scripts meet it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import trainer.features.weights
import trainer.recipe
import trainer.training
from edge.classifier import Classifier
from edge.frame import Frame, Source
from edge.sources.virtual import Virtual
from trainer.cli import main
from trainer.errors import DataError
from trainer.taken import MIRROR, note


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Without asking pip, which takes its time to say so."""

    def fetch(name):
        if name in {"hand", "face"}:
            raise DataError(f"{name}: no network here")
        return trainer_fetch(name)

    trainer_fetch = trainer.features.weights.fetch
    monkeypatch.setattr(trainer.features.weights, "fetch", fetch)


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments], prog_name="trainer")


def fine(result):
    assert result.exit_code == 0, result.stderr
    return result


def error(result, *, code=1):
    """Assert an error of one line, our own and foreseen; return the line."""
    assert result.exit_code == code, (result.stdout, result.stderr)
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert "mistake of ours" not in result.stderr
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("trainer: " if code == 1 else "Error: ")
    return line


def contents(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# --- train


TRAIN_KEYS = {"model", "features", "labels", "accuracy", "sessions", "pictures", "seconds"}


def test_train_prints_one_json_value_and_nothing_else(data, tmp_path, quick):
    path = tmp_path / "m.onnx"
    result = fine(run("train", data, "-o", path, "--seed", 3, "--hidden", 5, "--json"))
    said = json.loads(result.stdout)
    assert set(said) >= TRAIN_KEYS
    assert said["model"] == str(path)
    assert said["features"] in [one["name"] for one in said["candidates"] if one["chosen"]]
    assert said["labels"] == ["background", "fist", "palm"]
    assert 0 <= said["accuracy"] <= 1
    assert (said["sessions"], said["pictures"]) == (3, 12 * len(said["labels"]))
    assert said["per_class"] == {key: {"pictures": 12, "sessions": 3} for key in said["labels"]}
    assert said["seconds"] > 0
    card = Classifier(path).card
    assert card.labels == said["labels"]
    assert (card.training.seed, card.training.hidden) == (3, 5)


def test_train_for_people_says_what_was_written_and_how_good_it_is(data, tmp_path, quick):
    result = fine(run("train", data, "-o", tmp_path / "m.onnx"))
    assert "wrote " in result.stdout
    assert "accuracy " in result.stdout
    assert "36 pictures" in result.stdout
    assert "36 pictures in 3 sessions of background, fist and palm" in result.stderr
    assert contents(tmp_path) == ["m.onnx", "report.html"]


def test_train_writes_where_it_is_told_nothing(data, tmp_path, quick, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fine(run("train", data))
    assert contents(tmp_path) == ["model.onnx", "report.html"]


def test_the_same_seed_makes_the_same_file(data, tmp_path, quick):
    for name in ("a", "b"):
        fine(run("train", data, "-o", tmp_path / name, "--seed", 1))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_train_with_a_test_folder_reports_its_accuracy(data, make_data, tmp_path, quick):
    other = make_data("other", labels=("palm", "fist"), sessions=1, pictures=2)
    result = run("train", data, "-o", tmp_path / "m.onnx", "--test", other, "--json")
    said = json.loads(fine(result).stdout)
    assert said["measured_on"] == "test"
    assert said["test"]["n"] == 4
    assert said["accuracy"] == said["test"]["accuracy"]


def test_train_draws_the_loss_curve_where_asked_to(data, tmp_path, quick):
    fine(run("train", data, "-o", tmp_path / "m.onnx", "--plots", tmp_path / "new" / "plots"))
    assert (tmp_path / "new" / "plots" / "loss.png").stat().st_size > 1000


def test_one_session_a_label_is_taught_with_a_warning_and_no_accuracy(make_data, tmp_path, quick):
    root = make_data(sessions=1, pictures=2)
    result = fine(run("train", root, "-o", tmp_path / "m.onnx", "--json"))
    assert json.loads(result.stdout)["accuracy"] is None
    assert "only one session of background, fist and palm" in result.stderr
    assert "unknown" in fine(run("train", root, "-o", tmp_path / "m.onnx")).stdout


def test_a_session_saved_again_is_no_session_of_its_own(make_data, tmp_path, quick):
    root = make_data("twice", sessions=2, pictures=6)
    for path in sorted(root.glob("*/s0/*")):
        again = path.parents[1] / "again" / path.name
        again.parent.mkdir(exist_ok=True)
        with PIL.Image.open(path) as image:
            image.resize((40, 30)).save(again, quality=70)
    result = fine(run("train", root, "-o", tmp_path / "m.onnx", "--json"))
    assert "note: the pictures of sessions again and s0 nearly repeat each other" in result.stderr
    assert json.loads(result.stdout)["validation"] == {
        "pictures": 54, "sessions": 2, "labels_absent": []
    }  # fmt: skip


def test_loose_pictures_are_taught_with_a_note(make_data, tmp_path, quick):
    root = make_data(sessions=1, pictures=3)
    for label in root.iterdir():
        for path in (label / "s0").iterdir():
            path.rename(label / path.name)
        (label / "s0").rmdir()
    result = fine(run("train", root, "-o", tmp_path / "m.onnx"))
    assert result.stderr.count("note: ") == 7  # four about weights: why not fetched, not here
    assert "note: palm: 3 pictures without a session's folder" in result.stderr


def test_the_last_word_of_a_training_without_weights_is_how_to_get_them(data, tmp_path, quick):
    result = fine(run("train", data, "-o", tmp_path / "m.onnx"))
    last = result.stderr.splitlines()[-1]
    assert last.startswith("warning: the hand ")  # the backbone's may be installed
    assert "weights are missing, " in last
    assert "; on a line with internet: trainer features fetch hand" in last
    assert "advice: The hand" not in result.stderr  # once is enough
    assert "weights are missing" in (tmp_path / "report.html").read_text()
    result = fine(run("train", data, "-o", tmp_path / "m.onnx", "--features", "pixels"))
    assert "weights are missing" not in result.stderr  # nobody asked for more


def test_unreadable_pictures_are_named_skipped_and_counted(make_data, tmp_path, quick):
    root = make_data(sessions=2, pictures=2)
    for name in ("palm/s0/0.jpg", "fist/s1/1.jpg"):
        (root / name).write_bytes(b"\0" * 99)
    result = fine(run("train", root, "-o", tmp_path / "m.onnx", "--json"))
    said = json.loads(result.stdout)
    assert len(said["skipped"]) == 2
    pictures = {label: one["pictures"] for label, one in said["per_class"].items()}
    assert pictures == {"background": 4, "fist": 3, "palm": 3}
    for name in ("palm/s0/0.jpg", "fist/s1/1.jpg"):
        assert f"skipped {root / name}: " in result.stderr
    assert "skipped 2 pictures that could not be read" in result.stderr


def test_a_thousand_unreadable_pictures_do_not_flood_the_terminal(make_data, tmp_path, quick):
    root = make_data(sessions=2, pictures=1)
    for number in range(100):
        (root / "palm" / "s0" / f"bad{number}.png").write_bytes(b"?")
    result = fine(run("train", root, "-o", tmp_path / "m.onnx"))
    assert len(result.stderr.splitlines()) < 50
    assert "skipped 100 pictures" in result.stderr


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


BAD_DATA = {
    "missing": (shutil.rmtree, "no such folder"),
    "a file": (lambda root: (shutil.rmtree(root), root.touch()), "no such folder"),
    "empty": (lambda root: [remove(p) for p in root.iterdir()], "no classes"),
    "one class": (
        lambda root: [remove(root / label) for label in ("fist", "palm")],
        "only one class",
    ),
    "empty class": (lambda root: (root / "rock").mkdir(), "no pictures of 'rock'"),
    "hidden class": (
        lambda root: (
            [remove(root / label) for label in ("fist", "palm")],
            (root / "background").rename(root / ".background"),
        ),
        "no classes",
    ),
    "all unreadable": (
        lambda root: [p.write_bytes(b"?") for p in root.rglob("*.jpg")],
        "not one picture could be read",
    ),
    "a class unreadable": (
        lambda root: [p.write_bytes(b"?") for p in (root / "palm").rglob("*.jpg")],
        "no picture of 'palm' could be read",
    ),
    "a name of stray bytes": (
        lambda root: (root / "palm").rename(root / "pa\udcfflm"),
        "rename it",
    ),
    "a folder named like a picture": (
        lambda root: (remove(root / "palm"), (root / "palm" / "1.jpg").mkdir(parents=True)),
        "no pictures of 'palm'",
    ),
}


@pytest.mark.parametrize("case", BAD_DATA)
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_data_that_cannot_be_taught_is_one_line_and_writes_nothing(
    make_data, tmp_path, quick, case, as_json
):
    change, says = BAD_DATA[case]
    root = make_data(sessions=1, pictures=1)
    change(root)
    out = tmp_path / "out"
    out.mkdir()
    assert says in error(run("train", root, "-o", out / "m.onnx", *as_json))
    assert contents(out) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--features", "edgs"], "did you mean 'edges'"),
        (["--features", "face"], "trainer features fetch face"),
        (["--features", "hand"], "trainer features fetch hand"),
        (["--features", "edges+hand"], "trainer features fetch hand"),
        (["-o", "missing/m.onnx"], "there is no folder"),
        (["-o", "file/m.onnx"], "there is no folder"),
        (["-o", "file"], "is there and may be no model"),
        (["-o", "pipe"], "is no file"),  # as /dev/null: root would replace it by a model
        (["--report", "missing/r.html"], "there is no folder"),
        (["--report", "pipe"], "choose another with --report"),
        (["-o", "m.onnx", "--report", "./m.onnx"], "would take the model's place"),
        (["-o", "report.html"], "would take the model's place"),
        (["--test", "data"], "learn from"),
        (["--test", "data/../data"], "learn from"),
        (["--test", "nowhere"], "nowhere: no such folder"),
        (["--test", "kept"], "only points were kept there"),
    ],
)
def test_bad_options_are_one_line_before_any_work(
    make_data, tmp_path, monkeypatch, arguments, says
):
    make_data(sessions=1, pictures=1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    keep_points(tmp_path / "kept")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(trainer.recipe, "teach", None)  # never gets there
    before = contents(tmp_path)
    assert says in error(run("train", "data", *arguments))
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["data", "-o", "."],
        ["data", "--hidden", "0"],
        ["data", "--hidden", "many"],
        ["data", "--seed", "-1"],
        ["data", "--what"],
        ["data", "more"],
        ["data", "--plots", "file"],
    ],
)
def test_wrong_usage_is_exit_code_2(make_data, tmp_path, monkeypatch, arguments):
    make_data(sessions=1, pictures=1)
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    error(run("train", *arguments), code=2)


def test_a_disk_that_is_full_leaves_the_old_model(data, tmp_path, quick, monkeypatch):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left" in error(run("train", data, "-o", path))
    assert path.read_bytes() == b"old"
    assert contents(tmp_path) == ["m.onnx"]


def test_ctrl_c_before_anything_was_learned_writes_nothing(data, tmp_path, monkeypatch, quick):
    def pressed(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.training, "_batches", pressed)
    assert "nothing was learned" in error(run("train", data, "-o", tmp_path / "m.onnx"))
    assert contents(tmp_path) == []


def test_a_mistake_of_ours_is_one_line_too_and_debug_shows_it(data, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer.recipe, "teach", lambda *_a, **_k: 1 / 0)
    result = run("train", data, "-o", tmp_path / "m.onnx")
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr
    assert "report" in result.stderr.splitlines()[-1]
    result = run("train", data, "-o", tmp_path / "m.onnx", "--debug")
    assert result.exit_code == 1
    assert "ZeroDivisionError" in result.stderr
    assert "Traceback" in result.stderr


def picture_bytes():
    """Return real pictures of every kind, to be damaged."""
    image = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8))
    made = {}
    for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP"):
        file = BytesIO()
        image.save(file, kind)
        made[kind.lower()] = file.getvalue()
    return made


REAL = picture_bytes()


@st.composite
def damaged(draw):
    """Draw a file: any bytes, or a real picture cut off, with some bytes changed or put in."""
    suffix = draw(st.sampled_from(sorted(REAL)))
    if draw(st.booleans()):
        return suffix, draw(st.binary(max_size=200))
    content = bytearray(REAL[draw(st.sampled_from(sorted(REAL)))])
    for _ in range(draw(st.integers(0, 6))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    if draw(st.booleans()):
        del content[draw(st.integers(0, len(content))) :]
    return suffix, bytes(content)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("fuzz")
    for label in ("fist", "palm"):
        (root / "data" / label / "s").mkdir(parents=True)
        shutil.copy(data / label / "s0" / "0.jpg", root / "data" / label / "s")
    return root


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(damaged(), min_size=1, max_size=3, unique_by=lambda file: file[1]))  # no copies
@example([("png", REAL["png"][:30])])
@example([("jpeg", b"\xff\xd8\xff\xe0")])
def test_whatever_bytes_pictures_have_training_never_shows_a_traceback(fuzzed, quick, files):
    paths = []
    for number, (suffix, content) in enumerate(files):
        folder = fuzzed / "data" / "palm" / ("s" if number else "")  # loose ones too: EXIF is read
        paths.append(folder / f"fuzz{number}.{suffix}")
        paths[-1].write_bytes(content)
    try:
        arguments = [fuzzed / "data", "-o", fuzzed / "m.onnx", "--features", "pixels"]
        result = fine(run("train", *arguments, "--hidden", 2, "--json"))
        said = json.loads(result.stdout)
        assert said["per_class"]["palm"]["pictures"] + len(said["skipped"]) == 1 + len(files)
        assert "Traceback" not in result.stderr
    finally:
        for path in paths:
            path.unlink()


# --- evaluate


def test_evaluate_prints_one_json_value(model, data):
    said = json.loads(fine(run("evaluate", model, data, "--json")).stdout)
    assert {"n", "accuracy", "labels", "confusion", "per_class", "unknown"} <= set(said)
    assert said["n"] == 36
    assert said["labels"] == ["background", "fist", "palm"]
    assert [sum(row) for row in said["confusion"]] == [12, 12, 12]
    right = sum(said["confusion"][i][i] for i in range(3))
    assert said["accuracy"] == pytest.approx(right / 36)
    assert set(said["per_class"]) == set(said["labels"])
    assert set(said["per_class"]["palm"]) >= {"precision", "recall"}


def test_evaluate_for_people_is_a_table(model, data):
    result = fine(run("evaluate", model, data))
    assert "accuracy" in result.stdout
    for word in ("precision", "recall", "background", "fist", "palm", "36 pictures"):
        assert word in result.stdout


def test_evaluate_counts_labels_never_taught_apart(model, make_data):
    root = make_data(labels=("palm", "thumb"), sessions=1, pictures=2)
    said = json.loads(fine(run("evaluate", model, root, "--json")).stdout)
    assert said["n"] == 2
    assert said["unknown"]["n"] == 2
    assert 0 <= said["unknown"]["accepted"] <= 2
    assert (
        "2 pictures of labels that were never taught" in fine(run("evaluate", model, root)).stdout
    )


def keep_points(root):
    path = root / "palm" / "monday" / "0001.points"
    path.parent.mkdir(parents=True)
    path.write_text("{}")


def test_evaluate_says_that_a_model_looks_at_pictures(model, tmp_path):
    keep_points(tmp_path / "kept")
    assert "0001.points: only points were kept" in error(run("evaluate", model, tmp_path / "kept"))


def test_evaluate_does_not_say_what_sessions_it_would_assume(model, tmp_path, data):
    for picture in (data / "palm" / "s0").iterdir():
        to = tmp_path / "flat" / "palm" / picture.name
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(picture.read_bytes())
    (tmp_path / "flat" / "palm" / "film.mp4").touch()
    notes = [
        line
        for line in fine(run("evaluate", model, tmp_path / "flat")).stderr.splitlines()
        if line.startswith("note: ")
    ]
    assert len(notes) == 1
    assert "1 film left out" in notes[0]


def test_evaluate_one_label_alone_is_fine(model, make_data):
    root = make_data(labels=("thumb",), sessions=1, pictures=1)
    said = json.loads(fine(run("evaluate", model, root, "--json")).stdout)
    assert said["accuracy"] is None
    fine(run("evaluate", model, root))


def test_labels_that_look_like_markup_are_shown_as_they_are(make_data, tmp_path, quick):
    root = make_data(labels=("fist", "palm"), sessions=2, pictures=1)
    (root / "palm").rename(root / "[red]palm[bold]")
    fine(run("train", root, "-o", tmp_path / "m.onnx"))
    assert "[red]palm[bold]" in fine(run("evaluate", tmp_path / "m.onnx", root)).stdout


# --- Models that are none


def damage(model, tmp_path, how):
    path = tmp_path / "m.onnx"
    content = model.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "changed":
        path.write_bytes(content.replace(b"handwave.card", b"handwave.kard"))
    elif how == "text":
        path.write_text("hello")
    elif how == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize("how", ["missing", "empty", "cut", "changed", "text", "folder"])
@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_model_that_is_missing_or_damaged_is_one_line(model, data, tmp_path, command, how):
    path = damage(model, tmp_path, how)
    what = data if command == "evaluate" else data / "palm" / "s0" / "0.jpg"
    assert "m.onnx: " in error(run(command, path, what))
    assert error(run(command, path, what, "--json"))


# --- predict


def test_predict_prints_one_json_list(model, data):
    pictures = [data / "palm" / "s0" / "0.jpg", data / "background" / "s1" / "2.jpg"]
    said = json.loads(fine(run("predict", model, *pictures, "--json")).stdout)
    assert [row["picture"] for row in said] == [str(path) for path in pictures]
    for row in said:
        assert set(row) == {"picture", "label", "confidence", "novelty", "probabilities"}
        assert set(row["probabilities"]) == {"background", "fist", "palm"}
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert row["confidence"] == max(row["probabilities"].values())
        assert row["probabilities"][row["label"]] == row["confidence"]


def test_predict_for_people_is_a_line_a_picture(model, data, tmp_path, save_picture):
    picture = data / "palm" / "s0" / "0.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    strange = save_picture(tmp_path / "noise.png", noise)
    lines = fine(run("predict", model, picture, strange)).stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{picture}: palm ")
    said = json.loads(fine(run("predict", model, picture, strange, "--json")).stdout)
    limit = Classifier(model).card.thresholds.novelty
    for line, row in zip(lines, said, strict=True):
        assert ("unlike anything taught" in line) == (row["novelty"] > limit)


@pytest.mark.parametrize("how", ["missing", "damaged", "folder"])
def test_a_picture_that_cannot_be_read_is_one_line(model, data, tmp_path, how):
    bad = tmp_path / "bad.jpg"
    if how == "damaged":
        bad.write_bytes(b"\xff\xd8\xff\xe0 and so on")
    elif how == "folder":
        bad.mkdir()
    assert "bad.jpg" in error(run("predict", model, bad))
    good = data / "palm" / "s0" / "0.jpg"
    done = run("predict", model, bad, good, "--json")
    assert done.exit_code == 1
    assert "bad.jpg" in done.stderr
    assert [row["picture"] for row in json.loads(done.stdout)] == [str(good)]


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_model_named_last_is_wrong_usage_that_says_the_order(command):
    assert "photo.jpg: the model comes first" in error(run(command, "photo.jpg", "m.onnx"), code=2)


def test_predict_turns_a_picture_as_its_session_says(model, tmp_path, monkeypatch):
    seen = SimpleNamespace(label="fist", confidence=1.0, novelty=0.0, probabilities=[0, 1, 0])
    asked = []
    monkeypatch.setattr("trainer.evaluate.predict", lambda *given: asked.append(given[2]) or seen)
    for folder in ("plain", "mirrored/deep", "broken"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "1.png").touch()
    note(MIRROR, tmp_path / "mirrored")
    (tmp_path / "broken" / "handwave.json").write_text("{")
    pictures = [tmp_path / folder / "1.png" for folder in ("broken", "plain", "mirrored/deep")]
    done = run("predict", model, *pictures)
    assert done.exit_code == 1, "one is damaged, the others have their turn"
    assert [how.horizontal for how in asked] == [False, True]


def test_only_a_model_that_follows_is_named_last(tmp_path):
    assert "no such model" in error(run("predict", tmp_path / "photo.jpg", "other.jpg"))


def test_predict_without_a_picture_is_wrong_usage(model):
    error(run("predict", model), code=2)


# --- capture


@pytest.fixture
def fast(monkeypatch):
    """Drawn frames come as fast as they are drawn."""
    made = Virtual.__init__

    def unpaced(self, size=(64, 48), **options):
        made(self, size, **(options | {"paced": False, "rate": 8.0}))

    monkeypatch.setattr(Virtual, "__init__", unpaced)


def test_capture_keeps_as_many_as_asked_for(tmp_path, fast):
    for _ in range(2):
        arguments = ["--source", "virtual", "-n", 10, "--countdown", 0.5]
        result = fine(run("capture", "palm", *arguments, "--data", tmp_path / "data"))
        assert "kept 10 pictures of 'palm'" in result.stdout
        assert "palm: 10/10 kept" in result.stderr
    sessions = list((tmp_path / "data" / "palm").iterdir())
    assert len(sessions) == 2
    first, second = (sorted(p.read_bytes() for p in s.iterdir()) for s in sessions)
    assert len(first) == len(second) == 10
    assert not set(first) & set(second)  # another person in another room


def test_capture_from_a_folder_of_folders_says_that_they_become_one(tmp_path, data):
    done = fine(run("capture", "palm", "--source", data, "--data", tmp_path / "data"))
    assert "note: the pictures of background, fist and palm become one session" in done.stderr
    assert f"--source {data / 'background'}" in done.stderr
    done = fine(run("capture", "palm", "--source", data / "palm/s0", "--data", tmp_path / "data"))
    assert "note" not in done.stderr


def test_capture_from_a_folder_ends_with_it(tmp_path, data):
    result = fine(run("capture", "palm", "--source", data / "palm", "--data", tmp_path / "data"))
    assert "kept 12 pictures" in result.stdout
    assert "ended with" not in result.stderr


def test_capture_from_what_ends_early_says_how_many_there_were(tmp_path, data):
    asked = ["--source", data / "palm", "--data", tmp_path / "data", "-n"]
    done = fine(run("capture", "palm", *asked, 300))
    assert f"note: {data / 'palm'} ended with 12 of 300\n" in done.stderr
    assert "ended with" not in fine(run("capture", "palm", *asked, 12)).stderr


def test_ctrl_c_keeps_what_there_is(tmp_path, fast, monkeypatch):
    from trainer.collect.viewfinder import Viewfinder

    show = Viewfinder.show

    def pressed(self, shot):
        show(self, shot)
        if shot.kept == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Viewfinder, "show", pressed)
    result = fine(run("capture", "palm", "-n", 9, "--source", "virtual", "--data", tmp_path))
    assert "kept 4 pictures" in result.stdout
    assert "ended with" not in result.stderr
    (session,) = (tmp_path / "palm").iterdir()
    assert contents(session) == ["0001.jpg", "0002.jpg", "0003.jpg", "0004.jpg"]


def test_ctrl_c_in_the_countdown_leaves_nothing(tmp_path, fast, monkeypatch):
    from trainer.collect.viewfinder import Viewfinder

    def pressed(self, shot):
        raise KeyboardInterrupt

    monkeypatch.setattr(Viewfinder, "show", pressed)
    result = run("capture", "palm", "--source", "virtual", "--data", tmp_path)
    assert "nothing was recorded" in error(result)
    assert contents(tmp_path) == []


def test_light_set_for_a_recording_ends_in_the_models_card(tmp_path, monkeypatch):
    class Webcam(Source):
        def __init__(self, _number, size, *, settings, taken):
            self.taken = settings.taken(size, taken, {})

        def __iter__(self):
            image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
            yield from (Frame(image, number / 8) for number in range(12))

    monkeypatch.setattr("edge.sources.opening.Webcam", Webcam)
    for label in ("palm", "rock"):
        light = ["--white-balance", "daylight", "--exposure", 0.01, "--flip"]
        arguments = [label, "--source", "webcam:0", *light, "--countdown", 0, "-n", 8]
        fine(run("capture", *arguments, "--data", tmp_path / "data"))
    arguments = ["--features", "pixels", "--no-report", "-o", tmp_path / "m.onnx"]
    fine(run("train", tmp_path / "data", *arguments))
    camera = Classifier(tmp_path / "m.onnx").card.camera
    assert (camera.white_balance, camera.exposure) == ("daylight", 0.01)
    assert camera.horizontal_flip
    assert not camera.vertical_flip


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["palm", "--source", "virtual", "--exposure", "0.01"], "no camera"),
        (["palm", "--source", "ssh://pi@host", "--flip"], "its own edge.toml"),
        (["../x", "--source", "virtual"], "cannot be a label"),
        (["", "--source", "virtual"], "cannot be a label"),
        (["rock", "--source", "virtual"], "draws background, palm"),
        (["palm", "--source", "nothing-there"], "no such source"),
        (["palm", "--source", "ssh://pi:word@host"], "say ssh://user@host"),
        (["palm", "--source", "empty"], "no pictures in there"),
        (["palm", "--source", "text.mp4"], "not a video"),
        (["file", "--source", "virtual:1"], "not 'file'"),
    ],
)
def test_what_cannot_be_captured_is_one_line_and_leaves_nothing(
    tmp_path, monkeypatch, fast, arguments, says
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("no film")
    assert says in error(run("capture", *arguments))
    assert contents(tmp_path) == ["empty", "text.mp4"]


@pytest.mark.parametrize("option", [("--countdown", "nan"), ("--data", "")])
def test_what_is_no_number_or_folder_is_refused_before_anything_is_recorded(
    tmp_path, monkeypatch, option
):
    monkeypatch.chdir(tmp_path)
    result = run("capture", "palm", "--source", "virtual", "-n", 2, *option)
    assert result.exit_code == 2
    assert option[0] in result.stderr
    assert contents(tmp_path) == []


def test_a_folder_of_unreadable_pictures_records_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.jpg").write_bytes(b"?")
    data = tmp_path / "data"
    result = run("capture", "palm", "--source", tmp_path / "in", "--data", data)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].endswith("not one picture in there can be read")
    assert not (data / "palm").exists()


# --- Help


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_commands_help_has_an_example_and_explains_itself(command):
    result = fine(run(command, "--help"))
    assert "Example: trainer " + command in result.stdout
    inner = [command, "fetch"] if command == "features" else [command]
    assert "--debug" in fine(run(*inner, "--help")).stdout
    assert fine(run(command, "-h")).stdout == result.stdout


def test_the_command_itself_lists_its_commands():
    for command in ("capture", "demo", "evaluate", "predict", "train"):
        assert command in fine(run("--help")).stdout
    assert "trainer" in fine(run("--version")).stdout
    assert "No such command" in error(run("trian"), code=2)


# --- As a process of its own


def process(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "trainer", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_a_real_process_keeps_stdout_for_json(data, tmp_path):
    arguments = ["--hidden", 4, "--features", "pixels", "--json"]
    with process("train", data, "-o", "m.onnx", *arguments, cwd=tmp_path) as train:
        out, err = train.communicate(timeout=60)
    assert train.returncode == 0, err
    assert set(json.loads(out)) >= TRAIN_KEYS
    assert "\x1b" not in out + err
    assert "Warning" not in err
    with process("train", "missing", cwd=tmp_path) as train:
        out, err = train.communicate(timeout=60)
    assert (train.returncode, out) == (1, "")
    assert err == (
        "trainer: missing: no such folder; it should hold one folder of pictures a gesture\n"
    )


def test_a_real_ctrl_c_ends_a_capture_with_what_it_has(tmp_path):
    arguments = ["--source", "virtual", "--countdown", 0, "--data", "data"]
    with process("capture", "palm", *arguments, cwd=tmp_path) as recording:
        deadline = time.monotonic() + 60
        while len(list(Path(tmp_path).rglob("*.jpg"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        recording.send_signal(signal.SIGINT)
        out, err = recording.communicate(timeout=60)
    assert recording.returncode == 0, err
    assert "Traceback" not in err
    files = list(tmp_path.rglob("*.*"))
    assert all(path.suffix == ".jpg" for path in files)
    assert f"kept {len(files)} pictures" in out
    for path in random.Random(0).sample(files, 2):
        with PIL.Image.open(path) as picture:
            picture.load()


def test_features_fetch_says_where_the_weights_are_or_what_there_is():
    said = fine(run("features", "fetch", "backbone")).stdout
    assert Path(said.removeprefix("backbone: ").strip()).is_file()
    result = run("features", "fetch", "backbon")
    assert result.exit_code == 1
    assert "did you mean 'backbone'" in result.stderr or "there is: backbone" in result.stderr
    assert "Traceback" not in result.stderr
