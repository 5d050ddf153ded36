"""Setting up and removing: what a host needs, what is done for it, and what is said."""

import getpass
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from pyinfra.api import Config, Inventory, State
from pyinfra.api.deploy import add_deploy
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops

import deploy.cli
import deploy.commands.remove
import deploy.commands.setup
from deploy.crew import Crew
from deploy.errors import DeployError
from deploy.setup import HostSurvey, carry_out, handwave, keys
from deploy.setup import files as setup_files
from deploy.setup import remove as remove_plan
from deploy.setup.needs import needs, required
from deploy.setup.plan import REPAIR, Carried, Put, Run, Step, alone, missing_python, plan, run
from deploy.setup.survey import Survey
from deploy.target import Target
from edge.config import read_config

TARGET = Target()
APT_HAS = {
    "python3-venv": "3.11.2-1",
    "python3-numpy": "1:1.24.2-1",
    "python3-gpiozero": "2.0.1-0+rpt1",
    "python3-lgpio": "0.2.2-1~rpt1",
    "python3-picamera2": "0.3.30-1",
}
FRESH = Survey(
    architecture="arm64", raspberry=True, python=(3, 11), systemd=252, watchdog=True,
    login="pi", login_group="pi", login_groups=["pi", "sudo"], may="root", volatile=True,
    groups=["video", "gpio", "audio", "render"], candidates=APT_HAS, lists_age=60.0,
    free=10**10,
)  # fmt: skip


def of(text, tmp_path):
    """Return what a fresh Pi needs for an edge.toml of this text."""
    (tmp_path / "edge.toml").write_text(text)
    return needs(read_config(tmp_path / "edge.toml"), FRESH)


def names(steps):
    return [step.name for step in steps]


def after(survey, what, steps):
    """Return what the host would say of itself after all of this."""
    files = {
        command.path: {"text": command.content.decode(), "mode": command.mode, "owner": "root"}
        for step in steps
        for command in step.commands
        if isinstance(command, Put)
    }
    numpy = {"text": "numpy==1.24.2\n", "mode": 0o644, "owner": "root"}
    packages = {"onnxruntime": "1.20.0", "msgspec": "0.19", "click": "8.1.7"}
    return replace(
        survey,
        packages=dict.fromkeys(what.apt, "1"),
        modules={"numpy": "1.24.2"},
        venv={"python": [3, 11], "packages": packages, "whole": True},
        service_groups=["handwave", *what.groups],
        login_groups=["pi", "sudo", "handwave", "systemd-journal"],
        enabled=True,
        places={
            **files,
            setup_files.constraints(TARGET): numpy,
            TARGET.root: {"text": None, "mode": 0o755, "owner": "pi"},
            TARGET.trial: {"text": None, "mode": 0o755, "owner": "pi"},
        },
    )


# --- What is needed


def test_a_pi_needs_five_packages_of_apt_and_what_edge_requires_of_pip():
    what = needs(None, FRESH)
    assert list(what.apt) == list(APT_HAS)
    assert [one.partition(">")[0] for one in what.pip] == ["click", "msgspec", "onnxruntime"]
    assert (what.network, what.shutdown, what.notes) == (False, False, ())


def test_numpy_is_never_asked_of_pip():
    assert not any(one.startswith("numpy") for one in (*required(), *required("mqtt", "webhook")))


@pytest.mark.parametrize(
    ("line", "packages"),
    [
        ('say = "Hello"', {"espeak-ng", "alsa-utils"}),
        ("led = 17", set()),
    ],
)
def test_outputs_need_their_programs_only_where_they_are_named(tmp_path, line, packages):
    what = of(f"[when.rock]\n{line}\n", tmp_path)
    assert set(what.apt) - set(APT_HAS) == packages


def test_pictures_that_are_kept_need_what_makes_jpegs(tmp_path):
    what = of('source = "webcam:0"\n[keep]\nunsure = 9\n', tmp_path)
    assert set(what.apt) - set(APT_HAS) == {"python3-pil"}


