"""What is shown while a network learns."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from trainer.progress import counting_bar, progress_bar
from trainer.training import Epoch


def walk(show, *, epochs, of=None):
    for number in range(1, epochs + 1):
        show(Epoch(number, of or epochs, 1 / number, 0.5, 0.9, 0.25, seconds=number * 0.5))


@pytest.fixture(autouse=True)
def no_colours_forced(monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.mark.parametrize(
    ("epochs", "lines"), [(1, 1), (7, 7), (10, 10), (11, 6), (95, 10), (1500, 10)]
)
def test_away_from_a_terminal_it_prints_a_few_plain_lines(epochs, lines):
    out = StringIO()
    with progress_bar(Console(file=out)) as show:
        walk(show, epochs=epochs)
    printed = out.getvalue().splitlines()
    assert len(printed) == lines
    assert printed[-1].startswith(f"epoch {epochs}/{epochs}: loss ")
    assert "\x1b" not in out.getvalue()


def test_a_line_has_loss_accuracy_and_time_left():
    out = StringIO()
    with progress_bar(Console(file=out)) as show:
        walk(show, epochs=4)
    assert out.getvalue().splitlines()[1] == (
        "epoch 2/4: loss 0.500, accuracy: taught 50.0%, held out 25.0%, 1 s left"
    )


def test_training_that_stops_early_still_shows_its_last_epoch():
    out = StringIO()
    with progress_bar(Console(file=out)) as show:
        walk(show, epochs=23, of=100)
    starts = [line.split(":")[0] for line in out.getvalue().splitlines()]
    assert starts == ["epoch 10/100", "epoch 20/100", "epoch 23/100"]


def test_lines_go_to_stderr_and_leave_stdout_to_json(capsys):
    with progress_bar() as show:
        walk(show, epochs=3)
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 3


def test_nothing_learnt_nothing_shown():
    out = StringIO()
    with progress_bar(Console(file=out)):
        pass
    assert out.getvalue() == ""


def test_in_a_terminal_it_is_a_bar_with_the_figures():
    out = StringIO()
    with progress_bar(Console(file=out, force_terminal=True, width=100)) as show:
        walk(show, epochs=8)
    last = out.getvalue().split("\r")[-1]
    for part in ("epoch 8/8", "━━━", "loss 0.125", "taught 50.0%", "held out 25.0%"):
        assert part in last


# --- Counting


def count(show, of=5):
    for done in range(1, of + 1):
        show(done, of)


def terminal():
    return Console(file=StringIO(), force_terminal=True, width=100)


def test_counting_shows_nothing_away_from_a_terminal():
    out = StringIO()
    with counting_bar("reading pictures", Console(file=out)) as show:
        count(show)
    assert out.getvalue() == ""


def test_counting_goes_to_stderr(capsys):
    with counting_bar("reading pictures") as show:
        count(show)
    assert capsys.readouterr().out == ""


def test_in_a_terminal_it_counts_and_is_gone_afterwards():
    console = terminal()
    with counting_bar("reading pictures", console) as show:
        count(show)
    text = console.file.getvalue()
    assert "reading pictures 5/5" in text
    assert text.endswith("\x1b[1A\x1b[2K")  # up a line, and wiped


def test_counting_that_ends_early_gives_the_cursor_back():
    console = terminal()

    def stopped():
        with counting_bar("reading pictures", console) as show:
            show(2, 5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    text = console.file.getvalue()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_counting_nothing_shows_nothing():
    console = terminal()
    with counting_bar("reading pictures", console):
        pass
    assert "reading" not in console.file.getvalue()


def test_counting_and_training_one_after_the_other_share_no_line():
    """Both are open at once while teaching; two bars would flicker on one line of a terminal."""
    out = StringIO()
    consoles = [Console(file=out, force_terminal=True, width=100) for _ in range(2)]
    with counting_bar("reading", consoles[0]) as counting, progress_bar(consoles[1]) as show:
        count(counting)
        read = out.getvalue()
        walk(show, epochs=3)
    assert "epoch" not in read
    assert "reading" not in out.getvalue()[len(read) :]
    assert "epoch 3/3" in out.getvalue().split("\r")[-1]


def test_a_second_run_is_named_in_plain_lines():
    file = StringIO()
    with progress_bar(Console(file=file)) as show:
        walk(show, epochs=3, of=40)
        walk(show, epochs=2, of=2)
    lines = file.getvalue().splitlines()
    assert lines[0].startswith("epoch 3/40: ")
    assert lines[-1].startswith("all pictures, epoch 2/2: ")


def test_a_second_run_has_a_bar_of_its_own():
    file = StringIO()
    console = Console(file=file, force_terminal=True, width=120)
    with progress_bar(console) as show:
        walk(show, epochs=3, of=40)
        walk(show, epochs=2, of=2)
    last = file.getvalue()
    assert "epoch 3/3" in last
    assert "all pictures, epoch 2/2" in last
