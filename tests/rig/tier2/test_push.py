"""Tier 2: `deploy push` into the booted Debian, over its real sshd, to its real systemd."""

import shutil
import sys

import pytest

pytestmark = [pytest.mark.tier2, pytest.mark.timeout(300)]

SSH_CONFIG = """
Host pi
 HostName 127.0.0.1
 User pi
 IdentityFile {folder}/key
 IdentitiesOnly yes
 IdentityAgent none
 UserKnownHostsFile {folder}/known_hosts
 GlobalKnownHostsFile none
"""


@pytest.fixture
def project(pi, model, tmp_path):
    """Return a user's folder on the laptop, whose key the machine's user `pi` accepts."""
    shutil.copy(model, tmp_path)
    (tmp_path / "edge.toml").write_text("[when.palm]\nled = 27\n")
    make_key = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key")
    pi.run(*make_key, inside=False)
    home = pi.root / "home/pi/.ssh"
    home.mkdir(mode=0o700, exist_ok=True)
    shutil.copy(tmp_path / "key.pub", home / "authorized_keys")
    user = pi.id_of("passwd", "pi")
    for path in (home, home / "authorized_keys"):
        shutil.chown(path, user, user)
    host_key = (pi.root / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
    (tmp_path / "known_hosts").write_text(f"127.0.0.1 {host_key}")
    (tmp_path / "ssh_config").write_text(SSH_CONFIG.format(folder=tmp_path))
    return tmp_path


@pytest.fixture
def push(pi, project):
    """Return `deploy push pi`, started in the machine's own network."""

    def run(*words):
        config = ("--config", project / "edge.toml", "-F", project / "ssh_config")
        deploy = (sys.executable, "-m", "deploy", "push", "pi", *config, *words)
        return pi.run(*deploy, inside=False, check=False)

    return run


def test_a_push_ends_with_the_new_release_watching(pi, push):
    done = push()
    assert done.returncode == 0, done.stdout + done.stderr
    assert pi.state == "active"
    pi.header.wait(27, 1)


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
