"""Looking at a host before it is set up: what it says, and how that is judged."""

import subprocess
from dataclasses import replace

import pytest

from deploy.errors import DeployError
from deploy.remote import survey as remote_survey
from deploy.setup.deploys import asked
from deploy.setup.survey import Survey, command, days, problems, read, upstream, warnings
from deploy.target import Target

NOW = 1_800_000_000.0
FINE = Survey(
    architecture="arm64",
    machine="aarch64",
    os="Debian GNU/Linux 12 (bookworm)",
    raspberry=True,
    python=(3, 11),
    glibc=(2, 36),
    systemd=252,
    clock=NOW,
    watchdog=True,
    memory=True,
    cameras=["imx708"],
    login="pi",
    login_group="pi",
    login_groups=["pi"],
    may="root",
    free=2_000_000_000,
)


def wrong(*, offline=False, **changes):
    return list(problems(replace(FINE, **changes), now=NOW, offline=offline))


def test_a_pi_as_it_comes_has_no_problem_and_no_warning():
    assert wrong() == []
    assert list(warnings(FINE, now=NOW)) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architecture": "armhf"}, "built for armhf, on a kernel for aarch64"),
        ({"architecture": "armhf", "machine": "armv7l"}, "built for armhf, and onnxruntime"),
        ({"architecture": ""}, "no dpkg"),
        ({"python": (3, 9)}, "its python3 is 3.9: it takes 3.11"),
        ({"python": ()}, "it has no python3: sudo apt install python3"),
        ({"glibc": (2, 27)}, "glibc 2.27"),
        ({"systemd": 0}, "systemd does not run"),
        ({"free": 90_000_000}, "90 MB of disk are free: it takes 600"),
        ({"clock": NOW - 3 * 365 * 86400}, "1095 days behind"),
        ({"may": "password"}, "sudo asks pi for a password"),
        ({"may": "no sudo"}, "set up as root"),
    ],
)
def test_each_thing_that_is_in_the_way_is_one_problem(changes, words):
    (one,) = wrong(**changes)
    assert words in one


def test_all_that_is_wrong_is_said_at_once():
    assert len(wrong(architecture="armhf", python=(3, 9), free=0, may="password")) == 4


def test_without_the_internet_a_wrong_clock_keeps_nothing_from_being_done():
    behind = replace(FINE, clock=NOW - 1e8)
    assert list(problems(behind, now=NOW, offline=True)) == []
    assert list(warnings(behind, now=NOW)) == ["its clock is 1157 days behind"]


def test_where_the_venv_is_there_less_room_will_do():
    venv = {"python": [3, 11], "packages": {}}
    assert wrong(free=150_000_000, venv=venv) == []
    assert wrong(free=150_000_000) != []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cameras": []}, "no camera"),
        ({"apt_locked": True}, "apt is busy"),
        ({"watchdog": False}, "/dev/watchdog"),
        ({"memory": False}, "cgroup_enable=memory"),
        ({"clock": NOW + 7200}, "its clock is 2 hours ahead"),
    ],
)
def test_what_is_worth_knowing_is_one_warning(changes, words):
    (one,) = warnings(replace(FINE, **changes), now=NOW)
    assert words in one


def test_a_camera_that_edge_toml_does_not_use_is_not_missed():
    assert list(warnings(replace(FINE, cameras=[]), now=NOW, camera=False)) == []


def test_how_far_a_clock_is_off_is_said_in_words():
    assert days(-90) == "90 seconds behind"
    assert days(3 * 86400) == "3 days ahead"


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("2.0.1-0+rpt1", (2, 0, 1)), ("2:1.6.2-1", (1, 6, 2)), ("1:2.2.4+ds-1", (2, 2, 4)), ("", ())],
)
def test_debian_versions_are_compared_by_the_numbers_of_upstream(version, numbers):
    assert upstream(version) == numbers


def test_this_machine_answers_the_command_with_a_survey():
    arguments = asked(Target("/nowhere/at/all", "handwave-none.service"))
    done = subprocess.run(
        ["sh", "-c", command(arguments)], capture_output=True, text=True, check=True
    )
    found = read(["Welcome!", *done.stdout.splitlines()])
    assert found.python >= (3, 9)
    assert found.login
    assert found.free > 0
    assert found.venv is None
    assert not found.enabled
    assert set(found.places) == set(arguments["paths"])
    assert found.places["/nowhere/at/all"] is None


def test_a_host_without_python_says_so():
    told = subprocess.run(
        ["/bin/sh", "-c", command(asked(Target()))],
        env={"PATH": "/nowhere"}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert list(problems(read(told.splitlines()), now=NOW)) == [
        "it has no python3: sudo apt install python3"
    ]


def test_an_answer_that_is_none_is_one_clear_line():
    with pytest.raises(DeployError, match="does python3 work there"):
        read(["Traceback"])


def test_a_place_is_its_text_its_rights_and_its_owner(tmp_path):
    path = tmp_path / "file"
    path.write_text("text")
    path.chmod(0o640)
    found = remote_survey.place(str(path))
    assert (found["text"], found["mode"]) == ("text", 0o640)
    assert found["owner"]
    assert remote_survey.place(str(tmp_path))["text"] is None
    assert remote_survey.place(str(tmp_path / "none")) is None
