"""The doors hold: many broken files for each, the same ones every time; `make fuzz` for more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
FUZZ = Path(__file__).with_name("fuzz.py")


def fuzz(*options):
    done = subprocess.run(
        [sys.executable, str(FUZZ), *map(str, options)], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("door", "cases"), [("model", 120), ("config", 100), ("picture", 60), ("video", 100)]
)
def test_broken_files_are_taken_or_refused_with_one_line_and_nothing_else_happens(door, cases):
    assert fuzz(door, "--cases", cases).startswith(f"{door}: {cases} cases in ")


@pytest.mark.parametrize(
    ("door", "case"),
    [
        ("picture", 790),  # 49 megapixels of 16-bit grey took a gigabyte
        ("video", 11),  # OpenCV's own reader of AVI printed what it did not like
    ],
)
def test_what_was_found_once_stays_mended(door, case):
    fuzz(door, "--first", case, "--cases", 1)


def test_a_case_is_the_same_every_time(tmp_path):
    for folder in ("one", "other"):
        fuzz("config", "--first", 7, "--cases", 2, "--keep", tmp_path / folder)
    one, other = (sorted((tmp_path / folder).iterdir()) for folder in ("one", "other"))
    assert [path.name for path in one] == ["config-7-edge.toml", "config-8-edge.toml"]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_a_door_that_crashes_hangs_or_talks_is_found(tmp_path):
    """The fuzzer itself: it must see what it looks for."""
    script = tmp_path / "look.py"
    script.write_text(SELF_TEST.format(here=str(FUZZ.parent)))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["KeyError", "wrote", "handles", "lines", "files"], done.stderr


SELF_TEST = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
import doors
from edge.errors import HandwaveError

kept = []
folder = Path(__file__).parent / "work"
folder.mkdir()
class Two(HandwaveError):
    def __str__(self): return "a\\nb"
def raises(_): raise KeyError
def talks(_): sys.stderr.write("x"); sys.stderr.flush()
def keeps(path): kept.append(open(__file__))
def lines(_): raise Two
def files(path): (path.parent / "new").touch()
for go, word in ((raises, "KeyError"), (talks, "wrote"), (keeps, "handles"), (lines, "line"),
                 (files, "files")):
    doors.DOORS["model"] = (go, None, None)
    wrong, _ = doors.what_is_wrong("model", folder / "m")
    assert any(word in one for one in wrong), (word, wrong)
    print(go.__name__ if word == "line" else word)
"""
