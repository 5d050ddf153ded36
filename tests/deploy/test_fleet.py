"""Many hosts: who goes when and when it stops, and pushes to real sshds, a host each."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from gevent import monkey

import deploy.commands.push
from deploy.cli import main
from deploy.connector import OpensshConnector
from deploy.errors import DeployError
from deploy.fleet import Outcome, StoppedError, roll_out, table
from deploy.inventory import Fleet, address, read_fleet

ROOT = Path(__file__).parents[2]
HOSTS = """
hosts = ["hall.local", "door.local", { name = "attic", user = "me", port = 2222 }]
user = "pi"
canary = "hall.local"
wave = 2

[groups]
up = ["attic", "door.local"]
"""


# --- Which hosts are meant


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a file of hosts and returns the word for it."""

    def write(text, name="hosts.toml"):
        (tmp_path / name).write_text(text)
        return f"@{tmp_path / name}"

    return write


def test_a_hosts_toml_is_a_fleet(written):
    fleet = read_fleet([written(HOSTS)])
    assert fleet.hosts == ("pi@hall.local", "pi@door.local", "ssh://me@attic:2222")
    assert (fleet.canaries, fleet.wave, fleet.budget) == (("pi@hall.local",), 2, 1)
    assert list(fleet.waves()) == [("pi@hall.local",), ("pi@door.local", "ssh://me@attic:2222")]


def test_a_group_of_it_is_one_as_well(written):
    fleet = read_fleet([written(HOSTS) + ":up"])
    assert fleet.hosts == ("ssh://me@attic:2222", "pi@door.local")
    assert fleet.canaries == ()  # not of this group


def test_plain_names_are_one_wave_without_a_budget_and_each_counts_once():
    fleet = read_fleet(["a", "b", "a"])
    assert (fleet.hosts, fleet.canaries, fleet.budget) == (("a", "b"), (), None)
    assert list(fleet.waves()) == [("a", "b")]


def test_names_may_stand_beside_a_file(written):
    assert read_fleet(["x", written(HOSTS)]).hosts[:2] == ("x", "pi@hall.local")
    with pytest.raises(DeployError, match="one file of hosts at a time"):
        read_fleet([written(HOSTS), written(HOSTS)])


@pytest.mark.parametrize(
    ("name", "user", "port", "expected"),
    [
        ("pi", None, None, "pi"),
        ("a@pi", "b", None, "a@pi"),
        ("pi", "b", 22, "ssh://b@pi:22"),
        ("fe80::1", None, 2200, "ssh://[fe80::1]:2200"),
        ("ssh://hall.local:2222", "b", 22, "ssh://hall.local:2222"),
    ],
)
def test_an_address_is_one_word_for_ssh(name, user, port, expected):
    assert address(name, user, port) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hosts = []", "hosts: name at least one"),
        ('hots = ["a"]', "unknown key 'hots'; did you mean 'hosts'?"),
        ('hosts = ["a"]\ncanary = "b"', "canary: there is no host 'b'; there is: a"),
        ('hosts = ["hall", "hall"]', "'hall' is there twice"),
        ('hosts = ["hall"]\n[groups]\nup = ["hal"]', "[groups] up: there is no host 'hal'; did"),
        ('hosts = ["a"]\nwave = 0', "wave: expected a whole number >= 1"),
        ('hosts = ["a"]\nbudget = -1', "budget: expected a whole number >= 0"),
        ('hosts = [{ nam = "a" }]', "hosts[0]: unknown key 'nam'; did you mean 'name'?"),
        ('hosts = [{ name = "a", port = "x" }]', "hosts[0].port: expected a whole number, got"),
        ('hosts = ["a", "b c"]', "hosts.toml: 'b c' is not a host name"),
        ('hosts = ["a", ""]', "'' is not a host name"),
        ('hosts = ["-oProxyCommand=x"]', "'-oProxyCommand=x' is not a host name"),
        ('hosts = [{ name = "a", user = "-x y" }]', "'-x y@a' is not a host name"),
        ("hosts = [1", "hosts.toml: not valid TOML: "),
        ("hosts = 3", "hosts: expected a list, got a whole number"),
    ],
)
def test_a_mistake_in_a_hosts_toml_is_one_line(written, text, says):
    result = CliRunner().invoke(main, ["status", written(text)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("deploy: ")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("@none.toml", "no such file"),
        ("@none.py", "no such file"),
        ("@hosts.yaml", "say a hosts.toml, or an inventory.py"),
    ],
)
def test_a_file_that_is_none_is_one_line(word, says):
    result = CliRunner().invoke(main, ["push", word])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert says in result.stderr


