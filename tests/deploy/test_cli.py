"""The command line's own rules."""

import subprocess
import sys

from click.testing import CliRunner

from deploy.cli import main


def test_help_shows_an_example():
    result = CliRunner().invoke(main, ["push", "--help"])
    assert result.exit_code == 0
    assert "Example: deploy push pi@raspberrypi.local" in result.stdout


def test_wrong_usage_is_exit_code_2():
    assert CliRunner().invoke(main, ["push"]).exit_code == 2
    assert CliRunner().invoke(main, ["push", "-oProxyCommand=sh", "pi"]).exit_code == 2
    assert CliRunner().invoke(main, ["push", "pi", "--root"]).exit_code == 2


def test_it_runs_as_a_module(tmp_path):
    command = [sys.executable, "-m", "deploy", "push", "pi"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("deploy: edge.toml: no such file")
