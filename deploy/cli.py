"""The `deploy` command."""

from __future__ import annotations

import signal
from typing import Any

import click

from deploy.commands.push import push
from edge.console import Group


class _Deploy(Group):
    """The command whose other parts load when asked for: a push is to start soon."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a part; a window that is closed, or a kill, ends it as Ctrl-C does: tidily."""
        kinds = (signal.SIGTERM, signal.SIGHUP)
        ours = [kind for kind in kinds if signal.getsignal(kind) == signal.SIG_DFL]
        for kind in ours:
            signal.signal(kind, signal.default_int_handler)
        try:
            return super().invoke(ctx)
        finally:
            for kind in ours:
                signal.signal(kind, signal.SIG_DFL)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return a part by name."""
        if name not in self.commands:
            self._load_all()
        return super().get_command(ctx, name)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's)
        """Return the names of all, in the order in which they are needed."""
        self._load_all()
        first = ["setup", "push"]
        return [*first, *(name for name in self.commands if name not in first)]

    def _load_all(self) -> None:
        from deploy.commands.logs import logs
        from deploy.commands.pull import pull
        from deploy.commands.remove import remove
        from deploy.commands.rollback import rollback
        from deploy.commands.setup import setup
        from deploy.commands.status import status
        from deploy.commands.watch import watch

        for command in (setup, rollback, status, logs, watch, pull, remove):
            self.add_command(command)


@click.group("deploy", cls=_Deploy)
@click.version_option(package_name="handwave", prog_name="deploy")
def main() -> None:
    """From the laptop to the Pi over SSH, with your own keys and ~/.ssh/config."""


main.add_command(push)
