"""A push as a pyinfra operation, for `deploy push @hosts.toml` and for anybody's own deploy.py.

    from deploy.operations import push

    push(name="handwave", config="gestures/edge.toml")

The plan is the same as for one host (`deploy.push.plan`), and so is what runs there
(`deploy.remote.push`). It works over any connector: what a step reads on stdin goes with its
command or, where that is large, into a file that is unlinked once the step has begun.
"""

from __future__ import annotations

import base64
import json
import shlex
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyinfra import context
from pyinfra.api.command import FileUploadCommand, StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation

import edge
from deploy.bundle import Bundle, make_bundle
from deploy.errors import DeployError
from deploy.push import Facts, Order, order, plan, read_facts
from deploy.signing import sign as signed
from deploy.ssh import REMOTE, boot, event_of
from deploy.target import Target

if TYPE_CHECKING:
    from collections.abc import Generator

    Commands = Generator[FileUploadCommand | StringCommand]


class HostFacts(FactBase["Facts | None"]):
    """What a push's plan depends on: one round trip, nothing changed."""

    def command(self, manifest: str, root: str, unit: str) -> str:
        """Return what the host runs."""
        look = boot(REMOTE, "look", {"place": Target(root, unit).place})
        stdin = base64.b64encode(REMOTE + manifest.encode()).decode()
        return f"echo {stdin} | base64 -d | {shlex.join(look)}"

    def process(self, output: list[str]) -> Facts | None:
        """Read the answer; None if it is none."""
        try:  # only the last line is ours: some login shells greet
            return read_facts(json.loads(output[-1]))
        except (ValueError, TypeError, KeyError):
            return None


@operation()
def push(
    config: str | Path = "edge.toml",
    root: str = Target().root,
    unit: str = Target().unit,
    sign: str | Path | None = None,
) -> Commands:
    """Make a host run a bundle; where it does already, nothing is done. Not as root: no `_sudo`.

    A host that is not ready for it, or goes back to what it ran, fails; the others go on.

    Args:
        config: edge.toml; what it names is sent with it.
        root: handwave's folder there.
        unit: the service there.
        sign: an SSH key to sign the bundle with.
    """
    target, bundle = Target(root, unit), gathered(Path(config), Path(sign) if sign else None)
    name = context.host.name
    facts = context.host.get_fact(
        HostFacts, manifest=bundle.manifest.decode(), root=root, unit=unit
    )
    if facts is None:
        yield refusal(f"{name}: no answer; does python3 work there?")
        return
    try:
        steps = plan(facts, bundle, target, name)
    except DeployError as problem:
        yield refusal(str(problem))
        return
    if steps:
        yield from order_commands(order(steps, bundle, facts), target)
    else:
        context.host.noop(f"it runs {bundle.release}")


@operation()
def apply_order(request: Order, target: Target) -> Commands:
    """Make a host carry out an order."""
    yield from order_commands(request, target)


def order_commands(request: Order, target: Target) -> Commands:
    """Yield the commands that carry out an order: one file, and one process that reads it.

    Should the connection die, that process goes on, or goes back, by itself.
    """
    there = context.host.get_temp_filename(temp_directory="/tmp")  # noqa: S108  (nobody guesses it)
    apply = boot(REMOTE, "apply", {"place": target.place, **request.request})
    yield FileUploadCommand(BytesIO(REMOTE + request.tar), there, remote_temp_filename=there)
    yield StringCommand(f"exec 3< {there} && rm -f {there} && {shlex.join(apply)} <&3")


def refusal(why: str) -> StringCommand:
    """Return a command that fails on the host and says why: the other hosts go on."""
    return StringCommand(f"echo {shlex.quote(why)} >&2; exit 1")


def events(lines: list[str]) -> list[dict[str, Any]]:
    """Return the events of a host that carried out an order: `step`, `journal`, `failed`."""
    told = map(event_of, lines)
    return [event for event in told if event is not None]


@cache
def gathered(config: Path, key: Path | None) -> Bundle:
    """Gather a bundle once for all hosts."""
    bundle = make_bundle(config, Path(edge.__path__[0]))
    return bundle if key is None else signed(bundle, key)
