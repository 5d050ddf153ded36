"""The plan: a pure function of facts."""

from dataclasses import replace

import pytest

from deploy import DeployError, Facts, Target, plan
from deploy.bundle import Bundle

BUNDLE = Bundle({"edge.toml": b"", "model.onnx": b"weights"})
HERE = BUNDLE.release
FRESH = Facts(
    user="pi",
    python=(3, 13),
    root=True,
    writable=True,
    venv=True,
    releases=[],
    current=None,
    healthy=None,
    intact=False,
    systemctl=True,
    load="loaded",
    active="inactive",
    sudo=["sudo", "-n"],
    may_restart=True,
)
ALL = ["upload", "verify", "check", "activate", "restart"]


@pytest.mark.parametrize(
    ("known", "steps"),
    [
        ({}, ALL),
        ({"current": "old", "healthy": "old", "active": "active"}, ALL),
        ({"intact": True}, ALL[2:]),
        ({"intact": True, "current": "old", "healthy": HERE, "active": "active"}, ALL[2:]),
        ({"intact": True, "current": HERE, "healthy": "old", "active": "active"}, ALL[4:]),
        ({"intact": True, "current": HERE, "healthy": HERE, "active": "failed"}, ALL[4:]),
        ({"intact": False, "current": HERE, "healthy": HERE, "active": "active"}, ALL),
        ({"intact": True, "current": HERE, "healthy": HERE, "active": "active"}, []),
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
        ({"venv": False}, "there is no /opt/handwave/venv/bin/python"),
        ({"systemctl": False}, "it has no systemctl"),
        ({"load": "not-found"}, "systemd knows no handwave.service there"),
        ({"may_restart": False}, "pi may not run `sudo -n systemctl restart handwave.service`"),
    ],
)
def test_a_host_that_lacks_something_is_refused(known, says):
    with pytest.raises(DeployError, match=says):
        plan(replace(FRESH, **known), BUNDLE, Target(), "pi")
