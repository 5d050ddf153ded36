"""What several commands ask for, and say, in the same way."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from deploy.errors import DeployError
from deploy.inventory import read_fleet
from deploy.ssh import check_name
from deploy.target import Target
from edge.console import complain
from edge.errors import HandwaveError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from deploy.inventory import Fleet


AT_ONCE = 16
"""Hosts that are asked for pictures at the same time."""


def tell(line: str) -> None:
    """Print a line, ignoring a closed pipe: work that has begun goes on."""
    try:
        click.echo(line)
    except BrokenPipeError:  # `| head` has seen enough
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def side_by_side(names: Sequence[str], act: Callable[[str], object]) -> bool:
    """Do something with all hosts at once; return whether none failed, which stops no other."""
    from concurrent.futures import ThreadPoolExecutor, as_completed

    well = True
    pool = ThreadPoolExecutor(min(len(names), AT_ONCE))
    try:
        for done in as_completed([pool.submit(act, name) for name in names]):
            try:
                done.result()
            except HandwaveError as problem:
                complain(problem)
                well = False
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C begins with no further host
    return well


def _right(check: Callable[[str], object], word: str) -> str:
    """Return a checked word of the command line; raise a usage error for a wrong one."""
    try:
        check(word)
    except DeployError as problem:
        raise click.BadParameter(str(problem)) from problem
    return word


class _WrongHostsError(click.ClickException):
    """A mistake in a file of hosts; shown as all errors are."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it."""
        click.echo(f"deploy: {self.message}", file=file, err=True)


def _fleet(_ctx: click.Context, _param: click.Parameter, words: tuple[str, ...]) -> Fleet:
    """Read the file of hosts, if one is named."""
    for word in words:
        if not word.startswith("@"):
            _right(check_name, word)
    try:
        return read_fleet(words)
    except DeployError as problem:
        raise _WrongHostsError(str(problem)) from problem


def _hosts(ctx: click.Context, param: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    return _fleet(ctx, param, words).hosts


def _words(ctx: click.Context, param: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    _fleet(ctx, param, words)
    return words


hosts_argument = click.argument(
    "hosts", metavar="HOST...", nargs=-1, required=True, callback=_hosts
)
words_argument = click.argument(
    "hosts", metavar="HOST...", nargs=-1, required=True, callback=_words
)
"""The same, checked but unchanged: for a command whose last word may not be a host."""
fleet_argument = click.argument(
    "fleet", metavar="HOST...", nargs=-1, required=True, callback=_fleet
)


def _host(_ctx: click.Context, _param: click.Parameter, word: str) -> str:
    """Refuse a file of hosts, where only one host is possible."""
    if word.startswith("@"):
        raise click.BadParameter(f"{word}: one host at a time, by its name")
    _right(check_name, word)
    return word


host_argument = click.argument("host", metavar="HOST", callback=_host)
config_option = click.option(
    "--config",
    default="edge.toml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="What each label does; names the model, relative to itself.",
)
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Say what would be done; change nothing."
)
ssh_config_option = click.option(
    "-F",
    "--ssh-config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="An ssh config file, in place of your own.",
)


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--root` and `--unit`, which the command takes as `root` and `unit`."""
    root = click.option(
        "--root", default=Target().root, show_default=True, help="handwave's folder there.",
        callback=lambda _ctx, _param, word: _right(lambda root: Target(root=root), word),
    )  # fmt: skip
    unit = click.option(
        "--unit", default=Target().unit, show_default=True, help="The systemd service there.",
        callback=lambda _ctx, _param, word: _right(lambda unit: Target(unit=unit), word),
    )  # fmt: skip
    return root(unit(command))
