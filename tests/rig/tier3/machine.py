"""Make the virtual Raspberry Pi 4 once: its disk, its kernel, its device tree; print their folder.

    sudo .venv/bin/python tests/rig/tier3/machine.py

The disk is Debian trixie for arm64, a Pi as it comes from its card: nothing of handwave's is on it.
It has no network when it is booted, so what `deploy setup` lets it fetch lies in it: packages for
its apt in /opt/debian, the very wheels that a Pi installs for its pip in /opt/wheels.

Nothing of another processor is run to make it, which would take many minutes: Debian for *this*
processor is installed and set up, and then each package's files are replaced by those of the arm64
package. What installing made besides (users, links, keys) is text, and the same on both.

The GPIO chip is the kernel's own simulator, which Debian leaves out: it is compiled from Debian's
kernel source. Packages and wheels come from where this machine's apt and pip get theirs. Kept where
`tier2/tree.py` keeps its trees.
"""

from __future__ import annotations

import fcntl
import hashlib
import lzma
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tier2"))

import tree  # noqa: E402

CANNOT = tree.CANNOT
PACKAGES = (
    "ca-certificates,dbus,iproute2,kmod,openssh-server,python3,python3-numpy,python3-pil,sudo,"
    "systemd,systemd-sysv,udev"
)
FETCHED = "python3-venv"
"""What a set-up asks of apt."""
AS_IF_FROM_APT = ("gpiozero", "colorzero")
"""What Raspberry Pi OS has as packages and Debian has not; lgpio besides, which is compiled."""
TOOLS = (
    "busybox-static:arm64", "cpio", "device-tree-compiler", "e2fsprogs", "gcc-aarch64-linux-gnu",
    "libc6-dev-arm64-cross", "make", "qemu-system-arm", "qemu-utils", "swig",
)  # fmt: skip
PROGRAMS = {
    "mmdebstrap": "mmdebstrap", "dpkg-deb": "dpkg", "xz": "xz-utils",
    "ssh-keygen": "openssh-client",
}  # fmt: skip
"""What must be here, by Debian package."""
LEFT_OUT = ("man", "doc", "locale", "info")
"""Folders of /usr/share that nobody reads here."""
MODULES = ("virtio_blk", "ext4", "virtio_net")
"""What the kernel needs to reach its disk, and to be reached."""
MORE_MODULES = ("virtio_rng", "gpio-sim-rig", "autofs4")
"""What it loads from the disk."""
DISK = "1600M"
HERE_IS, THERE = "x86_64-linux-gnu", "aarch64-linux-gnu"
"""How the two processors' folders are called."""

SYSTEM = r"""
# As Raspberry Pi OS has them.
groupadd --system gpio
useradd --create-home --shell /bin/bash --password '*' \
    --groups adm,sudo,audio,video,plugdev,users,render,gpio pi
echo 'pi ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/010_pi-nopasswd
chmod 440 /etc/sudoers.d/010_pi-nopasswd
echo 'Raspberry Pi reference: the rig' > /etc/rpi-issue
echo 'SUBSYSTEM=="gpio", KERNEL=="gpiochip*", GROUP="gpio", MODE="0660"' \
    > /etc/udev/rules.d/99-com.rules
mkdir -p /usr/lib/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\n' \
    > /usr/lib/systemd/journald.conf.d/40-rpi-volatile-storage.conf
echo raspberrypi > /etc/hostname
echo '127.0.0.1 localhost raspberrypi' > /etc/hosts
# It has no internet: what it would fetch lies in it.
rm -f /etc/resolv.conf /etc/apt/apt.conf.d/99mmdebstrap
echo 'deb [trusted=yes] file:/opt/debian ./' > /etc/apt/sources.list
printf '[global]\nno-index = true\nfind-links = /opt/wheels\n' > /etc/pip.conf
# Not for the first time ever, at which much would be set up.
od -A n -t x8 -N 16 /dev/urandom | tr -d ' ' > /etc/machine-id
touch /etc/.updated /var/.updated
# Whatever takes a minute together on such a slow processor, and nobody here needs.
cd /etc/systemd/system
ln -sf /usr/lib/systemd/system/multi-user.target default.target
for unit in getty.target systemd-hwdb-update.service systemd-binfmt.service \
    proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount sys-kernel-debug.mount \
    sys-kernel-tracing.mount sys-fs-fuse-connections.mount dev-hugepages.mount dev-mqueue.mount \
    modprobe@drm.service modprobe@efi_pstore.service modprobe@fuse.service \
    modprobe@dm_mod.service modprobe@loop.service systemd-pstore.service \
    systemd-ask-password-console.path systemd-ask-password-wall.path \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer; do
    ln -sf /dev/null $unit
done
"""
"""What makes it a Pi as it comes from its card, and quick to boot."""

INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do /bin/busybox insmod $module; done
/bin/busybox ip address add 10.0.2.15/24 dev eth0
/bin/busybox ip link set eth0 up
until [ -b /dev/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 -o rw,noatime /dev/vda /root
exec /bin/busybox switch_root /root /sbin/init
"""

PROPERTIES = (
    ("-r", "/pl061@9030000", "/gpio-keys"),  # QEMU's own GPIO chip
    ("-t", "s", "/", "model", "Raspberry Pi 4 Model B Rev 1.4"),
    ("-t", "s", "/", "compatible", "raspberrypi,4-model-b", "brcm,bcm2711", "linux,dummy-virt"),
    ("-c", "/system", "/gpio-sim", "/gpio-sim/bank0"),
    ("-t", "x", "/system", "linux,revision", "c03114"),
    ("-t", "s", "/gpio-sim", "compatible", "gpio-simulator"),
    ("/gpio-sim/bank0", "gpio-controller"),
    ("-t", "i", "/gpio-sim/bank0", "#gpio-cells", "2"),
    ("-t", "i", "/gpio-sim/bank0", "ngpios", "58"),
    ("-t", "s", "/gpio-sim/bank0", "gpio-sim,label", "pinctrl-bcm2711"),
    ("-t", "s", "/gpio-sim/bank0", "gpio-line-names", *(f"GPIO{n}" for n in range(28))),
)
"""What is different in the device tree, in words for fdtput; all the rest is QEMU's own."""

BOARD = "-M virt,gic-version=3 -cpu cortex-a72 -smp 2 -m 1024"
"""QEMU's words for it."""


def missing() -> str | None:
    """Return why a virtual Pi cannot be made here, and what to do; None if it can."""
    if sys.platform != "linux" or os.getuid() != 0:
        return "a virtual Pi 4 needs root on Linux: sudo make test-rig"
    if os.uname().machine != "x86_64":
        return "a virtual Pi 4 is made on x86-64 only: of another processor must it be"
    absent = sorted({package for name, package in PROGRAMS.items() if not shutil.which(name)})
    if absent:
        return f"a virtual Pi 4 needs: sudo apt install {' '.join(absent)}"
    return None


def recipe() -> str:
    """Return a name for what the machine is made from: another recipe, another machine."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for name in ("lgpio", *AS_IF_FROM_APT, *tree.IN_THE_VENV):
        digest.update(tree.pinned(name).encode())
    return digest.hexdigest()[:12]


def inside(folder: Path, script: str) -> str:
    """Run a shell script in a Debian of this processor; return what it says."""
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("proxy")}
    environment = {"PATH": "/usr/sbin:/usr/bin", "DEBIAN_FRONTEND": "noninteractive", **proxies}
    words = ["chroot", str(folder), "sh", "-euc", script]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"machine.py: failed: {script}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def unpack(deb: Path, folder: Path, *only: str) -> None:
    """Put a package's files into a folder; none of its scripts is run."""
    left_out = [f"--exclude=./usr/share/{name}/*" for name in LEFT_OUT]
    words = ["tar", "-x", "-C", folder, "--keep-directory-symlink", *left_out, *only]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as files:
        subprocess.run(words, stdin=files.stdout, check=True)


def make_debian(pi: Path) -> None:
    """Install and set up Debian, for this processor still."""
    tree.run(
        "mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT),
        *tree.apt_options(), tree.SUITE, pi, tree.mirror(),
    )  # fmt: skip
    for name in ("resolv.conf", "hosts"):
        shutil.copy(f"/etc/{name}", pi / "etc")


def make_workshop(pi: Path, shop: Path) -> str:
    """Make the Debian with the tools, and the arm64 packages in /debs; return the kernel's name."""
    tree.run("cp", "-a", pi, shop)
    (shop / "etc/apt/apt.conf.d/rig").write_text('APT::Sandbox::User "root";\nquiet "2";\n')
    inside(shop, "dpkg --add-architecture arm64; apt-get update")
    about = inside(shop, "apt-cache show linux-image-arm64:arm64 | grep -m 1 ^Depends:")
    kernel = re.findall(r"linux-image-(\S+)", about)[0]
    rows = inside(shop, f"apt-cache policy linux-image-{kernel}:arm64")
    version = re.findall(r"Candidate: (\S+)", rows)[0]  # several of a source may be offered
    planned = inside(shop, f"apt-get install --simulate --no-install-recommends {FETCHED}")
    found = re.findall(r"^Inst (\S+) .*\[(\w+)\]", planned, re.MULTILINE)
    fetched = [name if kind == "all" else f"{name}:arm64" for name, kind in found]
    tools = [*TOOLS, f"linux-kbuild-{kernel.removesuffix('-arm64')}={version}"]
    install = "apt-get install --yes --no-install-recommends -o Dpkg::Use-Pty=0"
    inside(shop, f"{install} {' '.join(tools)}")
    ours = inside(pi, r"dpkg-query -W -f '${Architecture} ${Package}:arm64\n'").splitlines()
    ours = [row.split()[1] for row in ours if row.startswith("amd64 ")]
    common = kernel.replace("-arm64", "-common")
    series = ".".join(kernel.split(".")[:2])
    parts = [
        f"linux-image-{kernel}:arm64={version}", f"linux-headers-{kernel}:arm64={version}",
        f"linux-headers-{common}={version}", f"linux-source-{series}={version}",
        f"libpython{tree.python(pi / 'etc')}-dev:arm64",
    ]  # fmt: skip
    for folder, names in (("pi", ours), ("parts", parts), ("fetched", fetched)):
        inside(
            shop, f"mkdir -p /debs/{folder}; cd /debs/{folder}; apt-get download {' '.join(names)}"
        )
    for deb in (shop / "debs/parts").iterdir():
        if not deb.name.startswith("linux-source"):
            unpack(deb, shop)
    return kernel


def compile_chip(shop: Path, kernel: str) -> Path:
    """Compile the kernel's GPIO simulator; return the module."""
    (source,) = (shop / "debs/parts").glob("linux-source-*")
    build = shop / "chip"
    build.mkdir()
    unpack(source, build, "./usr/src")
    (archive,) = build.glob("usr/src/*.tar.xz")
    wanted = ("*/drivers/gpio/gpio-sim.c", "*/kernel/irq/irq_sim.c")
    words = ["--strip-components=3", "--use-compress-program=xz -T0", "--wildcards", *wanted]
    tree.run("tar", "-x", "-C", build, "-f", archive, *words)
    # Modules may not call what irq_sim.c, a part of the kernel where it is built in, calls.
    text = (build / "irq_sim.c").read_text()
    call, ours = "handle_simple_irq(irq_to_desc(irqnum))", "generic_handle_irq_safe(irqnum)"
    assert call in text, "irq_sim.c: has changed"
    (build / "irq_sim.c").write_text(text.replace(call, ours))
    lines = ("obj-m := gpio-sim-rig.o", "gpio-sim-rig-y := gpio-sim.o irq_sim.o", "")
    (build / "Makefile").write_text("\n".join(lines))
    inside(shop, f"make -s -C /usr/src/linux-headers-{kernel} M=/chip modules")
    inside(shop, "aarch64-linux-gnu-strip --strip-debug /chip/gpio-sim-rig.ko")
    return build / "gpio-sim-rig.ko"


def compile_lgpio(shop: Path, packages: Path) -> None:
    """Compile lgpio for the Pi's Python, for which it has no wheel; swig makes its C."""
    build = shop / "lgpio"
    build.mkdir()
    pinned = tree.pinned("lgpio")
    tree.pip("download", "--no-deps", "--no-binary", ":all:", "-d", build, pinned)
    (archive,) = build.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(build, filter="data")
    (source,) = (path for path in build.iterdir() if path.is_dir())
    inside(
        shop,
        f"cd /lgpio/{source.name}; swig -python lgpio.i; aarch64-linux-gnu-gcc -w -O1 -shared -fPIC"
        f" -I/usr/include/python{tree.python(shop / 'etc')} -I/usr/include -Isrc"
        " -o _lgpio.so lgpio_wrap.c src/*.c",
    )
    shutil.copy(source / "_lgpio.so", packages)
    # As its setup.py does: its own words come after what swig made.
    text = (source / "lgpio.py").read_text() + (source / "lgpio_extra.py").read_text()
    (packages / "lgpio.py").write_text(text)


def set_up(pi: Path, shop: Path) -> None:
    """Make Debian a Pi as it comes from its card, with what it would fetch beside it."""
    packages = pi / "usr/lib/python3/dist-packages"
    wheels("install", "--target", packages, names=AS_IF_FROM_APT)
    compile_lgpio(shop, packages)
    wheels("download", "--dest", pi / "opt/wheels", names=tree.IN_THE_VENV)
    archive = pi / "opt/debian"
    archive.mkdir()
    rows = []
    for deb in (shop / "debs/fetched").iterdir():
        shutil.copy(deb, archive)
        digest = hashlib.sha256(deb.read_bytes()).hexdigest()
        about = tree.run("dpkg-deb", "--field", deb).strip()
        size = deb.stat().st_size
        rows.append(f"{about}\nFilename: ./{deb.name}\nSize: {size}\nSHA256: {digest}\n")
    (archive / "Packages").write_text("\n".join(rows))
    inside(pi, SYSTEM)


def wheels(*how: str | Path, names: tuple[str, ...]) -> None:
    """Let pip put arm64 wheels for the Pi's Python somewhere; nothing is compiled."""
    platforms = [f"--platform=manylinux_2_{n}_aarch64" for n in (28, 27, 17)]
    tree.pip(
        *how, "--no-deps", "--only-binary", ":all:",
        f"--python-version={tree.python(Path(how[-1]))}", "--implementation=cp", *platforms,
        "--platform=manylinux2014_aarch64", *map(tree.pinned, names),
    )  # fmt: skip


def become_arm64(pi: Path, debs: Path) -> None:
    """Replace all that is of this processor by the same packages of arm64."""
    database = pi / "var/lib/dpkg"
    packages = {deb.name.partition("_")[0]: deb for deb in sorted(debs.iterdir())}
    for name in packages:
        forget(name, pi)
    for name, deb in packages.items():
        unpack(deb, pi)
        register(name, deb, database)
    for row in (database / "statoverride").read_text().splitlines():
        user, group, mode, path = row.split()
        tree.run("chroot", pi.parent, "chown", f"{user}:{group}", f"/{pi.name}{path}")
        (pi / path[1:]).chmod(int(mode, 8))
    rename(pi)
    (pi / "etc/ld.so.cache").unlink()


def forget(name: str, pi: Path) -> None:
    """Remove what a package of this processor brought along."""
    files = pi.glob(f"var/lib/dpkg/info/{name}[.:]*")
    own = [path for path in files if path.stem in {name, f"{name}:amd64"}]
    (listed,) = (path for path in own if path.suffix == ".list")
    for row in listed.read_text().splitlines():
        path = pi / row[1:]
        if path.parent == pi:  # such as /lib, which is a link to /usr/lib
            continue
        if path.is_symlink() or path.is_file():
            path.unlink()
    for path in own:
        path.unlink()


def register(name: str, deb: Path, database: Path) -> None:
    """Let dpkg know an arm64 package, as if it had installed it."""
    parts = database / "parts-of-one"
    tree.run("dpkg-deb", "--control", deb, parts)
    control = (parts / "control").read_text()
    own = f"{name}:arm64" if "\nMulti-Arch: same\n" in control else name
    (parts / "control").unlink()
    for part in parts.iterdir():
        part.rename(database / "info" / f"{own}.{part.name}")
    parts.rmdir()
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as files:
        names = tree.run("tar", "-t", stdin=files.stdout).splitlines()
    rows = (row.removeprefix(".").rstrip("/") or "/." for row in names)
    (database / "info" / f"{own}.list").write_text("".join(f"{row}\n" for row in rows))
    status = (database / "status").read_text().split("\n\n")
    (number,) = (n for n, text in enumerate(status) if text.startswith(f"Package: {name}\n"))
    conffiles = re.findall(r"^Conffiles:\n(?: .*\n?)+", status[number], re.MULTILINE)
    status[number] = (
        f"{control.strip()}\nStatus: install ok installed\n{''.join(conffiles)}".strip()
    )
    (database / "status").write_text("\n\n".join(status))


def rename(pi: Path) -> None:
    """Rename what installing made for this processor: links and alternatives; caches go."""
    database = pi / "var/lib/dpkg"
    (database / "arch").write_text("arm64\n")
    (database / "arch-native").write_text("arm64\n")
    there = pi / "usr/lib" / THERE
    for path in (pi / "usr/lib" / HERE_IS).rglob("*"):
        if path.is_symlink():
            link = there / path.relative_to(pi / "usr/lib" / HERE_IS)
            link.symlink_to(str(path.readlink()).replace(HERE_IS, THERE))
    shutil.rmtree(pi / "usr/lib" / HERE_IS)
    for path in (pi / "etc/alternatives").glob(f"*{HERE_IS}*"):
        target = str(path.readlink()).replace(HERE_IS, THERE)
        path.with_name(path.name.replace(HERE_IS, THERE)).symlink_to(target)
        path.unlink()
    for path in [*(database / "alternatives").iterdir(), database / "diversions"]:
        text = path.read_text().replace(HERE_IS, THERE)
        path.unlink()
        path.with_name(path.name.replace(HERE_IS, THERE)).write_text(text)


def make_disk(pi: Path, shop: Path, kernel: str, chip: Path, key: str) -> None:
    """Make the disk, `pi.ext4` in the workshop."""
    all_of_them, own = (root / "lib/modules" / kernel for root in (shop, pi))
    (all_of_them / "extra").mkdir()
    shutil.copy(chip, all_of_them / "extra")
    inside(shop, f"depmod {kernel}")
    for path in modules(shop, kernel, *MODULES, *MORE_MODULES):
        target = own / path.relative_to(all_of_them)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    for path in all_of_them.glob("modules.*"):
        shutil.copy(path, own)
    inside(shop, f"depmod -b /pi {kernel}")
    for home, user in (("root", 0), ("home/pi", 1000)):
        folder = pi / home / ".ssh"
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / "authorized_keys").write_text(key)
        for path in (folder, folder / "authorized_keys"):
            os.chown(path, user, user)
    inside(shop, "python3 -m compileall -qq -s /pi /pi/usr/lib/python3* || true")
    inside(shop, f"mkfs.ext4 -q -m 0 -O ^metadata_csum_seed -d /pi /pi.ext4 {DISK}")


