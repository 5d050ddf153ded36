"""Which pictures are kept: those that would teach something, few, unlike each other, in memory."""

from __future__ import annotations

import http.client
import io
import sys
import threading
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import edge.cli
import edge.unsure
from edge.classifier import Classifier, Prediction
from edge.config import read_config
from edge.decider import Decider
from edge.device import Device, Project
from edge.errors import ConfigError
from edge.frame import Frame
from edge.loop import Step
from edge.page import Page, server
from edge.sources.opening import open_source
from edge.status import Status
from edge.unsure import APART, LASTS, Lot, Unsure

LABELS = ("background", "palm", "rock")
DECIDER = Decider(0.8, 0.6, novelty=5.0)
RATE = 30


def scene(seed=0, size=(48, 64)):
    """A picture unlike that of another seed."""
    blocks = np.random.default_rng(seed).integers(0, 255, (8, 8))
    rows, columns = np.arange(size[0]) * 8 // size[0], np.arange(size[1]) * 8 // size[1]
    return blocks[rows][:, columns, None].repeat(3, axis=2).astype(np.uint8)


def turn(now, confidence=0.7, *, novelty=1.0, image=None, trouble=None, label="rock"):
    shares = np.full(3, (1 - confidence) / 2, np.float32)
    shares[LABELS.index(label)] = confidence
    decision = SimpleNamespace(label=None, confidence=confidence)
    frame = Frame(scene() if image is None else image, now)
    prediction = Prediction(LABELS, shares, novelty, now)
    return Step(frame, prediction, decision, trouble, True, 0.01)


def show(unsure, seconds, start=0.0, **options):
    """Show a scene for some seconds; return when it ended."""
    for number in range(round(seconds * RATE)):
        unsure.see(turn(start + number / RATE, **options), DECIDER)
        unsure._settle()
    return start + seconds


def show_many(unsure, number, *, every=10.0, start=0.0):
    """Show that many different doubtful scenes, each for a second."""
    for seed in range(number):
        show(unsure, 1, start + every * seed, image=scene(seed))


# --- which


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"confidence": 0.7}, "70%, between leave and enter"),
        ({"confidence": 0.5}, "no label is likely, the best 50%"),
        ({"confidence": 0.99, "novelty": 6.0}, "like nothing taught"),
    ],
)
def test_what_the_device_is_unsure_about_is_kept_with_why(options, why):
    unsure = Unsure(50)
    show(unsure, 2, **options)
    (kept,) = unsure.lot().pictures
    assert (kept.label, kept.why) == ("rock", why)
    assert np.abs(np.asarray(Image.open(io.BytesIO(kept.jpeg)), int) - scene()).mean() < 3


@pytest.mark.parametrize(
    "options",
    [
        {"confidence": 0.95},
        {"confidence": 0.8},
        {"confidence": 0.5, "trouble": "the lens is covered"},
        {"confidence": 0.5, "trouble": "paused"},
    ],
)
def test_what_it_is_sure_about_or_cannot_see_is_not(options):
    unsure = Unsure(50)
    show(unsure, 30, **options)
    assert unsure.lot().pictures == []


def test_a_hand_on_its_way_is_no_lesson():
    unsure = Unsure(50)
    for second in range(10):
        show(unsure, LASTS / 2, second)
        show(unsure, 1 - LASTS / 2, second + LASTS / 2, confidence=0.95)
    assert unsure.lot().pictures == []


def test_a_scene_that_stays_is_one_picture():
    unsure = Unsure(50)
    rng = np.random.default_rng(1)
    for number in range(60 * 5):  # a minute, with a camera's noise and light that drifts
        noisy = scene().astype(float) * (1 - number / 6000) + rng.normal(0, 4, scene().shape)
        unsure.see(turn(number / 5, image=noisy.clip(0, 255).astype(np.uint8)), DECIDER)
        unsure._settle()
    assert len(unsure.lot().pictures) == 1


def test_a_hand_elsewhere_in_the_same_scene_is_another():
    unsure = Unsure(50)
    now = show(unsure, 2)
    moved = scene().copy()
    moved[:20, :20] = 255 - moved[:20, :20]
    show(unsure, 10, now, image=moved)
    assert len(unsure.lot().pictures) == 2


