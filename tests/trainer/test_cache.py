"""The cache: what was computed is found again, and nothing else; without it all still works."""

from __future__ import annotations

import numpy as np
import pytest

import trainer.cache
from trainer.cache import FeatureCache, cache_folder, digest

ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_rows_come_back_as_they_were(tmp_path):
    path = tmp_path / "deep" / "features.sqlite"
    with FeatureCache(path) as cache:
        cache.put(digest(b"a"), ROWS, (64, 48))
    with FeatureCache(path) as cache:
        rows, size = cache.get(digest(b"a"))
        assert cache.get(digest(b"b")) is None
    np.testing.assert_array_equal(rows, ROWS)
    assert rows.dtype == np.float32
    assert size == (64, 48)


def test_each_row_is_kept_at_once_and_another_training_is_not_in_the_way(tmp_path):
    path = tmp_path / "features.sqlite"
    with FeatureCache(path) as one, FeatureCache(path) as other:
        for number in range(20):
            one.put(digest(f"one {number}"), ROWS, (1, 1))
            other.put(digest(f"other {number}"), ROWS, (1, 1))
            assert other.get(digest(f"one {number}")) is not None
            assert one.get(digest(f"other {number}")) is not None


def test_a_name_that_is_no_utf_8_has_a_digest_too():
    assert digest("caf\udce9") == digest(b"caf\xe9")


def test_parts_of_a_digest_do_not_run_into_each_other():
    assert digest(b"ab", b"c") != digest(b"a", b"bc")
    assert digest("a") == digest(b"a")


@pytest.mark.parametrize("damage", [b"", b"no database at all, but long enough to be looked at"])
def test_a_damaged_file_breaks_nothing(tmp_path, damage):
    path = tmp_path / "features.sqlite"
    path.write_bytes(damage)
    with FeatureCache(path) as cache:
        cache.put(digest(b"a"), ROWS, (1, 1))
        cache.get(digest(b"a"))


def test_a_folder_that_cannot_be_made_keeps_nothing(tmp_path):
    (tmp_path / "file").touch()
    with FeatureCache(tmp_path / "file" / "features.sqlite") as cache:
        cache.put(digest(b"a"), ROWS, (1, 1))
        assert cache.get(digest(b"a")) is None


def test_the_oldest_go_when_it_grows_too_large(tmp_path, monkeypatch):
    path = tmp_path / "features.sqlite"
    monkeypatch.setattr(trainer.cache, "MAX_BYTES", 100_000)
    big = np.zeros((10, 1000), np.float32)
    with FeatureCache(path) as cache:
        for number in range(10):
            cache.put(digest(str(number)), big, (1, 1))
    with FeatureCache(path) as cache:
        kept = [number for number in range(10) if cache.get(digest(str(number))) is not None]
    assert kept
    assert kept[-1] == 9
    assert 0 not in kept


def test_the_folder_can_be_moved(tmp_path, monkeypatch):
    monkeypatch.setenv("HANDWAVE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
