"""`deploy watch`: what a terminal shows, what a pipe gets, and what happens when a service ends."""

import io
import os
import re
import signal
import subprocess
import sys
from itertools import islice

import msgspec
import PIL.Image
import pytest
from click.testing import CliRunner
from rich.console import Console

import deploy.cli
import deploy.live.watch
from deploy import DeployError
from deploy.live.watch import Screen, Seen, half_blocks, is_unread, look_on
from deploy.ssh import hang_up


def terminal(*, colours="truecolor", width=80, height=40):
    return Console(
        file=io.StringIO(), force_terminal=True, color_system=colours, width=width, height=height,
        legacy_windows=False, highlight=False, _environ={"TERM": "xterm"},
    )  # fmt: skip


def drawn(seen, *, colours=None, **options):
    """Return what a terminal shows, without its colours where it has none."""
    console = terminal(colours=colours, **options)
    console.print(Screen("pi", console=console).drawn(seen))
    return console.file.getvalue()


@pytest.fixture
def seen(tunnel):
    return next(look_on(tunnel, picture=True))


def test_bars_label_rate_and_latency_are_shown(seen):
    text = drawn(seen)
    assert re.search(r"^pi: watching for ", text, re.MULTILINE)
    assert re.search(r"^rock  95% sure, for ", text, re.MULTILINE)
    assert re.search(r"^  background █?░+   2%$", text, re.MULTILINE)
    assert re.search(r"^  rock       █+░+  95%$", text, re.MULTILINE)
    assert "rock: led, GPIO17 on  GPIO22 off" in text
    assert re.search(r"\d+\.\d frames a second · frame to pin 60 ms \(99 in 100: 60 ms\)", text)


def test_the_picture_is_half_blocks_in_its_colours(seen):
    text = drawn(seen, colours="truecolor")
    assert "▀" in text
    first = next(line for line in text.splitlines() if "▀" in line)
    (red,) = re.findall(r"38;2;(\d+);(\d+);(\d+);48;2", first)[:1]
    assert int(red[0]) > 200 > int(red[2])  # red on the left


def test_where_there_are_no_colours_there_is_no_picture(seen):
    assert "▀" not in drawn(seen, colours=None)


@pytest.mark.parametrize(("width", "height"), [(20, 10), (40, 12), (200, 60), (8, 3)])
def test_it_fits_into_any_terminal(seen, width, height):
    lines = drawn(seen, colours="truecolor", width=width, height=height).splitlines()
    plain = [re.sub("\x1b\\[[0-9;]*m", "", line) for line in lines]
    assert max(map(len, plain)) <= width


def test_a_host_without_a_picture_shows_the_rest(seen):
    look = msgspec.structs.replace(seen.look, picture=None)
    assert "rock" in drawn(msgspec.structs.replace(seen, look=look), colours="truecolor")


@pytest.mark.parametrize("picture", ["", "data:image/jpeg;base64,!", "data:image/jpeg;base64,AAAA"])
def test_a_picture_that_is_none_is_left_out(seen, picture):
    look = msgspec.structs.replace(seen.look, picture=picture)
    assert "▀" not in drawn(msgspec.structs.replace(seen, look=look), colours="truecolor")


def test_without_frames_the_state_is_told(service, tunnel):
    service.stop()
    service.start()
    service._stop.set()
    service._thread.join()
    service.status.say("camera absent: check its cable")
    (seen,) = islice(look_on(tunnel, picture=True), 1)
    assert seen.look is None
    assert "camera absent: check its cable" in drawn(seen)


def test_what_a_label_holds_never_reaches_the_terminal_as_an_order(seen):
    evil = "\x1b[2Jrock\x07[red]"
    status = msgspec.structs.replace(seen.status, label=evil, state=evil)
    look = msgspec.structs.replace(seen.look, labels=[evil] * 3, label=evil)
    text = drawn(Seen(status, look))
    assert "\x07" not in text
    assert "\x1b[2J" not in text
    assert "[red]" in text


