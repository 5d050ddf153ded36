"""`deploy push` over a real SSH connection."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path

import pytest

import edge
from deploy import Host, Target, make_bundle
from deploy import push as push_to
from deploy.errors import DeployError
from deploy.remote import push as remote
from deploy.signing import read_signers
from deploy.ssh import _sweep, event_of

ALL = ["upload", "verify", "check", "restart", "activate"]


def one_line(result):
    """Return the error of a push that failed as it should: one line, no traceback."""
    assert result.exit_code == 1, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("deploy: ")
    return lines[0]


def until(so):
    """Wait until something is so, which takes a moment on the host."""
    give_up = time.monotonic() + 20
    while not so():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def succeed(result):
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def test_the_first_push_runs(push, pi, project, package):
    bundle = make_bundle(project / "edge.toml", package)
    output = succeed(push("pi"))
    steps = [line.split(": ")[1] for line in output.splitlines()]
    assert steps == [*ALL, f"runs {bundle.release}"]
    assert pi.current == bundle.release
    assert pi.releases == [bundle.release]
    assert pi.active
    assert pi.journal == [f"running {bundle.release}"]


def test_the_files_arrive_byte_for_byte_and_readable_by_the_service(push, pi, project, package):
    succeed(push("pi"))
    release = pi.root / "current"
    files = {p.relative_to(release).as_posix(): p for p in release.rglob("*") if p.is_file()}
    sent = make_bundle(project / "edge.toml", package)
    arrived = {n: p.read_bytes() for n, p in files.items() if "__pycache__" not in n}
    assert arrived == {**sent.files, "MANIFEST": sent.manifest}
    assert hashlib.sha256(files["MANIFEST"].read_bytes()).hexdigest() == sent.digest
    assert {p.stat().st_mode & 0o777 for p in files.values()} == {0o644}


def test_bytecode_that_has_spoiled_is_mended_by_a_push(push, pi, real_edge, real_model):
    real_model()
    succeed(push("pi"))
    spoiled = Path(cache_from_source(pi.root / "current" / "edge" / "cli.py"))
    spoiled.write_bytes(spoiled.read_bytes()[:200])
    pi.systemctl("stop")
    assert "restart" in succeed(push("pi"))
    assert pi.active


def test_a_second_push_is_an_empty_plan(push, pi):
    succeed(push("pi"))
    before = pi.tree(), pi.journal
    output = succeed(push("pi"))
    assert output == f"pi: nothing to do: it runs {pi.current}\n"
    assert (pi.tree(), pi.journal) == before


def test_a_dry_run_prints_the_plan_and_changes_nothing(push, pi):
    before = pi.tree()
    output = succeed(push("pi", "--dry-run"))
    steps = [line.split()[0] for line in output.splitlines()[1:]]
    assert steps == ALL
    assert pi.tree() == before
    assert not pi.active


def test_a_changed_model_is_a_new_release(push, pi, project, running):
    (project / "model.onnx").write_text("works better")
    succeed(push("pi"))
    assert pi.current != running
    assert pi.releases == sorted([running, pi.current])
    assert pi.journal[-1] == f"running {pi.current}"


def test_a_release_that_is_there_already_is_not_sent_again(push, pi, project, running):
    (project / "model.onnx").write_text("works better")
    succeed(push("pi"))
    (project / "model.onnx").write_text("works")
    output = succeed(push("pi"))
    assert [line.split(": ")[1] for line in output.splitlines()[:-1]] == [
        "check",
        "restart",
        "activate",
    ]
    assert pi.current == running
    assert pi.journal[-1] == f"running {running}"


def test_a_release_damaged_on_the_host_is_sent_again(push, pi, running):
    (pi.root / "current" / "model.onnx").write_text("wörks")
    assert "upload" in succeed(push("pi"))
    assert (pi.root / "current" / "model.onnx").read_text() == "works"
    assert "nothing to do" in succeed(push("pi"))


def test_a_service_that_was_stopped_is_started(push, pi, running):
    pi.systemctl("stop")
    output = succeed(push("pi"))
    assert [line.split(": ")[1] for line in output.splitlines()[:-1]] == ["restart"]
    assert pi.active


def test_only_what_is_new_travels(push, pi, project, running):
    (project / "model.onnx").write_text("works better")
    output = succeed(push("pi"))
    assert "pi: upload: 12 bytes in 1 file that it lacks, of 4\n" in output
    assert (pi.root / "current" / "edge" / "__main__.py").is_file()
    (pi.root / "current" / "edge" / "__main__.py").unlink()
    assert "upload: nothing but the list" in succeed(push("pi"))  # the release before has all of it


def test_content_damaged_in_another_release_is_not_taken_from_there(push, pi, project, running):
    (pi.root / "current" / "edge" / "__main__.py").write_text("spoilt")
    (project / "model.onnx").write_text("works better")
    assert "in 2 files" in succeed(push("pi"))


def test_a_trial_that_nobody_ended_is_ended_by_the_next_push(push, pi, project, package, running):
    (project / "model.onnx").write_text("works better")
    bundle = make_bundle(project / "edge.toml", package)
    (pi.trial / "service.env").write_text(f"RELEASE={pi.root}/releases/{bundle.release}\n")
    (project / "model.onnx").write_text("works")
    output = succeed(push("pi"))
    assert [line.split(": ")[1] for line in output.splitlines()[:-1]] == ["restart"]
    assert not (pi.trial / "service.env").exists()


def test_two_pushes_at_a_time_do_not_mix(push, pi, running, project):
    (project / "model.onnx").write_text("works better")
    before = pi.tree()
    with remote.locked(pi.root / "lock", "anna@laptop"):
        assert "anna@laptop (since 20" in one_line(push("pi"))
    (pi.root / "lock").unlink()
    assert pi.tree().keys() == before.keys()
    succeed(push("pi"))


def test_five_releases_stay(push, pi, project):
    names = []
    for number in range(7):
        (project / "model.onnx").write_text(f"works {number}")
        succeed(push("pi"))
        names.append(pi.current)
    assert pi.releases == sorted(names[-5:])
    rows = [line.split(" ") for line in (pi.root / "history").read_text().splitlines()]
    assert [row[1] for row in rows] == names[-5:]


@pytest.fixture
def three(push, pi, project):
    """Let the host have three releases; return their names, the newest last."""
    names = []
    for number in range(3):
        (project / "model.onnx").write_text(f"works {number}")
        succeed(push("pi"))
        names.append(pi.current)
    return names


def test_going_back_goes_one_further_each_time(rollback, pi, three):
    output = succeed(rollback("pi"))
    steps = [line.split(": ")[1] for line in output.splitlines()]
    assert steps == ["verify", "check", "restart", "activate", f"runs {three[1]}"]
    assert pi.journal[-1] == f"running {three[1]}"
    succeed(rollback("pi"))
    assert pi.current == three[0]
    assert f"there is no release before {three[0]}" in one_line(rollback("pi"))
    assert pi.active


def test_going_back_to_a_release_by_name(rollback, pi, three):
    succeed(rollback("pi", three[0]))
    assert pi.current == three[0]
    assert "nothing to do" in succeed(rollback("pi", three[0]))
    succeed(rollback("pi", three[2]))
    assert pi.current == three[2]
    line = one_line(rollback("pi", "0123456789ab"))
    assert "it has no release 0123456789ab; it has " + ", ".join(reversed(three)) in line
    assert rollback(three[0]).exit_code == 2
    short = next(release for release in three if any(map(str.isdigit, release[:6])))
    succeed(rollback("pi", short[:6]))
    assert pi.current == short
    mistyped = rollback("pi", f"{short[:3]}0")
    assert mistyped.exit_code == 2
    assert f"{short[:3]}0: a release is 12 characters" in mistyped.output
    assert pi.current == short


def test_a_last_word_that_is_neither_host_nor_release_changes_nothing(rollback, pi, three):
    line = one_line(rollback("pi", "050db789f6ag"))
    assert "050db789f6ag: " in line
    assert "nothing was changed anywhere. If '050db789f6ag' is to be a release: that is 12" in line
    assert rollback("pi", "").exit_code == 2
    assert pi.current == three[2]


def test_going_back_can_be_tried_first(rollback, pi, three):
    before = pi.tree()
    assert "would do this, and changed nothing" in succeed(rollback("pi", "--dry-run"))
    assert pi.tree() == before


def test_a_release_that_spoiled_on_the_host_is_not_gone_back_to(rollback, pi, three):
    (pi.root / "releases" / three[1] / "model.onnx").write_text("spoilt")
    assert f"damaged; it still runs {three[2]}" in one_line(rollback("pi"))
    assert pi.active


@pytest.fixture
def signers(monkeypatch, sshd, tmp_path):
    """Let the host take signed bundles only; return its list of signers."""
    text = (sshd / "user_key.pub").read_text()
    path = tmp_path / "allowed_signers"
    path.write_text(f'anna namespaces="handwave" {text}')
    script = Path(remote.__file__).read_bytes()
    there = script.replace(b'"/etc/handwave/allowed_signers"', f'"{path}"'.encode())
    monkeypatch.setattr("deploy.ssh.REMOTE", there)
    return path


def test_a_host_with_signers_takes_their_bundles_only(push, pi, sshd, signers):
    assert "it takes signed bundles only: add --sign KEY" in one_line(push("pi"))
    line = one_line(push("pi", "--sign", str(sshd / "other_key")))
    assert f"verify: it is signed by nobody whom {signers} names" in line
    assert pi.releases == []
    succeed(push("pi", "--sign", str(sshd / "user_key")))
    assert pi.active
    assert "nothing to do" in succeed(push("pi", "--sign", str(sshd / "user_key")))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("garbage\n", "line 1 is no signer; it takes a line such as: anna@example.com"),
        ("# nobody yet\n\n", "lists nobody"),
        (f"anna ssh-ed25519 {'A' * 60}\nben ssh-ed25519\n", "line 2 is no signer"),
        ("\udcff", "cannot be read"),
    ],
)
def test_a_list_of_signers_that_is_none_is_refused_before_anything(tmp_path, text, says):
    path = tmp_path / "signers"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(DeployError, match=says):
        read_signers(path)


def test_a_list_of_signers_as_ssh_keygen_knows_it_is_one(sshd, tmp_path):
    key = (sshd / "user_key.pub").read_text().strip()
    lines = ["# who", f"anna@a.org {key}", f'ben,eve namespaces="handwave" {key} and a comment']
    path = tmp_path / "signers"
    path.write_text("\n".join(lines))
    assert read_signers(path) == path.read_text()


def test_a_release_from_before_there_were_signers_is_signed_later(push, pi, sshd, running, signers):
    assert "upload: nothing but the list" in succeed(push("pi", "--sign", str(sshd / "user_key")))
    assert (pi.root / "current" / "MANIFEST.sig").is_file()
    assert pi.current == running


def test_a_key_that_is_none_is_one_line(push, project):
    assert "name your SSH key" in one_line(push("pi", "--sign", str(project / "model.onnx")))


def test_a_model_that_fails_its_check_there_changes_nothing(push, pi, project, running):
    before = pi.journal
    (project / "model.onnx").write_text("fails check")
    line = one_line(push("pi"))
    assert "check: edge check: model.onnx: golden frames disagree" in line
    assert line.endswith(f"it still runs {running}")
    assert (pi.current, pi.releases, pi.journal) == (running, [running], before)
    assert pi.active


@pytest.mark.parametrize("way", ["crashes", "hangs"])
def test_a_release_that_never_gets_ready_is_rolled_back(push, pi, project, way, running):
    unit = pi.state / pi.unit
    unit.write_text(unit.read_text().replace("TimeoutStartSec=20", "TimeoutStartSec=0.5"))
    (project / "model.onnx").write_text(way)
    result = push("pi")
    line = one_line(result)
    assert f"did not get ready: {'no camera' if way == 'crashes' else 'Job for'}" in line
    assert line.endswith(f"went back to {running}, which runs again")
    assert pi.current == running
    assert pi.active
    assert pi.journal[-1] == f"running {running}"
    assert ("pi: journal: edge: no camera" in result.stdout) == (way == "crashes")


def test_what_the_check_has_to_say_is_passed_on(push, pi, project):
    (project / "model.onnx").write_text("works and warns")
    lines = succeed(push("pi")).splitlines()
    (note,) = [line for line in lines if line.startswith("pi: note: ")]
    assert note.endswith("edge.toml: say needs espeak-ng")


def test_releases_that_never_got_ready_do_not_pile_up(push, pi, project, running):
    for number in range(3):
        (project / "model.onnx").write_text(f"crashes {number}")
        one_line(push("pi"))
        assert len(pi.releases) == 2, "what runs, and the last that failed"


def test_going_back_on_a_host_without_a_release_says_what_to_do(rollback, pi):
    assert "pi: it has no release yet: deploy push pi" in one_line(rollback("pi"))


def test_a_first_release_that_never_gets_ready_is_stopped(push, pi, project):
    (project / "model.onnx").write_text("crashes")
    assert one_line(push("pi")).endswith("stopped it")
    assert not (pi.root / "current").is_symlink()
    (project / "model.onnx").write_text("works")
    succeed(push("pi"))
    assert pi.active


FAULTY_SSH = """#!{python}
import os, subprocess, sys

