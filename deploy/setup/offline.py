"""What a host without the internet needs, fetched here: wheels by pip, packages as apt says.

Everything is cached on the laptop and checked by digest each time, so a second host, or a laptop
that is then offline itself, fetches nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

from packaging.utils import canonicalize_name, parse_wheel_filename
from platformdirs import user_cache_path

from deploy.errors import DeployError
from deploy.setup.plan import APT, Carried, missing_packages, missing_python, venv_fits
from deploy.setup.survey import ARCHITECTURES, GLIBC, dotted
from deploy.ssh import lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from deploy.setup.needs import Needs
    from deploy.setup.survey import Survey

NUMPY = {(3, 11): "1.24.2", (3, 12): "1.26.4", (3, 13): "2.2.4"}
"""Debian's python3-numpy version by its Python version, for hosts where it is not yet installed."""
PATIENCE = 600
LARGEST = 500_000_000


def gather(
    survey: Survey,
    needs: Needs,
    ask: Callable[[str], tuple[bool, list[str]]],
    *,
    debs: bool,
    tell: Callable[[str], None] = print,
) -> Carried:
    """Return what the laptop has to bring along, fetched where it is not here yet.

    Args:
        survey: what the host said of itself.
        needs: what must be there.
        ask: runs a command on the host; returns whether it went well, and its lines.
        debs: whether apt's packages are brought as well.
        tell: takes each line that a person should see.

    Raises:
        DeployError: something cannot be had; what to do is said.
    """
    missing = missing_packages(survey, needs)
    if missing and not debs:
        raise DeployError(
            f"apt's packages are missing there: {' '.join(missing)}; install them "
            "(sudo apt install ...) while it has the internet, or carry them: --carry-debs"
        )
    packages = carried_debs(survey, missing, ask, tell) if missing else {}
    wanted = missing_python(survey, needs)
    return Carried(wheels=carried_wheels(survey, wanted, tell) if wanted else {}, debs=packages)


def cache() -> Path:
    """Return where what was fetched is kept."""
    place = os.environ.get("HANDWAVE_CACHE")  # as of the trainer's cache
    return (Path(place) if place else user_cache_path("handwave")) / "offline"


# --- Wheels


def carried_wheels(
    survey: Survey, wanted: Sequence[str], tell: Callable[[str], None]
) -> dict[str, bytes]:
    """Return the wheels that a venv lacks, by file name."""
    folder = fetch_wheels(survey, wanted, tell)
    have = survey.venv["packages"] if survey.venv and venv_fits(survey) else {}
    known = {(canonicalize_name(name), version) for name, version in have.items()}
    found = {}
    for path in sorted(folder.glob("*.whl")):
        name, version, _, _ = parse_wheel_filename(path.name)
        # NumPy comes from apt, whatever pip resolved here.
        if name != "numpy" and (name, str(version)) not in known and path.name not in survey.wheels:
            found[path.name] = path.read_bytes()
    return found


def fetch_wheels(survey: Survey, wanted: Sequence[str], tell: Callable[[str], None]) -> Path:
    """Return a folder with the wheels for a host's processor and Python, and all they need."""
    numpy = survey.modules.get("numpy") or NUMPY.get(survey.python)
    if numpy is None:
        raise DeployError("install python3-numpy there first: its version is not known here")
    requirements = [*wanted, f"numpy=={numpy}"]
    words = pip_words(survey, requirements)
    folder = cache() / hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]
    if intact(folder):
        return folder
    tell(f"fetching wheels for {survey.architecture}, Python {dotted(survey.python)}: once")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        fresh = Path(place) / "fresh"
        download(words, fresh)
        seal(fresh)
        if folder.exists():  # damaged
            folder.rename(Path(place) / "damaged")
        fresh.rename(folder)  # whole or not at all
    return folder


def pip_words(survey: Survey, requirements: Iterable[str]) -> list[str]:
    """Return what pip is asked for: wheels for another machine than this."""
    processor = ARCHITECTURES[survey.architecture]
    newest = (survey.glibc or GLIBC)[1]
    platforms = [f"manylinux_2_{minor}_{processor}" for minor in range(newest, 16, -1)]
    platforms.append(f"manylinux2014_{processor}")
    return [
        "download", "--only-binary", ":all:", "--implementation", "cp",
        "--python-version", f"{survey.python[0]}.{survey.python[1]}",
        *(word for platform in platforms for word in ("--platform", platform)),
        *requirements,
    ]  # fmt: skip