def test_pictures_are_not_of_the_same_second():
    unsure = Unsure(50)
    for number in range(RATE * 20):  # another scene at every frame
        unsure.see(turn(number / RATE, image=scene(number)), DECIDER)
        unsure._settle()
    ago = [kept.ago for kept in unsure.lot().pictures]
    assert 3 <= len(ago) <= 5
    assert min(np.diff(sorted(ago))) >= APART - 0.1


def test_times_are_seconds_ago():
    unsure = Unsure(50)
    show_many(unsure, 2, every=100.0)
    ago = [kept.ago for kept in unsure.lot().pictures]
    assert ago == pytest.approx([100.5, 0.5], abs=0.3)


def test_a_camera_whose_clock_begins_again_goes_on():
    unsure = Unsure(50)
    show(unsure, 2, 1e6)
    show(unsure, 2, 0.0, image=scene(1))
    assert len(unsure.lot().pictures) == 2


# --- how many


def test_there_are_never_more_than_was_said_and_they_are_spread_over_time():
    unsure = Unsure(10)
    show_many(unsure, 80)
    ago = [kept.ago for kept in unsure.lot().pictures]
    assert len(ago) == 10
    assert max(ago) > 700
    assert max(-np.diff(ago)) < 4 * 790 / 9


def test_a_burst_does_not_push_out_what_came_before():
    unsure = Unsure(10)
    show_many(unsure, 5, every=1000.0)
    show_many(unsure, 100, every=6.0, start=5000.0)
    ago = [kept.ago for kept in unsure.lot().pictures]
    assert sum(seconds > 590 for seconds in ago) == 5


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_few_are_the_newest_and_the_oldest(most):
    unsure = Unsure(most)
    show_many(unsure, 12)
    pictures = unsure.lot().pictures
    assert len(pictures) == most
    assert pictures[-1].number == 12


def test_bytes_are_bounded_as_well(monkeypatch):
    monkeypatch.setattr(edge.unsure, "MOST_BYTES", 20_000)
    unsure = Unsure(50)
    show_many(unsure, 30)
    pictures = unsure.lot().pictures
    assert 1 < len(pictures) < 30
    assert sum(len(kept.jpeg) for kept in pictures) <= 20_000


def test_a_large_picture_is_kept_smaller():
    unsure = Unsure(5)
    show(unsure, 1, image=scene(size=(1080, 1920)))
    (kept,) = unsure.lot().pictures
    assert Image.open(io.BytesIO(kept.jpeg)).size == (640, 360)


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (90, 1), (7, 5)])
def test_a_picture_of_any_shape_may_come(shape):
    unsure = Unsure(5)
    show(unsure, 1, image=np.full((*shape, 3), 90, np.uint8))
    assert len(unsure.lot().pictures) == 1


# --- what is given back


def test_what_somebody_has_is_forgotten_and_what_came_since_is_not():
    unsure = Unsure(50)
    show_many(unsure, 3)
    lot = unsure.lot()
    show(unsure, 1, 100.0, image=scene(99))
    assert unsure.forget(lot.ring, lot.pictures[-1].number) == 3
    (kept,) = unsure.lot().pictures
    assert kept.number == 4


def test_what_another_process_gave_forgets_nothing_here():
    unsure = Unsure(50)
    show_many(unsure, 3)
    assert unsure.forget(Unsure(50).lot().ring, 100) == 0
    assert len(unsure.lot().pictures) == 3


def test_without_pillow_nothing_is_kept_and_it_is_said_once(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "PIL", None)
    unsure = Unsure(50)
    show_many(unsure, 3)
    assert unsure.lot().pictures == []
    assert "python3-pil" in unsure.problem
    assert len(caplog.records) == 1


def test_the_loop_does_not_wait_for_the_encoding(monkeypatch):
    go = threading.Event()
    encode = edge.unsure._encode
    monkeypatch.setattr(edge.unsure, "_encode", lambda image: go.wait(20) and encode(image))
    unsure = Unsure(50)
    for number in range(RATE * 20):
        unsure.see(turn(number / RATE, image=scene(number)), DECIDER)
    go.set()
    assert len(unsure.lot().pictures) == 1


