"""The seal finds damage, and is no hindrance to anybody."""

from __future__ import annotations

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ModelError
from edge.seal import SEAL_KEY, check_seal, seal


@given(st.binary(max_size=200))
def test_what_is_sealed_is_whole(content):
    assert check_seal(seal(content), "m.onnx")
    assert seal(seal(content)) == seal(content)
    assert seal(content).startswith(content)


@given(st.binary(min_size=1, max_size=200), st.data())
def test_any_change_is_found(content, data):
    sealed = bytearray(seal(content))
    place = data.draw(st.integers(0, len(content) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ModelError, match=r"^m\.onnx: damaged, [^\n]*; send or train it again$"):
        check_seal(bytes(sealed), "m.onnx")


@pytest.mark.parametrize("content", [b"", b"x", bytes(100)])
def test_what_was_never_sealed_is_not_called_damaged(content):
    assert not check_seal(content, "m.onnx")


def test_to_everybody_else_it_is_one_more_entry_of_metadata(taught):
    model = onnx.load(taught.path)
    assert model.metadata_props[-1].key == SEAL_KEY
    assert len(model.metadata_props[-1].value) == 8
    assert model.SerializeToString() == taught.content, "reading and writing leaves it whole"
