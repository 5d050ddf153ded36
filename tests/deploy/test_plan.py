"""The plan: a pure function of facts."""

from dataclasses import replace

import pytest

from deploy import DeployError, Facts, Target, plan
from deploy.bundle import Bundle
from deploy.push import choose

BUNDLE = Bundle({"edge.toml": b"", "model.onnx": b"weights"})
HERE = BUNDLE.release
FRESH = Facts(
    user="pi",
    python=(3, 13),
    root=True,
    writable=True,
    read_only=None,
    venv=True,
    current=None,
    history=[],
    trial=None,
    trial_writable=True,
    busy=None,
    intact=False,
    missing=[],
    signers=False,
    systemctl=True,
    load="loaded",
    check_load="loaded",
    active="inactive",
    exec_start="",
    denied=[],
)
ALL = ["upload", "verify", "check", "restart", "activate"]


@pytest.mark.parametrize(
    ("known", "steps"),
    [
        ({}, ALL),
        ({"current": "old", "active": "active"}, ALL),
        ({"intact": True}, ALL[2:]),
        ({"intact": True, "current": "old", "active": "active"}, ALL[2:]),
        ({"intact": True, "current": HERE, "active": "failed"}, ["restart"]),
        ({"intact": True, "current": HERE, "active": "active", "trial": "other"}, ["restart"]),
        ({"intact": False, "current": HERE, "active": "active"}, ALL),
        ({"intact": True, "current": HERE, "active": "active"}, []),
    ],
)
def test_only_what_is_needed_is_planned(known, steps):
    planned = plan(replace(FRESH, **known), BUNDLE, Target(), "pi")
    assert [step.name for step in planned] == steps


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({"python": (3, 9)}, "its python3 is 3.9, and handwave needs 3.11"),
        ({"root": False}, "there is no folder /opt/handwave"),
        ({"writable": False}, "pi may not write to /opt/handwave"),
        (
            {"writable": False, "read_only": "/opt/handwave"},
            "pi: /opt/handwave is read-only there: a disk that fails is made so; look at `dmesg`",
        ),
        ({"venv": False}, "there is no /opt/handwave/venv/bin/python"),
        ({"systemctl": False}, "it has no systemctl"),
        ({"load": "not-found"}, "systemd knows no handwave.service there"),
        ({"check_load": "not-found"}, "systemd knows no handwave-check.service there"),
        ({"trial_writable": False}, "pi may not write to /run/handwave-trial"),
        ({"denied": ["systemctl stop x"]}, "may not run `sudo -n systemctl stop x`; `deploy setup"),
        ({"busy": "anna (since noon)"}, r"pi: anna \(since noon\) is pushing to it; try again"),
        (
            {"exec_start": "{ path=/opt/two/venv/bin/python ; argv[]=/opt/two/venv/bin/python -P"},
            "handwave.service there belongs to /opt/two, not to /opt/handwave: say both --root and",
        ),
        ({"signers": True}, "it takes signed bundles only: add --sign KEY"),
    ],
)
def test_a_host_that_lacks_something_is_refused(known, says):
    with pytest.raises(DeployError, match=says):
        plan(replace(FRESH, **known), BUNDLE, Target(), "pi")


def test_a_unit_that_somebody_starts_in_their_own_way_is_left_to_them():
    for words in ("/usr/bin/nice /opt/handwave/venv/bin/python -P", "/usr/bin/mine"):
        start = f"{{ path=/usr/bin/nice ; argv[]={words} ; ignore_errors=no }}"
        assert plan(replace(FRESH, exec_start=start), BUNDLE, Target(), "pi")


def test_going_back_from_a_cut_trial_leads_to_what_ran_before_it():
    rows = [{"time": "t", "release": name, "who": "anna"} for name in ("one", "two")]
    facts = replace(FRESH, current="two", history=rows)
    assert choose(facts, None, "pi") == "one"
    assert choose(replace(facts, trial="three"), None, "pi") == "two"
