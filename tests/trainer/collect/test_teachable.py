"""Coming over from Teachable Machine: what is found in its files, and where it goes."""

from __future__ import annotations

import io
import json
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib

import msgspec
import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

import trainer.collect.archive
import trainer.collect.staging
import trainer.collect.teachable
from edge.pictures import read_picture
from edge.sources.taken import AUTOMATIC
from trainer.cli import main
from trainer.collect.label_lists import read_labels
from trainer.collect.staging import fold, safe_name
from trainer.collect.teachable import import_archive
from trainer.dataset import read_dataset
from trainer.errors import DataError
from trainer.taken import MIRROR

MANIFEST = json.dumps(
    {
        "type": "image",
        "version": "2.4.10",
        "appdata": {
            "publishResults": {},
            "trainEpochs": 50,
            "trainBatchSize": 16,
            "trainLearningRate": 0.001,
        },
    }
)


def encoded(shade=0, kind="JPEG", size=(24, 18), **options):
    """A picture file's bytes."""
    file = io.BytesIO()
    PIL.Image.fromarray(np.full((*size[::-1], 3), shade % 256, np.uint8)).save(
        file, kind, **options
    )
    return file.getvalue()


PICTURE = encoded()


def pack(path, files, compression=zipfile.ZIP_STORED):
    """Write a zip of names (or ZipInfos) and contents."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def project(path, classes, **more):
    """Write a project as Teachable Machine saves it."""
    files = {
        f"{name}-!-{number}.jpg": encoded(10 * number)
        for name, count in classes.items()
        for number in range(count)
    }
    return pack(path, files | {"manifest.json": MANIFEST} | more)


def tree(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


def pictures(data):
    return sorted(p.relative_to(data).as_posix() for p in data.rglob("*") if p.is_file())


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def data(home):
    """Where pictures go; it is not there yet."""
    return home / "data"


@pytest.fixture
def refused(tmp_path, home, data):
    """Assert that an archive is refused, in one line, and has left nothing anywhere."""

    def check(archive, **options):
        before = tree(home)
        with pytest.raises(DataError) as caught:
            import_archive(archive, data, **options)
        assert "\n" not in str(caught.value)
        assert tree(home) == before
        return str(caught.value)

    return check


# --- What Teachable Machine saves


def test_a_project_becomes_one_session_of_every_class(tmp_path, data):
    archive = project(tmp_path / "project.tm", {"rock": 12, "paper": 3})
    imported = import_archive(archive, data)
    assert imported.labels == {"paper": 3, "rock": 12}
    assert imported.sessions == ["project"]
    assert imported.skipped == imported.notes == []
    assert len(pictures(data)) == 15
    assert pictures(data)[0] == "paper/project/0001.jpg"


def test_pictures_keep_their_bytes_and_their_counting_order(tmp_path, data):
    photo = encoded(90, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0", comment=b"mine")
    project(tmp_path / "project.tm", {"rock": 11}, **{"rock-!-11.jpg": photo})
    import_archive(tmp_path / "project.tm", data)
    folder = data / "rock" / "project"
    assert (folder / "0012.jpg").read_bytes() == photo
    assert [read_picture(folder / f"{n:04d}.jpg").mean() for n in range(1, 12)] == pytest.approx(
        np.arange(11) * 10, abs=3
    )


def test_flipped_pictures_are_noted_so_that_the_device_flips_its_own(tmp_path, data):
    archive = project(tmp_path / "p.tm", {"rock": 3, "paper": 2})
    import_archive(archive, data, flipped=True)
    dataset = read_dataset(data)
    assert dataset.taken.horizontal_flip
    assert len(dataset.pictures) == 5
    import_archive(archive, data / "plain")
    assert not list((data / "plain").glob("*/p/handwave.json"))


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("p.tm", {"rock-!-0.jpg": PICTURE, "manifest.json": MANIFEST}),
        ("rock-samples (1).zip", {"0.jpg": PICTURE}),
        ("x.zip", {"rock-samples/0.jpg": PICTURE, "palm-samples/0.jpg": PICTURE}),
    ],
)
def test_where_nobody_said_whether_a_webcam_was_mirrored_that_is_noted(tmp_path, data, name, files):
    archive = pack(tmp_path / name, files)
    (note,) = import_archive(archive, data, flipped=None).notes
    assert "--flipped" in note
    for said in (True, False):
        assert import_archive(archive, data / str(said), flipped=said).notes == []


def test_pictures_of_another_make_are_not_said_to_be_mirrored(tmp_path, data):
    archive = pack(tmp_path / "x.zip", {"rock/0.jpg": PICTURE, "palm/0.jpg": PICTURE})
    assert import_archive(archive, data, flipped=None).notes == []


def test_how_our_own_sessions_were_taken_comes_along(tmp_path, data):
    notes = {"rock/monday/handwave.json": msgspec.json.encode(MIRROR)}
    files = {
        f"{label}/{day}/1.jpg": encoded(9) for label in ("rock", "palm") for day in ("monday",)
    }
    imported = import_archive(pack(tmp_path / "ours.zip", files | notes), data)
    assert imported.skipped == []
    found = {picture.label: picture.taken for picture in read_dataset(data).pictures}
    assert found == {"rock": MIRROR, "palm": AUTOMATIC}


def test_a_damaged_note_in_an_archive_leaves_nothing(tmp_path, data):
    files = {"rock/a/1.jpg": PICTURE, "palm/a/1.jpg": PICTURE, "rock/a/handwave.json": b"{"}
    with pytest.raises(DataError, match=r"handwave\.json: damaged"):
        import_archive(pack(tmp_path / "ours.zip", files), data)
    assert not list(data.rglob("*.jpg"))


def test_a_note_that_cannot_be_written_leaves_nothing(tmp_path, data, home, monkeypatch):
    def full(*_, **__):
        raise DataError("no space left")

    monkeypatch.setattr("trainer.collect.teachable.note", full)
    with pytest.raises(DataError, match="no space left"):
        import_archive(project(tmp_path / "p.tm", {"rock": 3}), data, flipped=True)
    assert tree(home) == []


def test_what_was_imported_can_be_taught_from(tmp_path, data):
    import_archive(project(tmp_path / "p.tm", {"rock": 3, "Shoe (Converse)": 2, "👍": 2}), data)
    dataset = read_dataset(data)
    assert dataset.counts() == {"rock": 3, "Shoe (Converse)": 2, "👍": 2}
    assert {picture.session for picture in dataset.pictures} == {"p"}
    assert dataset.notes == []


@pytest.mark.parametrize(
    "name", ["rock-samples.zip", "rock-samples (1).zip", "rock-samples(2).zip"]
)
def test_the_samples_of_one_class_are_named_by_the_archive(tmp_path, data, name):
    files = {f"{number}.jpg": PICTURE for number in range(3)}
    imported = import_archive(pack(tmp_path / name, files), data)
    assert imported.labels == {"rock": 3}


def test_samples_in_a_folder_are_named_by_it(tmp_path, data):
    archive = pack(tmp_path / "x.zip", {"Class 1-samples/0.jpg": PICTURE})
    assert import_archive(archive, data).labels == {"Class 1": 1}


def test_a_class_can_have_any_mark_in_its_name(tmp_path, data):
    imported = import_archive(project(tmp_path / "p.tm", {"yes/no -!- what?": 2}), data)
    assert imported.labels == {"yes-no -!- what-": 2}
    assert "is called 'yes-no -!- what-' here" in imported.notes[0]


def test_an_unpacked_and_repacked_project_is_one_still(tmp_path, data):
    files = {"my/manifest.json": MANIFEST, "my/a-!-0.jpg": PICTURE, "my/b-!-0.jpg": PICTURE}
    assert import_archive(pack(tmp_path / "x.zip", files), data).labels == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    "files",
    [
        {"keras_model.h5": b"x", "labels.txt": "0 a\n1 b\n"},
        {"model_unquant.tflite": b"x", "labels.txt": "0 a\n1 b\n"},
        {"model.json": "{}", "weights.bin": b"x", "metadata.json": '{"labels": ["a"]}'},
    ],
)
def test_an_exported_model_is_told_that_pictures_are_needed(tmp_path, refused, files):
    line = refused(pack(tmp_path / "converted.zip", files))
    assert "download the samples of each class, or save the project as a file" in line


def test_a_bare_model_file_is_told_the_same(tmp_path, refused):
    assert "download the samples" in refused(tmp_path / "model.tflite")


def test_an_audio_project_is_refused_as_such(tmp_path, refused):
    manifest = MANIFEST.replace("image", "audio")
    files = {"manifest.json": manifest, "_background_noise_-!-0.zip": b"PK"}
    assert "audio project" in refused(pack(tmp_path / "project.tm", files))


# --- Zips of class folders


def test_class_folders_below_a_common_one_or_not(tmp_path, data):
    files = {"rock/a.jpg": PICTURE, "paper/b.png": encoded(1, "PNG")}
    import_archive(pack(tmp_path / "one.zip", files), data)
    files = {"rock/a.jpg": encoded(9), "paper/b.png": encoded(8, "PNG")}
    below = {f"my pictures/{name}": content for name, content in files.items()}
    import_archive(pack(tmp_path / "two.zip", below), data)
    assert pictures(data) == [
        "paper/one/0001.png",
        "paper/two/0001.png",
        "rock/one/0001.jpg",
        "rock/two/0001.jpg",
    ]


def test_our_own_folder_in_an_archive_is_read_as_what_it_is(tmp_path, data):
    files = {f"gestures/data/{c}/monday/1.jpg": PICTURE for c in ("rock", "paper")}
    import_archive(pack(tmp_path / "g.zip", files), data)
    assert pictures(data) == ["paper/monday/0001.jpg", "rock/monday/0001.jpg"]


def test_sessions_are_no_classes(tmp_path, data, refused):
    files = {f"rock/2026-01-0{day}-120000/1.jpg": PICTURE for day in (1, 2)}
    archive = pack(tmp_path / "g.zip", files)
    assert "say what the pictures show with --label rock" in refused(archive)
    import_archive(archive, data, label="rock")
    assert len(pictures(data)) == 2


@pytest.mark.parametrize("above", ["", "hands/"])
def test_parts_of_a_data_set_are_sessions_of_its_classes(tmp_path, data, above):
    files = {
        f"{above}{part}/{label}/{n}.jpg": encoded(9 * n)
        for part in ("train", "Test") for label in ("rock", "palm") for n in (1, 2)
    }  # fmt: skip
    imported = import_archive(pack(tmp_path / "d.zip", files), data)
    assert imported.labels == {"rock": 4, "palm": 4}
    assert imported.sessions == ["Test", "train"]


def test_a_class_may_be_called_test(tmp_path, data):
    files = {f"{label}/1.jpg": PICTURE for label in ("test", "rock")}
    assert import_archive(pack(tmp_path / "d.zip", files), data).labels == {"rock": 1, "test": 1}


def test_names_with_backslashes_are_paths_as_old_packers_on_windows_write_them(tmp_path, data):
    files = {zipfile.ZipInfo("x"): PICTURE, zipfile.ZipInfo("y"): PICTURE}
    for info, name in zip(files, ("rock\\a\\1.jpg", "palm\\a\\1.jpg"), strict=True):
        info.filename = info.orig_filename = name
    import_archive(pack(tmp_path / "d.zip", files), data)
    assert pictures(data) == ["palm/a/0001.jpg", "rock/a/0001.jpg"]


def test_letters_that_show_nothing_or_turn_others_are_left_out_of_names(tmp_path, data):
    files = {f"{name}/1.jpg": PICTURE for name in ("ro\u200bck", "\u202epalm", "\ufefffist")}
    imported = import_archive(pack(tmp_path / "d.zip", files), data)
    assert sorted(imported.labels) == ["fist", "palm", "rock"]


def test_sessions_of_an_archive_stay_apart(tmp_path, data):
    files = {f"d/{c}/{s}/1.jpg": PICTURE for c in ("rock", "paper") for s in ("hall", "lab")}
    imported = import_archive(pack(tmp_path / "d.zip", files), data)
    assert imported.sessions == ["hall", "lab"]
    assert "rock/lab/0001.jpg" in pictures(data)


def test_a_class_with_sessions_is_one_class_where_the_label_says_so(tmp_path, data):
    files = {"rock/hall/1.jpg": PICTURE, "rock/lab/1.jpg": PICTURE}
    imported = import_archive(pack(tmp_path / "d.zip", files), data, label="rock")
    assert imported.labels == {"rock": 2}
    assert imported.sessions == ["hall", "lab"]


def test_what_systems_add_is_passed_over_and_what_is_no_picture_is_counted(tmp_path, data):
    files = {
        "rock/1.jpg": PICTURE,
        "rock/2.jpg": b"\xff\xd8\xff not really",
        "rock/3.jpg": b"plain text",
        "rock/4.TIF": b"x",
        "rock/notes.txt": "x",
        "rock/clip.MOV": b"x",
        "loose.jpg": PICTURE,
        "rock/.DS_Store": b"x",
        "__MACOSX/rock/._1.jpg": b"x",
        "paper/Thumbs.db": b"x",
        "paper/5.gif": encoded(3, "GIF"),
    }
    imported = import_archive(pack(tmp_path / "d.zip", files), data)
    assert imported.labels == {"rock": 1, "paper": 1}
    reasons = dict(line.split(": ", 1) for line in imported.skipped)
    assert reasons.pop("rock/2.jpg").startswith(("damaged picture", "not a picture"))
    assert reasons == {
        "rock/3.jpg": "not a picture (JPEG, PNG, WebP, BMP, GIF, HEIC)",
        "rock/4.TIF": "pictures of this kind are not read here; convert them to JPEG",
        "rock/notes.txt": "not a picture",
        "rock/clip.MOV": "a film; unpack it, and: trainer capture LABEL --source FILE",
        "loose.jpg": "belongs to no class",
    }
    assert pictures(data) == ["paper/d/0001.gif", "rock/d/0001.jpg"]


def test_the_suffix_follows_what_the_file_is(tmp_path, data):
    files = {
        "a/1.jpg": encoded(0, "PNG"),
        "a/2.png": encoded(0, "WEBP"),
        "a/3.gif": encoded(0, "BMP"),
    }
    import_archive(pack(tmp_path / "d.zip", files), data)
    assert pictures(data) == ["a/d/0001.png", "a/d/0002.webp", "a/d/0003.bmp"]


def test_a_class_without_a_readable_picture_gets_no_folder_and_is_named(tmp_path, data):
    files = {"rock/1.jpg": PICTURE, "paper/1.jpg": b"no"}
    imported = import_archive(pack(tmp_path / "d.zip", files), data)
    assert imported.notes == ["paper: none of its pictures can be read"]
    assert not (data / "paper").exists()


def test_loose_pictures_need_a_label(tmp_path, data, refused):
    archive = pack(tmp_path / "photos.zip", {"1.jpg": PICTURE})
    assert "--label NAME" in refused(archive)
    assert import_archive(archive, data, label="rock").labels == {"rock": 1}


def test_a_label_is_for_one_class(tmp_path, refused):
    archive = project(tmp_path / "p.tm", {"rock": 1, "paper": 1})
    assert "this has paper, rock" in refused(archive, label="rock")


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "con", "a\0b", "x" * 300])
@pytest.mark.parametrize("option", ["label", "session"])
def test_a_label_or_session_that_is_no_folder_is_refused(tmp_path, refused, option, name):
    archive = pack(tmp_path / "rock-samples.zip", {"1.jpg": PICTURE})
    assert "cannot be the name of a folder" in refused(archive, **{option: name})


def test_classes_that_mean_nothing_get_a_hint(tmp_path, data):
    imported = import_archive(project(tmp_path / "p.tm", {"Background Noise": 1, "rock": 1}), data)
    assert "call its folder 'background'" in imported.notes[0]
    assert import_archive(project(tmp_path / "q.tm", {"background": 1}), data).notes == []


# --- Labels for numbers


def test_class_folders_that_are_numbers_get_their_names_from_the_archive(tmp_path, data):
    files = {"0/a.jpg": PICTURE, "class_1/a.jpg": PICTURE, "labels.txt": "0 rock\n1 two  words\n"}
    assert import_archive(pack(tmp_path / "d.zip", files), data).labels == {
        "rock": 1,
        "two words": 1,
    }


def test_labels_given_win_and_names_that_are_none_stay(tmp_path, data):
    files = {"0/a.jpg": PICTURE, "palm/a.jpg": PICTURE, "metadata.json": '{"labels": ["no"]}'}
    imported = import_archive(pack(tmp_path / "d.zip", files), data, labels=["rock", "paper"])
    assert imported.labels == {"rock": 1, "palm": 1}


def test_labels_that_do_not_fit_are_refused_if_given_and_left_alone_if_found(
    tmp_path, data, refused
):
    files = {"1/a.jpg": PICTURE, "2/a.jpg": PICTURE, "labels.txt": "rock\npaper\n"}
    archive = pack(tmp_path / "d.zip", files)
    assert "do not fit" in refused(archive, labels=["rock", "paper"])
    imported = import_archive(archive, data)
    assert imported.labels == {"1": 1, "2": 1}
    assert "keep their names" in imported.notes[0]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("0 Rock\n1 Class 2\n", ["Rock", "Class 2"]),
        ("\ufeff0 Rock\r\n1 Paper\r\n", ["Rock", "Paper"]),
        ("3 stones\n1 Paper\n", ["3 stones", "1 Paper"]),
        ('{"labels": ["a", "b"], "imageSize": 224}', ["a", "b"]),
    ],
)
def test_lists_of_labels(tmp_path, text, labels):
    (tmp_path / "labels").write_text(text, encoding="utf-8")
    assert read_labels(tmp_path / "labels") == labels


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b'{"labels": 3}', b'{"a": ' * 60_000, b"x" * 200_000]
)
def test_lists_that_are_none_are_refused(tmp_path, content):
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(DataError):
        read_labels(tmp_path / "labels.txt")


# --- Where it goes


def test_a_session_that_is_there_is_never_added_to(tmp_path, data):
    for shade in (1, 2):
        import_archive(pack(tmp_path / "p.tm", {"rock-!-0.jpg": encoded(9 * shade)}), data)
    imported = import_archive(project(tmp_path / "p.tm", {"paper": 1, "rock": 2}), data)
    assert imported.sessions == ["p-3"]  # the same for both
    assert len(pictures(data)) == 5


def test_what_is_there_already_is_not_imported_twice(tmp_path, data, refused):
    import_archive(project(tmp_path / "p.tm", {"rock": 4, "paper": 3}), data)
    folders = f"{data / 'paper' / 'p'} {data / 'rock' / 'p'}"
    project(tmp_path / "q.tm", {"rock": 6, "paper": 3, "palm": 1})  # saved again, with some more
    for name, options in (("p.tm", {"flipped": True}), ("q.tm", {}), ("p.tm", {"session": "x"})):
        line = refused(tmp_path / name, **options)
        assert line.endswith(
            ": its pictures are there already; to import them again, delete these folders first: "
            + folders
        )
    for label in ("paper", "rock"):
        shutil.rmtree(data / label / "p")
    import_archive(tmp_path / "q.tm", data, flipped=True)
    assert len(pictures(data)) == 13  # and a note each


def test_a_few_pictures_that_are_there_already_are_no_matter(tmp_path, data):
    import_archive(project(tmp_path / "p.tm", {"rock": 2}), data)
    assert import_archive(project(tmp_path / "q.tm", {"rock": 4}), data).labels == {"rock": 4}


def test_a_copy_under_another_label_is_somebodys_wish(tmp_path, data):
    import_archive(project(tmp_path / "p.tm", {"rock": 2}), data)
    assert import_archive(project(tmp_path / "p.tm", {"stone": 2}), data).sessions == ["p-2"]


def test_the_samples_of_several_classes_can_be_one_recording(tmp_path, data):
    for label in ("rock", "paper"):
        archive = pack(tmp_path / f"{label}-samples.zip", {"0.jpg": PICTURE})
        assert import_archive(archive, data, session="hall").sessions == ["hall"]
    more = pack(tmp_path / "rock-samples.zip", {"0.jpg": encoded(99)})
    again = import_archive(more, data, session="hall")
    assert again.sessions == ["hall-2"]


def test_an_import_goes_to_the_class_that_is_there_however_it_is_spelled(tmp_path, data):
    (data / "Fünf" / "s").mkdir(parents=True)
    spelled = unicodedata.normalize("NFD", "fünf")
    imported = import_archive(project(tmp_path / "p.tm", {spelled: 1}), data)
    assert imported.labels == {"Fünf": 1}
    assert tree(data) == ["Fünf", "Fünf/p", "Fünf/p/0001.jpg", "Fünf/s"]


@pytest.mark.parametrize("pair", [("rock", "Rock"), ("é", "e\u0301"), ("a?", "a*")])
def test_two_classes_that_would_share_a_folder_are_refused(tmp_path, refused, pair):
    archive = project(tmp_path / "p.tm", dict.fromkeys(pair, 1))
    assert "would share one folder" in refused(archive)


def test_names_of_a_mac_are_read_as_utf8(tmp_path, data):
    archive = pack(tmp_path / "d.zip", {"fünf/1.jpg": PICTURE, "six/1.jpg": PICTURE})
    content = archive.read_bytes()
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # the flag that says UTF-8
        at = content.index(signature) + offset
        content = content[:at] + b"\0\0" + content[at + 2 :]
    archive.write_bytes(content)
    assert set(import_archive(archive, data).labels) == {"fünf", "six"}


def test_progress_is_told(tmp_path, data):
    told = []
    archive = project(tmp_path / "p.tm", {"rock": 3})
    import_archive(archive, data, progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]


# --- All or nothing


def test_ctrl_c_leaves_nothing(tmp_path, home, data):
    def stop(done, of):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_archive(project(tmp_path / "p.tm", {"rock": 3}), data, progress=stop)
    assert tree(home) == []


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_stopping_while_it_moves_into_place_takes_all_back(tmp_path, home, data, monkeypatch, stop):
    (data / "rock" / "before").mkdir(parents=True)
    before = tree(home)
    rename = trainer.collect.staging.Path.rename

    def rename_one(self, target):
        if "paper" in str(target):
            rename(self, target)
            raise stop
        return rename(self, target)

    monkeypatch.setattr(trainer.collect.staging.Path, "rename", rename_one)
    with pytest.raises((KeyboardInterrupt, DataError)):
        import_archive(project(tmp_path / "p.tm", {"rock": 1, "paper": 1, "a": 1}), data)
    assert tree(home) == before


def test_a_data_folder_that_is_none_is_one_line(tmp_path, data, refused):
    data.write_text("a file")
    assert "cannot be written" in refused(project(tmp_path / "p.tm", {"rock": 1}))


def test_a_label_that_is_a_file_is_one_line(tmp_path, data, refused):
    data.mkdir()
    (data / "rock").write_text("a file")
    assert "cannot be written" in refused(project(tmp_path / "p.tm", {"rock": 1, "paper": 1}))


# --- Damaged and hostile archives


def test_no_archive_at_all(tmp_path, refused):
    assert "No such file" in refused(tmp_path / "none.tm")
    assert f"no archive but a folder; teach from it: trainer train {tmp_path}" in refused(tmp_path)
    (tmp_path / "text.zip").write_text("hello")
    assert "not a zip archive" in refused(tmp_path / "text.zip")
    assert "no pictures in it" in refused(pack(tmp_path / "empty.zip", {}))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("photo.JPG", "a picture, no archive; put it into the folder {data}/LABEL/"),
        ("photo.tif", "a picture, no archive; convert it to JPEG, and put it into {data}/LABEL/"),
        ("clip.mp4", "a film, no archive; trainer capture LABEL --source {file}"),
    ],
)
def test_a_single_picture_or_film_is_told_where_it_belongs(tmp_path, data, refused, name, says):
    file = tmp_path / name
    assert "No such file" in refused(file)
    file.write_bytes(PICTURE)
    assert refused(file) == f"{file}: {says.format(data=data, file=file)}"


def test_an_archive_of_kinds_that_are_not_read_names_them(tmp_path, refused):
    line = refused(pack(tmp_path / "p.zip", {"a/1.AVIF": b"x", "a/2.avif": b"x", "a/t.txt": b"x"}))
    assert line.endswith(
        "its pictures are AVIF, which is not read here; convert to JPEG, and pack those"
    )
    line = refused(pack(tmp_path / "f.zip", {"a/1.mov": b"x"}))
    assert line.endswith(
        "no pictures in it but a film; unpack it, and: trainer capture LABEL --source FILE"
    )


def test_a_truncated_archive_is_refused_wherever_it_ends(tmp_path, refused):
    content = project(tmp_path / "p.tm", {"rock": 2}).read_bytes()
    for end in range(0, len(content), 97):
        (tmp_path / "p.tm").write_bytes(content[:end])
        refused(tmp_path / "p.tm")


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_flipped_byte_is_an_error_of_one_line_or_no_matter(tmp_path_factory, at, value):
    home = tmp_path_factory.mktemp("home")
    content = bytearray(project(home / "p.tm", {"rock": 1}).read_bytes())
    content[at % len(content)] = value
    (home / "p.tm").write_bytes(content)
    try:
        import_archive(home / "p.tm", home / "data")
    except DataError:
        assert tree(home) == ["p.tm"]


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=30))
@example("../rock/1")
@example("rock/../../1")
@example("/etc/1")
@example("C:\\1")
@example("rock\\..\\1")
@example("./.././1")
@example("CON")
@example("rock/nul")
@example("a\0b")
@example("\u202egpj.1")
@example("x" * 300)
@example(" . ")
def test_no_name_leaves_the_folder(tmp_path_factory, name):
    home = tmp_path_factory.mktemp("home")
    files = {zipfile.ZipInfo(f"{name}.jpg"): PICTURE, "ok/1.jpg": PICTURE}
    info = next(iter(files))
    info.filename = info.orig_filename = f"{name}.jpg"  # writing would have tidied it
    pack(home / "p.zip", files)
    try:
        imported = import_archive(home / "p.zip", home / "data")
    except DataError:
        assert tree(home) == ["p.zip"]
    else:
        assert {path.parts[0] for path in map(type(home), pictures(home))} == {"p.zip", "data"}
        for path in pictures(home / "data"):
            label, session, picture = path.split("/")
            assert label in imported.labels
            assert session in imported.sessions
            assert picture in {"0001.jpg", "0002.jpg"}


@pytest.mark.parametrize(
    "name",
    ["../1.jpg", "a/../../1.jpg", "/a/1.jpg", "C:/1.jpg", "c:1.jpg", "..\\1.jpg", "\\a\\1.jpg",
     "nul/1.jpg", "a/COM1.jpg", "a/\x1b[2J.jpg", "a/\n.jpg", "a/" + "x" * 256],
)  # fmt: skip
def test_names_that_no_camera_makes_are_refused(tmp_path, refused, name):
    line = refused(pack(tmp_path / "p.zip", {"ok/1.jpg": PICTURE, name: PICTURE}))
    assert line.isprintable()


@given(st.text(max_size=300))
@example("a" * 199 + " .b")
@example("e\u0301" * 200)
@example("😀" * 100)
def test_a_safe_name_is_one_visible_folder_and_stays_as_it_is(text):
    name = safe_name(text)
    assert safe_name(name) == name
    assert not set(name) & set('/\\:*?"<>|\0')
    assert not name.startswith(".")
    assert len(name.encode()) <= 200
    assert fold(name) == fold(unicodedata.normalize("NFD", name))


def special(mode):
    info = zipfile.ZipInfo("rock/1.jpg")
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(tmp_path, refused, mode):
    assert "a link or device" in refused(pack(tmp_path / "p.zip", {special(mode): "/etc/passwd"}))


def test_nested_archives_are_refused(tmp_path, refused):
    line = refused(pack(tmp_path / "p.zip", {"a/1.jpg": PICTURE, "rock-samples.zip": b"PK"}))
    assert "unpack it" in line


def test_encrypted_archives_are_refused(tmp_path, refused):
    archive = pack(tmp_path / "p.zip", {"a/1.jpg": PICTURE})
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    content[6] |= 1
    archive.write_bytes(content)
    assert "encrypted" in refused(archive)


def test_other_packings_are_refused(tmp_path, refused):
    archive = pack(tmp_path / "p.zip", {"a/1.jpg": PICTURE}, zipfile.ZIP_LZMA)
    assert "pack it again as a plain zip" in refused(archive)


@pytest.mark.parametrize("name", ["rock/1.jpg", "rock/readme.txt"])
def test_a_bomb_is_refused_whatever_it_calls_itself(tmp_path, refused, name):
    files = {"rock/0.jpg": PICTURE, name: bytes(30_000_000)}
    assert "times its size" in refused(pack(tmp_path / "p.zip", files, zipfile.ZIP_DEFLATED))


def test_a_bomb_of_many_small_files_is_refused(tmp_path, refused):
    files = {f"rock/{number}.bmp": bytes(900_000) for number in range(30)}
    assert "times its size" in refused(pack(tmp_path / "p.zip", files, zipfile.ZIP_DEFLATED))


def edit(archive, name, *, size, packed=None):
    """Let an entry's headers claim other sizes."""
    content = bytearray(archive.read_bytes())
    for signature, offset, names in ((b"PK\3\4", 18, 30), (b"PK\1\2", 20, 46)):
        at = content.index(signature)
        while content[at + names : at + names + len(name)] != name.encode():
            at = content.index(signature, at + 1)
        struct.pack_into("<I", content, at + offset + 4, size)
        if packed is not None:
            struct.pack_into("<I", content, at + offset, packed)
    archive.write_bytes(content)


