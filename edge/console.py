"""How all three commands meet a person: one line for an error, exit codes 0, 1 and 2."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from typing import Any, TextIO

import click

from edge.errors import HandwaveError, printable

PACKAGES = ("edge", "trainer", "deploy")


class Command(click.Command):
    """A command whose errors are one line on stderr and exit code 1, unless `--debug`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        debug = click.Option(
            ["--debug"], is_flag=True, expose_value=False, callback=_remember,
            help="Show where an error came from.",
        )  # fmt: skip
        self.params.append(debug)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        name = ctx.find_root().info_name
        logging.basicConfig(format=f"{name}: %(message)s", stream=sys.stderr, force=True)
        for package in PACKAGES:  # what others have to say at that level is no help
            logging.getLogger(package).setLevel(logging.DEBUG if _debugs(ctx) else logging.NOTSET)
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.Abort, click.ClickException, BrokenPipeError):
            raise
        except Exception as problem:  # noqa: BLE001  (a bug, too, is one line without --debug)
            complain(problem)
            if isinstance(problem, OSError):
                _throw_away()
            sys.exit(1)


class Group(click.Group):
    """A group of such commands."""

    command_class = Command
    group_class = type  # subgroups use this class too

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        super().__init__(*args, **kwargs)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command, even if its output cannot be written: `>&-`, or a full disk."""
        _open_closed()
        try:
            return super().main(*args, **kwargs)
        except OSError as problem:  # of click's own, such as the help's
            click.echo(f"{kwargs.get('prog_name') or self.name}: {_one_line(problem)}", err=True)
            _throw_away()
            sys.exit(1)


def somebody_is_at(*streams: TextIO | None) -> bool:
    """Return whether each of these is a terminal; one that was closed (`<&-`) is None."""
    return all(stream is not None and stream.isatty() for stream in streams)


def complain(problem: Exception) -> None:
    """Print an error as one line on stderr, and with `--debug` where it came from."""
    ctx = click.get_current_context()
    if _debugs(ctx):
        traceback.print_exception(problem)
    click.echo(f"{ctx.find_root().info_name}: {_one_line(problem)}", err=True)
    picture = problem.picture if isinstance(problem, HandwaveError) else None
    for line in (picture or "").splitlines():
        click.echo(printable(line), err=True)


def _open_closed() -> None:
    """Open /dev/null for standard streams that our caller closed; Python has None there."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)  # for as long as we live
            setattr(sys, name, os.fdopen(nowhere, mode, closefd=False))


def _throw_away() -> None:
    """Send unwritable output to /dev/null, else Python tries again at exit, and complains."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _remember(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001  (click's order)
    ctx.meta[__name__] = value


def _debugs(ctx: click.Context) -> bool:
    return bool(ctx.meta.get(__name__))


def _one_line(problem: Exception) -> str:
    if isinstance(problem, HandwaveError):
        return str(problem)
    if isinstance(problem, MemoryError):
        return "out of memory; stop other programs, or teach with smaller features"
    if isinstance(problem, OSError) and problem.strerror:
        where = f"{problem.filename}: " if problem.filename else ""
        return f"{where}{problem.strerror}"
    what = f"{type(problem).__name__}: {problem}".partition("\n")[0]
    return f"a mistake of ours ({what}); please report it with what --debug shows"
