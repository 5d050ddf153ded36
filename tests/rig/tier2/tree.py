"""Make the Debian tree that the virtual Pi boots, once; print its path.

    sudo .venv/bin/python tests/rig/tier2/tree.py

It is what `deploy setup` makes of a Pi, before the first push: Debian trixie with systemd, sshd,
sudo, libcamera, a venv in /opt/handwave, a user for the service; and, where Raspberry Pi OS has
them from apt, picamera2, gpiozero and lgpio. Packages come from where this machine's own apt gets
its, wheels from where its pip does. Trees are kept in $HANDWAVE_RIG or ~/.cache/handwave/rig; take
that folder away to have them made anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
SUITE = "trixie"
PACKAGES = (
    "ca-certificates dbus iproute2 openssh-server python3 python3-libcamera python3-numpy "
    "python3-pil python3-prctl python3-venv sudo systemd systemd-sysv udev "
    "libpython3-dev"  # headers, for lgpio
)
AS_IF_FROM_APT = ("picamera2", "videodev2", "simplejpeg", "piexif", "gpiozero", "colorzero")
"""What Raspberry Pi OS has as packages and Debian has not; lgpio besides, which is compiled."""
IN_THE_VENV = ("onnxruntime", "flatbuffers", "protobuf", "packaging", "msgspec", "click")
PROGRAMS = {
    "mmdebstrap": "mmdebstrap", "systemd-nspawn": "systemd-container", "gcc": "gcc",
    "swig": "swig", "ip": "iproute2", "ssh-keygen": "openssh-client",
}  # fmt: skip
"""What must be here, by Debian package."""
CANNOT = 3
"""The exit code where a virtual Pi cannot be made: a reason to skip, and no fault."""

SET_UP = r"""
groupadd --system gpio
useradd --system --no-create-home --shell /usr/sbin/nologin --groups video,gpio,audio handwave
useradd --create-home --shell /bin/bash --groups adm,handwave --password '*' pi
for what in restart stop start; do
    allowed="${allowed:-}/usr/bin/systemctl $what handwave.service, "
done
allowed="$allowed/usr/bin/systemctl start handwave-check.service"
echo "pi ALL=(root) NOPASSWD: $allowed" > /etc/sudoers.d/handwave
echo 'd /run/handwave-trial 0755 pi pi' > /etc/tmpfiles.d/handwave.conf
install -d -o pi -g pi /opt/handwave
python3 -m venv --system-site-packages --without-pip /opt/handwave/venv
chown -R pi: /opt/handwave
# Raspberry Pi OS keeps its journal in memory.
mkdir -p /usr/lib/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\n' \
    > /usr/lib/systemd/journald.conf.d/40-rpi-volatile-storage.conf
# Updates are not what is tested.
for unit in apt-daily apt-daily-upgrade dpkg-db-backup fstrim; do
    ln -sf /dev/null /etc/systemd/system/$unit.timer
done
"""
"""What `deploy setup` does to a Pi, and what its own system brings along."""


def missing() -> str | None:
    """Return why a virtual Pi cannot be made here, and what to do; None if it can."""
    if sys.platform != "linux" or os.getuid() != 0:
        return "a virtual Pi needs root on Linux: sudo make test-rig"
    absent = sorted({package for name, package in PROGRAMS.items() if not shutil.which(name)})
    if absent:
        return f"a virtual Pi needs: sudo apt install {' '.join(absent)}"
    return None


def cache() -> Path:
    """Return the folder where trees are kept."""
    own = os.environ.get("HANDWAVE_RIG")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "handwave" / "rig"


def recipe() -> str:
    """Return a name for what a tree is made from: another recipe, another tree."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted((HERE / "parts").rglob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    for name in ("lgpio", *AS_IF_FROM_APT, *IN_THE_VENV):
        digest.update(pinned(name).encode())
    return digest.hexdigest()[:12]


def run(*words: str | Path, **options: Any) -> str:
    """Run a program; return what it says."""
    command = [str(word) for word in words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options)
    return done.stdout


def mirror() -> str:
    """Return where this machine's own apt gets Debian from."""
    told = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
    for address in told.split():
        if address.rstrip("/").endswith("/debian"):
            return address
    sys.exit("tree.py: this machine's apt knows no Debian archive (apt-get indextargets)")