def download(words: Sequence[str], folder: Path) -> None:
    """Download with this Python's pip and the user's own index settings."""
    # The laptop's constraints must not apply to the host's packages.
    environment = {k: v for k, v in os.environ.items() if k != "PIP_CONSTRAINT"}
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    command = [sys.executable, "-m", "pip", "-q", *words, "--dest", str(folder)]
    try:
        done = subprocess.run(
            command, capture_output=True, check=False, timeout=PATIENCE, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise DeployError(f"pip did not fetch the wheels in {PATIENCE} s") from error
    if done.returncode != 0:
        told = lines_of(done.stderr) or ["it did not say why"]
        # pip's own reason; where it has none, as on a full disk, its traceback ends with one.
        reasons = [x for x in told if x.startswith("ERROR: ") and x != "ERROR: Exception:"]
        raise DeployError(f"pip cannot fetch wheels for that host: {(reasons or told)[-1]}")


SUMS = "sums.json"


def seal(folder: Path) -> None:
    """Write down the digest of every file; last, so that a folder with it is whole."""
    sums = {path.name: digest(path) for path in sorted(folder.iterdir())}
    (folder / SUMS).write_text(json.dumps(sums))


def intact(folder: Path) -> bool:
    """Return whether a folder holds exactly what was written into it."""
    try:
        sums = json.loads((folder / SUMS).read_text())
        return bool(sums) and all(digest(folder / name) == sum_ for name, sum_ in sums.items())
    except (OSError, ValueError):
        return False


def digest(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- apt's packages


def carried_debs(
    survey: Survey,
    missing: Sequence[str],
    ask: Callable[[str], tuple[bool, list[str]]],
    tell: Callable[[str], None],
) -> dict[str, bytes]:
    """Return the packages that apt there would fetch, from where it would fetch them."""
    if survey.lists_age is None:
        raise DeployError(
            "apt has no lists there, so nobody knows which packages it needs: "
            "run `sudo apt update` once with the internet"
        )
    install = (
        "-o", "Acquire::ForceHash=SHA256", "install", "--no-install-recommends",
        "--print-uris", "-qq",
    )  # fmt: skip
    done, lines = ask(shlex.join([*APT, *install, *missing]))
    if not done:
        why = [line for line in lines if line.startswith("E: ")] or lines or ["no reason given"]
        raise DeployError(f"apt cannot install {' '.join(missing)} there: {why[-1]}")
    wanted = uris(lines)
    absent = [size for _, _, size, sha256 in wanted if not kept(sha256)]
    if absent:
        tell(f"fetching {len(absent)} of {len(wanted)} packages, {sum(absent) / 1e6:.1f} MB: once")
    return {name: fetch_deb(address, name, size, sha) for address, name, size, sha in wanted}


def uris(lines: Iterable[str]) -> list[tuple[str, str, int, str]]:
    """Return address, file name, size and SHA-256 of each package that apt says it would fetch.

    Those that lie on the host already (`file:`) are not among them.

    Raises:
        DeployError: a line that is no such thing, or has no SHA-256.
    """
    found = []
    for line in lines:
        match = re.fullmatch(r"'([^']+)' ([\w.+~%:-]+\.deb) (\d+) ?(\S*)", line.strip())
        if match is None:
            continue
        address, name, size, check = match.groups()
        if address.startswith(("file:", "copy:", "cdrom:")):
            continue
        kind, _, value = check.partition(":")
        if kind != "SHA256" or not address.startswith(("http://", "https://")):
            raise DeployError(f"{name}: apt there gives no SHA-256 and web address of it: {line}")
        found.append((address, name, int(size), value))
    return found


def kept(sha256: str) -> bytes | None:
    """Return a package from the cache, if it is there and whole."""
    path = cache() / "debs" / sha256
    data = path.read_bytes() if path.is_file() else b""
    return data if hashlib.sha256(data).hexdigest() == sha256 else None


def fetch_deb(address: str, name: str, size: int, sha256: str) -> bytes:
    """Return a package: from the cache, or fetched and checked."""
    if (known := kept(sha256)) is not None:
        return known
    path = cache() / "debs" / sha256
    try:
        with urlopen(address, timeout=60) as answer:  # noqa: S310  (http or https: see `uris`)
            data: bytes = answer.read(min(size, LARGEST) + 1)
    except OSError as error:
        raise DeployError(f"{name}: cannot be fetched from where apt says: {error}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DeployError(
            f"{name}: not what apt's lists say (SHA-256); they may be old: sudo apt update there"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{sha256}.{os.getpid()}")
    fresh.write_bytes(data)
    fresh.replace(path)
    return data
