"""Rows in a file: what went in comes out, as float16 has it, and nothing half."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import TrainingError
from trainer.rows import CHUNK, RowFile, in_turn, mean_and_spread, widen


def features(n=20, width=7, seed=0):
    return np.random.default_rng(seed).standard_normal((n, width)).astype(np.float16)


@given(st.lists(st.integers(0, 6), max_size=5), st.lists(st.integers(0, 10**6), max_size=9))
def test_rows_come_out_as_they_went_in_in_any_order(lengths, picks):
    pieces = [features(n, seed=number) for number, n in enumerate(lengths)]
    whole = np.concatenate([features(0), *pieces])
    with RowFile(7) as rows:
        for piece in pieces:
            rows.append(piece)
        assert rows.shape == whole.shape
        assert len(rows) == len(whole)
        chosen = np.array([pick % len(whole) for pick in picks] if len(whole) else [], int)
        read = rows[chosen]
    assert read.dtype == rows.dtype == np.float32
    np.testing.assert_array_equal(read, whole[chosen])


def test_rows_that_come_out_are_the_callers_to_change():
    with RowFile(7) as rows:
        rows.append(features())
        first = rows[np.arange(3)]
        first += 1
        np.testing.assert_array_equal(rows[np.arange(3)], features()[:3])


def test_rows_in_any_layout_and_kind_of_float_are_taken():
    X = features(width=14).astype(float)
    with RowFile(7) as rows:
        rows.append(X[:, ::2])
        rows.append(np.asfortranarray(X[:, :7], np.float32))
        np.testing.assert_array_equal(rows[np.arange(20)], X[:, ::2])
        np.testing.assert_array_equal(rows[np.arange(20, 40)], X[:, :7])


@pytest.mark.parametrize("wrong", [20, -1])
def test_a_row_that_is_not_there_is_refused(wrong):
    with RowFile(7) as rows:
        rows.append(features())
        with pytest.raises(IndexError, match="rows 0 to 19 are here"):
            rows[np.array([3, wrong])]


@pytest.mark.parametrize("number", [np.nan, -np.inf, 1e5])
def test_what_float16_does_not_hold_is_refused_whole(number):
    X = features().astype(np.float32)
    X[11, 3] = number
    with RowFile(7) as rows:
        with pytest.raises(TrainingError, match="65504"):
            rows.append(X)
        assert len(rows) == 0


@pytest.mark.parametrize("wrong", [features(), features()[0, :6]])
def test_rows_of_another_shape_are_refused(wrong):
    with RowFile(6) as rows, pytest.raises(ValueError, match="rows of 6 features"):
        rows.append(wrong)


def test_a_full_disk_says_where_and_leaves_what_was_there(monkeypatch, tmp_path):
    write, full = os.pwrite, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full_halfway(descriptor, data, at):
        if len(data) < 60:
            raise full
        return write(descriptor, data[:41], at)

    with RowFile(7, tmp_path) as rows:
        rows.append(features(2))
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full_halfway)
            with pytest.raises(TrainingError, match=rf"{tmp_path}: .*No space left.*TMPDIR"):
                rows.append(features(9, seed=1))
        rows.append(features(3, seed=2))
        expected = np.concatenate([features(2), features(3, seed=2)])
        np.testing.assert_array_equal(rows[np.arange(5)], expected)


def test_the_file_has_no_name_to_be_left_behind(tmp_path):
    with RowFile(7, tmp_path) as rows:
        rows.append(features())
        assert list(tmp_path.iterdir()) == []


def test_every_finite_float16_widens_to_itself():
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    wide = widen(finite)
    np.testing.assert_array_equal(wide, finite.astype(np.float32))
    np.testing.assert_array_equal(np.signbit(wide), np.signbit(finite))


@given(st.integers(0, 50), st.integers(1, 9))
def test_in_turn_every_index_comes_once(n, size):
    pieces = list(in_turn(n, size))
    assert [int(index) for piece in pieces for index in piece] == list(range(n))
    assert all(len(piece) <= size for piece in pieces)


def test_mean_and_spread_are_the_textbook_ones_in_one_walk():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2 * CHUNK + 100, 3)) * [1, 1e-3, 5] + [0, 1e4, -3]
    X[CHUNK:, 2] += 9  # chunks that differ
    mean, spread = mean_and_spread(X)
    np.testing.assert_allclose(mean, X.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(spread, X.std(axis=0), rtol=1e-9)
    half = X[:, [0, 2]].astype(np.float16)
    with RowFile(2) as rows:
        rows.append(half)
        for found, expected in zip(mean_and_spread(rows), mean_and_spread(half), strict=True):
            np.testing.assert_array_equal(found, expected)
