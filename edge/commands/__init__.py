"""The parts of `edge`, a file each; `edge.cli` loads those that are asked for."""
