"""A factory-fresh card becomes a device: look, say what is wrong, plan, carry out; and undo."""

from deploy.setup.deploys import HostSurvey, carry_out, handwave

__all__ = ["HostSurvey", "carry_out", "handwave"]