def test_sounds_need_the_player_of_their_kind(tmp_path):
    (tmp_path / "a.mp3").write_bytes(b"ID3" + bytes(100))
    what = of('[when.rock]\nsound = "a.mp3"\n', tmp_path)
    assert set(what.apt) - set(APT_HAS) == {"mpg123"}


@pytest.mark.parametrize("more", ['[when.rock]\nmqtt = "a/b"\n', ""], ids=["sent", "told"])
def test_messages_need_the_network_and_its_client(tmp_path, more):
    text = f'[mqtt]\nhost = "broker"\n{more}'
    what = of(text, tmp_path)
    assert what.network
    assert any(one.startswith("paho-mqtt") for one in what.pip)


def test_a_button_that_shuts_down_needs_the_right_to(tmp_path):
    what = of('[button]\npin = 3\nhold = "shutdown"\n[when.rock]\nled = 17\n', tmp_path)
    assert what.shutdown
    assert "polkitd" in what.apt
    assert not of("[button]\npin = 3\n[when.rock]\nled = 17\n", tmp_path).shutdown


def test_another_source_needs_no_picamera2(tmp_path):
    what = of('source = "virtual"\n[when.rock]\nled = 17\n', tmp_path)
    assert "python3-picamera2" not in what.apt
    assert not what.camera


def test_plain_debian_takes_from_pypi_what_apt_lacks_and_says_so():
    plain = replace(
        FRESH, raspberry=False, candidates={"python3-gpiozero": "1.6.2-1", "python3-venv": "1"}
    )
    what = needs(None, plain)
    assert {"gpiozero>=2.0.1", "lgpio", "picamera2"} <= set(what.pip)
    assert "python3-libcamera" in what.apt
    assert not {"python3-gpiozero", "python3-lgpio", "python3-picamera2"} & set(what.apt)
    assert what.notes == (
        "apt has no (new enough) gpiozero, lgpio, picamera2 there: taken from PyPI into the venv",
    )


def test_without_the_pis_camera_plain_debian_needs_no_libcamera(tmp_path):
    (tmp_path / "edge.toml").write_text('source = "webcam:0"\n[when.rock]\nled = 17\n')
    plain = replace(FRESH, raspberry=False, candidates={})
    what = needs(read_config(tmp_path / "edge.toml"), plain)
    assert {"gpiozero>=2.0.1", "lgpio", "opencv-python-headless"} <= set(what.pip)
    assert {"gcc", "python3-dev"} <= set(what.apt)
    assert not {"python3-libcamera", "python3-prctl", "libcap-dev"} & set(what.apt)


def test_on_plain_debian_lgpio_is_made_there_and_picamera2_can_be_imported():
    plain = replace(FRESH, raspberry=False, candidates={})
    steps = plan(plain, needs(None, plain), TARGET)
    (commands,) = [step.commands for step in steps if step.name == "python"]
    runs = [one.command for one in commands if isinstance(one, Run)]
    made = [n for n, one in enumerate(runs) if one.endswith("--no-build-isolation lgpio")]
    (gone,) = [n for n, one in enumerate(runs) if "uninstall" in one]
    assert made == [gone - 1]
    stub = "/opt/handwave/venv/lib/python3.11/site-packages/pykms.py"
    (text,) = [p.content for p in commands if isinstance(p, Put) and p.path == stub]
    compile(text, stub, "exec")


def test_before_apt_has_lists_a_raspberry_pi_is_trusted_to_have_its_packages():
    assert not needs(None, replace(FRESH, lists_age=None, candidates={})).notes
    assert needs(None, replace(FRESH, lists_age=None, candidates={}, raspberry=False)).notes