def test_a_picture_whose_memory_the_camera_takes_again_is_kept_as_it_was(monkeypatch):
    go = threading.Event()
    encode = edge.unsure._encode
    monkeypatch.setattr(edge.unsure, "_encode", lambda image: go.wait(20) and encode(image))
    unsure, image = Unsure(50), np.full((48, 64, 3), 200, np.uint8)
    for number in range(RATE):
        unsure.see(turn(number / RATE, image=image), DECIDER)
    image[:] = 0
    go.set()
    (kept,) = unsure.lot().pictures
    assert Image.open(io.BytesIO(kept.jpeg)).getpixel((5, 5))[0] > 190


def test_of_a_picture_its_jpeg_is_kept_and_no_pixel(monkeypatch):
    unsure = Unsure(50)
    show_many(unsure, 3)
    unsure.lot()
    images = [one.step.frame.image for one in unsure._kept]
    assert len(images) == 3
    assert all(image.base is None and image.nbytes == 0 for image in images)


# --- in the device


def test_it_is_off_unless_asked_for(project):
    assert read_config(project).keep.unsure == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("unsure = 201", "unsure"),
        ("unsure = -1", "unsure"),
        ("unsure = true", "unsure"),
        ('unsure = "50"', "without quotes"),
        ("unsur = 5", "did you mean 'unsure'"),
    ],
)
def test_a_mistake_is_named(project, text, says):
    project.write_text(f"[keep]\n{text}\n")
    with pytest.raises(ConfigError, match=f"keep.*{says}"):
        read_config(project)


def test_that_it_keeps_pictures_is_said(project):
    project.write_text("[keep]\nunsure = 50\n" + project.read_text())
    done = CliRunner().invoke(edge.cli.main, ["check", "--config", str(project)])
    assert "up to 50 pictures" in done.stderr


def device(project, clips):
    """Return a device that has run over the clips, none of which it is sure about."""
    device = Device(
        lambda: _unsure_project(project),
        lambda _: open_source(str(clips)),
        "mock",
    )
    device.run(lambda _step, _wiring: None)
    return device


def _unsure_project(path):
    config = read_config(path)
    project = Project.of(config, Classifier(config.model))
    project.decider.novelty = -1.0  # all is strange
    return project


def test_the_device_keeps_what_it_was_told_to(project, clips):
    assert device(project, clips).unsure is None
    project.write_text("[keep]\nunsure = 5\n" + project.read_text())
    kept = device(project, clips).unsure.lot().pictures
    assert 1 <= len(kept) <= 5


def test_nothing_of_it_is_in_the_status(project, clips):
    project.write_text("[keep]\nunsure = 5\n" + project.read_text())
    ran = device(project, clips)
    words = str(ran.status.report())
    assert "unsure" not in words
    assert len(words) < 2000


# --- on the page


@pytest.fixture
def kept():
    unsure = Unsure(50)
    show_many(unsure, 3)
    return unsure


@pytest.fixture
def page(kept, monkeypatch):
    monkeypatch.setattr(server, "WAKE", 0.02)
    pages = []

    def ask(path="/unsure", method="GET", **options):
        """Ask a page with these options."""
        headers = options.pop("headers", {})
        pages.append(Page(Status(), 0, kept=lambda: kept, **options))
        port = pages[-1]._server.server_port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    yield ask
    for one in pages:
        one.close()


TOKEN = "a token that nobody guesses"


def test_a_port_without_a_token_shows_none(page):
    assert page()[0] == 404


def test_a_port_with_a_token_wants_it(page):
    assert page(token=TOKEN)[0] == 401
    status, content = page(token=TOKEN, headers={"Authorization": f"Bearer {TOKEN}"})
    assert status == 200
    assert len(msgspec.msgpack.decode(content, type=Lot).pictures) == 3


@pytest.mark.parametrize("query", ["", "a=1&b=2&c=3", "&" * 99, "ring=&until=x", "until=9"])
def test_a_query_that_makes_no_sense_takes_nothing_away(kept, query):
    page = Page(Status(), 0, kept=lambda: kept)
    try:
        assert page.forget(query)[0] in {200, 404}
    finally:
        page.close()
    assert len(kept.lot().pictures) == 3


def test_through_a_port_nothing_is_taken_away(page, kept):
    lot = kept.lot()
    status, _ = page(
        f"/unsure?ring={lot.ring}&until=3", "DELETE",
        token=TOKEN, headers={"Authorization": f"Bearer {TOKEN}"},
    )  # fmt: skip
    assert status == 405
    assert len(kept.lot().pictures) == 3
