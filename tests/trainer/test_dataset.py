"""Folders of pictures: what is read, which session each is in, and how sessions are divided."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.sources.taken import AUTOMATIC
from trainer.dataset import Dataset, Picture, check_teachable, read_dataset, without_copies
from trainer.errors import DataError
from trainer.splits import split
from trainer.taken import note


def touch(root, *names):
    """Make empty files: reading a dataset looks at names and EXIF only."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def sessions_of(root, label="rock"):
    """Return the names of a label's pictures, session by session, in order."""
    found = {}
    for picture in read_dataset(root).pictures:
        if picture.label == label:
            found.setdefault(picture.session, []).append(picture.path.stem)
    return list(found.values())


# --- Layouts


def test_label_session_picture():
    root = Path("data")
    picture = Picture(root / "rock" / "monday" / "1.jpg", "rock", "monday")
    assert Dataset(root, [picture]).sessions() == {"rock": {"monday"}}


def test_a_folder_of_a_phones_own_pictures_alone_says_what_to_do(tmp_path):
    for label in ("fist", "palm"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.TIFF").touch()
    with pytest.raises(DataError, match="fist: 1 picture of kinds not read here; convert"):
        read_dataset(tmp_path)


def test_what_is_left_out_is_said_with_what_to_do(tmp_path):
    touch(
        tmp_path,
        *["rock/s/1.jpg", "rock/s/2.JFIF", "rock/s/3.dng", "rock/s/IMG 1.MOV", "rock/s/notes.txt"],
        *["palm/1/1.jpg", "rock/s/Thumbs.db", "@eaDir/x.jpg", "photo.jpg", "._photo.jpg"],
        *["rock/@eaDir/thumb.jpg", "rock/.ipynb_checkpoints/x.txt"],
    )
    note(AUTOMATIC, tmp_path / "rock" / "s")
    dataset = read_dataset(tmp_path)
    assert dataset.counts() == {"palm": 1, "rock": 2}
    film = f"'{tmp_path / 'rock' / 's' / 'IMG 1.MOV'}'"
    assert dataset.notes == [
        "1 picture beside the classes' folders left out",
        "rock: 1 picture of kinds not read here; convert to JPEG",
        f"rock: 1 film left out; for pictures of it: trainer capture rock --source {film}",
        "rock: 1 other file left out, such as notes.txt",
    ]


def test_a_film_alone_says_how_to_take_its_pictures(tmp_path):
    touch(tmp_path, "rock/1.jpg", "palm/film.mp4")
    with pytest.raises(DataError, match=r"palm: 1 film left out; .*trainer capture palm --source"):
        read_dataset(tmp_path)


def test_classes_of_nearly_one_name_are_told(tmp_path):
    touch(tmp_path, "Fist/s/1.jpg", "fist/s/1.jpg", "palm/s/1.jpg")
    (note,) = read_dataset(tmp_path).notes
    assert note.startswith("'Fist' and 'fist' are taught as two classes")


def test_what_another_session_has_already_is_counted_once(make_data):
    root = make_data(labels=("fist", "palm"), sessions=2, pictures=3)
    first, second = sorted((root / "palm").iterdir())
    for picture in first.iterdir():
        (second / f"again-{picture.name}").write_bytes(picture.read_bytes())
    whole = read_dataset(root)
    once = without_copies(whole)
    assert (whole.counts()["palm"], once.counts()["palm"]) == (9, 6)
    assert once.notes[-1].startswith("3 pictures of another session once more")
    assert without_copies(once) is once


def test_frames_without_a_hand_are_no_copies_of_each_other(tmp_path):
    names = [f"background/{room}/{number}.points" for room in "ab" for number in "123"]
    touch(tmp_path, *names, "rock/a/1.points", "rock/b/1.points")
    for path in tmp_path.rglob("*.points"):
        path.write_text("a hand" if "rock" in str(path) else "nothing found")
    kept = without_copies(read_dataset(tmp_path))
    assert kept.counts() == {"background": 6, "rock": 1}


def test_a_picture_in_two_labels_is_told(make_data):
    root = make_data(labels=("fist", "palm"), sessions=2, pictures=3)
    for picture in sorted((root / "palm").rglob("*.*"))[:2]:
        (root / "fist" / f"a-{picture.name}").write_bytes(picture.read_bytes())
    dataset = without_copies(read_dataset(root))
    assert len(dataset.pictures) == 14
    assert dataset.notes[-1].startswith("2 pictures in two labels, byte for byte, such as ")
    assert str(Path("fist") / "a-") in dataset.notes[-1]


def test_the_folder_below_a_label_is_the_session(tmp_path):
    touch(tmp_path, "rock/monday/1.jpg", "rock/friday/1.jpg", "paper/monday/a/deep/1.png")
    dataset = read_dataset(tmp_path)
    assert dataset.sessions() == {"paper": {"monday"}, "rock": {"friday", "monday"}}
    assert dataset.counts() == {"paper": 1, "rock": 2}
    assert dataset.notes == []


def test_loose_pictures_and_sessions_side_by_side(tmp_path):
    touch(tmp_path, "rock/monday/1.jpg", "rock/IMG_1.jpg", "rock/IMG_2.jpg", "paper/s/1.jpg")
    dataset = read_dataset(tmp_path)
    found = dataset.sessions()["rock"]
    assert len(found) == 2
    assert "monday" in found
    assert dataset.counts() == {"paper": 1, "rock": 3}
    assert len(dataset.notes) == 1
    assert dataset.notes[0].startswith("rock: 2 pictures without a session's folder")


def test_labels_and_pictures_are_in_the_order_a_person_counts(tmp_path):
    touch(tmp_path, *(f"{n}/s/p{i}.jpg" for n in (10, 9, 1) for i in (10, 2, 1)))
    dataset = read_dataset(tmp_path)
    assert dataset.labels == ["1", "9", "10"]
    assert [p.path.stem for p in dataset.pictures[:3]] == ["p1", "p2", "p10"]


def test_labels_that_count_alike_always_have_the_same_order(tmp_path):
    """The order is the model's: it may not depend on how Python's sets happen to lie."""
    labels = ["01", "1", "001", "rock", "Rock", "ROCK", "rOCK"]
    touch(tmp_path, *(f"{label}/s/1.jpg" for label in labels))
    assert read_dataset(tmp_path).labels == [
        *["001", "01", "1"],
        *["ROCK", "Rock", "rOCK", "rock"],
    ]


def test_hidden_files_and_folders_and_other_files_are_no_pictures(tmp_path):
    touch(
        tmp_path,
        *["rock/s/1.jpg", "rock/s/.2.jpg", "rock/.trash/3.jpg", ".git/s/4.jpg", "5.jpg"],
        *["rock/s/notes.txt", "rock/s/._1.jpg", "rock/Thumbs.db"],
    )
    assert [p.path.name for p in read_dataset(tmp_path).pictures] == ["1.jpg"]


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png", ".webp", ".bmp", ".GIF"])
def test_every_kind_of_picture_counts(tmp_path, suffix):
    assert len(read_dataset(touch(tmp_path, f"rock/s/1{suffix}")).pictures) == 1


# --- Loose pictures


def photograph(path, when):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = PIL.Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = when.strftime("%Y:%m:%d %H:%M:%S")
    PIL.Image.new("RGB", (8, 8)).save(path, exif=exif)


def test_loose_pictures_are_divided_at_pauses_between_their_exif_times(tmp_path):
    start = datetime(2024, 2, 29, 23, 59, 30)  # noqa: DTZ001  (cameras know no zone)
    seconds = {"c": 0, "a": 40, "b": 100, "e": 161, "d": 170, "f": 9000}  # over midnight
    for name, second in seconds.items():
        photograph(tmp_path / "rock" / f"{name}.jpg", start + timedelta(seconds=second))
    assert sessions_of(tmp_path) == [["c", "a", "b"], ["e", "d"], ["f"]]
    (note,) = read_dataset(tmp_path).notes
    assert "6 pictures" in note
    assert "3 sessions" in note
    assert "time stamps" in note


def test_where_one_picture_has_no_time_the_numbers_decide(tmp_path):
    noon = datetime(2024, 1, 1, 12)  # noqa: DTZ001
    photograph(tmp_path / "rock" / "1.jpg", noon)
    photograph(tmp_path / "rock" / "2.jpg", noon + timedelta(days=1))
    touch(tmp_path, "rock/3.jpg")
    assert sessions_of(tmp_path) == [["1", "2", "3"]]


def test_loose_pictures_are_divided_where_many_numbers_are_missing(tmp_path):
    numbers = [1, 2, 3, 10, 30, 31, 32, 1000, 1001]
    touch(tmp_path, *(f"rock/IMG_{n:04d}.jpg" for n in numbers))
    names = [[int(name[4:]) for name in names] for names in sessions_of(tmp_path)]
    assert names == [[1, 2, 3, 10], [30, 31, 32], [1000, 1001]]
    (note,) = read_dataset(tmp_path).notes
    assert "9 pictures" in note
    assert "3 sessions" in note
    assert "numbers" in note


def test_loose_pictures_are_divided_where_the_text_before_the_number_changes(tmp_path):
    touch(tmp_path, *(f"rock/{who}-{n}.jpg" for who in ("ann", "bob") for n in (1, 2, 3)))
    assert sessions_of(tmp_path) == [["ann-1", "ann-2", "ann-3"], ["bob-1", "bob-2", "bob-3"]]


@pytest.mark.parametrize(
    "names",
    [
        ["a", "b", "c", "d"],
        ["3f2a9c", "b81e07", "0c44d1", "77ab3e", "e90f12"],
        ["holiday"],
        ["٣", "٤"],
        ["one (1)", "one (2)", "one (3)"],
    ],
)
def test_names_without_a_common_count_are_one_session_and_it_says_so(tmp_path, names):
    """Else each frame of a burst with random names would be a session of its own."""
    touch(tmp_path, *(f"rock/{name}.jpg" for name in names))
    assert len(sessions_of(tmp_path)) == 1
    assert "one session" in read_dataset(tmp_path).notes[0]


def test_two_labels_loose_pictures_never_share_a_session(tmp_path):
    touch(tmp_path, "rock/1.jpg", "rock/2.jpg", "paper/1.jpg", "paper/2.jpg")
    sessions = read_dataset(tmp_path).sessions()
    assert not sessions["rock"] & sessions["paper"]


# --- Errors


def test_a_missing_folder_or_a_file_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    for name in ("missing", "file"):
        with pytest.raises(DataError, match=f"{name}: no such folder"):
            read_dataset(tmp_path / name)


def test_no_classes_is_an_error(tmp_path):
    touch(tmp_path, "1.jpg", ".hidden/1.jpg")
    with pytest.raises(DataError, match="no classes"):
        read_dataset(tmp_path)


def test_an_empty_class_is_an_error_that_names_it(tmp_path):
    touch(tmp_path, "rock/s/1.jpg", "paper/s/readme.txt")
    with pytest.raises(DataError, match="no pictures of 'paper'"):
        read_dataset(tmp_path)


def test_one_class_cannot_be_taught_and_none_neither(tmp_path):
    touch(tmp_path, "rock/s/1.jpg")
    with pytest.raises(DataError, match=r"only one class, 'rock'.*background"):
        check_teachable(read_dataset(tmp_path))
    with pytest.raises(DataError, match="no picture could be read"):
        check_teachable(Dataset(tmp_path, []))


def test_gestures_one_folder_too_deep_are_said_to_be(tmp_path):
    touch(tmp_path, "all/rock/1.jpg", "all/palm/1.jpg")
    with pytest.raises(DataError, match=f"if palm and rock are your gestures, give {tmp_path}/all"):
        check_teachable(read_dataset(tmp_path))


def test_a_divided_data_set_is_not_taught_as_if_its_parts_were_gestures(tmp_path):
    touch(tmp_path, "Train/rock/1.jpg", "Train/palm/1.jpg", "test/rock/1.jpg", "test/palm/1.jpg")
    with pytest.raises(DataError, match=f"holds folders of gestures.*give one: {tmp_path}/Train"):
        read_dataset(tmp_path)
    touch(tmp_path, "rock/1.jpg")
    assert read_dataset(tmp_path).labels == ["rock", "test", "Train"]


def test_one_label_may_be_called_test(tmp_path):
    touch(tmp_path, "test/s/1.jpg")
    assert read_dataset(tmp_path).labels == ["test"]


def test_a_label_that_is_no_text_is_refused_before_any_work(tmp_path):
    """A folder's name of stray bytes cannot be written into the card."""
    touch(tmp_path, "rock/s/1.jpg", "pap\udcff/s/1.jpg")
    with pytest.raises(DataError, match="rename"):
        read_dataset(tmp_path)


# --- Split


@st.composite
def datasets(draw):
    """Make up labels with sessions, some of them shared by name."""
    names = draw(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=5, unique=True))
    pictures = []
    for label in names:
        shared = draw(st.lists(st.sampled_from(["s1", "s2", "s10", "s11"]), unique=True))
        own = [f"{label}{i}" for i in range(draw(st.integers(0 if shared else 1, 4)))]
        for session in [*shared, *own]:
            number = draw(st.integers(1, 5))
            pictures += [
                Picture(Path(label, session, f"{i}.jpg"), label, session) for i in range(number)
            ]
    return Dataset(Path("data"), pictures)


