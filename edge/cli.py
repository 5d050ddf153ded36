"""The `edge` command: what runs on the Pi."""

from __future__ import annotations

import click

from edge.commands.check import check
from edge.commands.run import run
from edge.console import Group
from edge.startup import settle


class _Edge(Group):
    """The command whose rarer parts load when asked for: `edge run` is to start soon, and small."""

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return a part by name."""
        if name not in self.commands:
            self._load_all()
        return super().get_command(ctx, name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all."""
        self._load_all()
        return super().list_commands(ctx)

    def _load_all(self) -> None:
        from edge.commands.doctor import doctor
        from edge.commands.off import off
        from edge.commands.replay import replay
        from edge.commands.status import status
        from edge.commands.wiggle import wiggle

        settle()
        for command in (replay, wiggle, off, status, doctor):
            self.add_command(command)


@click.group("edge", cls=_Edge)
@click.version_option(package_name="handwave", prog_name="edge")
def main() -> None:
    """Run a taught model on a camera and light LEDs, on a Raspberry Pi or a laptop."""


main.add_command(check)
main.add_command(run)