def modules(shop: Path, kernel: str, *names: str) -> list[Path]:
    """Return the kernel's modules of these names and what they need, in order of loading."""
    words = f"modprobe --set-version {kernel} --show-depends --all {' '.join(names)}"
    rows = [row.split() for row in inside(shop, words).splitlines()]
    return [shop / row[1][1:] for row in dict.fromkeys(map(tuple, rows)) if row[0] == "insmod"]


def make_initrd(shop: Path, kernel: str) -> None:
    """Make what the kernel starts first, `initrd` in the workshop: it mounts the disk."""
    root = shop / "first"
    for name in ("bin", "modules", "dev", "root"):
        (root / name).mkdir(parents=True)
    shutil.copy(shop / "usr/bin/busybox", root / "bin")
    for number, path in enumerate(modules(shop, kernel, *MODULES)):
        with lzma.open(path) as packed:
            (root / "modules" / f"{number:02}-{path.stem}").write_bytes(packed.read())
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    inside(shop, "cd /first; find . | cpio --quiet -o -H newc > /initrd")


def make_device_tree(shop: Path) -> None:
    """Make `pi.dtb` in the workshop: QEMU's own device tree, changed into a Pi's."""
    inside(shop, f"qemu-system-aarch64 {BOARD} -nic none -M dumpdtb=/pi.dtb")
    for words in PROPERTIES:
        flags = {"-t": 2, "-c": 1, "-r": 1}.get(words[0], 0)
        inside(shop, shlex.join(["fdtput", *words[:flags], "/pi.dtb", *words[flags:]]))


