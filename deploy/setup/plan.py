"""The steps of setting a host up: a list that can be printed, empty where all is done.

Pure: survey and needs in, steps out. `deploy.setup.deploys` lets pyinfra carry them out.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.setup import files as setup_files
from deploy.setup.needs import SWIG
from deploy.setup.survey import DAY, dotted
from deploy.target import USER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from deploy.setup.needs import Needs
    from deploy.setup.survey import Survey
    from deploy.target import Target

MADE = ("groups", "users", "members", "files", "folders")
"""What setup.json lists: whatever was not there before."""
APT = (
    "env", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y",
    "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300",
)  # fmt: skip
"""apt waits for an upgrade that runs by itself, asks nothing, and keeps changed settings."""
KEEP_OLD = ("-o", "Dpkg::Options::=--force-confold")


@dataclass(frozen=True, slots=True)
class Run:
    """A command for the host's shell, run as root."""

    command: str


# Half-unpacked packages must be installed again: from the archive, or with those that follow.
REPAIR = (
    # The lock's holder may be our own apt, still running after a lost connection.
    "export LC_ALL=C DEBIAN_FRONTEND=noninteractive; for second in $(seq 300); do "
    "said=$(dpkg --force-confdef --force-confold --configure -a 2>&1) && break; "
    'case "$said" in *lock*) sleep 1;; *) break;; esac; done; echo "$said"; '
    f"{shlex.join([*APT, *KEEP_OLD, 'install', '--fix-broken'])} || true"
)
# All new packages count: apt would keep many as other packages' suggestions.
INSTALLED = (
    r"dpkg-query -Wf '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort -u"
)
NOTE_BEFORE = Run(f"[ -e {setup_files.BEFORE} ] || {INSTALLED} > {setup_files.BEFORE}")
NOTE_NEW = Run(
    f"{INSTALLED} | comm -13 {setup_files.BEFORE} - >> {setup_files.PACKAGES} "
    f"&& rm {setup_files.BEFORE}"
)


@dataclass(frozen=True, slots=True)
class Put:
    """A file for the host, root's: whole or not at all, and only if its check passes."""

    path: str
    content: bytes
    mode: int = 0o644
    check: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One thing a set-up will do: its name, what that means this time, and how."""

    name: str
    does: str
    commands: tuple[Run | Put, ...]


@dataclass(frozen=True, slots=True)
class Carried:
    """What the laptop brings along for a host without the internet."""

    wheels: dict[str, bytes] = field(default_factory=dict)
    """By file name; those that are there already are not among them."""
    debs: dict[str, bytes] = field(default_factory=dict)


def run(*words: str) -> Run:
    """Return a command of these words."""
    return Run(shlex.join(words))


def plan(
    survey: Survey, needs: Needs, target: Target, carried: Carried | None = None
) -> list[Step]:
    """Return what must happen for the host to be set up; nothing, if it is.

    Args:
        survey: what the host said of itself.
        needs: what must be there.
        target: where.
        carried: what the laptop brings; None: the host fetches for itself.
    """
    wanted = setup_files.files(target, needs, survey)
    steps = [
        *_packages(survey, needs, target, carried),
        *_groups(survey, needs),
        *_folder(survey, target),
        *_venv(survey, needs, target, carried),
        *_files(survey, wanted),
        *_services(survey, wanted, target),
    ]
    made = remember(survey, needs, target, wanted)
    if made != survey.text(setup_files.SETUP):
        note = Put(setup_files.SETUP, made.encode())
        folder = run("install", "-d", "-m", "755", setup_files.MEMORY)
        # First, so that `remove` knows about it however far the rest gets.
        steps.insert(0, Step("remember", f"{setup_files.SETUP}, for deploy remove", (folder, note)))
    return steps


def alone(command: str) -> Run:
    """Return a command that survives a lost connection: half-installed packages are a nuisance."""
    return Run(
        "trap '' HUP PIPE; told=$(mktemp) && "
        f'{{ {{ {command}; }} </dev/null >"$told" 2>&1; code=$?; cat "$told"; rm "$told"; '
        "(exit $code); }"
    )


def missing_packages(survey: Survey, needs: Needs) -> list[str]:
    """Return the packages that apt has to install."""
    return [name for name in needs.apt if name not in survey.packages]


def missing_python(survey: Survey, needs: Needs) -> list[str]:
    """Return the requirements that the venv lacks; all of them if it has to be remade."""
    found = survey.venv["packages"] if venv_fits(survey) and survey.venv else {}
    have = {canonicalize_name(name): version for name, version in found.items()}
    wanted = [Requirement(one) for one in needs.pip]
    return [
        str(one)
        for one in wanted
        if not one.specifier.contains(have.get(canonicalize_name(one.name), "0"), prereleases=True)
        or canonicalize_name(one.name) not in have
    ]


def venv_fits(survey: Survey) -> bool:
    """Return whether there is a complete venv of the system's present Python."""
    venv = survey.venv
    return venv is not None and tuple(venv["python"]) == survey.python and venv["whole"]


