"""From picture files to rows of features."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from edge.pictures import read_picture
from trainer.augment import augment
from trainer.cache import FeatureCache
from trainer.dataset import read_dataset
from trainer.describe import describe
from trainer.errors import DataError
from trainer.features import Features, join, make_features
from trainer.taken import MIRROR, note


@pytest.fixture
def dataset(make_data):
    return read_dataset(make_data(labels=("fist", "palm"), sessions=2, pictures=2))


def test_the_first_row_of_a_picture_is_its_own(dataset, edges):
    described = describe(dataset, edges, copies=2)
    assert described.rows.shape == (8, 3, edges.size)
    assert described.rows.dtype == np.float32
    for picture, rows in zip(dataset.pictures, described.rows, strict=True):
        np.testing.assert_array_equal(rows[0], edges(read_picture(picture.path)))
        assert not np.array_equal(rows[1], rows[0])
        assert not np.array_equal(rows[2], rows[1])


def test_rows_and_targets_are_in_the_datasets_order(dataset, edges):
    described = describe(dataset, edges)
    assert described.dataset.pictures == dataset.pictures
    assert described.targets.tolist() == [0] * 4 + [1] * 4
    backwards = describe(replace(dataset, pictures=dataset.pictures[::-1]), edges)
    np.testing.assert_array_equal(backwards.rows, described.rows[::-1])
    assert backwards.targets.tolist() == [1] * 4 + [0] * 4


def test_a_pictures_copies_do_not_depend_on_its_neighbours(dataset, edges):
    """Taking a picture away or adding one leaves all others' copies as they were."""
    everything = describe(dataset, edges, copies=2)
    some = replace(dataset, pictures=[dataset.pictures[i] for i in (6, 1)])
    np.testing.assert_array_equal(describe(some, edges, copies=2).rows, everything.rows[[6, 1]])


def test_sessions_that_were_flipped_are_seen_as_the_most_were(tmp_path, save_picture, edges):
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    for label in ("fist", "palm"):
        save_picture(tmp_path / label / "plain" / "1.png", image)
        save_picture(tmp_path / label / "plain" / "2.png", image)
        save_picture(tmp_path / label / "mirrored" / "3.png", image[:, ::-1])
        note(MIRROR, tmp_path / label / "mirrored")
    with FeatureCache(tmp_path / "cache.sqlite") as cache:
        for _ in range(2):  # the second time out of the cache
            rows = describe(read_dataset(tmp_path), edges, cache=cache).rows
            assert (rows == rows[0]).all()


def test_scraps_are_apart_from_the_rows(dataset, edges):
    described = describe(dataset, edges, copies=1, scraps=2)
    assert described.rows.shape == (8, 2, edges.size)
    assert described.scraps.shape == (8, 2, edges.size)
    assert not np.array_equal(described.scraps[:, 0], described.rows[:, 0])


def test_one_of_several_kinds_can_be_taken_out_again(dataset, edges):
    pixels = make_features("pixels")
    both = describe(dataset, join([pixels, edges]), copies=1, scraps=1)
    for kind in (pixels, edges):
        alone, taken = describe(dataset, kind, copies=1, scraps=1), both.only(kind)
        np.testing.assert_allclose(taken.rows, alone.rows, atol=1e-6)
        np.testing.assert_allclose(taken.scraps, alone.scraps, atol=1e-6)
        assert taken.widths == {kind.name: kind.size}


def test_copies_depend_on_what_a_picture_shows_not_on_where_it_lies(dataset, edges, tmp_path):
    moved = shutil.copytree(dataset.root, tmp_path / "elsewhere")
    one, other = (describe(each, edges, copies=1).rows for each in (dataset, read_dataset(moved)))
    np.testing.assert_array_equal(one, other)


class Finder(Features):
    """Features that say they look for a hand, and count at how many pictures."""

    state = 1
    looked = 0

    def __call__(self, image):
        self.looked += 1
        return super().__call__(image)