@pytest.mark.parametrize("shape", [(1, 1), (96, 1), (1, 96), (96, 72), (72, 96)])
def test_a_picture_of_any_shape_stays_within_its_room(shape):
    text = half_blocks(PIL.Image.new("RGB", shape), 30, 10).plain
    assert len(text.splitlines()) <= 10
    assert max(map(len, text.splitlines())) <= 30


def test_no_room_is_no_picture():
    assert half_blocks(PIL.Image.new("RGB", (9, 9)), 30, 0).plain == ""


# --- elsewhere than in a terminal


def test_a_pipe_gets_a_line_when_the_label_changes(service, tunnel, turn):
    console = Console(file=io.StringIO(), width=200)
    screen = Screen("pi", console=console)
    assert not screen.wants_picture
    looks = look_on(tunnel, picture=False, sleep=lambda _: None)
    with screen:
        for _ in range(5):
            screen.show(next(looks))
        service.step = turn("palm", (0.1, 0.8, 0.1))
        while "palm" not in console.file.getvalue():
            screen.show(next(looks))
    lines = console.file.getvalue().splitlines()
    assert [line.partition(";")[0] for line in lines] == ["pi: rock", "pi: palm"]


def test_without_a_picture_none_travels(tunnel):
    assert next(look_on(tunnel, picture=False)).look.picture is None


# --- when it ends


def test_a_service_that_restarts_is_waited_for_in_words(service, tunnel):
    looks = look_on(tunnel, picture=False, sleep=lambda _: None)
    assert isinstance(next(looks), Seen)
    service.stop()
    said = next(looks)
    assert "does not run there" in said
    assert "trying again" in drawn(said)
    service.start()
    assert isinstance(next(looks), Seen)


def test_a_connection_that_is_lost_is_made_anew(tunnel):
    looks = look_on(tunnel, picture=False, sleep=lambda _: None)
    next(looks)
    hang_up(tunnel._host._folder / "ssh")
    assert "no connection" in next(looks)
    assert isinstance(next(looks), Seen)


def test_figures_of_another_version_are_one_line(tunnel, service, monkeypatch):
    monkeypatch.setattr(service.status, "report", lambda: {"state": "watching"})
    with pytest.raises(DeployError, match="push again"):
        next(look_on(tunnel, picture=False))


@pytest.fixture
def run(sshd, service):
    def run(*words):
        arguments = ["watch", *words, "-F", str(sshd / "ssh_config")]
        return CliRunner().invoke(deploy.cli.main, arguments)

    return run


@pytest.mark.parametrize("words", [[], ["--browser"]])
def test_a_service_that_does_not_run_from_the_start_is_an_error(run, service, words):
    service.stop()
    done = run("pi", *words)
    assert done.exit_code == 1
    assert done.stderr.startswith("deploy: pi: handwave.service does not run there")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["stranger", "changed", "off"])
def test_a_host_that_cannot_be_reached_is_an_error(run, name):
    done = run(name)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"deploy: {name}: ")


MAIN = """
import sys
from deploy import Target
runtime = sys.argv.pop(1)
Target.runtime = property(lambda _: runtime)
import deploy.cli
deploy.cli.main(prog_name="deploy")
"""


def test_a_pipe_that_nobody_reads_any_more_ends_it(service, sshd):
    """`| head -1` has seen enough, whether or not there is anything new to say."""
    command = [sys.executable, "-c", MAIN, str(service.folder), "watch", "pi"]
    with subprocess.Popen(
        [*command, "-F", str(sshd / "ssh_config")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline().startswith(b"pi: ")
        process.stdout.close()
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == b""


def test_what_is_no_file_counts_as_read():
    assert not is_unread(io.StringIO())


@pytest.mark.parametrize("words", [[], ["--browser"]])
def test_ctrl_c_ends_it_without_a_word(service, sshd, words):
    command = [sys.executable, "-c", MAIN, str(service.folder), "watch", "pi"]
    with subprocess.Popen(
        [*command, "-F", str(sshd / "ssh_config"), *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"BROWSER": "true"},
    ) as process:  # fmt: skip
        line = process.stdout.readline()
        assert line.startswith("pi: ")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: ssh gets it too
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