if " apply " not in sys.argv[-1]:
    os.execv("{ssh}", sys.argv)
data = sys.stdin.buffer.read()
if "{fault}" == "killed":
    os.kill(os.getpid(), 9)
if "{fault}" == "tampered":
    data = data.replace(b"works", b"wirks")
    sys.exit(subprocess.run(["{ssh}", *sys.argv[1:]], input=data).returncode)
subprocess.run(["{ssh}", *sys.argv[1:]], input=data[: len(data) - {missing}], stderr=-3)
sys.exit(255)
"""


@pytest.fixture
def fault(tmp_path, monkeypatch):
    """Return a function that puts an `ssh` before the real one that spoils something."""
    path = os.environ["PATH"]

    def install(fault, missing=0):
        program = tmp_path / "faulty" / "ssh"
        program.parent.mkdir(exist_ok=True)
        names = {"python": sys.executable, "ssh": shutil.which("ssh", path=path)}
        program.write_text(FAULTY_SSH.format(**names, fault=fault, missing=missing))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{path}")

    yield install
    monkeypatch.setenv("PATH", path)


def test_a_file_changed_on_the_way_is_refused(push, pi, fault):
    fault("tampered")
    line = one_line(push("pi"))
    assert "verify" in line
    assert "model.onnx: damaged; it runs nothing yet" in line
    assert pi.releases == []
    assert not (pi.root / "current").is_symlink()


@pytest.mark.parametrize(  # bytes that the host never gets: padding, files, part of remote.py
    "missing", [9000, 13000, 30000]
)
def test_an_upload_cut_short_does_not_break_the_next_push(push, pi, fault, monkeypatch, missing):
    fault("cut", missing)
    one_line(push("pi"))
    assert pi.releases == []
    assert not pi.active
    monkeypatch.setenv("PATH", os.environ["PATH"].split(":", 1)[1])
    succeed(push("pi"))
    assert pi.active


def test_an_ssh_that_is_killed_here_may_have_sent_all_of_it(push, fault):
    fault("killed")
    result = push("pi")
    assert one_line(result) == "deploy: pi: ssh was killed here: try again"
    assert "pi: if all of it had arrived, it goes on by itself; `deploy status" in result.stdout


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Return a folder that TMPDIR names, none of it remembered yet."""
    folder = Path(tempfile.mkdtemp(prefix="hw", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    _sweep.cache_clear()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
    _sweep.cache_clear()


def test_a_connection_lies_where_tmpdir_says_unless_that_is_too_long(temporary, monkeypatch):
    with Host("pi") as host:
        assert host._folder.parent == temporary
    monkeypatch.setattr(tempfile, "tempdir", f"{temporary}/{'x' * 60}")
    with Host("pi") as host:
        assert host._folder.parent == Path("/tmp")


def test_where_no_connection_can_lie_it_is_one_line(temporary, push):
    temporary.rmdir()
    for hosts in (["pi"], ["pi", "off"]):
        result = push(*hosts)
        assert result.exit_code == 1
        for line in result.stderr.splitlines():
            assert f"no folder here for ssh's connection: {temporary}/handwave-" in line
            assert "No such file or directory; set TMPDIR to one that you may write to" in line


def test_what_was_left_by_one_that_was_killed_is_swept_up(temporary):
    for name, age in (("old", 2 * 86400), ("new", 60), ("full", 2 * 86400)):
        folder = temporary / f"handwave-{name}"
        folder.mkdir()
        if name == "full":
            (folder / "ssh").touch()
        os.utime(folder, (time.time() - age,) * 2)
    with Host("pi"):
        assert not (temporary / "handwave-old").exists()
        assert (temporary / "handwave-new").exists()
        assert (temporary / "handwave-full").exists()


def test_only_our_own_words_are_heard():
    """A login shell may greet with anything, on the same stream."""
    for line in (b"hello", b"{hello}", b'{"hello": 1}', b"[]", b"3", b"{}x", b"\xff"):
        assert event_of(line) is None
    assert event_of(b'{"step": "check"}') == {"step": "check"}
    assert event_of(b"{}") == {}


def test_a_key_that_others_may_read_is_told_with_what_to_do(push, sshd, tmp_path):
    key = tmp_path / "key"
    shutil.copy(sshd / "user_key", key)
    key.chmod(0o644)
    text = (sshd / "ssh_config").read_text().replace(f"{sshd}/user_key", str(key))
    (tmp_path / "ssh_config").write_text(text)
    line = one_line(push("pi", "-F", str(tmp_path / "ssh_config")))
    assert line == (
        f"deploy: pi: others may read your key {key}, so ssh leaves it; run: chmod 600 '{key}'"
    )


@pytest.mark.parametrize("step", ["verify", "check", "restart", "activate"])
@pytest.mark.usefixtures("running")
def test_once_all_has_arrived_the_host_needs_no_laptop(sshd, pi, project, package, step):
    (project / "model.onnx").write_text("works better")
    bundle = make_bundle(project / "edge.toml", package)
    said = []

    def tell(line):
        said.append(line)
        if f": {step}: " in line:
            raise KeyboardInterrupt

    target = Target(str(pi.root), pi.unit)
    with pytest.raises(KeyboardInterrupt), Host("pi", config=sshd / "ssh_config") as host:
        push_to(host, bundle, target, tell=tell)
    assert "it goes on by itself; `deploy status pi`" in said[-1]
    until(lambda: remote._busy(pi.root / "lock") is None)
    assert pi.current == bundle.release
    assert pi.journal[-1] == f"running {bundle.release}"
    assert not (pi.trial / "service.env").exists()


def test_a_bad_release_is_taken_back_without_the_laptop(sshd, pi, project, package, running):
    (project / "model.onnx").write_text("crashes")
    bundle = make_bundle(project / "edge.toml", package)

    def tell(line):
        if ": restart: " in line:
            raise KeyboardInterrupt

    target = Target(str(pi.root), pi.unit)
    with pytest.raises(KeyboardInterrupt), Host("pi", config=sshd / "ssh_config") as host:
        push_to(host, bundle, target, tell=tell)
    until(lambda: remote._busy(pi.root / "lock") is None)
    assert pi.current == running
    assert pi.journal[-1] == f"running {running}"


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("stranger", "its host key is unknown to you; run `ssh stranger` once"),
        ("changed", "its host key is not the one you know"),
        ("off", "Connection refused; is it on"),
        ("keyless", "it does not accept your key"),
    ],
)
def test_a_host_that_cannot_be_trusted_or_reached_is_one_line(push, pi, host, says):
    before = pi.tree()
    assert says in one_line(push(host))
    assert pi.tree() == before