def test_modules_that_are_there_already_are_asked_of_nobody():
    there = replace(
        FRESH, candidates={}, modules={"lgpio": "", "gpiozero": "2.0.1", "picamera2": ""}
    )
    what = needs(None, there)
    assert list(what.apt) == ["python3-venv", "python3-numpy"]
    assert not what.notes


# --- What is done


def test_a_fresh_pi_gets_everything_and_what_is_made_is_remembered_first():
    steps = plan(FRESH, needs(None, FRESH), TARGET)
    assert names(steps) == [
        "remember", "packages", "user", "member", "folder", "venv", "python",
        "file", "file", "file", "file", "file", "file", "reload", "enable",
    ]  # fmt: skip
    memory = json.loads(steps[0].commands[1].content)
    assert memory["made"]["users"] == ["handwave"]
    assert memory["made"]["members"] == [
        "handwave video", "handwave gpio", "handwave audio", "pi handwave", "pi systemd-journal",
    ]  # fmt: skip
    assert memory["made"]["folders"] == ["/opt/handwave"]


def test_a_second_set_up_does_nothing():
    what = needs(None, FRESH)
    assert plan(after(FRESH, what, plan(FRESH, what, TARGET)), what, TARGET) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"enabled": False}, ["enable"]),
        ({"need_reload": True}, ["reload"]),
        ({"venv": None}, ["venv", "python"]),
        ({"venv": {"python": [3, 9], "packages": {}, "whole": True}}, ["venv", "python"]),
        ({"venv": {"python": [3, 11], "packages": {}, "whole": False}}, ["venv", "python"]),
        ({"modules": {"numpy": "2.0.0"}}, ["python"]),
        ({"service_groups": ["handwave", "video", "audio"]}, ["member"]),
        ({"lists_age": 1e9}, []),
        ({"dpkg_broken": True}, ["repair"]),
    ],
)
def test_only_what_is_not_as_it_should_be_is_done(changes, expected):
    what = needs(None, FRESH)
    done = after(FRESH, what, plan(FRESH, what, TARGET))
    assert names(plan(replace(done, **changes), what, TARGET)) == expected


def test_the_command_edge_is_there_unless_somebody_elses_is():
    what = needs(None, FRESH)
    puts = [c for s in plan(FRESH, what, TARGET) for c in s.commands if isinstance(c, Put)]
    (edge,) = [put for put in puts if put.path == setup_files.EDGE]
    assert b"exec /opt/handwave/venv/bin/python -P -m edge" in edge.content
    assert edge.mode == 0o755
    theirs = {setup_files.EDGE: {"text": "a browser", "mode": 0o755, "owner": "root"}}
    steps = plan(replace(FRESH, places=theirs), what, TARGET)
    assert not any(setup_files.EDGE in step.does for step in steps)


def test_another_login_takes_over_what_pushes_have_made_and_not_the_venv():
    what = needs(None, FRESH)
    done = after(FRESH, what, plan(FRESH, what, TARGET))
    steps = plan(replace(done, login="eve", login_group="eve"), what, TARGET)
    (folder,) = [step for step in steps if step.name == "folder"]
    assert folder.does == "/opt/handwave, eve's (pi had it)"
    owned = [command.command.split()[-1] for command in folder.commands[1:]]
    names = ("lock", "history", "releases", "current", "previous")
    assert owned == [f"/opt/handwave/{name}" for name in names]


def test_what_a_push_of_roots_left_is_given_back():
    what = needs(None, FRESH)
    done = after(FRESH, what, plan(FRESH, what, TARGET))
    done.places["/opt/handwave/lock"] = {"text": "", "mode": 0o644, "owner": "root"}
    (step,) = plan(done, what, TARGET)
    assert step.does == "/opt/handwave, pi's (root had it)"


def started(command):
    shell = ["sh", "-c", alone(command).command]
    return subprocess.Popen(shell, stdout=subprocess.PIPE, text=True, start_new_session=True)


