"""A real sshd on 127.0.0.1, and behind it a "host": a folder of this machine."""

import getpass
import hashlib
import io
import math
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

import deploy.cli
import deploy.commands.push
from deploy import Target, make_bundle
from deploy.bundle import LIMIT
from deploy.remote import push as remote
from deploy.units import check_unit, service_unit
from edge.card import (
    CARD_KEY,
    GOLDEN_KEY,
    Camera,
    Card,
    Golden,
    Thresholds,
    Training,
    pack_golden,
    write_card,
)

HERE = Path(__file__).parent
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")

# Obeys `check` and `run` as edge does; what it does is written in its model.
FAKE_EDGE = """
import os, signal, socket, sys
from pathlib import Path

command, config = sys.argv[1], Path(sys.argv[sys.argv.index("--config") + 1]).resolve()
model = (config.parent / "model.onnx").read_text()
if command == "check":
    print("golden frames: 3 of 3 agree", flush=True)
    if "warns" in model:
        print(f"edge: {sys.path[0]}/edge.toml: say needs espeak-ng", file=sys.stderr)
    sys.exit("edge: model.onnx: golden frames disagree" if "fails check" in model else 0)
print("running", config.parent.name, flush=True)
if "crashes" in model:
    sys.exit("edge: no camera")
if "hangs" not in model:
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
signal.pause()
"""


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def wait_for(port, server, log):
    for _ in range(500):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        if server.poll() is not None:
            break
        time.sleep(0.01)
    pytest.fail(f"sshd does not listen: {log.read_text()}")


def make_key(path):
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)]
    subprocess.run(command, check=True)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def write_ssh_config(folder, ports):
    """Names for `ssh`: the host as it should be, and one for each thing that can be wrong."""
    good, weak, closed = ports
    names = {
        "pi": f"Port {good}",
        "weak": f"Port {weak}",
        "stranger": f"Port {good}\n UserKnownHostsFile {folder}/none",
        "changed": f"Port {good}\n UserKnownHostsFile {folder}/changed",
        "off": f"Port {closed}",
        "keyless": f"Port {good}\n IdentityFile {folder}/other_key",
    }
    text = "".join(f"Host {name}\n {lines}\n" for name, lines in names.items())
    text += f"""Host * !keyless
 IdentityFile {folder}/user_key
Host *
 HostName 127.0.0.1
 User {getpass.getuser()}
 IdentitiesOnly yes
 IdentityAgent none
 UserKnownHostsFile {folder}/known_hosts
 GlobalKnownHostsFile none
 KexAlgorithms curve25519-sha256
"""
    (folder / "ssh_config").write_text(text)


def write_sshd_config(folder, ports):
    good, weak, _ = ports
    # Run by root, the weak port drops its rights; otherwise we are nobody special anyway.
    drop = "setpriv --reuid=65534 --regid=65534 --clear-groups" if os.getuid() == 0 else ""
    (folder / "sshd_config").write_text(f"""
ListenAddress 127.0.0.1
Port {good}
Port {weak}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
StrictModes no
UsePAM no
SetEnv HOME={folder} PATH={folder}/bin:{os.environ["PATH"]} STANDIN_STATE={folder}/state
Match LocalPort {weak}
 ForceCommand {drop} sh -c "$SSH_ORIGINAL_COMMAND"
""")


@pytest.fixture(scope="session")
def sshd(tmp_path_factory):
    """Start sshd; return the folder with `ssh_config` and the stand-in's `state`."""
    if SSHD is None or sys.platform != "linux":
        pytest.skip("no sshd here: apt-get install openssh-server (Linux)")
    folder = tmp_path_factory.mktemp("sshd")
    (folder / "state").mkdir()
    (folder / "bin").mkdir()
    for name in ("systemctl", "journalctl"):
        program = folder / "bin" / name
        program.write_text(f"#!{sys.executable}\n" + (HERE / "standin_systemd.py").read_text())
        program.chmod(0o755)
    (folder / "bin" / "python3").symlink_to(Path(sys.executable).resolve())
    ports = free_ports(3)
    host_key, other = make_key(folder / "host_key"), make_key(folder / "other_key")
    make_key(folder / "user_key")
    known = "".join(f"[127.0.0.1]:{port} {host_key}\n" for port in ports)
    (folder / "known_hosts").write_text(known)
    (folder / "changed").write_text(known.replace(host_key, other))
    write_ssh_config(folder, ports)
    write_sshd_config(folder, ports)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd, started by root, locks itself in
    log = folder / "log"
    with log.open("wb") as stderr:
        command = [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=stderr)
    wait_for(ports[0], server, log)
    yield folder
    server.terminate()
    server.wait()


@dataclass
class Pi:
    """The host as the tests see it from the other side."""

    root: Path
    unit: str
    state: Path
    trial: Path

    @property
    def current(self):
        return (self.root / "current").readlink().name

    @property
    def releases(self):
        return sorted(path.name for path in (self.root / "releases").glob("*"))

    @property
    def journal(self):
        return (self.state / f"{self.unit}.journal").read_text().splitlines()

    def systemctl(self, verb, *words):
        program = self.state.with_name("bin") / "systemctl"
        env = os.environ | {"STANDIN_STATE": str(self.state)}
        command = [str(program), verb, *words, self.unit]
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout

    @property
    def active(self):
        return "ActiveState=active" in self.systemctl("show", "--property=LoadState,ActiveState")

    def tree(self):
        """Return every path with what tells whether it was touched."""
        paths = [self.root, *self.root.rglob("*")]
        return {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in paths}