def test_a_group_that_is_none_is_one_line(written):
    with pytest.raises(DeployError, match="there is no group 'upp'; did you mean 'up'"):
        read_fleet([written(HOSTS) + ":upp"])


def test_a_pyinfra_inventory_is_a_fleet_as_well(written):
    word = written(
        'pis = ["hall", ("@ssh/door", {"ssh_user": "pi", "ssh_port": 2200})]\ncanary = ["hall"]\n',
        "inventory.py",
    )
    fleet = read_fleet([word])
    assert fleet.hosts == ("hall", "ssh://pi@door:2200")
    assert fleet.canaries == ("hall",)
    assert read_fleet([f"{word}:pis"]).hosts == fleet.hosts


def test_reading_a_pyinfra_inventory_leaves_the_threads_of_this_process_alone(written):
    read_fleet([written('pis = ["hall"]\n', "inventory.py")])
    assert "pyinfra_cli" in sys.modules
    assert not monkey.is_module_patched("threading")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("keys.py", 'a = [("x", {"ssh_key": "k"})]', "ssh_key: it is OpenSSH that connects here"),
        ("local.py", 'a = ["@local"]', "a Pi is reached by ssh, not by @local"),
        ("wrong.py", "import nothing_such", "pyinfra cannot read it: ModuleNotFoundError"),
        ("empty.py", "", "there is no host in it"),
        ("name.py", 'a = ["x y"]', "'x y' is not a host name"),
    ],
)
def test_an_inventory_that_cannot_be_followed_is_one_line(written, name, text, says):
    with pytest.raises(DeployError, match=says):
        read_fleet([written(text, name)])


# --- Who goes when, and when it stops


def rolled(fleet, **how):
    """Roll out over hosts that do as told, else well; return what was told and each one's end."""
    told = []
    outcomes = roll_out(
        fleet, lambda wave: [Outcome(h, how.get(h, "runs it")) for h in wave], told.append
    )
    return told, [outcome.how for outcome in outcomes]


ABCDE = ("a", "b", "c", "d", "e")


def test_the_canary_goes_first_and_then_the_waves():
    told, ends = rolled(Fleet(ABCDE, ("c",), 3, 0))
    assert told == ["canary: c", "wave 2 of 3: a, b, d", "wave 3 of 3: e"]
    assert ends == ["runs it"] * 5


@pytest.mark.parametrize("how", ["failed", "refused", "lost"])
def test_a_canary_that_fails_ends_it(how):
    told, ends = rolled(Fleet(ABCDE, ("c",), 3, 99), c=how)
    assert told[-1] == "stopped here: a canary failed"
    assert ends == ["not tried", "not tried", how, "not tried", "not tried"]


def test_canaries_that_are_all_off_prove_nothing():
    assert rolled(Fleet(ABCDE, ("c",)), c="unreachable")[0][-1].endswith("no canary can be reached")
    assert rolled(Fleet(ABCDE, ("c", "d")), c="unreachable")[1].count("not tried") == 0