def keep_emulator(shop: Path, folder: Path) -> None:
    """Copy QEMU and the libraries it needs, which this machine's own are too old for."""
    programs = ("qemu-system-aarch64", "qemu-img")
    told = inside(shop, " ; ".join(f"ldd /usr/bin/{name}" for name in programs))
    folder.mkdir()
    for path in {*re.findall(r"/\S+", told), *(f"/usr/bin/{name}" for name in programs)}:
        if path.startswith(("/usr", "/lib")):
            shutil.copy(shop / path[1:], folder)


def make(folder: Path) -> None:
    """Make the machine in a folder."""
    folder.mkdir()
    shop, pi = folder / "workshop", folder / "pi"
    make_debian(pi)
    kernel = make_workshop(pi, shop)
    pi = pi.rename(shop / "pi")
    chip = compile_chip(shop, kernel)
    set_up(pi, shop)
    become_arm64(pi, shop / "debs/pi")
    tree.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "rig", "-f", folder / "key")
    make_disk(pi, shop, kernel, chip, (folder / "key.pub").read_text())
    make_initrd(shop, kernel)
    make_device_tree(shop)
    keep_emulator(shop, folder / "emulator")
    (folder / "board").write_text(BOARD)
    for name in ("pi.ext4", "pi.dtb", "initrd"):
        (shop / name).rename(folder / name)
    shutil.copy(shop / f"boot/vmlinuz-{kernel}", folder / "kernel")
    host_key = (pi / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
    (folder / "known_hosts").write_text(f"raspberrypi {host_key}")
    shutil.rmtree(shop)


def main() -> int:
    """Make the machine, if there is none of this recipe."""
    why = missing()
    if why:
        print(why, file=sys.stderr)
        return CANNOT
    tree.cache().mkdir(parents=True, exist_ok=True)
    folder = tree.cache() / f"pi4-{recipe()}"
    with (tree.cache() / "lock-pi4").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # somebody else may be making it
        if not folder.is_dir():
            for old in tree.cache().glob("pi4-*"):
                shutil.rmtree(old)
            print(f"making a virtual Pi 4 in {folder}; once, two minutes", file=sys.stderr)
            unfinished = tree.cache() / "pi4-unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(folder)  # whole or not at all
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
