"""From the laptop to the Pi over SSH: a bundle goes there, is proved there, and runs."""

from deploy.bundle import Bundle, make_bundle
from deploy.errors import DeployError
from deploy.push import Facts, Step, Target, plan, push
from deploy.ssh import Host

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
]
