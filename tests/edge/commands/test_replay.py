"""`edge replay`: the live loop over a recording, and the figures that a person would count."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal

import cv2
import pytest
from click.testing import CliRunner
from PIL import Image

from edge.classifier import Classifier
from edge.commands.replay import replay
from edge.console import Group
from edge.decider import Decision
from edge.frame import Frame, Source
from edge.loop import Step, make_decider, steps
from edge.outputs import Outputs
from edge.replay.events import Verdict
from edge.replay.played import Replay
from edge.replay.truth import Span, Truth
from edge.sources.recordings import Recordings

main = Group("edge", commands=[replay])


def invoke(*arguments):
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(main, ["replay", *words], prog_name="edge")


def report(*arguments):
    done = invoke(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def complaint(*arguments):
    done = invoke(*arguments)
    assert (done.exit_code, done.stdout) == (1, ""), done.output
    (line,) = done.stderr.splitlines()
    return line


@pytest.fixture
def film(pattern, tmp_path):
    """A folder of 30 frames without labels: nothing, a rock from the tenth on, nothing."""
    folder = tmp_path / "film"
    folder.mkdir()
    for number in range(30):
        label = "rock" if 10 <= number < 20 else "background"
        Image.fromarray(pattern(label, number)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def truth(tmp_path):
    path = tmp_path / "truth.csv"
    path.write_text("start,end,label\n1.0,2.0,rock\n")
    return path


# --- The command


def test_labelled_sessions_are_gestures_and_their_labels_are_the_truth(taught, clips):
    got = report(taught.path, clips)
    assert (got["model"], got["source"]) == (str(taught.path), str(clips))
    assert (got["frames"], got["seconds"]) == (60, 7.5)
    assert (got["shown"], got["seen"], got["soon"], got["missed"]) == (2, 2, 2, 0)
    assert (got["false"], got["repeated"], got["mistaken"]) == (0, 0, 0)
    assert [one["label"] for one in got["decisions"]] == ["palm", "rock"]
    assert [one["verdict"] for one in got["decisions"]] == ["seen", "seen"]
    assert got["delay"]["median"] <= got["delay"]["p95"] <= 0.5
    assert got["false_per_hour"] == 0
    assert got["false_per_hour_at_most"] == pytest.approx(3600 * 3.0 / 7.5, rel=0.01)
    assert got["labels"]["rock"]["shown"] == 1
    assert [one["name"].split("/")[0] for one in got["decisions"]] == ["palm", "rock"]
    assert got["missed_gestures"] == []


def test_a_truth_file_tells_what_plain_pictures_show(taught, film, truth):
    got = report(taught.path, film, "--truth", truth, "--rate", 10)
    assert (got["frames"], got["seconds"]) == (30, 3.0)
    assert (got["shown"], got["seen"], got["false"]) == (1, 1, 0)
    (decided,) = got["decisions"]
    assert decided["time"] == pytest.approx(1.0 + got["delay"]["median"])
    assert decided["time"] < decided["until"] < 2.5


def test_without_truth_there_is_the_list_and_nothing_is_judged(taught, film):
    got = report(taught.path, film)
    assert [one["label"] for one in got["decisions"]] == ["rock"]
    assert got["decisions"][0]["verdict"] is None
    assert got["shown"] is got["false"] is got["false_per_hour"] is got["delay"] is None


def test_a_recording_of_nothing_has_false_triggers_only(taught, film, tmp_path):
    nothing = tmp_path / "nothing.csv"
    nothing.write_text("start,end,label\n")
    got = report(taught.path, film, "--truth", nothing)
    assert (got["shown"], got["false"], got["mistaken"]) == (0, 1, 0)
    assert got["false_per_hour"] == pytest.approx(3600 / got["seconds"], rel=0.001)
    assert got["false_per_hour_at_most"] > got["false_per_hour"]


def test_a_video_has_a_clock_of_its_own(taught, pattern, truth, tmp_path):
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20, (64, 48))
    for number in range(60):
        label = "rock" if 20 <= number < 40 else "background"
        writer.write(pattern(label, number)[..., ::-1])
    writer.release()
    got = report(taught.path, path, "--truth", truth)
    assert (got["seconds"], got["shown"], got["seen"]) == (3.0, 1, 1)
    done = invoke(taught.path, path, "--rate", 10)
    assert done.exit_code == 2
    assert "a video has a clock of its own" in done.stderr


def test_edge_toml_says_how_sure_to_be(taught, clips, project):
    project.write_text("[decide]\nhold = 1.0\nenter = 0.55\n")
    got = report(taught.path, clips, "--config", project)
    assert (got["decide"]["hold"], got["decide"]["enter"]) == (1.0, 0.55)
    assert got["delay"]["median"] >= 1.0
    assert (got["seen"], got["soon"]) == (2, 0)


def test_a_label_that_the_model_does_not_have_counts_as_none_and_is_said(taught, clips, tmp_path):
    folder = shutil.copytree(clips, tmp_path / "data")
    (folder / "rock").rename(folder / "rok")
    done = invoke(taught.path, folder, "--json")
    got = json.loads(done.stdout)
    assert "the model has no class 'rok'; did you mean 'rock'?" in done.stderr
    assert (got["shown"], got["false"], got["unknown"]) == (1, 1, {"rok": 20})


def test_for_people_there_is_a_table_and_what_went_wrong(taught, clips):
    done = invoke(taught.path, clips)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("60 frames, 7.5 s; enter 0.")
    assert (
        "gesture  shown  seen  in 0.5 s  missed  repeated  false  median    95 %\n" in done.stdout
    )
    assert "\nall " in done.stdout
    assert "missed, shown for" not in done.stdout
    assert "false triggers: 0 in 7.5 s; 0 an hour, and with 95 % certainty" in done.stdout


def test_for_people_each_miss_and_each_false_trigger_has_its_time(taught, film, tmp_path):
    path = tmp_path / "truth.csv"
    path.write_text("start,end,label\n1.25,2.5,palm\n2.5,2.75,palm\n2.8,3.1,palm\n9,9.5,palm\n")
    done = invoke(taught.path, film, "--truth", path)
    assert "      1.25 s  palm missed, shown for 1.25 s  (10.png)\n" in done.stdout
    assert re.search(r"\n +2\.80 s  palm missed, .*  \(23\.png\)\n", done.stdout), "the next frame"
    assert "s  rock false, decided for 1." in done.stdout
    assert "1 line of the truth left out: no frame is there" in done.stderr


def test_the_table_fits_a_terminal_for_labels_of_twelve_letters(taught, film, tmp_path):
    path = tmp_path / "truth.csv"
    path.write_text("start,end,label\n1.25,2.5,palm\n")
    table = invoke(taught.path, film, "--truth", path).stdout.split("\n\n")[2].splitlines()
    assert [line.split()[0] for line in table] == ["gesture", "palm", "rock", "all"]
    (width,) = {len(line) for line in table}
    assert width - len("gesture") + 12 <= 80


def test_for_people_without_truth_there_are_the_decisions(taught, film):
    done = invoke(taught.path, film)
    assert "s  rock, for 1." in done.stdout
    assert "tell with --truth" in done.stdout


def test_what_cannot_be_replayed_is_one_line(taught, clips, tmp_path):
    assert complaint("none.onnx", clips).startswith("edge: none.onnx: no such model")
    for name in ("webcam:0", "virtual", tmp_path / "none", "a" * 300):
        assert "no such recording; replay plays a folder or a video" in complaint(taught.path, name)
    (tmp_path / "empty").mkdir()
    assert "no pictures in there" in complaint(taught.path, tmp_path / "empty")
    (tmp_path / "empty" / "0001.points").touch()
    assert "only points were kept there" in complaint(taught.path, tmp_path / "empty")
    (tmp_path / "no.mp4").write_text("no video")
    assert "not a video that can be read" in complaint(taught.path, tmp_path / "no.mp4")
    assert "no such file" in complaint(taught.path, clips, "--truth", tmp_path / "none.csv")
    assert "no such file" in complaint(taught.path, clips, "--config", tmp_path / "none.toml")


def test_stopped_early_it_says_what_it_has_seen_so_far(taught, pattern, monkeypatch):
    class Film(Source):
        live = False

        def __iter__(self):
            for number in range(100):
                if number == 20:
                    os.kill(os.getpid(), signal.SIGINT)
                yield Frame(pattern("rock", number), number / 10, "rock")

    monkeypatch.setattr("edge.commands.replay._open", lambda *_args, **_options: Film())
    done = invoke(taught.path, "film", "--json")
    assert done.exit_code == 0
    assert done.stderr == "edge: stopped early, after 2.0 s; what follows is about that\n"
    got = json.loads(done.stdout)
    assert (got["frames"], got["seen"]) == (20, 1)


def test_stopped_before_the_first_frame_it_is_one_line(taught, clips, monkeypatch):
    monkeypatch.setattr(
        "edge.commands.replay.Classifier", lambda _: signal.raise_signal(signal.SIGINT)
    )
    assert complaint(taught.path, clips).endswith("stopped before anything was played")


@pytest.mark.parametrize("rate", ["0", "-1", "0.5", "nan", "inf", "x"])
def test_a_rate_out_of_range_is_wrong_usage(taught, clips, rate):
    assert invoke(taught.path, clips, "--rate", rate).exit_code == 2


def test_a_rate_at_which_nothing_can_be_decided_is_refused_with_the_reason(taught, clips):
    said = invoke(taught.path, clips, "--rate", 0.5).stderr
    assert "--rate 0.5: take 1 or more, such as 15; a gesture ends where no picture comes" in said


def make_film(path, pattern, *, rate, frames):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (64, 48))
    for number in range(frames):
        writer.write(pattern("rock", number)[..., ::-1])
    writer.release()
    return path


def test_a_film_with_more_than_a_second_between_its_frames_is_said_to_decide_nothing(
    taught, pattern, tmp_path
):
    done = invoke(taught.path, make_film(tmp_path / "slow.avi", pattern, rate=0.5, frames=4))
    assert "edge: no two frames are within a second, so nothing can be decided\n" in done.stderr


def test_a_film_that_breaks_off_is_said_to_with_how_much_there_is(taught, pattern, tmp_path):
    whole = make_film(tmp_path / "whole.avi", pattern, rate=20, frames=60)
    content = whole.read_bytes()
    part = tmp_path / "part.avi"
    part.write_bytes(content[: len(content) // 2])
    done = invoke(taught.path, part)
    assert done.exit_code == 0
    assert re.search(r"part\.avi: breaks off: \d\d frames of the 60 it promises can", done.stderr)
    assert invoke(taught.path, whole).stderr == ""


# --- The same as the live run


def test_a_replay_decides_what_the_live_loop_decides(taught, clips):
    classifier = Classifier(taught.path)
    live = [
        step.decision
        for step in steps(Recordings(clips), classifier, make_decider(taught.card), Outputs({}))
    ]
    begun = [
        (round(one.time, 3), one.label)
        for one in live
        if one.changed and one.label not in (None, "background")
    ]
    got = report(taught.path, clips)
    assert [(one["time"], one["label"]) for one in got["decisions"]] == begun
    assert begun


# --- The pure core


def play(truth, *shots):
    """Feed a Replay `(time, label decided, changed)`; what they show is in `truth`."""
    played = Replay(Truth(["palm", "rock"], truth))
    for time, label, changed in shots:
        decision = Decision(label, 1.0, time, time, changed=changed)
        frame = Frame(None, time)
        played.update(Step(frame, None, decision, None, fresh=True, seconds=0.0))
    return played


def test_a_decision_lasts_until_the_next_one():
    played = play([], (0, None, False), (1, "rock", True), (2, "rock", False), (3, "palm", True))
    assert [(d.label, d.time, d.until) for d in played.decisions] == [
        ("rock", 1, 3),
        ("palm", 3, 4),
    ], "the last one as long as its last frame"


def test_pauses_between_recordings_are_not_watched():
    played = play([], (0, None, False), (0.5, None, False), (9, None, False), (9.5, None, False))
    assert played.seconds == 2.0


def test_a_decision_before_a_pause_ends_where_the_frames_do():
    shots = [(0, None, False), (0.5, "rock", True), (1, "rock", False), (9, None, True)]
    (decided,) = play([], *shots).decisions
    assert decided.until == 1.5


def test_each_decision_is_judged():
    truth = [Span(0.9, 3, "rock")]
    shots = [
        (0.0, None, False), (1.0, "rock", True), (1.5, None, True), (2.0, "rock", True),
        (2.5, "palm", True),
    ]  # fmt: skip
    played = play(truth, *shots)
    assert [d.verdict for d in played.decisions] == [
        Verdict.SEEN, Verdict.REPEATED, Verdict.FALSE,
    ]  # fmt: skip
    assert played.events.delays == pytest.approx([0.1])
