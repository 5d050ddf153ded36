"""A device that stands for years: nothing grows from frame to frame.

`python benchmarks/edge_overhead.py --soak 1000000 model.onnx` is the same with a million frames.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "edge_overhead.py"


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_twenty_thousand_frames_leave_memory_and_handles_as_they_were(taught):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), "--soak", "20000", str(taught.path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not done.returncode, done.stdout + done.stderr
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("|")]
    looks = [tuple(map(int, row[1:])) for row in rows[2:]]
    assert [frames for frames, _, _ in looks] == list(range(2000, 20001, 2000))
    assert len({handles for _, _, handles in looks}) == 1
    assert looks[-1][1] - looks[0][1] <= 1000  # kB
