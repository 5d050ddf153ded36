"""What is sent, and what is refused before anything is."""

import hashlib
import io
import tarfile

import pytest

from deploy import DeployError, make_bundle
from deploy import bundle as bundle_module
from deploy.remote.push import is_safe, read_manifest
from edge.errors import HandwaveError
from edge.outputs import Kind


def test_a_bundle_holds_edge_the_model_and_the_config(project, package):
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "x.pyc").write_text("")
    (package / "notes.txt").write_text("not code")
    (package / "sub").mkdir()
    (package / "sub" / "part.py").write_text("")
    (package / "sub" / "page.html").write_text("")
    (package / "sub" / "note.txt").write_text("")
    bundle = make_bundle(project / "edge.toml", package)
    code = {"edge/__init__.py", "edge/__main__.py", "edge/sub/part.py", "edge/sub/page.html"}
    assert set(bundle.files) == code | {"edge.toml", "model.onnx"}


def test_the_same_content_has_the_same_name_and_any_other_has_not(project, package):
    one, again = (make_bundle(project / "edge.toml", package) for _ in range(2))
    assert one.release == again.release == one.digest[:12]
    (package / "__init__.py").write_text("# changed")
    assert make_bundle(project / "edge.toml", package).release != one.release


def test_the_manifest_lists_every_file_and_leads_the_tar(project, package):
    bundle = make_bundle(project / "edge.toml", package)
    digests = read_manifest(bundle.manifest.decode())
    wanted = {name: hashlib.sha256(data).hexdigest() for name, data in bundle.files.items()}
    assert digests == wanted
    with tarfile.open(fileobj=io.BytesIO(bundle.tar())) as tar:
        assert tar.getnames() == ["MANIFEST", *bundle.files]


def test_a_model_in_a_folder_keeps_its_place(project, package):
    (project / "models").mkdir()
    (project / "models" / "a.onnx").write_text("works")
    (project / "edge.toml").write_text('model = "models/a.onnx"')
    assert "models/a.onnx" in make_bundle(project / "edge.toml", package).files


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("../model.onnx", "is not inside the folder of edge.toml"),
        ("/etc/passwd", "is not inside the folder of edge.toml"),
        ("a/../../model.onnx", "is not inside the folder of edge.toml"),
        (".", "is not inside the folder of edge.toml"),
        ("edge/__init__.py", "handwave itself needs the name"),
        ("edge.toml", "handwave itself needs the name"),
        ("MANIFEST", "handwave itself needs the name"),
        ("models/__pycache__/model.onnx", "handwave itself needs the name"),
        ("models/__pycache__", "handwave itself needs the name"),
        ("gone.onnx", "gone.onnx: No such file or directory; nothing was sent"),
    ],
)
def test_a_model_that_cannot_travel_is_refused(project, package, model, says):
    (project.parent / "model.onnx").write_text("elsewhere")
    (project / "edge.toml").write_text(f'model = "{model}"')
    with pytest.raises(DeployError, match=says):
        make_bundle(project / "edge.toml", package)


def test_a_link_that_leaves_the_folder_is_refused(project, package):
    (project / "model.onnx").unlink()
    (project / "model.onnx").symlink_to("/etc/passwd")
    with pytest.raises(
        DeployError, match="is a link to /etc/passwd, which is not inside the folder"
    ):
        make_bundle(project / "edge.toml", package)


def test_the_files_that_outputs_name_come_along_in_their_places(project, package):
    (project / "sounds").mkdir()
    (project / "sounds" / "hello.wav").write_bytes(b"RIFF    WAVE")
    for name in ("rock.png", "idle.png"):
        (project / name).write_bytes(b"\x89PNG\r\n\x1a\n" + name.encode())
    (project / "party.py").write_text("print()")
    (project / "diary.txt").write_text("not named, not sent")
    (project / "edge.toml").write_text(
        '[picture]\nidle = "idle.png"\n'
        '[when.rock]\nsound = "sounds/hello.wav"\npicture = "rock.png"\n'
        '[when.palm]\nsound = "sounds/hello.wav"\ncommand = ["python3", "party.py", "model.onnx"]\n'
    )
    files = make_bundle(project / "edge.toml", package).files
    named = {"sounds/hello.wav", "rock.png", "idle.png", "party.py"}
    assert {name for name in files if not name.startswith("edge/")} == {
        "edge.toml", "model.onnx", *named,
    }  # fmt: skip
    assert all(files[name] == (project / name).read_bytes() for name in named)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("../secret", r"\[when.rock\] odd .* is not inside the folder of edge.toml"),
        ("/etc/passwd", r"\[when.rock\] odd .* is not inside the folder of edge.toml"),
        ("link", r"\[when.rock\] odd .* is a link to .*, which is not inside the folder"),
        ("a\\\\b", r"\[when.rock\] odd .*: a name with a backslash or an unprintable"),
        ("edge/cli.py", r"\[when.rock\] odd: handwave itself needs the name 'edge/cli.py'"),
        ("gone", "gone: No such file or directory; nothing was sent"),
    ],
)
def test_a_file_that_cannot_travel_is_refused_whatever_an_output_says(
    project, package, monkeypatch, name, says
):
    """Other people's outputs name files too, and may be mistaken about them."""

    class Odd(Kind, frozen=True):
        short = "name"
        name: str

        def files(self, folder):
            return (self.name,)

    monkeypatch.setattr("edge.config.find_kind", {"odd": Odd}.get)
    (project / "link").symlink_to("/etc/passwd")
    (project.parent / "secret").write_text("not to be sent")
    (project / "edge.toml").write_text(f'[when.rock]\nodd = "{name}"')
    with pytest.raises(DeployError, match=says):
        make_bundle(project / "edge.toml", package)


def test_sounds_count_as_the_model_does(project, package, monkeypatch):
    monkeypatch.setattr(bundle_module, "LIMIT", 2000)
    (project / "a.wav").write_bytes(b"RIFF    WAVE" + bytes(2000))
    (project / "edge.toml").write_text('[when.rock]\nsound = "a.wav"')
    with pytest.raises(DeployError, match=r"a\.wav: 2012 bytes is too large"):
        make_bundle(project / "edge.toml", package)


def test_a_bundle_too_large_is_refused(project, package, monkeypatch):
    monkeypatch.setattr(bundle_module, "LIMIT", 1000)
    (project / "model.onnx").write_bytes(bytes(990))
    with pytest.raises(DeployError, match=r"is too large; a bundle has 1000 at most"):
        make_bundle(project / "edge.toml", package)


def test_mistakes_at_home_are_one_line_and_no_connection(push, project):
    (project / "edge.toml").write_text('modle = "model.onnx"')
    result = push("off")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert "modle" in result.stderr
    (project / "edge.toml").unlink()
    result = push("off")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert "edge.toml: no such file" in result.stderr


def test_a_missing_config_is_our_error(tmp_path, package):
    with pytest.raises(HandwaveError, match="no such file"):
        make_bundle(tmp_path / "edge.toml", package)


@pytest.mark.parametrize("name", ["a", "edge/a.py", "häuser/a b.onnx"])
def test_plain_paths_are_safe(name):
    assert is_safe(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/a", "../a", "a/../b", "a//b", "./a", "a/", "a\nb", "a\\b", "a\0b"]
)
def test_other_paths_are_not(name):
    assert not is_safe(name)
