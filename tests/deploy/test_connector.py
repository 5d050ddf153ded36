"""pyinfra over our one OpenSSH connection, to a real sshd."""

import getpass
import io

import gevent
import pytest
from pyinfra.api import Config, Inventory, State, StringCommand
from pyinfra.api.exceptions import ConnectError, InventoryError
from pyinfra.api.facts import get_fact
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops
from pyinfra.facts.server import User, Which
from pyinfra.operations import files, server

from deploy import connector
from deploy.connector import OpensshConnector
from deploy.errors import UnknownKeyError

PI = ("pi", {})


@pytest.fixture
def connect(sshd):
    """Return what connects to hosts by pyinfra: `connect(PI)`."""
    states = []

    def make(*names):
        config = {"openssh_config": str(sshd / "ssh_config")}
        hosts = [(f"@openssh/{name}", {**config, **data}) for name, data in names]
        state = State(Inventory((hosts, {})), Config())
        states.append(state)
        for host in state.inventory:
            host.connect(raise_exceptions=True)
            state.activate_host(host)
        return state, *state.inventory

    yield make
    for state in states:
        for host in state.inventory:
            host.disconnect()


def test_a_command_tells_whether_it_went_well_and_what_it_said(connect):
    _, host = connect(PI)
    done, told = host.run_shell_command(StringCommand("echo", "out;", "echo", "err", ">&2"))
    assert (done, told.stdout, told.stderr) == (True, "out", "err")
    assert host.run_shell_command(StringCommand("exit", "3"))[0] is False
    assert host.run_shell_command(StringCommand("exit", "3"), _success_exit_codes=[3])[0] is True


def test_a_command_is_built_in_pyinfras_way(connect, tmp_path):
    _, host = connect(PI)
    done, told = host.run_shell_command(
        StringCommand("pwd;", "echo", "$WHO;", "cat"),
        _chdir=str(tmp_path), _env={"WHO": "it's me"}, _stdin="typed",
    )  # fmt: skip
    assert done
    assert told.stdout_lines == [str(tmp_path), "it's me", "typed"]


def test_sudo_never_asks(connect):
    _, host = connect(PI)
    host.run_shell_command(StringCommand("true"), _sudo=True)  # wherever that is allowed or not
    done, told = host.run_shell_command(StringCommand("echo", "hello"), _sudo=True)
    assert done == (told.stdout == "hello")


def test_files_go_there_and_come_back_byte_by_byte(connect, tmp_path):
    _, host = connect(PI)
    content = bytes(range(256)) * 1000
    place = tmp_path / "it's a file"
    assert host.put_file(io.BytesIO(content), str(place))
    assert place.read_bytes() == content
    back = io.BytesIO()
    assert host.get_file(str(place), back)
    assert back.getvalue() == content


def test_a_file_that_cannot_be_written_or_read_is_an_error_with_its_reason(connect):
    _, host = connect(PI)
    with pytest.raises(OSError, match=r"[Nn]onexistent|No such|Directory"):
        host.put_file(io.BytesIO(b""), "/nowhere/at/all")
    with pytest.raises(OSError, match="No such file"):
        host.get_file("/nowhere/at/all", io.BytesIO())


def test_a_file_of_which_only_a_part_arrives_does_not_stay(connect, tmp_path, monkeypatch):
    _, host = connect(PI)
    run = host.connector._ssh.run
    cut = lambda words, stdin=b"", **how: run(words, stdin[:4], **how)  # noqa: E731
    monkeypatch.setattr(host.connector._ssh, "run", cut)
    with pytest.raises(OSError, match="only a part of it arrived"):
        host.put_file(io.BytesIO(b"content"), str(tmp_path / "there"))
    assert list(tmp_path.iterdir()) == []


def test_pyinfras_own_facts_and_operations_work(connect, tmp_path):
    state, host = connect(PI)
    assert get_fact(state, host, User) in {getpass.getuser(), ""}
    assert get_fact(state, host, Which, kwargs={"command": "sh"})
    place = tmp_path / "motd"
    add_op(state, files.put, src=io.StringIO("hello"), dest=str(place), mode="640")
    add_op(state, server.shell, commands=[f"echo more >> {place}"])
    run_ops(state)
    assert place.read_text() == "hellomore\n"


def test_many_hosts_wait_at_the_same_time(connect, tmp_path):
    _, one, two = connect(PI, ("another", {"openssh_host": "pi"}))
    pipe = tmp_path / "pipe"
    one.run_shell_command(StringCommand("mkfifo", str(pipe)))
    # Each end of a pipe waits for the other to be opened: one after the other would hang.
    reading = gevent.spawn(one.run_shell_command, StringCommand("cat", str(pipe)))
    writing = gevent.spawn(two.run_shell_command, StringCommand("echo", "met", ">", str(pipe)))
    gevent.joinall([reading, writing], timeout=30, raise_error=True)
    assert reading.value[1].stdout == "met"


@pytest.mark.parametrize("name", ["stranger", "changed", "off", "keyless"])
def test_a_host_that_cannot_be_trusted_or_reached_is_one_clear_line(connect, name):
    with pytest.raises(ConnectError) as problem:
        connect((name, {}))
    assert str(problem.value).startswith(f"{name}: ")
    assert isinstance(problem.value.__cause__, UnknownKeyError) == (name == "stranger")


def test_a_connection_that_is_lost_is_an_error_that_pyinfra_expects(connect, sshd):
    _, host = connect(PI)
    host.run_shell_command(StringCommand("true"))
    with pytest.raises(OSError, match="pi: "):
        host.run_shell_command(StringCommand("kill", "-9", "$PPID"))


def test_an_inventory_that_names_no_host_is_told_how():
    with pytest.raises(InventoryError, match="@openssh/pi@"):
        list(OpensshConnector.make_names_data(None))


def test_other_hosts_go_on_while_a_process_runs():
    ran = [
        gevent.spawn(
            connector._run_process, ["sh", "-c", "sleep 1; cat"], input=b"hi", capture_output=True
        )
        for _ in range(4)
    ]
    other = gevent.spawn(gevent.sleep, 0.01)
    other.join(timeout=10)
    assert other.dead
    assert not any(one.dead for one in ran)
    gevent.joinall(ran, timeout=20, raise_error=True)
    assert [one.value.stdout for one in ran] == [b"hi"] * 4
