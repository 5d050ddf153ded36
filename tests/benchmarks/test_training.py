"""The training benchmark runs, and counts what it says it counts; its figures are not tested."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "training.py"


def test_it_prints_both_tables():
    shape, sizes = ["--shape", "96", "20", "8", "3", "16"], ["--rows", "40", "700"]
    options = [*shape, *sizes, "--turns", "1", "--epochs", "2"]
    command = [sys.executable, "-W", "error", str(SCRIPT), *options]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    tables = [line for line in out.splitlines() if line.startswith("|")]
    header, _, compared, grown, _, small, large = (line.split("|")[1:-1] for line in tables)
    assert len(header) == len(compared) == 9
    ours, scikit_learn, products = (float(compared[column]) for column in (1, 2, 5))
    assert min(ours, scikit_learn, products) >= 0
    assert len(grown) == len(small) == len(large) == 6
    assert float(small[5]) >= float(small[4]) > 10  # MB, at the peak and before
