"""Put a bundle on a host: look, plan, act; and if it fails, the host runs what it ran.

Data flows one way: bundle -> facts -> plan -> act. The plan is a list that can be printed, and is
empty where there is nothing to do.
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.bundle import LIMIT, Bundle
from deploy.errors import DeployError
from deploy.ssh import lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from deploy.ssh import Host

CHECK_SECONDS = 90
"""How long `edge check` may take on the host."""
RESTART_SECONDS = 120
"""How long the service may take to be ready; the unit's own limits (90 s to start) come first."""
JOURNAL_LINES = 15


@dataclass(frozen=True, slots=True)
class Target:
    """Where handwave lives on a host."""

    root: str = "/opt/handwave"
    unit: str = "handwave.service"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"/[\w@.+-]+(/[\w@.+-]+)*", self.root) or "/.." in self.root:
            raise DeployError(f"root {self.root!r}: say a whole path, such as /opt/handwave")
        if not re.fullmatch(r"\w[\w@:.-]*\.service", self.unit):
            raise DeployError(f"unit {self.unit!r}: say a service, such as handwave.service")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a host said about itself (`deploy.remote.facts`)."""

    user: str
    python: tuple[int, int]
    root: bool
    writable: bool
    venv: bool
    releases: list[str]
    """The releases that are there."""
    current: str | None
    """The release the service runs from its next start on."""
    healthy: str | None
    """The last release that got ready."""
    intact: bool
    """Whether this bundle is there already, every byte of it."""
    systemctl: bool
    load: str
    """The unit's LoadState: `loaded`, `not-found`, `masked`."""
    active: str
    """The unit's ActiveState: `active`, `inactive`, `failed`, `activating`."""
    sudo: list[str]
    """The words before `systemctl`: none for root."""
    may_restart: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One thing a push will do: its name, and what that means this time."""

    name: str
    does: str


@dataclass(frozen=True, slots=True)
class Job:
    """Everything the steps need to know."""

    host: Host
    bundle: Bundle
    facts: Facts
    target: Target
    incoming: str | None
    """The upload's folder in `releases`; None where the release is there already."""
    tell: Callable[[str], None]
    """Takes each line a person should see."""

    @property
    def before(self) -> str | None:
        """Where to go back to: the last release that got ready, else what was current."""
        candidates = (self.facts.healthy, self.facts.current)
        return next((name for name in candidates if name not in {None, self.bundle.release}), None)

    @property
    def folder(self) -> str:
        """The folder on the host that holds the bundle until it is activated."""
        return f"{self.target.root}/releases/{self.incoming or self.bundle.release}"


def push(
    host: Host,
    bundle: Bundle,
    target: Target,
    *,
    dry_run: bool = False,
    tell: Callable[[str], None] = print,
) -> list[Step]:
    """Make `host` run `bundle`; return the steps that did it (or would, with `dry_run`).

    Raises:
        DeployError: the host is not set up for it, or a step failed; it then runs what it ran.
    """
    facts = look(host, bundle, target)
    steps = plan(facts, bundle, target, host.name)
    if not steps:
        tell(f"{host.name}: nothing to do: it runs {bundle.release}")
    elif dry_run:
        tell(f"{host.name}: would do this, and changed nothing:")
        for step in steps:
            tell(f"  {step.name:9} {step.does}")
    else:
        uploads = any(step.name == "upload" for step in steps)
        incoming = f".incoming-{bundle.release}-{secrets.token_hex(4)}" if uploads else None
        act(steps, Job(host, bundle, facts, target, incoming, tell))
        tell(f"{host.name}: runs {bundle.release}")
    return steps


def look(host: Host, bundle: Bundle, target: Target) -> Facts:
    """Ask the host, in one round trip, for all that the plan depends on."""
    answer = host.step("facts", root=target.root, unit=target.unit, digest=bundle.digest)
    return Facts(**{**answer, "python": tuple(answer["python"])})


def plan(facts: Facts, bundle: Bundle, target: Target, host: str) -> list[Step]:
    """Return what must happen for the host to run the bundle; nothing, if it does already.

    Raises:
        DeployError: the host is not set up for it; the message holds everything that is missing.
    """
    problems = "; ".join(missing(facts, target))
    if problems:
        raise DeployError(f"{host}: {problems}; nothing was changed (see docs/deploying.md)")
    release, check = bundle.release, Step("check", "edge check: edge.toml, model, golden frames")
    steps = []
    if not facts.intact:
        size = f"{len(bundle.files)} files, {bundle.size / 1e6:.1f} MB"
        steps += [
            Step("upload", f"{size} into a new folder in {target.root}/releases"),
            Step("verify", f"SHA-256 of every file, against {bundle.digest[:12]}"),
        ]
    if not facts.intact or facts.current != release:
        was = f", now {facts.current}" if facts.current else ""
        steps += [check, Step("activate", f"{target.root}/current -> releases/{release}{was}")]
    if steps or facts.healthy != release or facts.active != "active":
        steps.append(Step("restart", f"{target.unit}, and wait until it is ready"))
    return steps


