"""Hosts for `deploy` on this one machine: an sshd each, a folder behind each; no root needed.

A host believes that it is a Pi: what a command on it calls /opt/... and /run/... lies in its own
folder (its sshd rewrites the command, within the shell that it starts anyway). systemd is the
tests' stand-in; what a push only asks it for comes from a shell script, which starts about as fast
as the real program does. `benchmarks/deploying.py` measures with them, `tests/deploy/test_fleet.py`
pushes to them.
"""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.target import Target
from deploy.units import check_unit, service_unit

if TYPE_CHECKING:
    from collections.abc import Iterator

STANDIN = Path(__file__).parents[1] / "tests" / "deploy" / "standin_systemd.py"
LINE = Path(__file__).with_name("line.py")
SBIN = "/usr/sbin:/usr/local/sbin"
SYSTEMCTL = """#!/bin/sh
case "$2" in
  --property=LoadState,ActiveState*) ;;
  *) exec {python} -I -S {standin}/systemctl "$@" ;;
esac
shift 2
again=
for unit; do
  printf "$again"
  again='\\n'
  load=not-found active=inactive pid=0 line=
  [ -e "$STANDIN_STATE/$unit" ] && load=loaded
  [ -e "$STANDIN_STATE/$unit.pid" ] && read -r pid < "$STANDIN_STATE/$unit.pid"
  [ -e "/proc/$pid/cmdline" ] && IFS= read -r line 2> /dev/null < "/proc/$pid/cmdline"
  [ -n "$line" ] && active=active
  echo "LoadState=$load"
  echo "ActiveState=$active"
  echo "SubState=running"
  echo "Result=success"
  echo "NRestarts=0"
  echo "MainPID=$pid"
done
"""
JOURNALCTL = """#!/bin/sh
# As the other stand-in has it: journalctl _SYSTEMD_...=UNIT [--since=@...] --lines=N, and so on.
for word; do
  case "$word" in --lines=*) lines="${word#*=}" ;; esac
done
exec tail -n "$lines" "$STANDIN_STATE/${1#*=}.journal"
"""


@dataclass(frozen=True)
class Pi:
    """One host, from the other side."""

    name: str
    """What `ssh -F ssh_config` calls it."""
    folder: Path
    port: int

    @property
    def root(self) -> Path:
        """Its /opt/handwave."""
        return self.folder / "opt" / "handwave"

    @property
    def current(self) -> str | None:
        """The release it starts."""
        link = self.root / "current"
        return link.readlink().name if link.is_symlink() else None

    @property
    def journal(self) -> list[str]:
        """What its service wrote."""
        path = self.folder / "state" / f"{Target().unit}.journal"
        return path.read_text().splitlines() if path.exists() else []

    def stop(self) -> None:
        """Stop its service."""
        program = self.folder / "bin" / "systemctl"
        env = os.environ | {"STANDIN_STATE": str(self.folder / "state")}
        subprocess.run([program, "stop", Target().unit], env=env, check=True)