def test_it_stops_when_more_have_failed_than_the_budget_allows():
    failing = {"a": "failed", "b": "failed"}
    assert rolled(Fleet(ABCDE, (), 2, 2), **failing)[1].count("not tried") == 0
    told, ends = rolled(Fleet(ABCDE, (), 2, 1), **failing)
    assert told[-1] == "stopped here: 2 failed, and the budget is 1"
    assert ends == ["failed", "failed", *["not tried"] * 3]
    assert rolled(Fleet(ABCDE, (), 2, None), **failing)[1].count("not tried") == 0


def test_hosts_that_are_off_block_nobody():
    off = dict.fromkeys("abcd", "unreachable")
    assert rolled(Fleet(ABCDE, (), 2, 0), **off)[1][-1] == "runs it"


def test_after_ctrl_c_it_is_known_what_every_host_did():
    def go(wave):
        if "b" in wave:
            raise StoppedError([Outcome("a", "lost")])
        return [Outcome(host, "runs it") for host in wave]

    told = []
    outcomes = roll_out(Fleet(ABCDE, ("c",), 2, 0), go, told.append)
    assert [one.how for one in outcomes] == [
        "lost", "not tried", "runs it", "not tried", "not tried",
    ]  # fmt: skip
    assert told[-1] == "stopped here, as it was told to"


LONG = "somebody@a-raspberry-pi.in-the-attic.example.org"
STEPS = "upload, verify, check, restart, activate"


@pytest.mark.parametrize(("columns", "steps"), [(120, True), (80, False), (40, False)])
def test_the_table_fits_and_names_every_host_whole(monkeypatch, capsys, columns, steps):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    table([Outcome(LONG, "runs it", STEPS)] * 2)
    text = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out)
    assert max(map(len, text.splitlines())) <= columns
    hosts = "".join(line[: columns - 9].split("runs")[0].strip() for line in text.splitlines()[1:])
    assert hosts == LONG * 2
    assert (STEPS in text) == steps