SHARES = st.floats(0, 1)
SEEDS = st.integers(0, 2**32)


@given(datasets(), SHARES, SEEDS)
def test_no_session_is_on_both_sides_and_every_picture_on_exactly_one(dataset, share, seed):
    train, held_out = split(dataset, share=share, seed=seed)
    assert sorted([*train, *held_out]) == list(range(len(dataset.pictures)))
    both = [{dataset.pictures[i].session for i in side} for side in (train, held_out)]
    assert not both[0] & both[1]


@given(datasets(), SHARES, SEEDS)
def test_every_label_keeps_a_session_to_train_on(dataset, share, seed):
    train, held_out = split(dataset, share=share, seed=seed)
    assert {dataset.pictures[i].label for i in train} == set(dataset.labels)
    lonely = {label for label, found in dataset.sessions().items() if len(found) == 1}
    assert not lonely & {dataset.pictures[i].label for i in held_out}


@given(datasets(), SHARES, SEEDS)
def test_the_same_seed_splits_alike(dataset, share, seed):
    assert split(dataset, share=share, seed=seed) == split(dataset, share=share, seed=seed)


@given(datasets(), SEEDS)
def test_labels_with_sessions_of_their_own_get_validation_pictures(dataset, seed):
    shared = {"s1", "s2", "s10", "s11"}
    _, held_out = split(dataset, seed=seed)
    seen = {dataset.pictures[i].label for i in held_out}
    for label, found in dataset.sessions().items():
        if len(found - shared) >= 2:
            assert label in seen


