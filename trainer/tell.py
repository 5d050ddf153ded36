"""What the commands tell a person: notes and warnings on stderr, figures on stdout."""

from __future__ import annotations

import math
import re
import shlex
import shutil
import sys
import textwrap
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.markup import escape  # a label may look like [bold]
from rich.table import Table

from edge.card import BACKGROUND
from edge.errors import printable
from trainer.evidence import wilson_upper
from trainer.words import count, names, percent, shorten

if TYPE_CHECKING:
    from trainer.dataset import Dataset
    from trainer.evaluate import Evaluation
    from trainer.recipe import Taught
    from trainer.validate import HeldOut

COMMAND, HELD = re.compile(r"(?<=: )trainer [^;,]+"), "\N{NO-BREAK SPACE}"
"""What is to be run, in a message, and what stands there for a blank meanwhile."""
REFUSED = 0.1
"""Share of held-out pictures found strange that deserves a word; 4 % are meant to be."""
CLOSER = {"hand": "hand-full", "hand+backbone": "hand-full+backbone"}
"""What sees more exactly than what `auto` has chosen: docs/decisions/0027-hand-full.md."""
ENOUGH = 0.98
"""Accuracy on sessions held out from which on larger networks are not worth a word."""
UNBOUNDED = 100_000
"""More columns than any of our tables needs."""
GUESSED = 0.1
"""Margin above chance that still counts as guessing."""
WORST = 10
"""Confusions to name where the whole table does not fit."""


def say(text: str) -> None:
    """Tell a person something: on stderr, so that stdout holds results alone.

    A terminal breaks lines in mid-word, so they are broken here; but never a command, which
    somebody may copy.
    """
    text = printable(text)
    if sys.stderr.isatty():
        columns = shutil.get_terminal_size().columns
        bound = re.sub(COMMAND, lambda found: found[0].replace(" ", HELD), text)
        lines = textwrap.wrap(bound, columns, break_long_words=False, break_on_hyphens=False)
        text = "\n".join(lines).replace(HELD, " ")
    click.echo(text, err=True)


def say_choice(taught: Taught) -> None:
    """Show what features there were to choose from, and say why these were taken."""
    if len(taught.candidates) == 1:
        return
    table = Table("features", box=box.SIMPLE_HEAD)
    for column in ("accuracy", "ms a frame", "kB"):
        table.add_column(column, justify="right")
    for one in taught.candidates:
        style = "bold" if one.chosen else None
        figures = (f"{one.milliseconds:.2f}", f"{one.size / 1000:.0f}")
        table.add_row(escape(one.name), _percent(one.accuracy), *figures, style=style)
    Console(stderr=True, highlight=False).print(table)
    say(f"{taught.features.name}: {taught.why}")
    closer = CLOSER.get(taught.features.name)
    if closer and taught.held_out is not None and taught.held_out.accuracy < ENOUGH:
        say(
            f"note: --features {closer} is right more often, in 1.7 times the time; take it if "
            "`edge status` on the Pi then still says 10 frames a second or more"
        )


def say_end(taught: Taught) -> None:
    """Say why the training ended, and warn if sessions held out went badly, or looked strange."""
    if taught.interrupted:
        say("stopped early; kept the best network so far")
    guessing = 1 / len(taught.described.dataset.labels)
    if taught.held_out is not None and _is_bad(taught.held_out, guessing):
        say(
            f"warning: {taught.held_out.accuracy:.0%} right in sessions held out is little "
            f"(guessing: {guessing:.0%}); they look too different from the others. Record where "
            "the camera will stand, nearer, and several sessions a label"
            + _wrong_way_round(taught.described.dataset, taught.held_out.accuracy)
        )
    if taught.refused > REFUSED:
        say(
            f"warning: {taught.refused:.0%} of the pictures held out look like nothing that was "
            "taught, and would do nothing. Record more sessions, in other places and light"
        )


def _is_bad(held_out: HeldOut, guessing: float) -> bool:
    """Return whether an accuracy is nearer to guessing than to all right, and not by chance."""
    pictures = len(held_out.targets)
    return wilson_upper(round(held_out.accuracy * pictures), pictures) < (1 + guessing) / 2


def _wrong_way_round(dataset: Dataset, accuracy: float) -> str:
    """Ask whether labels and sessions were swapped: labels share all sessions; all is guessed."""
    first, *others = dataset.sessions().values()
    guessed = accuracy <= 1 / len(dataset.labels) + GUESSED
    if not guessed or len(first) < 2 or any(other != first for other in others):
        return ""
    return (
        ". Or are the folders the wrong way round? They go label/session, and here "
        f"{names(dataset.labels)} are taught as labels, {names(sorted(first))} as their sessions"
    )


def say_skipped(
    lines: list[str], what: str = "picture", why: str = " that could not be read"
) -> None:
    """Name the pictures, or whatever it was, that were left out, and say how many there were.

    Args:
        lines: a line for each, with the reason.
        what: what the lines are.
        why: why they were left out, if the reason is the same for all.
    """
    for line in lines[:20]:
        say(f"skipped {line}")
    if lines:
        more = f" ({len(lines) - 20} not named here)" if len(lines) > 20 else ""
        say(f"skipped {count(len(lines), what)}{why}{more}")