def test_apt_goes_on_where_the_connection_is_lost(tmp_path):
    there, here = shlex.quote(str(tmp_path / "there")), shlex.quote(str(tmp_path / "here"))
    child = started(f"touch {there}; sleep 0.3; echo said; touch {here}")
    while not (tmp_path / "there").exists():
        time.sleep(0.01)
    child.stdout.close()
    os.killpg(child.pid, signal.SIGHUP)
    child.wait(10)
    assert (tmp_path / "here").exists()


def test_packages_half_installed_are_mended_once_whoever_has_the_lock_lets_go(tmp_path):
    """And in English, with everybody's settings kept: nobody is there to be asked."""
    programs = {
        "dpkg": 'echo "$LC_ALL $*" >> said; [ $(wc -l < said) -gt 2 ] || '
        '{ echo "dpkg frontend lock was locked by another process" >&2; exit 2; }',
        "apt-get": 'echo "$LC_ALL apt-get $*" >> said; exit 100',
        "sleep": "exit 0",
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(
        ["sh", "-c", alone(REPAIR).command], check=True, cwd=tmp_path,
        env={**os.environ, "PATH": path, "LC_ALL": "de_DE"},
    )  # fmt: skip
    *tries, apt = (tmp_path / "said").read_text().splitlines()
    assert tries == ["C --force-confdef --force-confold --configure -a"] * 3
    assert apt.startswith("C apt-get ")
    assert "--fix-broken" in apt


def test_what_apt_says_and_how_it_ends_is_passed_on():
    child = started("echo one; echo two >&2; (exit 3)")
    assert child.communicate()[0] == "one\ntwo\n"
    assert child.returncode == 3


def test_a_unit_that_is_new_restarts_a_service_that_runs():
    what = needs(None, FRESH)
    done = after(FRESH, what, plan(FRESH, what, TARGET))
    unit = f"/etc/systemd/system/{TARGET.unit}"
    old = {**done.places, unit: {**done.places[unit], "text": "old"}}
    again = names(plan(replace(done, places=old, active="active"), what, TARGET))
    assert again == ["file", "reload", "restart"]
    assert names(plan(replace(done, places=old), what, TARGET)) == ["file", "reload"]


def test_what_was_made_stays_remembered_in_later_set_ups(tmp_path):
    what = needs(None, FRESH)
    done = after(FRESH, what, plan(FRESH, what, TARGET))
    more = of('[mqtt]\nhost = "broker"\n[when.rock]\nmqtt = "a/b"\n', tmp_path)
    steps = plan(done, more, TARGET)
    memory = json.loads(steps[0].commands[1].content)
    assert memory["made"]["users"] == ["handwave"]
    assert setup_files.network(TARGET) in memory["made"]["files"]


def test_root_needs_no_rights_and_no_groups():
    steps = plan(replace(FRESH, login="root", login_group="root"), needs(None, FRESH), TARGET)
    paths = [c.path for s in steps for c in s.commands if isinstance(c, Put)]
    assert setup_files.sudoers(TARGET) not in paths
    assert "member" not in names(steps)


def test_sudoers_is_proved_before_it_is_in_place():
    steps = plan(FRESH, needs(None, FRESH), TARGET)
    puts = [c for s in steps for c in s.commands if isinstance(c, Put)]
    (rights,) = [put for put in puts if put.path == setup_files.sudoers(TARGET)]
    assert (rights.mode, rights.check[0]) == (0o440, "visudo")
    assert b"NOPASSWD: /usr/bin/systemctl restart handwave.service" in rights.content


@pytest.mark.skipif(os.getuid() != 0, reason="visudo reads as root")
def test_visudo_takes_the_rights(tmp_path):
    path = tmp_path / "rights"
    path.write_text(setup_files.rights(TARGET, "pi"))
    try:
        done = subprocess.run(["visudo", "-c", "-f", path], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no visudo here: apt-get install sudo")
    assert done.returncode == 0, done.stdout + done.stderr


def test_signers_are_put_there_once_and_stay_where_none_are_said():
    what = replace(needs(None, FRESH), signers="anna ssh-ed25519 AAAA\n")
    steps = plan(FRESH, what, TARGET)
    (put,) = [c for s in steps for c in s.commands if isinstance(c, Put) and "signers" in c.path]
    assert put.content == b"anna ssh-ed25519 AAAA\n"
    done = after(FRESH, what, steps)
    assert plan(done, what, TARGET) == []
    assert plan(done, replace(what, signers=None), TARGET) == []


def test_another_unit_has_files_of_its_own():
    other = Target("/srv/hands", "hands.v2.service")
    assert setup_files.sudoers(other) == "/etc/sudoers.d/hands_v2"
    steps = plan(FRESH, needs(None, FRESH), other)
    texts = [c.content.decode() for s in steps for c in s.commands if isinstance(c, Put)]
    lines = [line for text in texts for line in text.splitlines() if not line.startswith("#")]
    assert not any("/opt/handwave" in line for line in lines)


def test_requirements_are_met_by_version():
    what = needs(None, FRESH)
    old = {"onnxruntime": "1.15.0", "msgspec": "0.19", "click": "8.1.7"}
    survey = replace(FRESH, venv={"python": [3, 11], "packages": old, "whole": True})
    assert [one.partition(">")[0] for one in missing_python(survey, what)] == ["onnxruntime"]


def test_what_is_carried_is_put_there_and_taken_away_again():
    carried = Carried(wheels={"a-1-py3-none-any.whl": b"wheel"}, debs={"b_1_all.deb": b"deb"})
    steps = plan(FRESH, needs(None, FRESH), TARGET, carried)
    puts = {c.path: c.content for s in steps for c in s.commands if isinstance(c, Put)}
    assert puts["/opt/handwave/.wheels/a-1-py3-none-any.whl"] == b"wheel"
    assert puts["/opt/handwave/.debs/b_1_all.deb"] == b"deb"
    runs = [c.command for s in steps for c in s.commands if isinstance(c, Run)]
    assert any("--no-index --find-links /opt/handwave/.wheels" in command for command in runs)
    assert not any("apt-get" in command and " update" in command for command in runs)
    assert {"rm -rf /opt/handwave/.wheels", "rm -rf /opt/handwave/.debs"} <= set(runs)


# --- What is taken away


def test_what_setup_made_is_taken_away_and_nothing_else():
    what = needs(None, FRESH)
    done = after(FRESH, what, plan(FRESH, what, TARGET))
    steps = remove_plan.plan(done)
    assert names(steps) == ["stop", "files", "folder", "member", "member", "user", "forget"]
    assert not any("groupdel gpio" in c.command for s in steps for c in s.commands)


def test_a_group_that_setup_made_goes_and_a_user_who_was_there_stays():
    before = replace(FRESH, groups=["video", "audio"], service_groups=["handwave"])
    what = needs(None, before)
    done = after(before, what, plan(before, what, TARGET))
    steps = remove_plan.plan(done)
    assert "group" in names(steps)
    assert "user" not in names(steps)
    assert any("handwave, who was there" in line for line in remove_plan.left(done, "pi"))


def test_every_place_that_setup_was_told_of_is_cleared():
    second = Target("/opt/second", "second.service")
    what = needs(None, FRESH)
    done = after(FRESH, what, plan(FRESH, what, second))
    done = replace(done, places={**done.places, TARGET.root: None, TARGET.trial: None})
    both = after(done, what, plan(done, what, TARGET))
    both.places.update(done.places | both.places)
    steps = remove_plan.plan(both)
    assert [step.does for step in steps if step.name == "stop"] == [
        "second.service, and no more at boot", "handwave.service, and no more at boot",
    ]  # fmt: skip
    gone = " ".join(command.command for step in steps for command in step.commands)
    for folder in ("rm -rf /opt/second", "rm -rf /opt/handwave", "/run/second ", "/run/handwave"):
        assert folder in gone


def test_packages_stay_and_how_to_remove_them_is_said():
    what = needs(None, FRESH)
    done = after(FRESH, what, plan(FRESH, what, TARGET))
    done.places[setup_files.PACKAGES] = {"text": "python3-venv\nlibfoo\n"}
    (line,) = remove_plan.left(done, "pi@host")
    assert line.endswith("ssh -t pi@host 'sudo apt purge python3-venv libfoo'")


def test_where_setup_never_was_there_is_nothing_to_remove():
    assert remove_plan.plan(FRESH) == []


# --- pyinfra does it


@pytest.fixture
def state(sshd):
    config = {"openssh_config": str(sshd / "ssh_config")}
    state = State(Inventory(([("@openssh/pi", config)], {})), Config())
    (host,) = state.inventory
    host.connect(raise_exceptions=True)
    state.activate_host(host)
    yield state
    host.disconnect()


@pytest.mark.skipif(os.getuid() != 0, reason="files of root's")
def test_a_file_is_whole_checked_and_roots(state, tmp_path):
    place = tmp_path / "it's here"
    file = Put(str(place), b"content", 0o640, ("grep", "-q", "content"))
    add_op(state, carry_out, commands=(file, run("touch", str(tmp_path / "then"))))
    run_ops(state)
    assert (place.read_bytes(), place.stat().st_mode & 0o777) == (b"content", 0o640)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["it's here", "then"]


@pytest.mark.skipif(os.getuid() != 0, reason="files of root's")
def test_pyinfras_own_ssh_does_it_as_well(sshd, tmp_path):
    port = (sshd / "ssh_config").read_text().partition("Port ")[2].split()[0]
    data = {
        "ssh_hostname": "127.0.0.1",
        "ssh_port": int(port),
        "ssh_user": getpass.getuser(),
        "ssh_key": str(sshd / "user_key"),
        "ssh_known_hosts_file": str(sshd / "known_hosts"),
        "ssh_strict_host_key_checking": "yes",
        "ssh_look_for_keys": False,
        "ssh_allow_agent": False,
        "ssh_file_transfer_protocol": "scp",  # this sshd has no sftp
    }
    state = State(Inventory(([("pi", data)], {})), Config())
    (host,) = state.inventory
    host.connect(raise_exceptions=True)
    state.activate_host(host)
    file = Put(str(tmp_path / "it's here"), b"content", 0o640, ("grep", "-q", "content"))
    add_op(state, carry_out, commands=(file,))
    run_ops(state)
    assert host.get_fact(HostSurvey, root="/nowhere", unit="none.service").login
    host.disconnect()
    assert (tmp_path / "it's here").read_bytes() == b"content"


@pytest.mark.skipif(os.getuid() != 0, reason="files of root's")
def test_a_file_that_fails_its_check_is_never_in_place(sshd, tmp_path):
    place = tmp_path / "rights"
    place.write_text("before")
    file = Put(str(place), b"wrong", 0o640, ("grep", "right"))
    told, failed = [], []
    with Crew(["pi"], sshd / "ssh_config", told.append, failed.append) as crew:
        crew.add("pi", [Step("file", "rights", (file,))], sudo=False)
        crew.act()
        assert crew.failed == {"pi"}
    assert place.read_text() == "before"
    assert list(tmp_path.iterdir()) == [place]
    assert told == ["pi: file: rights"]
    assert str(failed[0]).startswith("pi: file: ")


def test_one_host_that_fails_does_not_stop_the_others(sshd, tmp_path):
    told, failed = [], []
    with Crew(["off", "pi"], sshd / "ssh_config", told.append, failed.append) as crew:
        assert crew.names == ["pi"]
        crew.add("pi", [Step("note", "a file", (run("touch", str(tmp_path / "a")),))], sudo=False)
        crew.act()
    assert (tmp_path / "a").exists()
    assert len(failed) == 1
    assert str(failed[0]).startswith("off: no connection")


def test_the_last_line_of_a_command_says_why_it_failed(sshd):
    failed = []
    script = "echo some; echo 'E: no such package' >&2; echo more >&2; exit 100"
    with Crew(["pi"], sshd / "ssh_config", list, failed.append) as crew:
        crew.add("pi", [Step("packages", "apt", (Run(script),))], sudo=False)
        crew.act()
    assert [str(one) for one in failed] == ["pi: packages: E: no such package"]


def test_in_somebodys_own_deploy_a_host_that_cannot_be_set_up_says_why(state, monkeypatch):
    monkeypatch.setattr("deploy.setup.survey.ROOM", 10**18)
    with pytest.raises(DeployError, match=r"MB of disk are free.*nothing was changed"):
        add_deploy(state, handwave)


# --- The commands


@pytest.fixture
def command(sshd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*words):
        return CliRunner().invoke(deploy.cli.main, [*words, "-F", str(sshd / "ssh_config")])

    return call


def test_an_edge_toml_that_is_wrong_is_said_before_any_host_is_asked(command, tmp_path):
    (tmp_path / "edge.toml").write_text("[when.rock]\nlet = 17\n")
    done = command("setup", "off")
    assert done.exit_code == 1
    assert "did you mean 'led'" in done.stderr


def test_an_unknown_key_is_refused_where_nobody_can_be_asked(command):
    done = command("setup", "stranger")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "nobody is here to look at it" in done.stderr


def test_setup_says_what_is_wrong_and_changes_nothing(command, monkeypatch):
    monkeypatch.setattr("deploy.setup.survey.ROOM", 10**18)
    done = command("setup", "pi", "--no-push")
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "nothing was changed" in done.stderr


def test_remove_where_nothing_is_does_nothing(command):
    if Path(setup_files.SETUP).exists():
        pytest.skip("this machine itself is set up")
    done = command("remove", "pi")
    assert "nothing to do" in done.stdout + done.stderr or "password" in done.stderr


def test_carrying_packages_goes_with_offline():
    done = CliRunner().invoke(deploy.cli.main, ["setup", "pi", "--carry-debs"])
    assert done.exit_code == 2


def test_a_person_is_shown_the_fingerprint_and_what_they_say_counts(sshd, tmp_path):
    """A terminal of its own, as ssh asks there and nowhere else."""
    known = tmp_path / "known"
    config = tmp_path / "config"
    config.write_text(f"Host stranger\n UserKnownHostsFile {known}\nInclude {sshd}/ssh_config\n")
    for answer, expected in ((b"no\n", False), (b"yes\n", True)):
        told = in_a_terminal("from pathlib import Path; from deploy.setup.keys import ask; "
                             f"ask('stranger', Path({str(config)!r}))", answer)  # fmt: skip
        assert b"SHA256:" in told
        assert known.exists() == expected


def in_a_terminal(code, answer):
    """Run Python in a terminal, answer its first question; return what the terminal shows."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", code])
    told = b""
    answered = False
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # what Linux says when the other end is gone
            break
        if not data:
            break
        told += data
        if b"(yes/no" in told and not answered:
            os.write(terminal, answer)
            answered = True
    os.waitpid(child, 0)
    os.close(terminal)
    return told


def test_where_nobody_is_there_nobody_is_asked(monkeypatch):
    with Path(os.devnull).open() as nobody:
        for stdin in (nobody, None):  # None: it was closed
            monkeypatch.setattr(keys.sys, "stdin", stdin)
            with pytest.raises(DeployError, match="nobody is here"):
                keys.ask("pi")
            with pytest.raises(DeployError, match="nobody is here"):
                deploy.commands.remove.agree()
