"""Gather the very wheels that a 64-bit Pi installs, and what runs them here, once; print where.

    sudo .venv/bin/python tests/rig/tier2/wheels.py

It is an arm64 Debian trixie, never booted: just Python and the C libraries; the aarch64 wheels of
what `edge` needs; and trixie's qemu, since bookworm's crashes on them. Kept where `tree.py` keeps
its trees.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
from pathlib import Path

from tree import CANNOT, IN_THE_VENV, SUITE, apt_options, cache, mirror, missing, pinned, pip, run

PYTHON = "3.13"
WHEELS = ("numpy", *IN_THE_VENV)


def extract(folder: Path, packages: str, *options: str) -> None:
    """Unpack packages of trixie and what they need; none of them is set up."""
    words = ["--quiet", "--variant=extract", f"--include={packages}", *options, *apt_options()]
    run("mmdebstrap", *words, SUITE, folder, mirror())


def gather(folder: Path) -> None:
    """Fill the folder: `arm64`, a tree with the wheels in opt/site, and `qemu`."""
    folder.mkdir()
    extract(folder / "arm64", "python3,libstdc++6,libgomp1", "--arch=arm64")
    (folder / "arm64/lib").symlink_to("usr/lib")  # where programs look for their loader
    extract(folder / "emulator", "qemu-user")
    shutil.copy(folder / "emulator/usr/bin/qemu-aarch64", folder / "qemu")  # it is static
    shutil.rmtree(folder / "emulator")
    platforms = [f"--platform=manylinux_2_{n}_aarch64" for n in (28, 27, 17)]
    pip(
        "install", "--target", folder / "arm64/opt/site", "--no-deps", "--only-binary", ":all:",
        f"--python-version={PYTHON}", "--implementation=cp", *platforms,
        "--platform=manylinux2014_aarch64", *map(pinned, WHEELS),
    )  # fmt: skip


def main() -> int:
    """Gather them, if they are not there."""
    why = missing()
    if why is None and shutil.which("arch-test") is None:
        why = "packages of another processor need: sudo apt install arch-test"
    if why:
        print(why, file=sys.stderr)
        return CANNOT
    cache().mkdir(parents=True, exist_ok=True)
    recipe = Path(__file__).read_bytes() + " ".join(map(pinned, WHEELS)).encode()
    folder = cache() / f"arm64-{hashlib.sha256(recipe).hexdigest()[:12]}"
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # somebody else may be at it
        if not folder.is_dir():
            for old in cache().glob("arm64-*"):
                shutil.rmtree(old)
            print(f"gathering arm64 wheels in {folder}; once, a minute", file=sys.stderr)
            unfinished = cache() / "arm64-unfinished"
            gather(unfinished)
            unfinished.rename(folder)  # whole or not at all
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