def test_in_a_file_nothing_of_the_table_is_cut(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    table([Outcome(f"{LONG}{number}", "runs it", STEPS) for number in range(2)])
    _, *rows = capsys.readouterr().out.splitlines()
    assert [" ".join(row.split()) for row in rows] == [
        f"{LONG}{number} runs it {STEPS}" for number in range(2)
    ]


# --- Real ones


@pytest.fixture(scope="module")
def many_hosts():
    path = ROOT / "benchmarks" / "many_hosts.py"
    spec = importlib.util.spec_from_file_location("many_hosts", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["many_hosts"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    yield module.many_hosts
    del sys.modules["many_hosts"]


@pytest.fixture
def pis(many_hosts, tmp_path):
    """Return four hosts."""
    folder = tmp_path / "hosts"
    folder.mkdir()
    try:
        with many_hosts(folder, 4) as hosts:
            yield hosts
    except RuntimeError as problem:
        pytest.skip(str(problem))


@pytest.fixture
def push(pis, tmp_path, project, package, monkeypatch):
    monkeypatch.setattr(deploy.commands.push, "PACKAGE", package)
    config = ["--config", str(project / "edge.toml"), "-F", str(tmp_path / "hosts" / "ssh_config")]
    return lambda *words: CliRunner().invoke(main, ["push", *config, *words])


def rows(result):
    """Return each host's end, as the table at the end has it."""
    lines = result.stdout.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("host "))
    return {line.split()[0]: " ".join(line.split()[1:3]) for line in lines[at + 1 :]}


def test_a_fleet_runs_what_is_pushed_and_a_second_push_does_nothing(push, pis, written):
    word = written('hosts = ["pi0", "pi1", "off", "pi2", "pi3"]\ncanary = "pi1"\nwave = 2')
    result = push(word)
    assert rows(result) == {
        **dict.fromkeys(["pi0", "pi1", "pi2", "pi3"], "runs it"), "off": "unreachable"
    }  # fmt: skip
    assert result.exit_code == 1
    assert result.stderr.startswith("deploy: off: no connection")
    (release,) = {pi.current for pi in pis}
    assert [pi.journal for pi in pis] == [[f"running {release}"]] * 4
    again = push("pi0", "pi1")
    assert (again.exit_code, again.stderr) == (0, "")
    assert rows(again) == dict.fromkeys(["pi0", "pi1"], "ran it")
    assert pis[0].journal == [f"running {release}"]
    assert [p.name for p in Path("/tmp").glob("pyinfra-*")] == []


def test_a_dry_run_plans_for_each_and_changes_nothing(push, pis):
    result = push("pi0", "pi1", "--dry-run")
    assert result.exit_code == 0
    assert rows(result) == dict.fromkeys(["pi0", "pi1"], "would upload,")
    assert [pi.current for pi in pis] == [None] * 4
    assert not (pis[0].root / "releases").exists()


def test_a_bad_release_stops_at_the_canary_which_goes_back(push, pis, project, written):
    assert push("pi0", "pi1").exit_code == 0
    before = pis[0].current
    (project / "model.onnx").write_text("crashes")
    result = push(written('hosts = ["pi0", "pi1", "pi2"]\ncanary = "pi0"'))
    assert result.exit_code == 1
    assert rows(result) == {"pi0": "failed upload,", "pi1": "not tried", "pi2": "not tried"}
    assert "pi0: journal: edge: no camera" in result.stdout
    assert "stopped here: a canary failed" in result.stdout
    assert f"went back to {before}, which runs again" in result.stderr
    assert [pi.current for pi in pis] == [before, before, None, None]


def test_a_host_that_is_not_ready_is_said_and_blocks_nobody(push, pis):
    (pis[0].folder / "state" / "handwave.service").unlink()
    result = push("pi0", "pi1")
    assert rows(result) == {"pi0": "refused", "pi1": "runs it"}
    assert "pi0: systemd knows no handwave.service there" in result.stderr


def test_wave_and_budget_can_be_said_on_the_command_line(push, pis, project):
    (project / "model.onnx").write_text("fails check")
    result = push("pi0", "pi1", "--wave", "1", "--budget", "0")
    assert rows(result) == {"pi0": "failed upload,", "pi1": "not tried"}


def test_a_fleet_goes_back_at_once_and_whoever_is_off_holds_up_nobody(
    push, pis, project, tmp_path, written
):
    assert push("pi0", "pi1").exit_code == 0
    first = pis[0].current
    (project / "model.onnx").write_text("another")
    assert push("pi0", "pi1", "pi2").exit_code == 0
    config = ["-F", str(tmp_path / "hosts" / "ssh_config")]
    result = CliRunner().invoke(
        main, ["rollback", *config, written('hosts = ["off", "pi0", "pi1", "pi2"]')]
    )
    assert result.exit_code == 1
    assert rows(result) == {
        "off": "unreachable", "pi0": "runs it", "pi1": "runs it", "pi2": "refused"
    }  # fmt: skip
    assert [pi.current for pi in pis[:2]] == [first] * 2
    assert "pi2: there is no release before" in result.stderr
    again = CliRunner().invoke(main, ["rollback", *config, "pi0", "pi1", first])
    assert rows(again) == dict.fromkeys(["pi0", "pi1"], "ran it")


def test_an_upload_that_finds_no_room_says_so(push, pis, monkeypatch):
    def refuse(self, *_, **__):
        return 1, b"", b"cat: write error: No space left on device"

    run = OpensshConnector._run
    monkeypatch.setattr(
        OpensshConnector, "_run",
        lambda self, command, stdin, how: (refuse if len(stdin) > 1000 else run)(
            self, command, stdin, how
        ),
    )  # fmt: skip
    result = push("pi0", "pi1")
    assert rows(result) == dict.fromkeys(["pi0", "pi1"], "failed")
    assert "pi0: upload to /tmp/" in result.stderr
    assert "No space left on device" in result.stderr


def test_status_takes_a_file_of_hosts(pis, tmp_path, written):
    word = written('hosts = ["pi0", "pi1", "off"]\n[groups]\none = ["pi1"]')
    config = ["-F", str(tmp_path / "hosts" / "ssh_config")]
    result = CliRunner().invoke(main, ["status", word, *config, "--json"])
    states = {host["host"]: host["state"] for host in json.loads(result.stdout)["hosts"]}
    assert states == {"pi0": "never pushed", "pi1": "never pushed", "off": "unreachable"}
    result = CliRunner().invoke(main, ["status", word + ":one", *config])
    assert result.stderr == "deploy: pi1: nothing was pushed there yet; run: deploy push pi1\n"


# --- As a pyinfra operation of somebody's own


DEPLOY = """
from deploy.operations import push
push(name="handwave", config="{config}")
"""


@pytest.fixture
def pyinfra(pis, tmp_path, project):
    """Return a function that runs pyinfra's own command with pyinfra's own ssh."""
    (tmp_path / "deploy.py").write_text(DEPLOY.format(config=project / "edge.toml"))
    hosts = tmp_path / "hosts"
    lines = [
        f'("{pi.name}", dict(ssh_hostname="127.0.0.1", ssh_port={pi.port}, '
        f'ssh_key="{hosts}/user_key", ssh_known_hosts_file="{hosts}/known_hosts"))'
        for pi in pis[:2]
    ]
    (tmp_path / "inventory.py").write_text(f"pis = [{', '.join(lines)}]\n")

    def run(*words):
        return subprocess.run(
            [Path(sys.executable).with_name("pyinfra"), "inventory.py", "deploy.py", "-y", *words],
            cwd=tmp_path, capture_output=True, text=True, check=False,
            env=os.environ | {"PYINFRA_PROGRESS": "off"},
        )  # fmt: skip

    return run


def test_somebodys_own_deploy_py_pushes_over_pyinfras_own_ssh(pyinfra, pis, real_model):
    real_model()
    dry = pyinfra("--dry")
    assert dry.returncode == 0, dry.stderr
    assert pis[0].current is None
    done = pyinfra()
    assert done.returncode == 0, done.stderr
    assert pis[0].current == pis[1].current is not None
    again = pyinfra()
    assert "No changes" in again.stderr, again.stderr


def test_there_a_host_that_is_not_ready_fails_alone(pyinfra, pis, real_model):
    real_model()
    (pis[0].folder / "state" / "handwave.service").unlink()
    done = pyinfra()
    assert done.returncode == 1
    assert "systemd knows no handwave.service there" in done.stderr
    assert pis[1].current is not None


def test_ctrl_c_stops_a_fleet_without_a_traceback(pis, tmp_path, project):
    (project / "model.onnx").write_text("x")
    (pis[0].folder / "bin" / "systemctl").write_text("#!/bin/sh\nexec sleep 3\n")
    hosts = tmp_path / "hosts"
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy", "push", "pi0", "pi1", "-F", str(hosts / "ssh_config"),
         "--config", str(project / "edge.toml")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0,
    )  # fmt: skip
    log = pis[0].folder / "sshd_log"
    while "Accepted" not in log.read_text():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "KeyboardInterrupt" not in err
    assert "stopped here, as it was told to" in out
    ends = {line.split()[0]: " ".join(line.split()[1:3]) for line in out.splitlines()[-2:]}
    assert set(ends) == {"pi0", "pi1"}
    assert set(ends.values()) <= {"lost", "not tried"}


def test_what_nobody_reads_stops_no_host(pis, tmp_path, project):
    """`deploy push ... | head -1`: all goes on, here to a check that fails."""
    (project / "model.onnx").write_text("no model")
    config, ssh = str(project / "edge.toml"), str(tmp_path / "hosts" / "ssh_config")
    words = [sys.executable, "-m", "deploy", "push", "pi0", "pi1", "-F", ssh, "--config", config]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    one, other = done.stderr.splitlines()
    assert one.startswith("deploy: pi0: check: edge check: ")
    assert other.startswith("deploy: pi1: check: edge check: ")