def test_an_archive_that_claims_gigabytes_is_refused(tmp_path, refused):
    archive = pack(tmp_path / "p.zip", {"rock/1.jpg": PICTURE})
    edit(archive, "rock/1.jpg", size=4_000_000_000, packed=2_000_000_000)
    assert "GB is the most" in refused(archive)


def test_a_file_that_is_more_than_its_header_says_is_never_unpacked(tmp_path, refused, monkeypatch):
    files = {"a/0.jpg": PICTURE, "rock/1.jpg": b"\xff\xd8\xff" + bytes(30_000_000)}
    archive = pack(tmp_path / "p.zip", files, zipfile.ZIP_DEFLATED)
    edit(archive, "rock/1.jpg", size=1000)
    most = 0
    decompressobj = zlib.decompressobj

    class Watched:
        def __init__(self, *arguments):
            self.inner = decompressobj(*arguments)

        def decompress(self, *arguments):
            nonlocal most
            out = self.inner.decompress(*arguments)
            most = max(most, len(out))
            return out

        def __getattr__(self, name):
            return getattr(self.inner, name)

    monkeypatch.setattr(zlib, "decompressobj", Watched)
    assert "damaged" in refused(archive)
    assert most < 10_000


def test_a_file_that_is_less_than_its_header_says_is_refused(tmp_path, refused):
    archive = pack(tmp_path / "p.zip", {"rock/1.jpg": PICTURE}, zipfile.ZIP_DEFLATED)
    edit(archive, "rock/1.jpg", size=len(PICTURE) + 1000)
    assert "damaged" in refused(archive)