def test_an_unknown_host_key_is_refused_even_where_the_user_config_is_lax(push, sshd):
    text = (sshd / "ssh_config").read_text()
    lax = sshd / "lax_config"
    lax.write_text(text.replace("Host stranger\n", "Host stranger\n StrictHostKeyChecking no\n"))
    assert "its host key is unknown to you" in one_line(push("stranger", "-F", str(lax)))
    assert not (sshd / "none").exists()


@pytest.mark.parametrize("host", ["-oProxyCommand=touch${IFS}gotcha", "", "a b", "a\nb"])
def test_a_host_name_that_is_none_is_refused(push, host, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = push("--", host)
    assert result.exit_code == 2
    assert "is not a host name" in result.stderr
    assert not Path("gotcha").exists()


def test_a_host_without_rights_is_one_line(push, pi):
    pi.root.chmod(0o555)
    for folder in {*pi.root.parents, *pi.state.parents, pi.state} - {*Path("/tmp/x").parents}:
        folder.chmod(0o755)  # pytest's own folders let nobody else look in
    line = one_line(push("weak"))
    pi.root.chmod(0o755)
    assert f"may not write to {pi.root}" in line
    assert not (pi.root / "releases").exists()


def test_a_host_that_is_not_set_up_is_told_everything_at_once(push, pi):
    (pi.state / pi.unit).unlink()
    shutil.rmtree(pi.root)
    line = one_line(push("pi"))
    assert f"there is no folder {pi.root}" in line
    assert f"systemd knows no {pi.unit} there" in line
    assert f"`deploy setup pi --root {pi.root} --unit {pi.unit}` puts that right" in line
    assert not pi.root.exists()


def test_one_host_that_fails_does_not_stop_the_others(push, pi):
    result = push("off", "pi")
    assert "deploy: off: no connection" in one_line(result)
    assert pi.active


def test_a_lost_connection_is_no_traceback_but_with_debug(push):
    result = push("off", "--debug")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert "deploy: off: no connection" in result.stderr.splitlines()[-1]


def test_an_unusable_target_is_wrong_usage_and_says_what_is_right(push):
    for option, word, says in (
        ("--root", "opt/handwave", "say a whole path"),
        ("--root", "/opt/zwei hände", "may be letters, figures and @ . + - _"),
        ("--unit", "--now", "say a service"),
        ("--unit", "w2", "say a service"),
    ):
        result = push("pi", option, word)
        assert result.exit_code == 2
        assert says in result.stderr


def test_all_commands_share_one_connection_and_none_stays_open(sshd):
    with Host("pi", config=sshd / "ssh_config") as host:
        seen = [host.run(["sh", "-c", "echo $SSH_CONNECTION"]).stdout for _ in range(2)]
        assert seen[0] == seen[1] != b"\n"
        name = str(host._folder).encode()
        assert any(name in command for command in commands())
        assert host.run(["echo", "a  'b'", "$HOME", "*"]).stdout == b"a  'b' $HOME *\n"
    assert not host._folder.exists()
    end = time.monotonic() + 5
    while any(name in command for command in commands()):
        assert time.monotonic() < end


def commands():
    """Yield the command of each process."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended
            yield path.read_bytes()


@pytest.fixture
def real_edge(push, package):
    """Let `push` send the real `edge` package."""
    shutil.rmtree(package)
    shutil.copytree(edge.__path__[0], package)


def test_the_real_edge_passes_its_check_there_and_gets_ready(push, pi, real_edge, real_model):
    real_model()
    succeed(push("pi"))
    assert pi.active
    assert (pi.root / "current" / "edge" / "cli.py").is_file()
    assert "nothing to do" in succeed(push("pi"))


def test_no_start_has_to_compile_a_module(push, pi, real_edge, real_model):
    real_model()
    succeed(push("pi"))
    there = pi.root / "current"
    modules = list(there.rglob("*.py"))
    assert {Path(cache_from_source(path)) for path in modules} == {*there.rglob("*.pyc")}
    imported = [sys.executable, "-Pvc", "import edge.cli"]
    done = subprocess.run(
        imported, env={"PYTHONPATH": str(there)}, capture_output=True, text=True, check=True
    )
    assert f"matches {there}/edge/cli.py" in done.stderr
    assert f"code object from {there}" not in done.stderr  # so it says of what it compiles


def test_bytecode_that_somebody_else_put_there_goes_before_a_release_runs(rollback, pi, three):
    older = pi.root / "releases" / three[1]
    planted = Path(cache_from_source(older / "edge" / "__init__.py"))
    stale = planted.with_name("__init__.cpython-399.pyc")
    planted.write_bytes(b"planted")
    stale.touch()
    succeed(rollback("pi"))
    assert planted.read_bytes() != b"planted"
    assert not stale.exists()


def test_bytecode_that_somebody_else_put_there_goes_before_an_older_one_is_pushed_again(
    push, pi, project, three
):
    older = pi.root / "releases" / three[1]
    planted = Path(cache_from_source(older / "edge" / "__init__.py"))
    planted.write_bytes(b"planted")
    (project / "model.onnx").write_text("works 1")
    assert "upload" not in succeed(push("pi"))
    assert pi.current == three[1]
    assert planted.read_bytes() != b"planted"


def test_a_model_whose_golden_frames_disagree_there_is_refused(push, pi, real_edge, real_model):
    real_model(off=0.01)
    assert "disagrees with its golden frame of 'rock'" in one_line(push("pi"))
    assert pi.releases == []
