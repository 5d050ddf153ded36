"""Pictures: real pixels of a real SDL surface, drawn by the real program, seen by nobody.

SDL's `dummy` driver is a screen of 1024 x 768 pixels.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.config import read_config
from edge.decider import Decision
from edge.errors import ConfigError
from edge.outputs import Outputs, screen
from edge.outputs.screen import Idle, Picture, Screen
from edge.outputs.wiring import Wiring

pytest.importorskip("pygame", reason="needs pygame: pip install '.[screen]'")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
WIDTH, HEIGHT = 1024, 768
RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)


@pytest.fixture(autouse=True)
def dummy(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setattr(screen, "PAUSE", 0.0)


@pytest.fixture
def opened(tmp_path):
    """Open an `edge.toml`; return its outputs, to which decisions apply, and the screen."""
    wirings = []

    def opened(text):
        path = tmp_path / "edge.toml"
        path.write_text(text)
        config = read_config(path)
        wirings.append(Wiring(config, "mock"))
        return Outputs(wirings[-1].when), wirings[-1].share("picture", Screen)

    yield opened
    for wiring in wirings:
        wiring.close()


def decision(label):
    return Decision(label, 0.9, 0.0, 0.0, changed=True)


def done(shown):
    """Wait until the screen shows what it should."""
    last = threading.Event()
    shown._worker.prepare(last.set)  # after all else
    assert last.wait(60)


def look(shown, path):
    """The pixels on the screen, `[height, width, 3]`."""
    path.unlink(missing_ok=True)
    shown.save(path)
    done(shown)
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def colours(pixels):
    packed = np.unique(pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32))
    return {(int(one) >> 16, int(one) >> 8 & 255, int(one) & 255) for one in packed}


def save(path, colour, size=(40, 30), **options):
    Image.new("RGB", size, colour).save(path, **options)


def test_a_picture_is_shown_while_its_label_is_decided_and_black_else(opened, tmp_path):
    save(tmp_path / "rock.png", RED)
    save(tmp_path / "palm.png", BLUE)
    outputs, shown = opened('[when.rock]\npicture = "rock.png"\n[when.palm]\npicture = "palm.png"')
    got = []
    for label in [None, "rock", "palm", "background", "rock", None]:
        if label is not None or got:
            outputs.apply(decision(label))
        got.append(colours(look(shown, tmp_path / "seen.bmp")))
    assert got == [{BLACK}, {RED}, {BLUE}, {BLACK}, {RED}, {BLACK}]


def test_the_idle_picture_is_shown_in_between(opened, tmp_path):
    save(tmp_path / "rock.png", RED)
    save(tmp_path / "idle.png", GREEN)
    outputs, shown = opened('[picture]\nidle = "idle.png"\n[when.rock]\npicture = "rock.png"')
    got = []
    for label in [None, "rock", None]:
        outputs.apply(decision(label))
        got.append(colours(look(shown, tmp_path / "seen.bmp")))
    assert got == [{GREEN}, {RED}, {GREEN}]


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((100, 100), (128, 0, 896, 768)),  # square: bars left and right
        ((200, 100), (0, 128, 1024, 640)),  # wide: bars above and below
        ((4000, 1000), (0, 256, 1024, 512)),  # larger than the screen
        ((1, 1), (128, 0, 896, 768)),
    ],
)
def test_it_fills_the_screen_and_keeps_its_shape(opened, tmp_path, size, box):
    save(tmp_path / "rock.png", RED, size)
    outputs, shown = opened('[when.rock]\npicture = "rock.png"')
    outputs.apply(decision("rock"))
    pixels = look(shown, tmp_path / "seen.bmp")
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    rows, columns = np.nonzero((pixels == RED).all(axis=2))
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == box
    assert colours(pixels) == {RED, BLACK}


def test_a_photograph_is_upright_as_the_camera_says(opened, tmp_path):
    picture = Image.new("RGB", (64, 48), BLUE)
    picture.paste(RED, (0, 0, 64, 24))
    exif = Image.Exif()
    exif[0x0112] = 3  # taken upside down
    picture.save(tmp_path / "rock.jpg", exif=exif, quality=95)
    outputs, shown = opened('[when.rock]\npicture = "rock.jpg"')
    outputs.apply(decision("rock"))
    pixels = look(shown, tmp_path / "seen.bmp").astype(int)
    assert np.abs(pixels[100, 500] - BLUE).max() < 10
    assert np.abs(pixels[-100, 500] - RED).max() < 10


def test_what_is_transparent_is_black(opened, tmp_path):
    Image.new("RGBA", (4, 3), (255, 0, 0, 0)).save(tmp_path / "rock.png")
    outputs, shown = opened('[when.rock]\npicture = "rock.png"')
    outputs.apply(decision("rock"))
    assert colours(look(shown, tmp_path / "seen.bmp")) == {BLACK}


def test_a_gif_moves(opened, tmp_path, wait_for):
    frames = [Image.new("RGB", (40, 30), colour) for colour in (RED, GREEN, BLUE)]
    frames[0].save(
        tmp_path / "rock.gif", save_all=True, append_images=frames[1:], duration=30, loop=0
    )
    outputs, shown = opened('[when.rock]\npicture = "rock.gif"')
    outputs.apply(decision("rock"))
    seen = set()

    def all_seen():
        seen.update(colours(look(shown, tmp_path / "seen.bmp")))
        return seen == {RED, GREEN, BLUE}

    wait_for(all_seen)
    outputs.apply(decision(None))
    for _ in range(5):
        assert colours(look(shown, tmp_path / "seen.bmp")) == {BLACK}


def test_a_gif_that_does_not_move_is_a_picture(opened, tmp_path):
    save(tmp_path / "rock.gif", RED)
    outputs, shown = opened('[when.rock]\npicture = "rock.gif"')
    outputs.apply(decision("rock"))
    assert colours(look(shown, tmp_path / "seen.bmp")) == {RED}


def test_a_damaged_picture_is_said_and_the_others_are_shown(opened, tmp_path, caplog):
    (tmp_path / "rock.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    save(tmp_path / "palm.png", BLUE)
    outputs, shown = opened('[when.rock]\npicture = "rock.png"\n[when.palm]\npicture = "palm.png"')
    outputs.apply(decision("rock"))
    assert colours(look(shown, tmp_path / "seen.bmp")) == {BLACK}
    assert caplog.messages == ["picture: rock.png: cannot be shown: not a picture (PNG, JPEG, GIF)"]
    outputs.apply(decision("palm"))
    assert colours(look(shown, tmp_path / "seen.bmp")) == {BLUE}
    outputs.apply(decision("rock"))
    done(shown)
    assert len(caplog.messages) == 1, "once, however often, and whatever is shown in between"


def test_a_gif_cut_short_stands_still_and_ends_nothing(opened, tmp_path):
    frames = [
        Image.fromarray(np.random.default_rng(seed).integers(0, 255, (60, 80, 3), np.uint8))
        for seed in range(4)
    ]
    frames[0].save(tmp_path / "rock.gif", save_all=True, append_images=frames[1:], duration=20)
    whole = (tmp_path / "rock.gif").read_bytes()
    (tmp_path / "rock.gif").write_bytes(whole[: len(whole) * 5 // 8])
    save(tmp_path / "palm.png", BLUE)
    outputs, shown = opened('[when.rock]\npicture = "rock.gif"\n[when.palm]\npicture = "palm.png"')
    outputs.apply(decision("rock"))
    done(shown)
    painter = shown._painter
    for _ in range(10):
        look(shown, tmp_path / "seen.bmp")
    outputs.apply(decision("palm"))
    assert colours(look(shown, tmp_path / "seen.bmp")) == {BLUE}
    assert shown._painter is painter


def test_without_a_screen_one_line_says_so_and_the_device_goes_on(
    opened, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("SDL_VIDEODRIVER", "kmsdrm")
    monkeypatch.setenv("SDL_KMSDRM_DEVICE_INDEX", "99")
    save(tmp_path / "rock.png", RED)
    outputs, shown = opened('[when.rock]\npicture = "rock.png"')
    for _ in range(2):
        outputs.apply(decision("rock"))
        outputs.apply(decision(None))
        done(shown)
    (line,) = caplog.messages
    assert line.startswith("picture: no screen to show pictures on (")
    assert line.endswith("; is one attached, and this user in the groups video and render?")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")  # now one is attached
    outputs.apply(decision("rock"))
    assert colours(look(shown, tmp_path / "seen.bmp")) == {RED}


def test_what_sdl_falls_back_to_is_no_screen(opened, tmp_path, monkeypatch, caplog):
    for name in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    save(tmp_path / "rock.png", RED)
    if Path("/dev/dri").exists():
        pytest.skip("there is a screen here")
    _, shown = opened('[when.rock]\npicture = "rock.png"')
    done(shown)
    assert "no screen to show pictures on" in caplog.messages[0]


def test_without_pygame_the_line_says_what_to_install(opened, tmp_path, monkeypatch, caplog):
    (tmp_path / "pygame.py").write_text("raise ImportError(name='pygame')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    save(tmp_path / "rock.png", RED)
    _, shown = opened('[when.rock]\npicture = "rock.png"')
    done(shown)
    assert caplog.messages == [
        "picture: pygame is missing; on a Pi: sudo apt install python3-pygame python3-pil"
    ]


def test_the_program_is_started_anew_only_now_and_then(opened, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(screen, "PAUSE", 3600.0)
    starts = []
    painter = screen.Painter
    monkeypatch.setattr(screen, "Painter", lambda *a: starts.append(a) or painter(*a))
    monkeypatch.setenv("SDL_VIDEODRIVER", "nonsense")
    save(tmp_path / "rock.png", RED)
    outputs, shown = opened('[when.rock]\npicture = "rock.png"')
    for _ in range(3):
        outputs.apply(decision("rock"))
        outputs.apply(decision(None))
    done(shown)
    assert len(starts) == 1
    assert len(caplog.messages) == 1


@linux
def test_the_program_that_is_killed_is_started_anew(opened, tmp_path, caplog):
    save(tmp_path / "rock.png", RED)
    outputs, shown = opened('[when.rock]\npicture = "rock.png"')
    done(shown)
    os.kill(shown._painter._child.pid, signal.SIGKILL)
    outputs.apply(decision("rock"))  # finds it gone
    done(shown)
    outputs.apply(decision(None))
    outputs.apply(decision("rock"))
    assert colours(look(shown, tmp_path / "seen.bmp")) == {RED}
    assert caplog.messages == ["picture: the program that draws has ended"]


def test_one_that_hangs_is_ended(opened, tmp_path, monkeypatch, caplog):
    save(tmp_path / "rock.png", RED)
    outputs, shown = opened('[when.rock]\npicture = "rock.png"')
    done(shown)
    monkeypatch.setattr(screen, "PATIENCE", 0.2)
    os.kill(shown._painter._child.pid, signal.SIGSTOP)
    outputs.apply(decision("rock"))
    done(shown)
    assert caplog.messages == ["picture: the screen did nothing for 0.2 s"]
    assert shown._painter is None


def test_no_frame_waits_for_the_screen(opened, tmp_path, monkeypatch):
    save(tmp_path / "rock.png", RED)
    outputs, shown = opened('[when.rock]\npicture = "rock.png"')
    done(shown)
    gate, begun = threading.Event(), threading.Event()
    shown._worker.do(lambda: (begun.set(), gate.wait(60)))
    assert begun.wait(60)
    for _ in range(100):
        outputs.apply(decision("rock"))  # would hang
        outputs.apply(decision(None))
    gate.set()
    assert colours(look(shown, tmp_path / "seen.bmp")) == {BLACK}


@linux
def test_closing_gives_the_screen_back_and_leaves_nothing(opened, tmp_path, open_files):
    before = open_files(), threading.active_count()
    save(tmp_path / "rock.png", RED)
    outputs, shown = opened('[when.rock]\npicture = "rock.png"')
    outputs.apply(decision("rock"))
    done(shown)
    pid = shown._painter._child.pid
    shown.close()
    assert not Path(f"/proc/{pid}").exists()
    assert (open_files(), threading.active_count()) == before


@linux
def test_hundreds_of_pictures_leave_no_file_and_little_memory(opened, tmp_path, open_files):
    save(tmp_path / "rock.png", RED)
    frames = [Image.new("RGB", (40, 30), colour) for colour in (RED, GREEN)]
    frames[0].save(tmp_path / "palm.gif", save_all=True, append_images=frames[1:], duration=30)
    outputs, shown = opened('[when.rock]\npicture = "rock.png"\n[when.palm]\npicture = "palm.gif"')

    def show(times):
        for _ in range(times):
            for label in ("rock", "palm", None):
                outputs.apply(decision(label))
                done(shown)
            pid = shown._painter._child.pid
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        ours, theirs = (open_files(one) for one in ("self", pid))
        return pages, ours, theirs

    before = show(20)
    after = show(60)
    assert after[1:] == before[1:]
    assert after[0] < 1.2 * before[0] + 500


@linux
def test_the_program_ends_with_us_even_if_we_are_killed(wait_for):
    code = (
        "import signal, threading\n"
        "from edge.outputs.screen import Screen\n"
        "screen, ready = Screen(), threading.Event()\n"
        "screen._worker.do(ready.set)\n"
        "ready.wait(60)\n"
        "print(screen._painter._child.pid, flush=True)\n"
        "signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as device:
        pid = int(device.stdout.readline())
        assert Path(f"/proc/{pid}/cmdline").read_bytes()
        device.kill()
    # Nobody may be there to reap it: a zombie has no command line.
    command_line = Path(f"/proc/{pid}/cmdline")
    wait_for(lambda: not command_line.exists() or not command_line.read_bytes())


# --- What may be said


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('picture = "gone.png"', "there is no file 'gone.png' beside edge.toml"),
        ('picture = "a.webp"', "'a.webp' is none of .png, .jpg, .jpeg, .gif; convert it to one"),
        ('picture = "text.png"', "'text.png' is no .png file, whatever its name; convert it"),
        ('picture = "../up.png"', "'../up.png' is not inside the folder of edge.toml, which is"),
        ('picture = { file = "ok.PNG", size = 3 }', "unknown key 'size'"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, line, says):
    folder = tmp_path / "gestures"
    folder.mkdir()
    save(folder / "ok.PNG", RED)
    save(tmp_path / "up.png", RED)
    (folder / "text.png").write_text("not a picture")
    path = folder / "edge.toml"
    path.write_text(f"[when.rock]\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: [when.rock] picture: {says}")
    assert "\n" not in str(caught.value)


def test_every_ending_is_known_by_how_its_files_begin(tmp_path):
    for name in ("a.png", "b.jpg", "c.JPEG", "d.gif"):
        save(tmp_path / name, RED)
        Picture(file=name).check(tmp_path)


def test_pictures_travel_with_a_push():
    assert Picture(file="a.png").files(Path()) == ("a.png",)
    assert Idle(idle="b.png").files(Path()) == ("b.png",)
    assert Idle().files(Path()) == ()


def test_the_idle_picture_is_checked_too(tmp_path):
    Idle().check(tmp_path)
    with pytest.raises(ValueError, match=r"there is no file 'gone\.png'"):
        Idle(idle="gone.png").check(tmp_path)


def test_a_screen_that_is_given_back_says_nothing(caplog):
    shown = Screen()
    done(shown)
    shown.close()
    assert caplog.messages == []
