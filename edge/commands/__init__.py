"""The parts of `edge`, a file each; `edge.cli` loads the rarer ones when they are asked for."""