def say_sessions(dataset: Dataset) -> None:
    """Warn of labels with a single session, and say what to record next."""
    sessions = dataset.sessions()
    lonely = [label for label, found in sessions.items() if len(found) < 2]
    if lonely:
        usual = dataset.root == Path("data")
        there = "" if usual else f" --data {shlex.quote(str(dataset.root))}"
        say(
            f"warning: only one session of {names(lonely)}, so how well it is told from the "
            "others elsewhere is not known; record another one, at another time, place or light: "
            f"trainer capture {shlex.quote(lonely[0])}{there}"
        )


def accuracy_line(accuracy: float | None, measured_on: str) -> str:
    """Return an accuracy in words, never without what it was measured on."""
    figure = "unknown" if accuracy is None else f"{accuracy:.1%}"
    return f"accuracy {figure}, measured on {measured_on}"


def print_evaluation(evaluation: Evaluation, console: Console | None = None) -> None:
    """Print accuracy, each label's precision and recall, and what was taken for what.

    Args:
        evaluation: what was measured.
        console: where to; None: stdout.
    """
    console = console or Console(highlight=False)
    if evaluation.accuracy is not None:
        pictures = count(evaluation.n + evaluation.unknown, "picture")
        part = f"{evaluation.n:,} of {pictures}" if evaluation.unknown else pictures
        console.print(f"accuracy {evaluation.accuracy:.1%} on {part}")
        gestures = sum(
            figures["n"] or 0
            for label, figures in evaluation.per_class().items()
            if label != BACKGROUND
        )
        console.print(f"right and sure enough to act: {evaluation.sure} of {gestures} gestures")
        if held_back := _held_back(evaluation):
            console.print(escape(held_back))
        console.print(_per_class(evaluation))
        table = _confusion(evaluation)
        # Of what is wider than the console, rich's own measure says no more than its width.
        width = console.measure(table, options=console.options.update_width(UNBOUNDED)).maximum
        if width <= console.width or not console.is_terminal:
            console.print("rows: what was shown; columns: what it was taken for")
            console.width = max(console.width, width)
            console.print(table)
        else:
            _print_worst(evaluation, console)
    if evaluation.unknown:
        console.print(
            f"{count(evaluation.unknown, 'picture')} of labels that were never taught; called a "
            f"gesture: {evaluation.unknown_accepted}"
        )
        for label, number in evaluation.strangers.most_common(WORST):
            near = get_close_matches(label.casefold(), evaluation.labels, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            console.print(f"{number:6}  {escape(shorten(label) + hint)}")


def _held_back(evaluation: Evaluation) -> str:
    """Say why right gestures would not act, and what to do; empty where all would."""
    parts = {"unlike anything taught": evaluation.strange, "unsure": evaluation.unsure}
    reasons = [f"{number} as {why}" for why, number in parts.items() if number]
    if not reasons:
        return ""
    told = (
        f"right, but held back: {' and '.join(reasons)}; record a session of that person or place"
    )
    if not math.isfinite(evaluation.enough):
        return told
    # Rounded up, so that what is written there lets them act.
    enough = math.ceil(10 * evaluation.enough) / 10
    return (
        f"{told}, or raise novelty in [decide] of edge.toml from the model's "
        f"{evaluation.limit:.3g} to {enough:g}"
    )


def _per_class(evaluation: Evaluation) -> Table:
    table = Table("label", box=box.SIMPLE_HEAD)
    for column in ("pictures", "precision", "recall"):
        table.add_column(column, justify="right")
    for label, figures in evaluation.per_class().items():
        shares = (_percent(figures[name]) for name in ("precision", "recall"))
        table.add_row(escape(label), str(figures["n"]), *shares)
    return table


def _confusion(evaluation: Evaluation) -> Table:
    table = Table("", box=box.SIMPLE_HEAD)
    for label in evaluation.labels:
        table.add_column(escape(label), justify="right", no_wrap=True)
    for row, label in enumerate(evaluation.labels):
        cells = [str(count) if count else "·" for count in evaluation.confusion[row].tolist()]
        cells[row] = f"[bold]{cells[row]}[/]"
        table.add_row(escape(label), *cells)
    return table


def _print_worst(evaluation: Evaluation, console: Console) -> None:
    wrong = [
        (number, shown, taken)
        for shown, row in zip(evaluation.labels, evaluation.confusion.tolist(), strict=True)
        for taken, number in zip(evaluation.labels, row, strict=True)
        if number and taken != shown
    ]
    for number, shown, taken in sorted(wrong, reverse=True)[:WORST]:
        console.print(f"{number:6}  {escape(shown)} taken for {escape(taken)}")


def _percent(share: float | None) -> str:
    return "-" if share is None else percent(share)
