"""Splits and folds: a session is never cut in two, and no label is unlearnable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainer.dataset import Dataset, Picture
from trainer.splits import folds

PICTURES = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("12345678")), min_size=1, max_size=60
)


def dataset(pairs):
    return Dataset(Path(), [Picture(Path(str(i)), *pair) for i, pair in enumerate(sorted(pairs))])


@given(PICTURES, st.integers(0, 3))
def test_a_session_is_wholly_in_one_fold(pairs, seed):
    data = dataset(pairs)
    where = folds(data, seed=seed)
    for session in {picture.session for picture in data.pictures}:
        mine = {int(f) for f, p in zip(where, data.pictures, strict=True) if p.session == session}
        assert len(mine) == 1


@given(PICTURES, st.integers(0, 3))
def test_what_a_fold_holds_is_still_shown_by_the_others(pairs, seed):
    data = dataset(pairs)
    where = folds(data, seed=seed)
    labels = np.array([picture.label for picture in data.pictures])
    for fold in set(where.tolist()) - {-1}:
        assert set(labels[where == fold]) <= set(labels[where != fold])


@given(PICTURES)
def test_there_are_at_most_as_many_folds_as_asked_for(pairs):
    assert folds(dataset(pairs), most=3).max() < 3


def test_few_sessions_are_left_out_one_by_one():
    data = dataset([(label, session) for label in "ab" for session in "123" for _ in range(4)])
    where = folds(data)
    assert sorted(set(where.tolist())) == [0, 1, 2]
    assert all((where == fold).sum() == 8 for fold in range(3))


def test_folds_are_about_equal_and_so_are_their_labels():
    data = dataset([(label, f"{n}{label}") for label in "abc" for n in range(20)])
    where = folds(data)
    labels = np.array([picture.label for picture in data.pictures])
    counts = [[((where == f) & (labels == label)).sum() for label in "abc"] for f in range(5)]
    assert np.ptp(counts) <= 1


def test_a_labels_only_session_is_never_held_out():
    data = dataset([("a", "1"), ("a", "2"), ("b", "3")])
    where = dict(zip([p.session for p in data.pictures], folds(data).tolist(), strict=True))
    assert where["3"] == -1
    assert sorted((where["1"], where["2"])) == [0, 1]


def test_where_only_background_or_few_labels_could_be_held_out_nothing_is():
    once = [(label, "1") for label in "abcde"]
    empty = [("background", session) for session in "2345"]
    assert set(folds(dataset([*once, *empty])).tolist()) == {-1}
    one_of_five = [*once, ("a", "6")]
    assert set(folds(dataset(one_of_five)).tolist()) == {-1}
    three_of_five = [*once, ("a", "6"), ("b", "6"), ("c", "6")]
    assert set(folds(dataset(three_of_five)).tolist()) > {-1}