def _packages(
    survey: Survey, needs: Needs, target: Target, carried: Carried | None
) -> Iterator[Step]:
    missing = missing_packages(survey, needs)
    if survey.dpkg_broken:  # power or a connection went while apt was at work
        yield Step("repair", "packages that are half installed", (alone(REPAIR),))
    if not missing:
        return
    install = (*APT, *KEEP_OLD, "install", "--no-install-recommends")
    commands: list[Run | Put] = []
    if carried is None:
        if survey.lists_age is None or survey.lists_age > DAY:
            commands.append(alone(shlex.join([*APT, "update"])))
        commands.append(alone(shlex.join([*install, *missing])))
    else:  # apt itself compares them with its lists
        folder = f"{target.root}/.debs"
        commands.append(run("install", "-d", f"{folder}/partial"))
        commands += [Put(f"{folder}/{name}", data) for name, data in carried.debs.items()]
        here = ("-o", f"Dir::Cache::archives={folder}")  # what lies there is not fetched
        commands += [alone(shlex.join([*install, *here, *missing])), run("rm", "-rf", folder)]
    how = "" if carried is None else f" ({len(carried.debs)} carried from here)"
    commands = [NOTE_BEFORE, *commands, NOTE_NEW]
    yield Step("packages", f"apt install {' '.join(missing)}{how}", tuple(commands))


def _groups(survey: Survey, needs: Needs) -> Iterator[Step]:
    for group in needs.groups:
        if group not in survey.groups:
            yield Step("group", f"{group}, new", (run("groupadd", "--system", group),))
    listed = ",".join(needs.groups)
    if survey.service_groups is None:
        # A group of its own, even where the system's habit is another.
        add = ("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/")
        shell = ("--shell", "/usr/sbin/nologin", "--groups", listed, USER)
        yield Step("user", f"{USER}, in {listed}; it cannot log in", (run(*add, *shell),))
    elif absent := [group for group in needs.groups if group not in survey.service_groups]:
        yield _join(USER, absent)
    if absent := [
        group for group in _for_login(survey) if group not in (survey.login_groups or ())
    ]:
        yield _join(survey.login, absent)


def _for_login(survey: Survey) -> tuple[str, ...]:
    """Return the groups that the pushing user needs: to see the status and the journal."""
    return () if survey.login == "root" else (USER, "systemd-journal")


def _join(user: str, groups: list[str]) -> Step:
    listed = ",".join(groups)
    command = run("usermod", "--append", "--groups", listed, user)
    return Step("member", f"{user} joins {listed}", (command,))


def _folder(survey: Survey, target: Target) -> Iterator[Step]:
    places = [target.root, *setup_files.of_pushes(target)]
    owners = [there["owner"] for path in places if (there := survey.places.get(path))]
    others = {owner for owner in owners if owner != survey.login}
    if not owners or others:
        owner = ("-o", survey.login, "-g", survey.login_group)
        make = run("install", "-d", "-m", "755", *owner, target.root)
        own = f"chown -hR {shlex.quote(f'{survey.login}:{survey.login_group}')}"
        theirs = [
            Run(f"[ ! -e {path} ] && [ ! -L {path} ] || {own} {path}")
            for path in map(shlex.quote, places[1:])
        ]
        was = f" ({' and '.join(sorted(others))} had it)" if others else ""
        yield Step("folder", f"{target.root}, {survey.login}'s{was}", (make, *theirs))


def _venv(survey: Survey, needs: Needs, target: Target, carried: Carried | None) -> Iterator[Step]:
    root = f"{target.root}/venv"
    python = f"{root}/bin/python"
    on_disk = run("sync", "-f", target.root)  # a power cut may follow
    if not venv_fits(survey):
        make = run("python3", "-m", "venv", "--clear", "--system-site-packages", root)
        why = ""
        if survey.venv:
            made_for = dotted(tuple(survey.venv["python"]))
            half = tuple(survey.venv["python"]) == survey.python
            why = " (it was half made)" if half else f" (it was made for Python {made_for})"
        yield Step("venv", f"{root}, sees apt's modules{why}", (make, on_disk))
    missing = missing_python(survey, needs)
    held = f"numpy=={survey.modules.get('numpy')}\n"
    if not missing and survey.text(setup_files.constraints(target)) == held:
        return
    # A newer NumPy in the venv would break what apt has compiled against its own.
    hold = "import importlib.metadata as m; print('numpy==' + m.version('numpy'))"
    ours = setup_files.constraints(target)
    commands: list[Run | Put] = [
        Run(f"{shlex.join(['python3', '-IB', '-c', hold])} > {shlex.quote(ours)}"),
        Put(setup_files.pip_conf(target), f"[install]\nconstraint = {ours}\n".encode()),
    ]
    if missing:
        commands += _pip(python, missing, target, carried)
    if "picamera2" in missing:
        stub = setup_files.previews(target, survey.python)
        commands.append(Put(stub, setup_files.NO_PREVIEWS.encode()))
    commands.append(on_disk)
    what = " ".join(missing) or "nothing new"
    how = "" if carried is None else f" ({len(carried.wheels)} wheels carried from here)"
    yield Step("python", f"{what}, NumPy held to apt's{how}", tuple(commands))


