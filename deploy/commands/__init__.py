"""The parts of the `deploy` command: what a person says, and what they are told."""
