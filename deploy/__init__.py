"""From the laptop to the Pi over SSH: a bundle goes there, is proved there, and runs."""

from deploy.bundle import Bundle, make_bundle
from deploy.errors import DeployError
from deploy.push import Facts, Step, plan, push, roll_back
from deploy.ssh import Host
from deploy.target import Target

__all__ = [
    "Bundle",
    "DeployError",
    "Facts",
    "Host",
    "Step",
    "Target",
    "make_bundle",
    "plan",
    "push",
    "roll_back",
]