def missing(facts: Facts, target: Target) -> Iterable[str]:
    """Yield everything the host lacks, each with what to do about it."""
    root, unit = target.root, target.unit
    if facts.python < (3, 11):
        yield f"its python3 is {facts.python[0]}.{facts.python[1]}, and handwave needs 3.11"
    if not facts.root:
        yield f"there is no folder {root}"
    elif not facts.writable:
        yield f"{facts.user} may not write to {root}"
    elif not facts.venv:
        yield f"there is no {root}/venv/bin/python"
    if not facts.systemctl:
        yield "it has no systemctl"
    elif facts.load != "loaded":
        yield f"systemd knows no {unit} there"
    elif not facts.may_restart:
        yield f"{facts.user} may not run `sudo -n systemctl restart {unit}`"


def act(steps: list[Step], job: Job) -> None:
    """Do the steps, in order; if one fails, undo what would be in the way.

    Raises:
        DeployError: a step failed; the message says what the host runs now.
    """
    for step in steps:
        job.tell(f"{job.host.name}: {step.name}: {step.does}")
        undo = go_back if step.name == "restart" else discard
        try:
            STEPS[step.name](job)
        except DeployError as error:
            raise DeployError(f"{error}; {undo(job)}") from error
        except KeyboardInterrupt:
            job.tell(f"{job.host.name}: interrupted; {undo(job)}")
            raise


def discard(job: Job) -> str:
    """Remove the upload, which `activate` has not yet made a release; return what runs."""
    if job.incoming:
        with suppress(DeployError):  # why the push failed matters more; a later push sweeps up
            job.host.step("discard", root=job.target.root, incoming=job.incoming)
    runs = job.facts.current
    return f"it still runs {runs}" if runs else "it runs nothing yet"


def go_back(job: Job) -> str:
    """Let `current` point to what ran before, and run that; return how that went."""
    try:
        job.host.step("point", root=job.target.root, link="current", release=job.before)
        why = systemctl(job, "restart" if job.before else "stop")
    except DeployError as error:
        why = str(error)
    if why:
        return f"could not go back to {job.before}: {why}; push again"
    return f"went back to {job.before}, which runs again" if job.before else "stopped it"


def upload(job: Job) -> None:
    """Send all files into a folder that nothing looks at yet."""
    job.host.step(
        "upload",
        job.bundle.tar(),
        root=job.target.root,
        incoming=job.incoming,
        limit=LIMIT + len(job.bundle.manifest),
    )


def verify(job: Job) -> None:
    """Compare what lies on the host's disk with what was meant."""
    job.host.step("verify", folder=job.folder, digest=job.bundle.digest)


def check(job: Job) -> None:
    """Let the bundle's own `edge check` prove it on this host, with this host's onnxruntime."""
    python = f"{job.target.root}/venv/bin/python"
    # As in the unit: nothing but the bundle, no files written, and nobody is called at home.
    quiet = ["PYTHONDONTWRITEBYTECODE=1", "ORT_DISABLE_TELEMETRY=1"]
    settings = [f"PYTHONPATH={job.folder}", *quiet]
    command = [python, "-P", "-m", "edge", "check", "--config", "edge.toml"]
    complaints = attempt(job, CHECK_SECONDS, ["env", "-C", job.folder, *settings, *command])
    if complaints:  # a program's last line is the one that says why
        raise DeployError(f"{job.host.name}: edge check failed there: {complaints[-1]}")


def attempt(job: Job, seconds: int, command: list[str]) -> list[str]:
    """Run a command on the host; return the lines that say why it failed, none if it did not."""
    done = job.host.run(["timeout", str(seconds), *command])
    if done.returncode == 0:
        return []
    if done.returncode == 124:  # timeout's own
        return [f"not done in {seconds} s"]
    return lines_of(done.stderr) or lines_of(done.stdout) or [f"exit code {done.returncode}"]


def activate(job: Job) -> None:
    """Switch: one rename decides what the service starts from now on."""
    job.host.step(
        "activate", root=job.target.root, release=job.bundle.release, incoming=job.incoming
    )


def restart(job: Job) -> None:
    """Restart the service, wait until it is ready, and note that this release got there."""
    why = systemctl(job, "restart")
    if why:
        journal(job)
        raise DeployError(f"{job.host.name}: {job.bundle.release} did not get ready: {why}")
    job.host.step("point", root=job.target.root, link="healthy", release=job.bundle.release)


def systemctl(job: Job, verb: str) -> str:
    """Run `systemctl VERB UNIT` on the host; return why it failed, or nothing."""
    command = [*job.facts.sudo, "systemctl", verb, job.target.unit]
    complaints = attempt(job, RESTART_SECONDS, command)
    # systemctl's own reason; around it, sudo may grumble and systemctl tells where to read more
    reasons = [line for line in complaints if line.startswith("Job for ")]
    return (reasons or complaints or [""])[-1].rstrip(".")


def journal(job: Job) -> None:
    """Tell the last lines the service wrote; they say more than systemctl does."""
    what = [f"--unit={job.target.unit}", f"--lines={JOURNAL_LINES}"]
    with suppress(DeployError):  # a lost connection has been told of already
        done = job.host.run(["journalctl", *what, "--no-pager", "--output=cat"])
        for line in lines_of(done.stdout):
            job.tell(f"{job.host.name}: journal: {line}")


STEPS: dict[str, Callable[[Job], None]] = {
    step.__name__: step for step in (upload, verify, check, activate, restart)
}