def test_the_share_is_about_what_was_asked_for():
    pictures = [
        Picture(Path(f"{label}/{s}/{i}.jpg"), label, f"{label}{s}")
        for label in ("a", "b") for s in range(20) for i in range(3)
    ]  # fmt: skip
    dataset = Dataset(Path(), pictures)
    for share in (0.1, 0.25, 0.5):
        _, held_out = split(dataset, share=share)
        assert len(held_out) / len(pictures) == pytest.approx(share, abs=0.06)
    assert split(dataset, share=0)[1] == []


@given(st.integers(1, 60), SEEDS)
def test_a_large_session_takes_the_share_no_further_off_than_half_of_itself(large, seed):
    pictures = [
        Picture(Path(f"{s}/{i}.jpg"), "a", str(s))
        for s, number in enumerate([large, *[2] * 30]) for i in range(number)
    ]  # fmt: skip
    _, held_out = split(Dataset(Path(), pictures), share=0.5, seed=seed)
    assert abs(len(held_out) - len(pictures) / 2) <= max(large, 2) / 2


def test_another_seed_holds_out_other_sessions():
    pictures = [Picture(Path(f"{s}.jpg"), label, str(s)) for s in range(30) for label in "ab"]
    dataset = Dataset(Path(), pictures)
    assert len({tuple(split(dataset, seed=seed)[1]) for seed in range(5)}) == 5


