"""What docs/outputs.md says of outputs is so; its output of one's own works as a package."""

from __future__ import annotations

import io
import re
import socket
import tomllib
import wave
from pathlib import Path

import pytest
from PIL import Image

from edge.config import read_config
from edge.decider import Decision
from edge.errors import ConfigError
from edge.outputs import Outputs
from edge.outputs.kind import built_in
from edge.outputs.wiring import Wiring

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "outputs.md").read_text()
OWN = ROOT / "examples" / "own_output"


def blocks(head):
    """The blocks whose first line matches, as `(groups of the match, text)`."""
    found = re.finditer(rf"^```{head}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [(match.groups()[:-1], match.groups()[-1]) for match in found]


def content(name):
    """A small file of the kind that a name promises."""
    stream = io.BytesIO()
    if name.endswith(".mp3"):
        return b"\xff\xfb\x90\x00" + bytes(413)
    if name.endswith(".wav"):
        with wave.open(stream, "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
        return stream.getvalue()
    Image.new("RGB", (4, 3)).save(stream, "GIF" if name.endswith(".gif") else "PNG")
    return stream.getvalue()


WITH_FILES = [(files, text) for (files,), text in blocks("toml with (.*?)")]


@pytest.mark.parametrize(("files", "text"), WITH_FILES)
def test_what_names_files_is_right_where_they_are(tmp_path, files, text):
    for name in files.split():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content(name))
    (tmp_path / "edge.toml").write_text(text)
    config = read_config(tmp_path / "edge.toml")
    named = [name for _, _, output in config.outputs() for name in output.files(tmp_path)]
    named += [name for section in config.sections.values() for name in section.files(tmp_path)]
    assert sorted(named) == sorted(files.split())


def test_there_are_such_blocks():
    assert len(WITH_FILES) >= 3


def test_the_table_lists_every_kind_there_is():
    rows = re.findall(r"^\| (`.*?`) \|", PAGE, re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(names) == sorted(built_in())


# --- An output of one's own


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Let the package be installed, as far as Python can tell: module and metadata on the path."""
    project = tomllib.loads((OWN / "pyproject.toml").read_text())["project"]
    site = tmp_path / "site"
    info = site / "handwave_udp-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{name} = {where}\n" for name, where in points.items())
            for group, points in project["entry-points"].items()
        )
    )
    (site / "handwave_udp.py").write_text((OWN / "handwave_udp.py").read_text())
    monkeypatch.syspath_prepend(str(site))


def test_the_page_quotes_the_example_whole():
    quoted = [text for _, text in blocks("py")] + [
        text for _, text in blocks("toml of own_output/pyproject.toml")
    ]
    assert quoted == [(OWN / name).read_text() for name in ("handwave_udp.py", "pyproject.toml")]


def test_the_page_uses_it_rightly(installed, tmp_path):
    ((_, text),) = blocks("toml using udp")
    (tmp_path / "edge.toml").write_text(text)
    outputs = read_config(tmp_path / "edge.toml").outputs()
    assert [(label, name) for label, name, _ in outputs] == [("rock", "udp"), ("palm", "udp")]


def test_an_output_of_ones_own_follows_its_label(installed, tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(60)
        port = listener.getsockname()[1]
        (tmp_path / "edge.toml").write_text(
            f'[when.rock]\nudp = {{ host = "127.0.0.1", port = {port}, on = "red" }}'
        )
        heard = []
        with Wiring(read_config(tmp_path / "edge.toml"), "mock") as wiring:
            outputs = Outputs(wiring.when)
            for label in ["rock", None]:
                outputs.apply(Decision(label, 0.9, 0.0, 0.0, changed=True))
                heard.append(listener.recv(100))
        assert heard == [b"red", b"off"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ('"esp32.local"', "'esp32.local' does not appear to be an IPv4 or IPv6 address"),
        ('{ host = "::1", port = 0 }', "port: 0 is none; take one from 1 to 65535"),
        ("17", "expected text, got a whole number"),
        ('{ host = "::1", colour = "red" }', "unknown key 'colour'"),
    ],
)
def test_its_mistakes_are_told_as_ours_are(installed, tmp_path, value, says):
    path = tmp_path / "edge.toml"
    path.write_text(f"[when.rock]\nudp = {value}")
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: [when.rock] udp: {says}")