def test_too_many_files_are_refused(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(trainer.collect.archive, "MOST_FILES", 3)
    assert "4 files" in refused(project(tmp_path / "p.tm", {"rock": 3}))


def test_a_list_of_files_without_end_is_not_read(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(trainer.collect.archive._Bounded, "most", 1000)
    assert "holds more files" in refused(project(tmp_path / "p.tm", {"rock": 30}))


def test_a_picture_may_be_larger_than_the_list_of_files(tmp_path, data, monkeypatch):
    monkeypatch.setattr(trainer.collect.archive._Bounded, "most", 1000)
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    PIL.Image.fromarray(noise).save(tmp_path / "noise.png")
    files = {"rock/1.png": (tmp_path / "noise.png").read_bytes()}
    assert import_archive(pack(tmp_path / "p.zip", files), data).labels == {"rock": 1}


def test_a_huge_picture_is_left_out(tmp_path, data, monkeypatch):
    monkeypatch.setattr(trainer.collect.teachable, "MOST_PICTURE", 1_000_000)
    files = {"rock/1.jpg": PICTURE, "rock/2.jpg": np.random.default_rng(0).bytes(1_000_001)}
    imported = import_archive(pack(tmp_path / "p.zip", files), data)
    assert imported.skipped == ["rock/2.jpg: larger than 1 MB"]


def test_a_picture_of_gigapixels_is_left_out(tmp_path, data):
    header = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, 50_000, 50_000, 1, 24,
                         0, 0, 0, 0, 0, 0)  # fmt: skip
    files = {"rock/1.jpg": PICTURE, "rock/2.bmp": header}
    imported = import_archive(pack(tmp_path / "p.zip", files), data)
    (line,) = imported.skipped
    assert line.startswith("rock/2.bmp: is too large a picture; 50 megapixels")


# --- The command


def run(*arguments):
    return CliRunner().invoke(main, ["import", *map(str, arguments)], prog_name="trainer")


def test_the_command_says_what_came_where(tmp_path, data):
    archive = project(tmp_path / "p.tm", {"rock": 2, "none": 1}, **{"rock-!-9.jpg": b"no"})
    result = run(archive, "--data", data)
    assert result.exit_code == 0
    assert result.stdout == f"{archive}: 1 of 'none', 2 of 'rock'; session p in {data}\n"
    assert "skipped rock-!-9.jpg: not a picture" in result.stderr
    assert "note: none: " in result.stderr


def test_that_webcams_are_mirrored_is_said_once_and_not_where_it_is_known(tmp_path, data):
    names = ("rock-samples.zip", "palm-samples.zip")
    archives = [pack(tmp_path / name, {"0.jpg": PICTURE, "1.mov": b"x"}) for name in names]
    result = run(*archives, "--data", data)
    assert result.stderr.count("--flipped") == 1
    assert result.stderr.endswith("\nskipped 1 file\n")  # it could be read well enough
    assert "Teachable" not in run(*archives, "--data", data / "2", "--flipped").stderr


def test_json_is_all_there_is_on_stdout_and_one_bad_archive_does_not_stop_the_others(
    tmp_path, data
):
    (tmp_path / "labels.txt").write_text("0 rock\n1 paper\n")
    bad = tmp_path / "bad.zip"
    bad.write_text("no")
    good = pack(tmp_path / "good.zip", {"0/a.jpg": PICTURE, "1/a.jpg": PICTURE})
    result = run(bad, good, "--data", data, "--labels", tmp_path / "labels.txt", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == [
        {
            "archive": str(good),
            "labels": {"rock": 1, "paper": 1},
            "sessions": ["good"],
            "skipped": [],
            "notes": [],
        }
    ]
    assert result.stderr == f"trainer: {bad}: not a zip archive, or cut short; download it again\n"