def test_with_fewer_copies_what_looks_at_two_of_them_is_not_computed_again(
    dataset, edges, tmp_path
):
    """The more pictures there are, the fewer copies of each."""
    hand = Finder("hand", edges.model)
    with FeatureCache(tmp_path / "cache.sqlite") as cache:
        eight = describe(dataset, hand, copies=8, scraps=3, cache=cache)
        before = hand.looked
        three = describe(dataset, hand, copies=3, scraps=2, cache=cache)
    assert hand.looked == before
    np.testing.assert_array_equal(three.rows, eight.rows[:, :4])
    np.testing.assert_array_equal(eight.rows[:, 3], eight.rows[:, 0])
    assert not eight.scraps.any()
    assert three.scraps.shape == (8, 2, edges.size)


def test_copies_are_augmented_pictures(dataset, edges, monkeypatch):
    seen = []

    def spy(image, rng):
        seen.append(image.shape)
        return augment(image, rng)

    monkeypatch.setattr("trainer.describe.augment", spy)
    describe(dataset, edges, copies=3)
    assert seen == [(48, 64, 3)] * 24


def test_every_other_copy_is_mirrored_if_wanted(dataset, monkeypatch):
    monkeypatch.setattr("trainer.describe.augment", lambda image, _: image)
    pixels = make_features("pixels")
    plain = describe(dataset, pixels, copies=3).rows.reshape(8, 4, 32, 32)
    mirrored = describe(dataset, pixels, copies=3, mirror=True).rows.reshape(8, 4, 32, 32)
    flipped = plain[:, 0, :, ::-1]
    for copy, expected in enumerate([plain[:, 0], flipped, plain[:, 0], flipped]):
        np.testing.assert_allclose(mirrored[:, copy], expected, atol=0.02)


def test_unreadable_pictures_are_named_and_left_out(dataset, edges):
    bad = [dataset.pictures[i] for i in (0, 5)]
    bad[0].path.write_bytes(b"no picture")
    bad[1].path.write_bytes(bad[1].path.read_bytes()[:200])
    described = describe(dataset, edges, copies=1)
    assert len(described.unreadable) == 2
    for line, picture in zip(described.unreadable, bad, strict=True):
        assert str(picture.path) in line
        assert "\n" not in line
    assert described.dataset.pictures == [p for p in dataset.pictures if p not in bad]
    assert len(described.rows) == len(described.targets) == 6
    assert describe(replace(dataset, pictures=dataset.pictures[1:2]), edges).unreadable == []


def test_a_class_whose_every_picture_is_unreadable_is_an_error_that_names_it(dataset, edges):
    for picture in dataset.pictures:
        if picture.label == "palm":
            picture.path.write_bytes(b"")
    with pytest.raises(DataError, match="no picture of 'palm' could be read"):
        describe(dataset, edges)


def test_where_no_picture_can_be_read_the_first_reason_is_said(dataset, edges):
    for picture in dataset.pictures:
        picture.path.write_bytes(b"")
    with pytest.raises(DataError, match=r"not one picture could be read; first: .*0\.jpg"):
        describe(dataset, edges)


def test_the_size_is_what_most_pictures_have(make_data, save_picture, edges):
    root = make_data(labels=("fist", "palm"), sessions=1, pictures=2)
    save_picture(root / "fist" / "s0" / "big.jpg", np.zeros((100, 3000, 3), np.uint8))
    described = describe(read_dataset(root), edges)
    assert described.size == (64, 48)


def test_pictures_of_every_size_and_kind_side_by_side(tmp_path, save_picture, edges):
    noise = np.random.default_rng(0).integers(0, 256, (300, 700, 3), dtype=np.uint8)
    for number, (height, width) in enumerate([(1, 1), (1, 50), (8, 8), (300, 700)]):
        for suffix in ("jpg", "png", "bmp", "webp", "gif"):
            save_picture(tmp_path / "a" / "s" / f"{number}.{suffix}", noise[:height, :width])
    described = describe(read_dataset(tmp_path), edges, copies=2)
    assert described.unreadable == []
    assert np.isfinite(described.rows).all()


def test_progress_counts_every_picture_once(dataset, edges):
    calls = []
    describe(dataset, edges, progress=lambda done, of: calls.append((done, of)))
    assert calls == [(i, 8) for i in range(1, 9)]


def test_ctrl_c_while_reading_ends_it(dataset, edges):
    def stop(done, of):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        describe(dataset, edges, progress=stop)