@contextmanager
def many_hosts(folder: Path, count: int, *, line: float = 0.0) -> Iterator[list[Pi]]:
    """Start `count` hosts, pi0, pi1, and so on; `folder` gets their `ssh_config`.

    Args:
        folder: for all that belongs to them.
        count: of hosts.
        line: seconds that a byte takes on its way to them, and again on its way back.

    Raises:
        RuntimeError: there is no sshd, or it does not start.
    """
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:{SBIN}")
    if sshd is None or sys.platform != "linux":
        raise RuntimeError("no sshd here: apt-get install openssh-server (Linux)")
    for name in ("host_key", "user_key"):
        make_key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(make_key, check=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd, started by root, locks itself in
    ports = free_ports(2 * count)  # all at once, or a door might be another host's port
    pis = [
        Pi(f"pi{number}", folder / f"pi{number}", port) for number, port in enumerate(ports[:count])
    ]
    doors = dict(zip(ports[count:] if line else ports[:count], pis, strict=True))
    _write_ssh_config(folder, doors)
    with ExitStack() as stack:
        for pi in pis:
            _furnish(pi)
            stack.enter_context(_serving(sshd, folder, pi))
        for pi in pis:
            stack.callback(pi.stop)
            _wait_for(pi)
        if line:
            stack.enter_context(_far_away(line, doors))
        yield pis


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def _write_ssh_config(folder: Path, pis: dict[int, Pi]) -> None:
    host_key = " ".join((folder / "host_key.pub").read_text().split()[:2])
    known = [f"[127.0.0.1]:{door} {host_key}\n" for door in pis]
    (folder / "known_hosts").write_text("".join(known))
    names = "".join(f"Host {pi.name}\n Port {door}\n" for door, pi in pis.items())
    (folder / "ssh_config").write_text(
        f"{names}Host off*\n Port {free_ports(1)[0]}\n"
        f"""Host *
 HostName 127.0.0.1
 User {getpass.getuser()}
 IdentityFile {folder}/user_key
 IdentitiesOnly yes
 IdentityAgent none
 UserKnownHostsFile {folder}/known_hosts
 GlobalKnownHostsFile none
"""
    )


def _furnish(pi: Pi) -> None:
    """Make a host as `deploy setup` would."""
    state, programs, standin = (pi.folder / name for name in ("state", "bin", "standin"))
    trial, runtime = pi.folder / "run" / "handwave-trial", pi.folder / "run" / "handwave"
    for path in (state, programs, standin, trial, runtime, pi.root / "venv" / "bin"):
        path.mkdir(parents=True)
    _program(programs / "systemctl", SYSTEMCTL.format(python=sys.executable, standin=standin))
    _program(programs / "journalctl", JOURNALCTL)
    shutil.copy(STANDIN, standin / "systemctl")
    _program(programs / "sudo", '#!/bin/sh\nshift; [ "$1" = -l ] && exit; exec "$@"\n')
    (programs / "python3").symlink_to(Path(sys.executable).resolve())
    _program(pi.root / "venv" / "bin" / "python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    target = Target()
    for name, text in (
        (target.unit, service_unit(target)),
        (target.check_unit, check_unit(target)),
    ):
        here = text.replace("/opt/handwave", str(pi.root)).replace("--pins real", "--pins mock")
        here = here.replace("--forever", "--source virtual --forever")
        (state / name).write_text(here.replace(target.trial, str(trial)))


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@contextmanager
def _serving(sshd: str, folder: Path, pi: Pi) -> Iterator[None]:
    """Run a host's sshd."""
    here = str(pi.folder).replace("/", "\\/")
    command = "${SSH_ORIGINAL_COMMAND//\\/opt\\//" + here + "\\/opt\\/}"
    rewrite = f'C="{command}"; eval "${{C//\\/run\\/hand/{here}\\/run\\/hand}}"'
    if not os.environ.get("SHELL", "").endswith("bash"):  # sshd starts the user's own
        rewrite = f"exec bash -c {shlex.quote(rewrite)}"
    (pi.folder / "sshd_config").write_text(f"""
ListenAddress 127.0.0.1
Port {pi.port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
StrictModes no
UsePAM no
Subsystem sftp /usr/lib/openssh/sftp-server
SetEnv HOME={pi.folder} PATH={pi.folder}/bin:{os.environ["PATH"]} STANDIN_STATE={pi.folder}/state
ForceCommand {rewrite}
""")
    with (pi.folder / "sshd_log").open("wb") as log:
        server = subprocess.Popen(
            [sshd, "-D", "-e", "-f", str(pi.folder / "sshd_config")],
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            yield
        finally:
            server.terminate()
            server.wait()


def _wait_for(pi: Pi) -> None:
    if not _answers(pi.port):
        raise RuntimeError(f"sshd does not listen: {(pi.folder / 'sshd_log').read_text()}")


def _answers(port: int) -> bool:
    for _ in range(500):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.01)
    return False


@contextmanager
def _far_away(seconds: float, pis: dict[int, Pi]) -> Iterator[None]:
    """Put a line before each host, from a port on this side, in a process of its own."""
    ends = [f"{door}:{pi.port}" for door, pi in pis.items()]
    relay = subprocess.Popen([sys.executable, LINE, str(seconds), *ends])
    try:
        if not all(map(_answers, pis)):
            raise RuntimeError("the line to the hosts does not begin")
        yield
    finally:
        relay.terminate()
        relay.wait()