def _pip(
    python: str, missing: list[str], target: Target, carried: Carried | None
) -> Iterator[Run | Put]:
    install = (python, "-m", "pip", "install", "-q", "--disable-pip-version-check",
               "--no-input", "--no-cache-dir", "--root-user-action=ignore")  # fmt: skip
    if carried is not None:
        folder = f"{target.root}/.wheels"
        yield run("install", "-d", folder)
        for name, data in carried.wheels.items():
            yield Put(f"{folder}/{name}", data)
        yield run(*install, "--no-index", "--find-links", folder, *missing)
        yield run("rm", "-rf", folder)
        return
    if "lgpio" in missing:  # has wheels for few Pythons: made here, by what is there only for that
        tools = (SWIG, "setuptools", "wheel")
        path = f"PATH={python.rpartition('/')[0]}:/usr/bin:/bin"
        yield run(*install, *tools)
        yield run("env", path, "PYPI=1", *install, "--no-build-isolation", "lgpio")
        names = [Requirement(tool).name for tool in tools]
        yield run(python, "-m", "pip", "uninstall", "-q", "-y", "--root-user-action=ignore", *names)
    yield run(*install, *missing)


def _files(survey: Survey, wanted: Iterable[setup_files.File]) -> Iterator[Step]:
    for file in wanted:
        there = survey.places.get(file.path)
        if there and (there["text"], there["mode"], there["owner"]) == (
            file.text,
            file.mode,
            "root",
        ):
            continue
        folder = run("install", "-d", "-m", "755", file.path.rpartition("/")[0])
        commands: list[Run | Put] = [
            folder,
            Put(file.path, file.text.encode(), file.mode, file.check),
        ]
        if file.then:
            commands.append(run(*file.then))
        yield Step("file", f"{file.path}: {file.why}", tuple(commands))


def _services(survey: Survey, wanted: Iterable[setup_files.File], target: Target) -> Iterator[Step]:
    of_systemd = [file for file in wanted if file.path.startswith("/etc/systemd/system/")]
    changed = any(True for _ in _files(survey, of_systemd))
    if changed or survey.need_reload:
        yield Step("reload", "systemd reads its units", (run("systemctl", "daemon-reload"),))
    if not survey.enabled:
        yield Step(
            "enable", f"{target.unit} at boot", (run("systemctl", "enable", "-q", target.unit),)
        )
    if changed and survey.active == "active":
        again = run("systemctl", "restart", target.unit)
        yield Step("restart", f"{target.unit}, as its unit is new", (again,))
    if survey.places.get(target.trial) is None and survey.text(setup_files.tmpfiles(target)):
        make = run("systemd-tmpfiles", "--create", setup_files.tmpfiles(target))
        yield Step("folder", f"{target.trial}, in memory", (make,))


def remember(
    survey: Survey, needs: Needs, target: Target, wanted: Iterable[setup_files.File]
) -> str:
    """Return setup.json: what an earlier set-up made, and what this one does."""
    made = {key: list(value) for key, value in read_memory(survey)["made"].items()}
    joins = {USER: needs.groups, survey.login: _for_login(survey)}
    now = {USER: survey.service_groups or (), survey.login: survey.login_groups or ()}
    fresh: dict[str, list[str]] = {
        "groups": [group for group in needs.groups if group not in survey.groups],
        "users": [USER] if survey.service_groups is None else [],
        "members": [f"{u} {g}" for u, groups in joins.items() for g in groups if g not in now[u]],
        "files": [file.path for file in wanted if survey.places.get(file.path) is None],
        "folders": [p for p in (target.root,) if survey.places.get(p) is None],
    }
    for key, names in fresh.items():
        made[key] = list(dict.fromkeys([*made[key], *names]))
    before = read_memory(survey)["targets"]
    here = {"root": target.root, "unit": target.unit}
    targets = before if here in before else [*before, here]
    return json.dumps({"targets": targets, "login": survey.login, "made": made}, indent=1) + "\n"


def read_memory(survey: Survey) -> dict[str, Any]:
    """Return what setup.json says; nothing made, where there is none."""
    try:
        memory: dict[str, Any] = json.loads(survey.text(setup_files.SETUP) or "{}")
    except ValueError:
        memory = {}
    made = memory.get("made", {})
    return {
        "targets": memory.get("targets", []),
        "made": {key: made.get(key, []) for key in MADE},
    }
