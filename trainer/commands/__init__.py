"""The parts of `trainer`, a file each. What is heavy loads when a command runs."""
