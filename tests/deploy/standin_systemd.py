"""Stands for systemctl and journalctl where no systemd runs: on the tests' "host".

It plays what a push sees of them, from real unit files in $STANDIN_STATE: `restart` ends the old
process, starts ExecStart= with Environment=, EnvironmentFile= and a NOTIFY_SOCKET, and waits for
READY=1, for the process to end, or for TimeoutStartSec=, as Type=notify does; `start` runs the
ExecStart= of a Type=oneshot to its end. It does not play Restart=, users, folders or hardening.
Any other argument than a push's own is an error, and a test compares those with what the real
programs know.
"""

import argparse
import os
import shlex
import signal
import socket
import string
import subprocess
import sys
import time
from pathlib import Path

SHOWN = ["LoadState,ActiveState", "LoadState,ActiveState,ExecStart", "InvocationID"]
STATE = Path(os.environ.get("STANDIN_STATE", "."))


def running(unit):
    """Return the process id of the unit's service, or None."""
    try:
        pid = int((STATE / f"{unit}.pid").read_text())
        alive = Path(f"/proc/{pid}/cmdline").read_bytes()  # empty for one that ended
    except OSError:
        return None
    return pid if alive else None


def program(unit):
    """Return what the unit starts; nothing where there is no such unit."""
    try:
        return read_unit(unit)[0][0]
    except OSError:
        return ""


def show(units, asked):
    """Print what is asked for of each unit, with an empty line between two."""
    blocks = []
    for unit in units:
        known = {
            "LoadState": "loaded" if (STATE / unit).exists() else "not-found",
            "ActiveState": "active" if running(unit) else "inactive",
            "InvocationID": unit,
            "ExecStart": f"{{ path={program(unit)} ; ignore_errors=no }}",
        }
        names = asked.property.split(",")
        blocks.append("\n".join(known[n] if asked.value else f"{n}={known[n]}" for n in names))
    print("\n\n".join(blocks))
    return 0


def stop(unit):
    """End the service: SIGTERM, and SIGKILL after 2 s."""
    started = time.monotonic()
    while pid := running(unit):
        os.kill(pid, signal.SIGTERM if time.monotonic() - started < 2 else signal.SIGKILL)
        time.sleep(0.01)
    return 0


def read_unit(unit):
    """Return the command, the environment it runs in, and how long it may take."""
    lines = [line.partition("=") for line in (STATE / unit).read_text().splitlines()]
    words = [shlex.split(value) for key, _, value in lines if key == "Environment"]
    env = dict(word.split("=", 1) for line in words for word in line)
    service = {key: value for key, _, value in lines}
    file = service["EnvironmentFile"]
    if not file.startswith("-") or Path(file[1:]).exists():
        text = Path(file.removeprefix("-")).read_text()
        env |= dict(line.split("=", 1) for line in text.splitlines())
    command = [string.Template(word).substitute(env) for word in shlex.split(service["ExecStart"])]
    return command, env, float(service["TimeoutStartSec"])


def start(unit):
    """Run a Type=oneshot to its end."""
    command, env, seconds = read_unit(unit)
    with (STATE / f"{unit}.journal").open("wb") as journal:
        done = subprocess.run(
            command, env=os.environ | env, cwd="/", stdin=subprocess.DEVNULL,
            stdout=journal, stderr=journal, check=False, timeout=seconds,
        )  # fmt: skip
    if done.returncode:
        print(f"Job for {unit} failed because the control process exited.", file=sys.stderr)
    return bool(done.returncode)


def restart(unit):
    """Start the service anew; 0 once it is ready."""
    stop(unit)
    command, env, seconds = read_unit(unit)
    address = STATE / f"{unit}.notify"
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind(str(address))
        ready.settimeout(0.01)
        with (STATE / f"{unit}.journal").open("ab") as journal:
            process = subprocess.Popen(
                command,
                env=os.environ | env | {"NOTIFY_SOCKET": str(address)},
                cwd=STATE,
                stdin=subprocess.DEVNULL,
                stdout=journal,
                stderr=journal,
                start_new_session=True,
            )
        give_up = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < give_up:
            try:
                if b"READY=1" in ready.recv(4096).split(b"\n"):
                    (STATE / f"{unit}.pid").write_text(str(process.pid))
                    return 0
            except TimeoutError:
                continue
    process.kill()
    print(f"Job for {unit} failed because it did not say READY=1.", file=sys.stderr)
    print('See "systemctl status" for details.', file=sys.stderr)
    return 1


def systemctl():
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["show", "start", "restart", "stop"])
    parser.add_argument("--property", choices=SHOWN)
    parser.add_argument("--value", action="store_true")
    parser.add_argument("units", nargs="+")
    asked = parser.parse_args()
    if asked.verb == "show":
        return show(asked.units, asked)
    (unit,) = asked.units
    return {"start": start, "restart": restart, "stop": stop}[asked.verb](unit)


def journalctl():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="?")
    parser.add_argument("--unit")
    parser.add_argument("--since")
    parser.add_argument("--lines", type=int, required=True)
    parser.add_argument("--no-pager", action="store_true", required=True)
    parser.add_argument("--output", choices=["cat"], required=True)
    parser.add_argument("--quiet", action="store_true", required=True)
    asked = parser.parse_args()
    unit = asked.unit or asked.what.partition("=")[2]  # a `start` keeps its own words only
    lines = (STATE / f"{unit}.journal").read_text().splitlines()
    print("\n".join(lines[-asked.lines :]))
    return 0


if __name__ == "__main__":
    sys.exit({"systemctl": systemctl, "journalctl": journalctl}[Path(sys.argv[0]).name]())
