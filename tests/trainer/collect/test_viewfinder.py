"""What a person sees while recording, in a terminal and elsewhere."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from trainer.collect.capture import Shot
from trainer.collect.viewfinder import COLUMNS, Viewfinder, half_blocks


@pytest.fixture(autouse=True)
def no_colours_forced(monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def shot(kept=1, *, warning="", countdown=0.0, image=None):
    image = np.full((48, 64, 3), 120, np.uint8) if image is None else image
    return Shot(image, kept, 0.47, warning, countdown)


def shown(shots, *, number=None, **console):
    out = StringIO()
    with Viewfinder("palm", number, Console(file=out, width=100, **console)) as viewfinder:
        for one in shots:
            viewfinder.show(one)
    return out.getvalue(), viewfinder


def test_away_from_a_terminal_a_line_every_eight_pictures():
    text, viewfinder = shown(shot(kept) for kept in (0, 1, 1, 2, *range(3, 20)))
    lines = [line.split("  ")[0] for line in text.splitlines()]
    assert lines == ["palm: 1 kept", "palm: 9 kept", "palm: 17 kept"]
    assert "\x1b" not in text
    assert viewfinder.kept == 19


def test_the_last_of_the_number_wanted_has_a_line_too():
    text, _ = shown((shot(kept) for kept in range(1, 5)), number=4)
    assert text.splitlines()[-1] == "palm: 4/4 kept  light 47%"


def test_a_warning_is_in_the_line():
    text, _ = shown([shot(1, warning="too dark: more light")])
    assert text.splitlines() == ["palm: 1 kept  light 47%  too dark: more light"]


def test_away_from_a_terminal_each_warning_is_said_at_once_and_once():
    shots = [shot(0, warning=text) for text in ("", "no hand", "", "no hand", "too dark")]
    shots[1] = shot(0, warning="no hand", countdown=2.0)
    text, _ = shown([*shots, shot(1)])
    assert [line.split("  ")[-1] for line in text.splitlines()] == [
        "no hand", "too dark", "light 47%",
    ]  # fmt: skip


def test_in_a_terminal_a_picture_above_the_line():
    red = np.zeros((48, 64, 3), np.uint8)
    red[:, :, 0] = 200
    text, _ = shown([shot(3, image=red)], force_terminal=True, color_system="truecolor")
    assert "palm: 3 kept" in text
    assert text.count("▀") == 2 * COLUMNS * 18  # 48 x 36 pixels, two a character; and at the end
    assert "38;2;200;0;0;48;2;200;0;0" in text


@pytest.mark.parametrize("shape", [(640, 360), (48, 64), (600, 4), (4, 600)])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (20, 10), (4, 3)])
def test_the_line_has_room_below_any_picture_in_any_terminal(shape, width, height):
    out = StringIO()
    options = {"force_terminal": True, "color_system": "truecolor"}
    console = Console(file=out, width=width, height=height, **options)
    with Viewfinder("p", None, console) as viewfinder:
        viewfinder.show(shot(3, image=np.zeros((*shape, 3), np.uint8)))
    assert "p: 3" in out.getvalue() or height == 3
    frame = out.getvalue().split("\x1b[1A")[0]
    assert frame.count("\n") <= height


def test_a_terminal_without_colours_has_the_line_alone():
    text, _ = shown([shot(3)], force_terminal=True, color_system=None)
    assert "palm: 3 kept" in text
    assert "▀" not in text


def test_the_countdown_is_shown_until_it_ends():
    options = {"force_terminal": True, "color_system": None}
    text, _ = shown([shot(0, countdown=2.6)], **options)
    assert "get ready … 3" in text
    text, _ = shown([shot(1)], **options)
    assert "get ready" not in text


def test_the_cursor_is_given_back_after_an_error():
    out = StringIO()
    console = Console(file=out, force_terminal=True)

    def fail():
        with Viewfinder("palm", None, console) as viewfinder:
            viewfinder.show(shot())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert out.getvalue().rindex("\x1b[?25h") > out.getvalue().rindex("\x1b[?25l")


def test_a_label_that_looks_like_markup_is_shown_as_it_is():
    out = StringIO()
    with Viewfinder("[bold]", None, Console(file=out)) as viewfinder:
        viewfinder.show(shot())
    assert out.getvalue().startswith("[bold]: 1 kept")


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (37, 101), (480, 640)])
def test_half_blocks_of_any_picture(shape):
    text = half_blocks(np.zeros((*shape, 3), np.uint8))
    lines = text.plain.splitlines()
    assert lines
    assert all(line == "▀" * COLUMNS for line in lines)


def test_half_blocks_are_the_upper_and_the_lower_pixel():
    image = np.zeros((2, 2, 3), np.uint8)
    image[0], image[1] = (255, 0, 0), (0, 0, 255)
    (style,) = {str(span.style) for span in half_blocks(image, columns=2).spans}
    assert style == "rgb(255,0,0) on rgb(0,0,255)"
