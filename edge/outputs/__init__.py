"""What decisions drive: LEDs, buzzers, sounds, screens, messages.

`apply` switches outputs and knows nothing of pins; `kind` is what a line of `edge.toml` may say,
and where others add their own; the other modules are the kinds themselves, by what they drive.

Much happens later, in threads: an output that did not do what it was told says so in the log, as an
error. A warning there is advice.
"""

from edge.outputs.apply import Output, Outputs, Switch
from edge.outputs.kind import Kind, Section, find_kind

__all__ = ["Kind", "Output", "Outputs", "Section", "Switch", "find_kind"]
