"""What can be seen of the machine that the tests run on."""

from __future__ import annotations

import os
import sys
import time

import pytest

from edge.platform import Machine, ask


def test_a_command_is_asked_for_all_it_prints():
    code = "import sys; print('out'); print('err', file=sys.stderr)"
    assert ask([sys.executable, "-c", code]) == "out\nerr\n"
    assert ask([sys.executable, "-c", "print(b'\\xff'.decode('latin-1'))"]) is not None


def test_a_command_that_is_not_there_or_does_not_end_says_nothing(monkeypatch):
    assert ask(["there-is-no-such-command"]) is None
    monkeypatch.setattr("edge.platform.PATIENCE", 0.05)
    assert ask([sys.executable, "-c", "import time; time.sleep(60)"]) is None


def test_this_machine_describes_itself(tmp_path):
    machine = Machine()
    assert machine.bits in {32, 64}
    assert machine.python == sys.version_info[:2]
    assert abs(machine.now - time.time()) < 3600
    assert machine.user
    assert machine.installed("numpy")
    assert machine.installed("there-is-no-such-package") is None
    assert machine.importable("numpy")
    assert not machine.importable("there_is_no_such_module")
    free, size = machine.space(tmp_path)
    assert 0 <= free <= size
    assert machine.usable(tmp_path)


def test_files_are_read_below_the_root(tmp_path):
    (tmp_path / "proc" / "device-tree").mkdir(parents=True)
    (tmp_path / "proc" / "device-tree" / "model").write_bytes(b"Raspberry Pi 4 Model B Rev 1.5\0")
    machine = Machine(root=tmp_path)
    assert machine.pi == "Raspberry Pi 4 Model B Rev 1.5"
    assert machine.read("proc/none") is None
    (path,) = machine.find("proc/device-*/model")
    assert machine.show(path) == "/proc/device-tree/model"


def test_another_board_is_no_pi(tmp_path):
    (tmp_path / "proc" / "device-tree").mkdir(parents=True)
    (tmp_path / "proc" / "device-tree" / "model").write_bytes(b"Orange Pi 5\0")
    assert Machine(root=tmp_path).pi is None


@pytest.mark.skipif(not hasattr(os, "getgroups"), reason="Unix only")
def test_the_groups_of_this_login_have_names():
    assert all(isinstance(name, str) for name in Machine().groups)
