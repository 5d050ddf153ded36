"""`edge doctor`: how findings are told."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from edge.checks import Finding, check_project
from edge.commands import doctor as doctors
from edge.commands.doctor import doctor, examine, lines
from edge.platform import Machine


@pytest.fixture
def run(monkeypatch):
    """The command, with these findings for the machine's."""

    def call(*arguments, findings=()):
        monkeypatch.setattr(doctors, "run_checks", lambda _subject: list(findings))
        return CliRunner().invoke(doctor, list(arguments))

    return call


GOOD = Finding("heat", "ok", "48 °C")
SO_SO = Finding("disk", "warning", "nearly full", "sudo apt clean")
BAD = Finding("power", "wrong", "under-voltage right now", "take the Pi's own supply")


def test_the_worst_is_last_with_what_to_do_below_it(run, project):
    done = run("--config", str(project), findings=[BAD, GOOD, SO_SO])
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "ok       heat       48 °C",
        f"ok       edge.toml  {project}: 2 labels do something",
        f"ok       model      {project.parent / 'model.onnx'}: its 3 golden frames agree",
        "warning  disk       nearly full",
        "                    to do: sudo apt clean",
        "wrong    power      under-voltage right now",
        "                    to do: take the Pi's own supply",
        "1 wrong, 1 warning",
    ]


def test_warnings_are_no_failure(run, project):
    done = run("--config", str(project), findings=[SO_SO])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "nothing is wrong; 1 warning"


def test_json_is_one_object(run, project):
    done = run("--config", str(project), "--json", findings=[GOOD, BAD])
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert (told["wrong"], told["warnings"]) == (1, 0)
    assert told["checks"][-1] == {
        "name": "power",
        "verdict": "wrong",
        "text": "under-voltage right now",
        "do": "take the Pi's own supply",
    }


def test_this_machine_can_be_examined(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctors, "PLACES", ("edge.toml",))
    findings = examine(Machine())
    assert {"machine", "system", "python", "disk", "clock", "edge.toml"} <= {
        finding.name for finding in findings
    }
    assert not [f for f in findings if "cannot be looked at" in f.text]


def test_an_edge_toml_here_is_found_by_itself(project, monkeypatch):
    monkeypatch.chdir(project.parent)
    texts = [finding.text for finding in examine(Machine(ask=lambda _command: None))]
    assert "edge.toml: 2 labels do something" in texts


def test_a_broken_edge_toml_is_wrong(run, tmp_path):
    path = tmp_path / "edge.toml"
    path.write_text("[when.rock]\nlet = 17\n")
    done = run("--config", str(path))
    assert done.exit_code == 1
    assert f"wrong    edge.toml  {path}: [when.rock] unknown key 'let'" in done.stdout
    assert run("--config", str(tmp_path / "none.toml")).exit_code == 1


@pytest.mark.parametrize("damage", ["missing", "other labels", "thresholds"])
def test_a_model_that_does_not_fit_is_wrong(project, damage):
    if damage == "missing":
        (project.parent / "model.onnx").unlink()
    elif damage == "other labels":
        project.write_text("[when.rok]\nled = 17\n")
    else:
        project.write_text("[decide]\nleave = 0.99\n")
    config, findings = check_project(project)
    assert config is not None
    assert [finding.verdict for finding in findings] == ["ok", "wrong"]
    assert findings[1].name == "model"


def test_one_label_does_something(project):
    project.write_text("[when.rock]\nled = 17\n")
    assert check_project(project)[1][0].text == f"{project}: 1 label does something"


def test_what_a_file_says_cannot_move_the_cursor():
    (line,) = lines([Finding("camera", "ok", "imx\x1b[2J219")])
    assert line == "\x1b[32mok      \x1b[0m camera     imx [2J219"
