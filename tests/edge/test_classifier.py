"""The classifier: a real, freshly taught model, and everything that is not one."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import threading
import time
from itertools import count

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser
from onnx.external_data_helper import set_external_data

from edge import classifier as classifiers
from edge.card import CARD_KEY, GOLDEN_KEY
from edge.classifier import Classifier
from edge.errors import ModelError
from edge.frame import Frame
from edge.seal import seal

LABELS = ("background", "palm", "rock")
SEAL = len(seal(b""))  # bytes, the file's last


@pytest.fixture(scope="module")
def loaded(taught):
    return Classifier(taught.path)


@pytest.fixture
def refuse(tmp_path, capfd):
    """Write bytes as a model file; return the one line that refuses them."""

    def refuse(content):
        path = tmp_path / "bad.onnx"
        path.write_bytes(content if isinstance(content, bytes) else sealed(content))
        with pytest.raises(ModelError) as caught:
            Classifier(path)
        text = str(caught.value)
        assert text.startswith(f"{path}: ")
        assert "\n" not in text
        assert capfd.readouterr() == ("", ""), "onnxruntime prints nothing of its own"
        return text.removeprefix(f"{path}: ")

    return refuse


def sealed(model):
    """The model as a file that nothing has happened to since."""
    return seal(model.SerializeToString())


def with_metadata(content, **changes):
    """The model with its card's or golden frames' text changed by a function."""
    model = onnx.load_model_from_string(content)
    for entry in model.metadata_props:
        change = changes.get(entry.key.removeprefix("handwave."))
        if change is not None:
            entry.value = change(entry.value)
    return model


ENDLESS = """
    turns = Constant <value_int = 9223372036854775807> ()
    go = Constant <value = bool {1}> ()
    nought = Constant <value_float = 0.0> ()
    much = Loop (turns, go, nought) <body = again (int64 i, bool on, float a)
        => (bool still, float b)
    {
        still = Identity (on)
        one = Constant <value_float = 1.0> ()
        b = Add (a, one)
    }>
