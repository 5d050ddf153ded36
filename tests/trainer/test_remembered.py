"""A choice of features is remembered as long as the pictures are nearly the same."""

from __future__ import annotations

import shutil

import trainer.choose
import trainer.recipe
from trainer.cache import FeatureCache
from trainer.dataset import read_dataset
from trainer.features import make_features
from trainer.recipe import teach


def test_a_picture_more_needs_no_new_comparison_and_a_session_more_does(
    make_data, quick, tmp_path, monkeypatch
):
    root = make_data(labels=("fist", "palm"), sessions=3, pictures=4)
    kinds = [make_features("pixels"), make_features("edges")]
    compared = []

    def spy(described, kinds, *arguments, **options):
        compared.append([kind.name for kind in kinds])
        return trainer.choose.choose(described, kinds, *arguments, **options)

    monkeypatch.setattr(trainer.recipe, "choose", spy)

    def again():
        with FeatureCache(tmp_path / "features.sqlite") as cache:
            return teach(read_dataset(root), kinds, hidden=4, cache=cache)

    first = again()
    shutil.copy(root / "fist" / "s0" / "0.jpg", root / "fist" / "s0" / "99.jpg")
    second = again()
    assert compared == [["pixels", "edges"], [first.features.name]]
    assert second.candidates == first.candidates
    assert "24 pictures" in second.why
    assert "most of these" in second.why
    (root / "fist" / "s9").mkdir()  # a small one: pictures alone would not tell
    shutil.copy(root / "fist" / "s0" / "1.jpg", root / "fist" / "s9" / "99.jpg")
    again()
    assert compared[-1] == ["pixels", "edges"]


def test_where_nothing_is_new_the_same_accuracy_is_told(make_data, quick, tmp_path, monkeypatch):
    root = make_data(labels=("fist", "palm"), sessions=6, pictures=2)
    kinds = [make_features("pixels"), make_features("edges")]

    def again():
        with FeatureCache(tmp_path / "features.sqlite") as cache:
            return teach(read_dataset(root), kinds, hidden=4, cache=cache)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.choose, "_honest", lambda *_: 0.25)  # luck helped the winner
        first = again()
    second = again()
    assert second.recalled
    assert second.why == "chosen when these 24 pictures were measured"
    assert first.held_out.accuracy == second.held_out.accuracy == 0.25
    assert first.held_out.folds.tolist() == second.held_out.folds.tolist()
    assert len(set(second.held_out.folds.tolist())) == 5


def test_a_picture_that_became_unreadable_does_not_stop_recalling(make_data, quick, tmp_path):
    root = make_data(labels=("fist", "palm"), sessions=3, pictures=4)
    kinds = [make_features("pixels"), make_features("edges")]
    with FeatureCache(tmp_path / "features.sqlite") as cache:
        teach(read_dataset(root), kinds, hidden=4, cache=cache)
        (root / "fist" / "s0" / "99.jpg").symlink_to(tmp_path / "gone")
        again = teach(read_dataset(root), kinds, hidden=4, cache=cache)
    assert again.recalled
    assert len(again.described.unreadable) == 1
