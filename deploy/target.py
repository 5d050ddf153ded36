"""Where handwave lives on a host: the names that setting up, pushing and removing share."""

from __future__ import annotations

import re
from dataclasses import dataclass

from deploy.errors import DeployError

USER = "handwave"
"""System user of every handwave service; its group may read status and socket."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where handwave lives on a host.

    Raises:
        DeployError: `root` is no whole path, or `unit` no systemd service.
    """

    root: str = "/opt/handwave"
    unit: str = "handwave.service"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"/[\w@.+-]+(/[\w@.+-]+)*", self.root) or "/.." in self.root:
            raise DeployError(
                f"root {self.root!r}: say a whole path, such as /opt/handwave; between its slashes "
                "may be letters, figures and @ . + - _, for it stands in a systemd unit"
            )
        if not re.fullmatch(r"\w[\w@:.-]*\.service", self.unit):
            raise DeployError(f"unit {self.unit!r}: say a service, such as handwave.service")

    @property
    def name(self) -> str:
        """The unit without `.service`: what folders and files of the system are called after."""
        return self.unit.removesuffix(".service")

    @property
    def check_unit(self) -> str:
        """The service that runs `edge check` once, as the same user and within the same limits."""
        return f"{self.name}-check.service"

    @property
    def trial(self) -> str:
        """A folder in memory, where a push names the release that is on trial until it is ready."""
        return f"/run/{self.name}-trial"

    @property
    def runtime(self) -> str:
        """The service's own folder, in memory: its status and its socket."""
        return f"/run/{self.name}"

    @property
    def options(self) -> str:
        """The options that make a suggested command mean this target."""
        usual, names = Target(), ("root", "unit")
        other = [name for name in names if getattr(self, name) != getattr(usual, name)]
        return "".join(f" --{name} {getattr(self, name)}" for name in other)

    def mixed_up(self, exec_start: str) -> str | None:
        """Return what to say where the service belongs to another folder than `root`.

        Args:
            exec_start: what `systemctl show` says of the service's ExecStart=; one that starts no
                venv's Python is somebody's own affair.
        """
        found = re.search(r"(/[^\s;]*)/venv/bin/python", exec_start)
        if found is None or found[1] == self.root:
            return None
        return (
            f"{self.unit} there belongs to {found[1]}, not to {self.root}: say both --root and "
            f"--unit as `deploy setup` was told them, such as --root {found[1]} --unit {self.unit}"
        )

    @property
    def place(self) -> dict[str, str]:
        """The names in words that travel: `deploy.remote.push.Place`."""
        names = ("root", "unit", "check_unit", "trial")
        return {name: getattr(self, name) for name in names}