"""


def novelty_from(content, much):
    """The model with something more in it: a text that makes `much`, which is added to novelty."""
    model = onnx.load_model_from_string(content)
    more = parser.parse_graph(f"more () => (float much) {{ {much} }}")
    for node in model.graph.node:
        node.output[:] = ["novelty_alone" if name == "novelty" else name for name in node.output]
    model.graph.node.extend(more.node)
    model.graph.node.append(helper.make_node("Add", ["novelty_alone", "much"], ["novelty"]))
    return model


def edited_card(content, edit):
    def change(text):
        card = json.loads(text)
        edit(card)
        return json.dumps(card)

    return with_metadata(content, card=change)


# --- A good model


@pytest.mark.parametrize("label", LABELS)
def test_it_tells_pictures_apart_that_it_has_not_seen(loaded, label, pattern):
    prediction = loaded.predict(Frame(pattern(label, 777), 12.5))
    assert prediction.label == label
    assert prediction.time == 12.5
    assert prediction.labels == LABELS == loaded.labels
    assert prediction.probabilities.dtype == np.float32
    assert prediction.probabilities.shape == (3,)
    assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert prediction.confidence == pytest.approx(prediction.probabilities.max())
    assert isinstance(prediction.novelty, float)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (3, 900), (48, 64), (480, 640)])
def test_any_size_of_picture_is_taken(loaded, size):
    prediction = loaded.predict(Frame(np.full((*size, 3), 90, np.uint8), 0.0))
    assert np.isfinite(prediction.probabilities).all()
    assert np.isfinite(prediction.novelty)


def test_a_larger_picture_of_the_same_is_the_same(loaded, pattern):
    small = pattern("rock", 3)
    large = small.repeat(5, axis=0).repeat(5, axis=1)
    one, other = (loaded.predict(Frame(image, 0.0)).probabilities for image in (small, large))
    np.testing.assert_allclose(one, other, atol=0.02)


def test_a_view_into_a_larger_array_is_read_right(loaded, pattern):
    image = pattern("palm", 5)
    mirrored = image[:, ::-1]
    assert not mirrored.flags.c_contiguous
    expected = loaded.predict(Frame(mirrored.copy(), 0.0)).probabilities
    np.testing.assert_array_equal(loaded.predict(Frame(mirrored, 0.0)).probabilities, expected)
    assert loaded.predict(Frame(mirrored, 0.0)).label == "rock"


def test_predicting_does_not_touch_the_picture(loaded, pattern):
    image = pattern("rock")
    image.flags.writeable = False
    loaded.predict(Frame(image, 0.0))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 0, 3), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ],
)
def test_what_is_no_picture_is_one_line(loaded, image):
    with pytest.raises(ModelError, match=r"cannot run: [^\n]+$"):
        loaded.predict(Frame(image, 0.0))


def test_golden_frames_are_tried_two_at_a_time(taught, monkeypatch):
    together, numbers = threading.Barrier(2), count()
    answers = Classifier.run

    def run(self, image):
        if next(numbers) < 2:
            together.wait(timeout=10)  # fails where nobody else comes
        return answers(self, image)

    monkeypatch.setattr(Classifier, "run", run)
    assert len(Classifier(taught.path).card.golden) == next(numbers) > 1


def test_something_never_seen_is_stranger_than_what_was_taught(loaded, pattern):
    stripes = np.zeros((48, 64, 3), np.uint8)
    stripes[::2] = 255
    strange = loaded.predict(Frame(stripes.repeat(3, 0), 0.0)).novelty
    known = max(loaded.predict(Frame(pattern(label, 9), 0.0)).novelty for label in LABELS)
    assert strange > known


def test_the_model_may_live_in_a_folder_with_any_name(taught, tmp_path):
    folder = tmp_path / "Händer & [mine] 🖐"
    folder.mkdir()
    (folder / "m.onnx").write_bytes(taught.content)
    assert Classifier(str(folder / "m.onnx")).labels == LABELS


def test_onnxruntime_is_told_not_to_report_before_it_is_imported():
    code = (
        "import builtins, os, sys\n"
        "real = builtins.__import__\n"
        "def spy(name, *rest):\n"
        "    if name == 'onnxruntime' and name not in sys.modules:\n"
        "        print('told', os.environ.get('ORT_DISABLE_TELEMETRY'))\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = spy\n"
        "from edge.classifier import open_session\n"
        "try: open_session(b'', 'x')\n"
        "except Exception as problem: print(type(problem).__name__)\n"
    )
    clean = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=clean
    )
    assert done.stdout.split() == ["told", "1", "ModelError"]


# --- No file, or no model


def test_a_missing_model_says_how_to_make_one(tmp_path):
    with pytest.raises(ModelError, match=r"none.onnx: no such model; make one with: trainer train"):
        Classifier(tmp_path / "none.onnx")


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(ModelError, match="cannot be read: Is a directory"):
        Classifier(tmp_path)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_names_that_no_file_can_have(name):
    with pytest.raises(ModelError, match="cannot be read"):
        Classifier(name)


def test_a_file_without_end_is_not_read_through(monkeypatch):
    monkeypatch.setattr(classifiers, "MAX_MODEL_BYTES", 2_000_000)
    with pytest.raises(ModelError, match="/dev/zero: larger than 2000 kB, this is no model"):
        Classifier("/dev/zero")


def test_a_named_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=r"model\.onnx: a named pipe, this is no model"):
        Classifier(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"{}", b"\x89PNG\r\n\x1a\n", random.Random(0).randbytes(4000), b"PK\x03\x04" * 9],
)
def test_bytes_that_are_no_model(refuse, content):
    assert refuse(content).startswith("not a model that runs here: ")


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.999])
def test_a_truncated_model(refuse, taught, share):
    refuse(taught.content[: int(len(taught.content) * share)])


@pytest.mark.parametrize("lost", [1, SEAL - 1, SEAL, SEAL + 1, 512])
def test_a_model_that_lacks_its_last_bytes(refuse, taught, tmp_path, lost):
    """Without exactly its seal it is whole; with less it is no model."""
    if lost != SEAL:
        refuse(taught.content[:-lost])
        return
    path = tmp_path / "unsealed.onnx"
    path.write_bytes(taught.content[:-lost])
    assert Classifier(path).labels == LABELS


@pytest.mark.parametrize("place", range(40))
def test_a_flipped_bit_anywhere_is_refused(refuse, taught, place):
    rng, content = random.Random(place), bytearray(taught.content)
    start, end = (n * (len(content) - SEAL) // 40 for n in (place, place + 1))
    content[rng.randrange(start, end)] ^= 1 << rng.randrange(8)
    assert "damaged" in refuse(bytes(content))


def test_a_flipped_bit_in_the_seal_itself_is_refused_or_harmless(taught, tmp_path, capfd):
    path, refused = tmp_path / "flip.onnx", []
    for bit in range(0, SEAL * 8, 3):
        content = bytearray(taught.content)
        content[-1 - bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        try:
            assert Classifier(path).card == taught.card
        except ModelError as problem:
            refused.append(str(problem))
    assert len(refused) >= 8 * 8 // 3, "whatever bit of the checksum"
    assert not any("\n" in line for line in refused)
    assert capfd.readouterr() == ("", "")


def test_a_model_of_an_older_trainer_has_no_seal_and_is_checked_all_the_same(
    taught, tmp_path, capfd, pattern
):
    rng, path, refused = random.Random(4), tmp_path / "flip.onnx", []
    sound, unsealed = Classifier(taught.path), taught.content[:-SEAL]
    images = [pattern(label, 50) for label in LABELS]
    for _ in range(60):
        content = bytearray(unsealed)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        try:
            flipped = Classifier(path)
        except ModelError as problem:
            refused.append(str(problem))
            continue
        for image in images:
            there, here = (model.run(image)[0] for model in (sound, flipped))
            np.testing.assert_allclose(here, there, atol=0.02)
    assert len(refused) > 10
    assert not any("\n" in line for line in refused)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("text", [CARD_KEY, GOLDEN_KEY, '"labels"', "image"])
def test_text_that_is_no_utf8(refuse, taught, text):
    content = bytearray(taught.content)
    content[content.index(text.encode()) + 1] ^= 0x80
    refuse(seal(bytes(content)))


# --- ONNX, but not ours


def add_graph(extra=""):
    return parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]>\n'
        f"foreign (float[n] x) => (float[n] y) {{ {extra} y = Add (x, x) }}"
    )


def test_a_foreign_model_has_no_card(refuse):
    assert "not handwave's (it has no card)" in refuse(add_graph())


def test_a_foreign_model_with_our_card_has_other_inputs(refuse, taught):
    model = add_graph()
    ours = onnx.load_model_from_string(taught.content)
    model.metadata_props.extend(ours.metadata_props)
    assert refuse(model) == "its inputs or outputs are not a handwave model's"


def test_an_operator_that_nobody_has(refuse):
    model = add_graph()
    model.graph.node[0].op_type = "Teleport"
    assert refuse(model).startswith("not a model that runs here: ")


@pytest.mark.parametrize("field", ["ir_version", "opset"])
def test_a_model_from_the_future(refuse, taught, field):
    model = onnx.load_model_from_string(taught.content)
    if field == "opset":
        model.opset_import[0].version = 999
    else:
        model.ir_version = 999
    assert refuse(model).startswith("not a model that runs here: ")


@pytest.mark.parametrize("where", ["weights.bin", "../weights.bin", "/etc/passwd", "{absolute}"])
def test_weights_in_another_file_are_refused(refuse, taught, tmp_path, monkeypatch, where):
    model = onnx.load_model_from_string(taught.content)
    weights = next(i for i in model.graph.initializer if i.name.endswith("W1"))
    raw = numpy_helper.to_array(weights).tobytes()
    (tmp_path / "inside").mkdir()
    for folder in (tmp_path, tmp_path / "inside"):
        (folder / "weights.bin").write_bytes(raw)
    monkeypatch.chdir(tmp_path / "inside")
    set_external_data(weights, where.format(absolute=tmp_path / "weights.bin"))
    weights.ClearField("raw_data")
    weights.ClearField("float_data")
    refuse(model)


# --- A model that is one, and no good: the machine must not suffer


def test_a_loop_without_end_is_ended(refuse, taught, monkeypatch):
    monkeypatch.setattr(classifiers, "TRIAL_SECONDS", 0.2)
    line = refuse(novelty_from(taught.content, ENDLESS))
    assert line.startswith("its golden frames take more than 0.2 s here; ")


@pytest.mark.skipif(sys.platform == "win32", reason="Unix's signals")
def test_a_signal_ends_the_trial_of_a_loop_without_end_at_once(taught, tmp_path):
    path = tmp_path / "endless.onnx"
    path.write_bytes(seal(novelty_from(taught.content, ENDLESS).SerializeToString()))
    code = (
        "import os, signal, sys, threading\n"
        "from edge.classifier import Classifier\n"
        "from edge.service import until_stopped\n"
        "with until_stopped():\n"
        "    threading.Timer(1, os.kill, [os.getpid(), signal.SIGTERM]).start()\n"
        "    Classifier(sys.argv[1])\n"
    )
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=60)
    assert time.monotonic() - began < 10  # a trial may take 20


def test_threads_that_find_no_memory_are_a_model_s_fault(refuse, taught, monkeypatch):
    def start(_self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Timer, "start", start)
    assert refuse(taught.content).startswith("needs more memory than a model may (can't start new")


@pytest.mark.parametrize("numbers", [2**30, 2**40, 2**62])
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory")
def test_a_model_that_wants_gigabytes_is_refused(refuse, taught, numbers):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kB
    huge = f"""
        n = Constant <value_ints = [{numbers}]> ()
        ones = ConstantOfShape <value = float[1] {{1.0}}> (n)
        much = ReduceSum <keepdims = 0> (ones)
    """
    refuse(novelty_from(taught.content, huge))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 1_000_000
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY


def test_a_weight_that_says_it_is_huge(refuse, taught):
    model = onnx.load_model_from_string(taught.content)
    weights = next(i for i in model.graph.initializer if i.name.endswith("W1"))
    weights.dims[:] = [2**40, 2**20]
    refuse(model)


# --- A card or golden frames that do not fit


def test_a_newer_card_is_said_to_be_newer(refuse, taught):
    line = refuse(edited_card(taught.content, lambda card: card.update(format=2, more=1)))
    assert line == "the card has format 2, this edge reads 1; update handwave here"


def test_a_card_with_other_labels_does_not_fit_the_answers(refuse, taught):
    def edit(card):
        card["labels"].append("extra")
        for golden in card["golden"]:
            golden["probabilities"].append(0.0)

    assert "disagrees with its golden frame" in refuse(edited_card(taught.content, edit))


@pytest.mark.parametrize("off", [0.0011, -0.0011, 0.5])
def test_a_probability_beyond_the_tolerance_is_refused(refuse, taught, off):
    def edit(card):
        card["golden"][1]["probabilities"][0] += off

    line = refuse(edited_card(taught.content, edit))
    assert line.startswith("disagrees with its golden frame of 'palm' by ")
    assert line.endswith("(at most 0.001); send or train it again")


def test_a_novelty_that_is_no_number_is_refused(refuse, taught):
    nowhere = """
        nothing = Constant <value_float = 0.0> ()
        much = Div (nothing, nothing)"""
    assert "disagrees with its golden frame" in refuse(novelty_from(taught.content, nowhere))


def test_a_probability_within_the_tolerance_is_rounding(taught, tmp_path):
    def edit(card):
        card["golden"][1]["probabilities"][0] += 0.0008

    path = tmp_path / "m.onnx"
    path.write_bytes(sealed(edited_card(taught.content, edit)))
    Classifier(path)


def test_another_novelty_is_refused(refuse, taught):
    def edit(card):
        card["golden"][0]["novelty"] += 1 + card["golden"][0]["novelty"]

    assert "disagrees" in refuse(edited_card(taught.content, edit))


@pytest.mark.parametrize("text", ["", "AAAA", "x"])
def test_damaged_golden_frames_are_refused(refuse, taught, text):
    model = with_metadata(taught.content, golden=lambda _: text)
    assert refuse(model) == "its golden frames are damaged; send or train it again"


def test_changed_weights_are_found_by_the_golden_frames(refuse, taught):
    model = onnx.load_model_from_string(taught.content)
    weights = next(i for i in model.graph.initializer if i.name.endswith("W2"))
    weights.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weights), weights.name))
    assert "disagrees with its golden frame" in refuse(model)


def test_a_model_that_answers_with_no_number_is_refused(refuse, taught):
    model = onnx.load_model_from_string(taught.content)
    bias = next(i for i in model.graph.initializer if i.name.endswith("b2"))
    bias.CopyFrom(numpy_helper.from_array(np.full(3, np.nan, np.float32), bias.name))
    assert "disagrees with its golden frame" in refuse(model)


def test_a_model_that_fails_on_its_golden_frame_is_refused(refuse, taught):
    model = onnx.load_model_from_string(taught.content)
    model.graph.initializer.append(helper.make_tensor("seven", TensorProto.INT64, [1], [7]))
    reshape = next(node for node in model.graph.node if node.op_type == "Reshape")
    reshape.input[1] = "seven"
    refuse(model)


# --- A model that hands something on from frame to frame


def counting(content, *, told=1, given=1):
    """The model with a state that counts frames, and is added to the novelty."""
    model = onnx.load_model_from_string(content)
    graph = model.graph
    for node in graph.node:
        node.output[:] = ["novelty_alone" if name == "novelty" else name for name in node.output]
    graph.initializer.append(numpy_helper.from_array(np.zeros(given, np.float32), "state"))
    graph.initializer.append(numpy_helper.from_array(np.float32(1), "one_more"))
    graph.input.append(helper.make_tensor_value_info("state", TensorProto.FLOAT, [given]))
    graph.output.append(helper.make_tensor_value_info("next_state", TensorProto.FLOAT, [given]))
    graph.node.extend(
        [
            helper.make_node("Add", ["state", "one_more"], ["next_state"]),
            helper.make_node("ReduceMax", ["state"], ["count"], keepdims=0),
            helper.make_node("Add", ["novelty_alone", "count"], ["novelty"]),
        ]
    )
    return edited_card(model.SerializeToString(), lambda card: card.update(state=told))


@pytest.fixture
def counter(taught, tmp_path, pattern):
    """What a counting model says to frames at these times: how many came before."""
    path = tmp_path / "counting.onnx"
    path.write_bytes(sealed(counting(taught.content)))
    loaded, image = Classifier(path), pattern("rock", 1)
    alone = loaded.run(image)[1]

    def count(*times):
        return [round(loaded.predict(Frame(image, time)).novelty - alone) for time in times]

    count.loaded, count.image, count.alone = loaded, image, alone
    return count


def test_a_state_is_handed_on_from_frame_to_frame(counter):
    assert counter(5.0, 5.1, 5.2, 6.2) == [0, 1, 2, 3]


def test_a_new_stream_starts_without_a_state(counter):
    assert counter(5.0, 5.1, 6.5, 6.6) == [0, 1, 0, 1], "after a pause"
    assert counter(0.0, 0.1, 0.1, 0.05) == [0, 1, 0, 0], "time that stands still or goes back"


def test_a_picture_by_itself_neither_has_nor_leaves_a_state(counter):
    counter(5.0, 5.1)
    assert counter.loaded.run(counter.image)[1] == counter.alone
    assert counter(5.2) == [2]


@pytest.mark.parametrize(("told", "given"), [(0, 1), (2, 1), (1, 2)])
def test_a_state_other_than_the_cards_is_refused(taught, refuse, told, given):
    assert "inputs or outputs" in refuse(counting(taught.content, told=told, given=given))


def test_a_card_with_a_state_wants_a_model_with_one(taught, refuse):
    assert "inputs or outputs" in refuse(edited_card(taught.content, lambda c: c.update(state=6)))
