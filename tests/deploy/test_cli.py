"""The command line's own rules."""

import signal
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


def test_a_window_that_is_closed_ends_it_as_ctrl_c_does(monkeypatch, tmp_path):
    """Else the folder of its connection would stay behind."""
    outside = {kind: signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGHUP)}
    before = dict.fromkeys(outside, signal.SIG_DFL)  # whoever runs the tests under nohup
    for kind, handler in before.items():
        signal.signal(kind, handler)
    seen = {}

    def look(*_, **__):
        seen.update({kind: signal.getsignal(kind) for kind in before})

    monkeypatch.setattr("deploy.commands.push.make_bundle", look)
    CliRunner().invoke(main, ["push", "pi", "--config", str(tmp_path / "edge.toml")])
    after = {kind: signal.getsignal(kind) for kind in before}
    for kind, handler in outside.items():
        signal.signal(kind, handler)
    assert seen == dict.fromkeys(before, signal.default_int_handler)
    assert after == before
