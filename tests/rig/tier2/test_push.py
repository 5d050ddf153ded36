"""Tier 2: `deploy push` into the booted Debian, over its real sshd, to its real systemd."""

import pytest

pytestmark = [pytest.mark.tier2, pytest.mark.timeout(300)]


def test_a_push_ends_with_the_new_release_watching(pi, push):
    done = push()
    assert done.returncode == 0, done.stdout + done.stderr
    assert pi.state == "active"
    pi.header.wait(27, 1)


def test_edge_check_runs_as_the_services_user_within_its_limits(pi, push, project):
    (project / "model.onnx").write_bytes((project / "model.onnx").read_bytes()[:-1])
    before = pi.journal
    done = push()
    assert done.returncode == 1
    assert "pi: check: edge check: " in done.stderr
    assert "model.onnx" in done.stderr
    assert pi.journal == before  # the service noticed nothing
    show = ("show", "--property=User,MemoryMax,ProtectSystem", "handwave-check")
    assert pi.systemctl(*show).split() == [
        "MemoryMax=419430400",
        "User=handwave",
        "ProtectSystem=strict",
    ]


def test_a_second_push_does_nothing(pi, push):
    push()
    number = pi.pid
    done = push()
    assert done.returncode == 0, done.stderr
    assert pi.pid == number


def test_a_push_that_never_sees_a_picture_goes_back_to_what_ran(pi, push, project):
    push()
    pi.header.wait(27, 1)
    before = (pi.root / "opt/handwave/current").readlink()
    (project / "edge.toml").write_text("[when.palm]\nled = 23\n")
    pi.unplug()
    done = push()
    assert done.returncode == 1
    assert (pi.root / "opt/handwave/current").readlink() == before
    pi.plug_in()
    pi.until(ActiveState="active")
    pi.header.wait(27, 1)
