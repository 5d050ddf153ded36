"""What the pages say can be done, done; what they point to, there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import gpiozero
import numpy as np
import pytest
from gpiozero.pins.mock import MockFactory
from PIL import Image

import deploy.cli
import edge.cli
import edge.sources.opening
import trainer.cli
from edge.config import read_config
from edge.sources.virtual import Scene, draw
from trainer.dataset import read_dataset
from trainer.export import export
from trainer.features import make_features
from trainer.recipe import teach

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
COMMANDS = {"edge": edge.cli.main, "trainer": trainer.cli.main, "deploy": deploy.cli.main}
SIZE = (64, 48)


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def commands():
    """Every line of every page that calls one of our commands, and each command's own example."""
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()]
    for group in COMMANDS.values():
        group.list_commands(None)  # loads them all
        lines += [command.epilog.removeprefix("Example: ") for command in group.commands.values()]
    return [line for line in lines if line.split(" ")[0] in COMMANDS]


@pytest.fixture(scope="module")
def rocks(tmp_path_factory):
    """A folder with a model that knows a rock, a fist that is, and pictures of one in `stream/`."""
    folder = tmp_path_factory.mktemp("rocks")
    scene = Scene.random(6, SIZE)
    for label, drawn in (("background", "background"), ("rock", "fist")):
        for session in range(2):
            place = folder / "data" / label / str(session)
            place.mkdir(parents=True)
            for number in range(8):
                picture = Image.fromarray(draw(drawn, scene, 10 * session + number))
                picture.save(place / f"{number}.png")
    export(teach(read_dataset(folder / "data"), make_features("edges")), folder / "model.onnx")
    (folder / "stream").mkdir()
    for number in range(8):
        picture = Image.fromarray(draw("fist", scene, 50 + number))
        picture.save(folder / "stream" / f"{number}.png")
    return folder


def test_there_are_pages_with_commands():
    assert len(PAGES) > 10
    assert len(commands()) > 15


@pytest.mark.parametrize("line", commands())
def test_every_command_line_is_one_that_the_command_takes(line, tmp_path, monkeypatch):
    (hosts,) = blocks(ROOT / "docs" / "fleets.md", "toml")
    (tmp_path / "hosts.toml").write_text(hosts)  # is read before anything else is done
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(line, comments=True)
    group = COMMANDS[program]
    parent = group.make_context(program, list(words))
    name, command, rest = group.resolve_command(parent, words)
    with command.make_context(name, rest, parent=parent):
        pass  # a wrong option or a missing argument has raised UsageError


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_to_one(page):
    for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_make_target_in_the_pages_exists():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = {
        line.split()[1]
        for page in PAGES
        for block in blocks(page, "sh")
        for line in block.splitlines()
        if line.startswith("make ")
    }
    assert named
    assert named <= set(targets)


def test_every_edge_toml_in_the_pages_is_right(tmp_path):
    texts = [text for page in PAGES if page.stem != "fleets" for text in blocks(page, "toml")]
    assert len(texts) >= 3
    for text in texts:
        (tmp_path / "edge.toml").write_text(text)
        config = read_config(tmp_path / "edge.toml")
        config.check_labels(["background", "rock", "palm"])
        assert config.outputs()


def test_the_readme_quotes_the_example(tmp_path):
    (snippet,) = blocks(ROOT / "README.md", "python")
    example = (ROOT / "examples" / "light_led.py").read_text()
    assert example.endswith(snippet)


def test_the_led_of_the_example_lights_and_goes_off_again(rocks, monkeypatch):
    code = (ROOT / "examples" / "light_led.py").read_text()
    monkeypatch.chdir(rocks)
    monkeypatch.setattr(edge.sources.opening, "default_source", lambda: "stream")
    monkeypatch.setattr(gpiozero.Device, "pin_factory", MockFactory())
    pin = gpiozero.Device.pin_factory.pin(17)
    exec(compile(code, "light_led.py", "exec"), {})
    levels = [state.state for state in pin.states]
    assert 1 in levels
    assert not levels[-1]


def test_the_model_runs_in_plain_onnxruntime_as_the_page_says(rocks, monkeypatch):
    (code,) = blocks(ROOT / "docs" / "model-file.md", "python")
    monkeypatch.chdir(rocks)
    Image.open("stream/0.png").save("picture.jpg")
    names = {}
    exec(compile(code, "model-file.md", "exec"), names)
    assert names["probabilities"].shape == (2,)
    assert np.isclose(names["probabilities"].sum(), 1, atol=1e-5)
    assert names["novelty"].shape == ()


def test_the_accuracy_table_is_the_same_on_both_pages():
    def table(page):
        return re.findall(r"^\| .*\d\.\d\d.*$", (ROOT / page).read_text(), re.MULTILINE)

    readme, page = table("README.md"), table("docs/accuracy.md")
    assert len(readme) >= 4
    assert page[: len(readme)] == readme  # more tables follow there


@pytest.mark.parametrize(("page", "least"), [("reliability.md", 15), ("deploying.md", 8)])
def test_each_fault_in_the_page_has_its_test(page, least):
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs" / page).read_text())
    assert len(named) >= least
    code = "".join(path.read_text() for path in ROOT.glob("tests/**/test_*.py"))
    assert [name for name in named if f"def {name}(" not in code] == []


@pytest.mark.parametrize("folder", ["docs", "docs/decisions"])
def test_every_page_is_in_its_folders_list(folder):
    pages = {page.name for page in (ROOT / folder).glob("*.md")} - {"README.md"}
    listed = re.findall(r"]\(([\w-]+\.md)\)", (ROOT / folder / "README.md").read_text())
    assert sorted(listed) == sorted(pages)