@pytest.fixture
def pi(sshd, tmp_path, monkeypatch):
    """Return a host that is set up (root folder, venv, unit) and has no release yet."""
    root = tmp_path / "handwave"
    python = root / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    state = sshd / "state"
    unit = f"handwave-{tmp_path.name}.service"
    target = Target(str(root), unit)
    trial = tmp_path / "trial"  # in place of /run/handwave-trial
    trial.mkdir()
    for name, text in ((unit, service_unit(target)), (target.check_unit, check_unit(target))):
        here = text.replace("--pins real", "--source virtual --pins mock")
        here = here.replace(target.trial, str(trial))
        (state / name).write_text(here.replace("TimeoutStartSec=90", "TimeoutStartSec=20"))
    monkeypatch.setattr(Target, "trial", property(lambda _: str(trial)))
    host = Pi(root, unit, state, trial)
    yield host
    host.systemctl("stop")


@pytest.fixture
def project(tmp_path):
    """Return a user's folder with edge.toml and a model."""
    folder = tmp_path / "gestures"
    folder.mkdir()
    (folder / "edge.toml").write_text('model = "model.onnx"\n\n[when.rock]\nled = 17\n')
    (folder / "model.onnx").write_text("works")
    return folder


def write_real_model(path, *, off=0.0):
    """Write the smallest file that `edge` takes for a model: brightness alone decides.

    `off` is how far the golden frame's probabilities are from what the trainer is said to have got.
    """
    image = np.full((8, 8, 3), 100, np.uint8)
    weights = onnx.numpy_helper.from_array(np.array([0.01, -0.01], np.float32), "weights")
    nodes = [
        onnx.helper.make_node("Cast", ["image"], ["float"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("ReduceMean", ["float"], ["novelty"], keepdims=0),
        onnx.helper.make_node("Mul", ["novelty", "weights"], ["logits"]),
        onnx.helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "brightness",
        [value("image", onnx.TensorProto.UINT8, ["height", "width", 3])],
        [
            value("probabilities", onnx.TensorProto.FLOAT, [2]),
            value("novelty", onnx.TensorProto.FLOAT, []),
        ],
        [weights],
    )
    card = Card(
        labels=["rock", "background"],
        camera=Camera(size=(64, 48)),
        thresholds=Thresholds(enter=0.8, leave=0.6, novelty=1000.0),
        training=Training(
            features="brightness",
            hidden=1,
            seed=0,
            pictures={},
            sessions={},
            accuracy=None,
            measured_on="nothing",
            temperature=1.0,
        ),
        golden=[
            Golden(
                label="rock",
                sha256=hashlib.sha256(image.tobytes()).hexdigest(),
                size=(8, 8),
                probabilities=[1 / (1 + math.exp(-2.0)) + off, 1 / (1 + math.exp(2.0)) - off],
                novelty=100.0,
            )
        ],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    notes = {CARD_KEY: write_card(card), GOLDEN_KEY: pack_golden([image])}
    onnx.helper.set_model_props(model, notes)
    path.write_bytes(model.SerializeToString())


@pytest.fixture
def package(tmp_path):
    """Return the folder of a tiny `edge` package."""
    folder = tmp_path / "edge"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "__main__.py").write_text(FAKE_EDGE)
    return folder


@pytest.fixture
def running(pi, project, package):
    """Let the host run the project already, as a push would have left it; return the release."""
    bundle = make_bundle(project / "edge.toml", package)
    folder = pi.root / "releases" / bundle.release
    folder.mkdir(parents=True)
    remote.unpack(io.BytesIO(bundle.tar()), folder, LIMIT)
    (pi.root / "current").symlink_to(f"releases/{bundle.release}")
    (pi.root / "history").write_text(f"2026-01-01T00:00:00Z {bundle.release} anna@laptop\n")
    pi.systemctl("restart")
    return bundle.release


@pytest.fixture
def real_model(project):
    """Return a function that makes the project's model one that the real `edge` runs."""
    return lambda **options: write_real_model(project / "model.onnx", **options)


@pytest.fixture
def rollback(sshd, pi):
    """Return `deploy rollback`, run in this process: `rollback("pi")`."""
    options = ["--root", pi.root, "--unit", pi.unit, "-F", sshd / "ssh_config"]

    def run(*arguments):
        words = ["rollback", *map(str, options), *arguments]
        return CliRunner().invoke(deploy.cli.main, words)

    return run


@pytest.fixture
def push(sshd, pi, project, package, monkeypatch):
    """Return `deploy push`, run in this process: `push("pi", "--dry-run")`."""
    monkeypatch.setattr(deploy.commands.push, "PACKAGE", package)

    def run(*arguments):
        options = {
            "--config": project / "edge.toml",
            "--root": pi.root,
            "--unit": pi.unit,
            "-F": sshd / "ssh_config",
        }
        words = [str(word) for option in options.items() for word in option]
        return CliRunner().invoke(deploy.cli.main, ["push", *words, *arguments])

    return run