def test_without_leaves_the_pictures_out():
    pictures = [Picture(Path(f"{i}.jpg"), "ab"[i % 2], "s") for i in range(4)]
    rest = Dataset(Path(), pictures, ["a note"]).without(pictures[1::2])
    assert rest.labels == ["a"]
    assert rest.notes == ["a note"]
    assert np.array_equal([p.path.stem for p in rest.pictures], ["0", "2"])


def test_a_linked_session_counts_and_a_circle_of_links_ends(tmp_path):
    touch(tmp_path / "elsewhere", "1.jpg", "2.jpg")
    (tmp_path / "data" / "rock").mkdir(parents=True)
    (tmp_path / "data" / "rock" / "s").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "data" / "rock")
    dataset = read_dataset(tmp_path / "data")
    assert dataset.counts() == {"rock": 2}


def test_an_umlaut_in_two_letters_is_the_one_in_one(tmp_path):
    touch(tmp_path, "fu\u0308r/s/1.jpg")
    assert read_dataset(tmp_path).labels == ["f\u00fcr"]


def test_a_folder_that_means_nothing_is_told_about_background(tmp_path):
    touch(tmp_path, "none/s/1.jpg", "rock/s/1.jpg", "background/s/1.jpg")
    (note,) = read_dataset(tmp_path).notes
    assert note.startswith("none: ")
    assert "'background'" in note
