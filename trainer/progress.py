"""Training as it happens: a bar in a terminal, a few plain lines in a log. Both go to stderr."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trainer.training import Epoch


@contextmanager
def progress_bar(console: Console | None = None) -> Iterator[Callable[[Epoch], None]]:
    """Show training as it happens.

    In a terminal it is a bar with loss, accuracy and time left; elsewhere a line at every tenth of
    the way, and one for the last epoch wherever it stops. Epochs that count from 1 again are
    another run, on all pictures, and have a bar of their own.

        with progress_bar() as show:
            fit(network, X, Y, progress=show)

    Args:
        console: where to show it; None: stderr.
    """
    console = console or Console(stderr=True)
    with _bar(console) if console.is_interactive else _lines(console) as show:
        yield show


@contextmanager
def counting_bar(what: str, console: Console | None = None) -> Iterator[Callable[[int, int], None]]:
    """Show a count of items done, as a bar in a terminal and not at all elsewhere.

    It is there from the first call until all is done: two bars at once would share one line.

    Args:
        what: what is being counted, such as "reading pictures".
        console: where to show it; None: stderr.
    """
    console = console or Console(stderr=True)
    columns = (
        TextColumn("{task.description} {task.completed:.0f}/{task.total:.0f}"),
        BarColumn(),
        TimeRemainingColumn(compact=True),
    )
    if not console.is_interactive:
        yield lambda _done, _of: None
        return
    progress = Progress(*columns, console=console, transient=True)
    task = progress.add_task(what, total=1)

    def show(done: int, of: int) -> None:
        progress.start()
        progress.update(task, completed=done, total=of)
        if done == of:
            progress.stop()

    try:
        yield show
    finally:
        progress.stop()


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[Epoch], None]]:
    columns = (
        TextColumn("{task.fields[run]}epoch {task.completed:.0f}/{task.total:.0f}"),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(compact=True),
    )
    progress = Progress(*columns, console=console)
    last: Epoch | None = None

    def finish() -> None:
        if last is not None:  # stopped early is done, too
            progress.update(progress.task_ids[-1], total=last.number)

    def show(epoch: Epoch) -> None:
        nonlocal last
        if last is None or epoch.number <= last.number:
            finish()
            progress.add_task("", total=1, run=_run(last))
            progress.start()
        last = epoch
        progress.update(
            progress.task_ids[-1],
            completed=epoch.number,
            total=epoch.of,
            description=_figures(epoch),
        )

    try:
        yield show
    finally:
        finish()
        progress.stop()


@contextmanager
def _lines(console: Console) -> Iterator[Callable[[Epoch], None]]:
    last: Epoch | None = None
    unsaid = False
    run = ""

    def say(epoch: Epoch) -> None:
        left = epoch.seconds / epoch.number * (epoch.of - epoch.number)
        line = f"{run}epoch {epoch.number}/{epoch.of}: {_figures(epoch)}, {left:.0f} s left"
        print(line, file=console.file, flush=True)

    def finish() -> None:
        if last is not None and unsaid:
            say(last)

    def show(epoch: Epoch) -> None:
        nonlocal last, unsaid, run
        if last is not None and epoch.number <= last.number:
            finish()
            run = _run(last)
        last, unsaid = epoch, epoch.number % -(-epoch.of // 10) != 0
        if not unsaid:
            say(epoch)

    yield show
    finish()


def _run(before: Epoch | None) -> str:
    """Name a run of epochs: after one that sessions were held out from comes one on everything."""
    return "" if before is None else "all pictures, "


def _figures(epoch: Epoch) -> str:
    figures = f"loss {epoch.loss:.3f}, accuracy: taught {epoch.accuracy:.1%}"
    if epoch.validation_accuracy is not None:
        figures += f", held out {epoch.validation_accuracy:.1%}"
    return figures
