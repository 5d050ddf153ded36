"""Make the Debian tree of a Pi as it comes from its card, once; print its path.

    sudo .venv/bin/python tests/rig/tier2/fresh.py [SUITE]

With a SUITE of Debian, such as bookworm, it is that and no more: no Pi, and nothing to fetch in it.

Nothing of handwave's is in it: Debian trixie with systemd, sshd, sudo and python3, and the user
`pi` as Raspberry Pi OS has them. It has no network when it is booted, so what a Pi would fetch lies
in it: apt gets Debian's packages from /opt/debian and the three that only Raspberry Pi OS has from
/opt/pi, and its pip gets wheels from /opt/wheels. apt's lists are those of the real archive, for
tests of what is carried there. Kept where `tree.py` keeps its trees, and made from its tree.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import tree
from tree import CANNOT, IN_THE_VENV, SUITE, apt_options, cache, mirror, missing, pinned, pip, run

if TYPE_CHECKING:
    from collections.abc import Iterable

PACKAGES = "ca-certificates dbus iproute2 openssh-server python3 sudo systemd systemd-sysv udev"
FETCHED = "python3-venv python3-numpy python3-libcamera python3-prctl python3-pil"
"""What a set-up asks of apt, and what the packages below do."""
OF_THE_PI = {
    "python3-picamera2": (
        ("picamera2", "videodev2", "simplejpeg", "piexif", "virtual_camera", "pykms", "pidng"),
        "python3-libcamera, python3-numpy, python3-prctl, python3-pil",
    ),
    "python3-gpiozero": (("gpiozero", "colorzero"), "python3"),
    "python3-lgpio": (("lgpio", "_lgpio"), "python3"),
}
"""Packages of Raspberry Pi OS: the modules in each, of tree.py's, and what it depends on."""

LOGIN = r"""
groupadd --system gpio
useradd --create-home --shell /bin/bash --groups adm,sudo,audio,video,plugdev,users,render,gpio \
    --password '*' pi
echo 'pi ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/010_pi-nopasswd
chmod 440 /etc/sudoers.d/010_pi-nopasswd
mkdir -p /usr/lib/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\n' \
    > /usr/lib/systemd/journald.conf.d/40-rpi-volatile-storage.conf
for unit in apt-daily apt-daily-upgrade dpkg-db-backup fstrim; do
    ln -sf /dev/null /etc/systemd/system/$unit.timer
done
"""
AS_ON_A_PI = r"""
echo 'Raspberry Pi reference: the rig' > /etc/rpi-issue
printf '[global]\nno-index = true\nfind-links = /opt/wheels\n' > /etc/pip.conf
echo 'deb [trusted=yes] file:/opt/pi ./' > /etc/apt/sources.list.d/pi.list
apt-get -qq update -o Dir::Etc::sourcelist=/etc/apt/sources.list.d/pi.list \
    -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0
"""


def make_debian(folder: Path, suite: str, *hooks: str) -> None:
    """Unpack Debian, with a user to log in; its lists stay."""
    left_out = ("man", "doc", "locale", "info")
    run(
        "mmdebstrap", "--quiet", "--variant=minbase", "--skip=cleanup/apt/lists",
        f"--include={','.join(PACKAGES.split())}", *(f"--customize-hook={hook}" for hook in hooks),
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in left_out),
        *apt_options(), suite, folder, mirror(),
    )  # fmt: skip
    run("chroot", folder, "sh", "-euc", LOGIN)


def fill(folder: Path, whole: Path) -> None:
    """Make the whole of a Pi: beside Debian lies what a set-up will ask for."""
    fetch = (
        'mkdir -p "$1/opt/debian/partial" && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -qq -y '
        '--no-install-recommends --download-only -o Dir::Cache::archives="$1/opt/debian" '
        f"install {FETCHED}"
    )
    make_debian(folder, SUITE, fetch)
    make_packages(whole, folder / "opt/pi")
    for name in ("pi", "debian"):
        index(folder / "opt" / name)
    wheels = folder / "opt/wheels"
    platforms = [f"--platform=manylinux_2_{n}_{tree.os.uname().machine}" for n in (28, 27, 17)]
    pip(
        "download", "--dest", wheels, "--no-deps", "--only-binary", ":all:", *platforms,
        f"--python-version={tree.python(whole / 'usr')}", "--implementation=cp",
        f"--platform=manylinux2014_{tree.os.uname().machine}", *map(pinned, IN_THE_VENV),
    )  # fmt: skip
    run("chroot", folder, "sh", "-euc", AS_ON_A_PI)


def make_packages(whole: Path, folder: Path) -> None:
    """Make the packages that only Raspberry Pi OS has, of the modules in tree.py's tree."""
    modules = whole / "usr/lib/python3/dist-packages"
    folder.mkdir(parents=True)
    for name, (parts, needed) in OF_THE_PI.items():
        build = folder / name
        place = build / "usr/lib/python3/dist-packages"
        place.mkdir(parents=True)
        for path in found(modules, parts):
            copy = shutil.copytree if path.is_dir() else shutil.copy
            copy(path, place / path.name)
        (build / "DEBIAN").mkdir()
        (build / "DEBIAN/control").write_text(
            f"Package: {name}\nVersion: 2.0.1-0+rig1\nArchitecture: {architecture()}\n"
            f"Maintainer: the rig <rig@localhost>\nDepends: {needed}\nDescription: as on a Pi\n"
        )
        run("dpkg-deb", "--build", "--root-owner-group", build, folder)
        shutil.rmtree(build)


def found(modules: Path, names: Iterable[str]) -> list[Path]:
    """Return the files and folders of modules, and what describes them."""
    paths = [path for name in names for path in modules.glob(f"{name}*")]
    return [path for path in sorted(set(paths)) if path.name != "__pycache__"]


def architecture() -> str:
    """Return Debian's name of this machine's processor."""
    return run("dpkg", "--print-architecture").strip()


def index(folder: Path) -> None:
    """Make a folder of packages an archive that apt can use."""
    shutil.rmtree(folder / "partial", ignore_errors=True)
    (folder / "lock").unlink(missing_ok=True)
    (folder / "Packages").write_text(run("dpkg-scanpackages", ".", cwd=folder))


def whole_tree() -> Path:
    """Return tree.py's tree; it is made, if it is not there."""
    return Path(run(sys.executable, tree.__file__).strip())


def main() -> int:
    """Make it, if there is none of this recipe."""
    why = missing()
    if why is None and shutil.which("dpkg-scanpackages") is None:
        why = "a fresh Pi needs: sudo apt install dpkg-dev"
    if why:
        print(why, file=sys.stderr)
        return CANNOT
    suite = sys.argv[1] if len(sys.argv) > 1 else None
    name = f"plain-{suite}" if suite else "fresh"
    whole = None if suite else whole_tree()
    what = Path(__file__).read_bytes() + (whole.name if whole else suite).encode()
    recipe = hashlib.sha256(what).hexdigest()[:12]
    folder = cache() / f"{name}-{recipe}"
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            for old in cache().glob(f"{name}-*"):
                shutil.rmtree(old)
            print(f"making a fresh Debian in {folder}; once, about a minute", file=sys.stderr)
            unfinished = cache() / f"{name}-unfinished"
            if whole:
                fill(unfinished, whole)
            else:
                make_debian(unfinished, suite)
            unfinished.rename(folder)
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
