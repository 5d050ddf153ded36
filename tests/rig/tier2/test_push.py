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


def test_a_library_that_the_pi_lacks_is_told_by_the_check(pi, push, project):
    """The unit's Python is the one that counts; this machine's was never asked for urllib3."""
    push()
    (project / "edge.toml").write_text('[when.palm]\nwebhook = "http://127.0.0.1:9/x"\n')
    done = push()
    assert done.returncode == 1
    assert "pi: note: edge.toml: webhook needs urllib3, which is not in this Python" in done.stdout
    assert "webhook needs urllib3: deploy setup brings it" in done.stderr


def test_no_push_is_refused_for_those_just_before_it(pi, push, project):
    """systemd refuses what is started more than five times in ten seconds, unless told not to."""
    push()
    for _ in range(8):
        pi.systemctl("start", "handwave-check", check=False)
    show = ("show", "--property=Result", "--value", "handwave-check")
    assert pi.systemctl(*show) in {"success", "exit-code"}


def test_a_root_without_its_unit_is_refused_with_both(pi, push):
    pi.run("mkdir", "-p", "/opt/two")
    done = push("--root", "/opt/two")
    assert (
        "handwave.service there belongs to /opt/handwave, not to /opt/two: say both" in done.stderr
    )