def apt_options() -> list[str]:
    """Return this machine's own settings of how apt fetches, for the tree's apt."""
    kept = ("Acquire::Check", "Acquire::http", "Acquire::https", "Acquire::Retries")
    rows = run("apt-config", "dump").splitlines()
    return [f"--aptopt={row}" for row in rows if row.startswith(kept)]


def make_debian(tree: Path) -> None:
    """Unpack Debian, without pages that nobody reads here."""
    left_out = ("man", "doc", "locale", "info")
    run(
        "mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES.split())}",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in left_out),
        *apt_options(), SUITE, tree, mirror(),
    )  # fmt: skip


def pinned(name: str) -> str:
    """Return a package with the version that handwave is tested with, for pip."""
    for row in (ROOT / "constraints.txt").read_text().splitlines():
        if row.startswith(f"{name}=="):
            return row.partition(";")[0].strip()
    return name


def pip(*words: str | Path) -> None:
    """Run pip, with this machine's settings of where packages are, but none of what they are."""
    environment = {k: v for k, v in os.environ.items() if k != "PIP_FIND_LINKS"}
    environment |= {"PIP_CONSTRAINT": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    run(sys.executable, "-m", "pip", "-qq", *words, env=environment)


def install(names: tuple[str, ...], folder: Path) -> None:
    """Put wheels for the tree's Python into a folder; nothing is compiled."""
    machine = os.uname().machine
    platforms = [f"--platform=manylinux_2_{n}_{machine}" for n in (28, 27, 17)]
    pip(
        "install", "--target", folder, "--no-deps", "--only-binary", ":all:", "--upgrade",
        f"--python-version={python(folder)}", "--implementation=cp", *platforms,
        f"--platform=manylinux2014_{machine}", *map(pinned, names),
    )  # fmt: skip


def python(folder: Path) -> str:
    """Return the version of the Python of the tree that a folder is in, such as `3.13`."""
    (tree,) = [parent for parent in folder.parents if (parent / "etc/os-release").exists()][:1]
    (found,) = tree.glob("usr/lib/python3.[0-9]*[0-9]")
    return found.name.removeprefix("python")


def compile_lgpio(tree: Path, folder: Path) -> None:
    """Compile lgpio for the tree's Python, for which it has no wheel; swig makes its C."""
    build = tree / "root" / "lgpio"
    build.mkdir()
    pip("download", "--no-deps", "--no-binary", ":all:", "-d", build, pinned("lgpio"))
    (archive,) = build.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(build, filter="data")
    (source,) = (path for path in build.iterdir() if path.is_dir())
    run("swig", "-python", "lgpio.i", cwd=source)
    headers = f"-I=/usr/include/python{python(folder)}"
    run(
        "gcc", f"--sysroot={tree}", "-w", "-O1", "-shared", "-fPIC", headers, "-Isrc",
        "-o", folder / "_lgpio.so", "lgpio_wrap.c", *source.glob("src/*.c"), cwd=source,
    )  # fmt: skip
    # As its setup.py does: its own words come after what swig made.
    text = (source / "lgpio.py").read_text() + (source / "lgpio_extra.py").read_text()
    (folder / "lgpio.py").write_text(text)
    shutil.rmtree(build)


def set_up(tree: Path) -> None:
    """Do in the tree what `deploy setup` does to a Pi."""
    packages = tree / "usr/lib/python3/dist-packages"
    install(AS_IF_FROM_APT, packages)
    compile_lgpio(tree, packages)
    shutil.copytree(HERE / "parts", packages, dirs_exist_ok=True)
    with (packages / "picamera2" / "__init__.py").open("a") as file:
        file.write("\nfrom virtual_camera import VirtualPicamera2 as Picamera2  # the rig's\n")
    run("chroot", tree, "sh", "-euc", SET_UP)
    (site,) = (tree / "opt/handwave/venv/lib").glob("python*/site-packages")
    install(IN_THE_VENV, site)


def main() -> int:
    """Make the tree, if there is none of this recipe."""
    why = missing()
    if why:
        print(why, file=sys.stderr)
        return CANNOT
    cache().mkdir(parents=True, exist_ok=True)
    folder = cache() / f"{SUITE}-{recipe()}"
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # somebody else may be making it
        if not folder.is_dir():
            for old in cache().glob(f"{SUITE}-*"):
                shutil.rmtree(old)
            print(f"making a Debian in {folder}; once, about two minutes", file=sys.stderr)
            unfinished = cache() / f"{SUITE}-unfinished"
            make_debian(unfinished)
            set_up(unfinished)
            unfinished.rename(folder)  # whole or not at all
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
