"""What a recording shows: the file beside it, and each frame's own label."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import SourceError
from edge.frame import Frame
from edge.replay.truth import Span, Truth, read_truth


def read(tmp_path, content):
    path = tmp_path / "truth.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_truth(path)


@pytest.mark.parametrize(
    "text",
    [
        "start,end,label\n0.5,2,rock\n3,4.25,thumb up\n",
        '\ufeffStart, End, Label\r\n0.5, 2, rock\r\n\r\n3, 4.25, "thumb up"\r\n',
        "0.500000\t2.000000\trock\n\\\t100.0\t200.0\n3.000000\t4.250000\tthumb up\n",
        "start\tend\tlabel\n0.5\t2\trock\n3\t4.25\tthumb up",
        "\ufeffstart;end;label\r\n0,5;2;rock\r\n3;4,25;thumb up\r\n",
        "0,500000\t2,000000\trock\n3,000000\t4,250000\tthumb up\n",
        '"start","end","label"\n"0.5","2","rock"\n"3","4.25","thumb up"\n',
    ],
    ids=[
        "csv",
        "from Windows",
        "Audacity",
        "tabs",
        "Excel in German",
        "Audacity in German",
        "quotes",
    ],
)
def test_start_end_and_label_are_read(tmp_path, text):
    assert read(tmp_path, text) == [Span(0.5, 2, "rock"), Span(3, 4.25, "thumb up")]


def test_a_header_alone_says_that_nothing_is_shown(tmp_path):
    assert read(tmp_path, "start,end,label\n") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: not start,end,label"),
        ("1,2,rock\n", "line 1: not start,end,label; a truth file has a line start,end,label"),
        ("start,end,label\n1,2\n", "line 2: 2 fields"),
        ("start,end,label\n1,2,a,b\n", "line 2: 4 fields"),
        ("start,end,label\n1,2,rock\n\nx,3,rock\n", "line 4: start and end must be seconds"),
        ("start,end,label\n-1,2,rock\n", "line 2: starts at -1, before 0"),
        ("start,end,label\n1,3,rock\n2,4,palm\n", "line 3: starts at 2, before 3"),
        ("start,end,label\n2,2,rock\n", "line 2: ends at 2, which is not after"),
        ("start,end,label\n2,nan,rock\n", "line 2: ends at nan"),
        ("start,end,label\nnan,2,rock\n", "line 2: starts at nan"),
        ("start,end,label\n1,inf,rock\n", "line 2: ends at inf"),
        ("start,end,label\n1,2, \n", "line 2: the label is missing"),
        ("1\t2\n", "line 1: 2 fields"),
        ("1;2;rock\n", "line 1: not start,end,label"),
        ("start;end;label\n1.000,5;2;rock\n", "line 2: start and end must be seconds"),
        (b"start,end,label\n1,2,\xff\n", "not UTF-8 text at byte 20"),
    ],
)
def test_a_bad_line_is_named(tmp_path, text, said):
    with pytest.raises(SourceError) as caught:
        read(tmp_path, text)
    assert f"truth.csv: {said}" in str(caught.value)


@given(st.binary(max_size=60) | st.text(alphabet="0129.,\t\nrock-e\\", max_size=60))
def test_any_file_is_read_or_refused_in_one_line(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    head = b"start,end,label\n"
    path.write_bytes(head + (content if isinstance(content, bytes) else content.encode()))
    spans = []
    with suppress(SourceError):
        spans = read_truth(path)
    assert all(a.end <= b.start for a, b in pairwise(spans))


def test_each_frame_lies_in_its_span_or_in_none():
    truth = Truth(["rock", "palm"], [Span(1, 2, "rock"), Span(2, 3, "palm"), Span(9, 10, "rock")])
    got = [truth.of(Frame(None, time)) for time in (0, 1, 1.9, 2, 3, 4)]
    assert got == [(None, None), ("rock", 1), ("rock", 1), ("palm", 2), (None, None), (None, None)]
    assert truth.unmet == 1
    assert truth.known


def test_labels_that_the_model_lacks_are_counted_and_show_nothing():
    truth = Truth(["rock"])
    frames = [Frame(None, 0, "rok"), Frame(None, 1, "rok"), Frame(None, 2, "background")]
    assert [truth.of(frame)[0] for frame in frames] == [None, None, "background"]
    assert truth.unknown == {"rok": 2}


def test_frames_that_say_nothing_make_nothing_known():
    truth = Truth(["rock"])
    truth.of(Frame(None, 0))
    truth.of(Frame(None, 1, "elsewhere"))
    assert not truth.known
    truth.of(Frame(None, 2, "rock"))
    assert truth.known


def test_a_label_in_quotes_may_hold_the_separator(tmp_path):
    path = tmp_path / "truth.csv"
    path.write_text('start,end,label\n1,2,"rock, left"\n')
    assert [span.label for span in read_truth(path)] == ["rock, left"]
