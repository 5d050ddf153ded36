"""The decider: steady decisions from shaky frames, and none that the figures do not carry."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.classifier import Prediction
from edge.decider import Decider
from edge.frame import GAP
from edge.outputs import Outputs

LABELS = ("background", "palm", "rock")
ENTER, LEAVE = 0.7, 0.5


def seen(label, time, confidence=0.9, novelty=0.0):
    """A prediction with the rest shared out evenly."""
    probabilities = np.full(3, (1 - confidence) / 2, np.float32)
    probabilities[LABELS.index(label)] = confidence
    return Prediction(LABELS, probabilities, novelty, time)


def decide(decider, frames):
    """Run `(label, time, *rest)` tuples; return the decided labels."""
    return [decider.update(seen(*frame)).label for frame in frames]


def shown(label, start, seconds, *rest, rate=10):
    return [(label, start + n / rate, *rest) for n in range(round(seconds * rate))]


def test_a_gesture_is_decided_after_its_hold_and_not_before():
    decider = Decider(ENTER, LEAVE, window=0, hold=0.2)
    assert decide(decider, shown("rock", 0, 0.5)) == [None, None, "rock", "rock", "rock"]


def test_the_hold_ends_on_the_frame_where_float_sums_fall_just_short():
    decider = Decider(ENTER, LEAVE, window=0, hold=0.3)
    times = [5.1, 5.2, 5.1 + 0.3 - 1e-12]
    assert decide(decider, [("rock", t) for t in times])[-1] == "rock"


def test_without_a_hold_the_first_sure_frame_decides():
    assert decide(Decider(ENTER, LEAVE, hold=0), [("rock", 0.0)]) == ["rock"]


@pytest.mark.parametrize("hold", [0.01, 0.2, 5.0])
def test_a_single_frame_never_triggers_with_a_hold(hold):
    decider = Decider(ENTER, LEAVE, window=0, hold=hold)
    frames = [
        *shown("background", 0, 1),
        ("rock", 1.0),
        *shown("background", 1.1, 8),
    ]
    assert "rock" not in decide(decider, frames)


def test_a_doubtful_frame_starts_the_hold_again():
    decider = Decider(ENTER, LEAVE, window=0, hold=0.2)
    frames = [("rock", 0.0), ("rock", 0.1), ("rock", 0.2, 0.6), ("rock", 0.3), ("rock", 0.4)]
    assert decide(decider, frames) == [None] * 5
    assert decide(decider, [("rock", 0.5)]) == ["rock"]


def test_another_label_starts_the_hold_again():
    decider = Decider(ENTER, LEAVE, window=0, hold=0.2)
    frames = [("rock", 0.0), ("palm", 0.1), ("rock", 0.2), ("palm", 0.3), ("rock", 0.4)]
    assert decide(decider, frames) == [None] * 5


def test_between_the_thresholds_a_decision_stays_but_none_begins():
    decider = Decider(ENTER, LEAVE, window=0, hold=0)
    assert decide(decider, [("rock", 0.0, 0.6)]) == [None]
    frames = [("rock", 0.1, 0.75), ("rock", 0.2, 0.55), ("rock", 0.3, 0.5), ("rock", 0.4, 0.49)]
    assert decide(decider, frames) == ["rock", "rock", "rock", None]


def test_the_thresholds_themselves_are_inside():
    decider = Decider(0.75, 0.5, window=0, hold=0)  # exact in float32
    assert decide(decider, [("rock", 0.0, 0.75), ("rock", 0.1, 0.5)]) == ["rock", "rock"]


def test_the_window_rides_over_one_shaky_frame():
    frames = [*shown("rock", 0, 0.5), ("rock", 0.5, 0.1), ("rock", 0.6)]
    assert decide(Decider(ENTER, LEAVE, window=0.3, hold=0), frames) == ["rock"] * 7
    assert decide(Decider(ENTER, LEAVE, window=0, hold=0), frames)[5] is None


def test_the_confidence_is_the_mean_over_the_window():
    decider = Decider(ENTER, LEAVE, window=0.3, hold=0)
    for number, confidence in enumerate([0.1, 0.6, 0.8, 1.0]):  # the first has left the window
        decision = decider.update(seen("rock", number / 10, confidence))
    assert decision.confidence == pytest.approx(0.8)


def test_a_window_shorter_than_the_frame_rate_still_has_the_newest_frame():
    decider = Decider(ENTER, LEAVE, window=0.01, hold=0.2)
    assert decide(decider, shown("rock", 0, 3, rate=2))[-1] == "rock"


def test_a_gesture_that_ended_waits_for_its_cooldown():
    decider = Decider(ENTER, LEAVE, window=0, hold=0, cooldown=0.5)
    frames = [("rock", 0.0), ("background", 0.1), *shown("rock", 0.2, 0.6)]
    got = decide(decider, frames)  # it ended at 0.1, so 0.6 is the first time it may begin
    assert got == ["rock", "background", None, None, None, None, "rock", "rock"]


def test_the_cooldown_of_one_gesture_does_not_hold_up_another():
    decider = Decider(ENTER, LEAVE, window=0, hold=0, cooldown=5)
    frames = [("rock", 0.0), ("palm", 0.1), ("rock", 0.2)]
    assert decide(decider, frames) == ["rock", "palm", None]


def test_background_has_no_cooldown():
    decider = Decider(ENTER, LEAVE, window=0, hold=0, cooldown=5)
    frames = [("background", 0.0), ("rock", 0.1), ("background", 0.2)]
    assert decide(decider, frames) == ["background", "rock", "background"]


def test_strange_frames_vote_for_nothing():
    decider = Decider(ENTER, LEAVE, novelty=10, window=0, hold=0)
    assert decide(decider, [("rock", 0.0, 0.99, 10.5)]) == [None]
    assert decide(decider, [("rock", 0.1, 0.99, 10.0)]) == ["rock"]
    assert decide(decider, [("rock", 0.2, 0.99, math.inf)]) == [None]


def test_a_strange_frame_lowers_the_mean_instead_of_being_left_out():
    decider = Decider(ENTER, LEAVE, novelty=10, window=1, hold=0)
    decider.update(seen("rock", 0.0, 0.9))
    decision = decider.update(seen("rock", 0.1, 0.9, 99.0))
    assert decision.label is None
    assert decision.confidence == pytest.approx(0.45)


@pytest.mark.parametrize("field", ["probabilities", "novelty"])
def test_what_is_no_number_decides_nothing_and_ends_what_was(field):
    decider = Decider(ENTER, LEAVE, window=0, hold=0, novelty=10)
    bad = seen("rock", 0.1)
    if field == "probabilities":
        bad.probabilities[:] = np.nan
    else:
        bad = seen("rock", 0.1, 0.9, math.nan)
    assert Decider(ENTER, LEAVE, window=0, hold=0, novelty=10).update(bad).label is None
    assert decide(decider, [("rock", 0.0)]) == ["rock"]
    assert decider.update(bad).label is None


def test_time_going_backwards_is_a_new_stream():
    decider = Decider(ENTER, LEAVE, window=0.3, hold=0.2, cooldown=60)
    assert decide(decider, shown("rock", 100, 0.5))[-1] == "rock"
    first = decider.update(seen("rock", 0.0))
    assert (first.label, first.changed, first.since) == (None, True, 0.0)
    # No hold, window or cooldown is left over from the first stream.
    assert decide(decider, [("rock", 0.1), ("rock", 0.2)]) == [None, "rock"]


def test_after_a_gap_without_frames_everything_begins_anew():
    decider = Decider(ENTER, LEAVE, window=10, hold=0.2, cooldown=0.5)
    assert decide(decider, shown("rock", 0, 0.5))[-1] == "rock"
    first = decider.update(seen("rock", 0.4 + GAP + 0.01))
    assert (first.label, first.changed, first.since) == (None, True, first.time)
    assert decide(decider, [("rock", first.time + 0.2)]) == ["rock"]


def test_a_gap_that_is_no_longer_than_allowed_ends_nothing():
    decider = Decider(ENTER, LEAVE, window=0, hold=0)
    assert decide(decider, [("rock", 0.0), ("rock", GAP)]) == ["rock"] * 2


def test_without_a_hold_the_same_gesture_begins_again_after_a_gap_and_says_so():
    decider = Decider(ENTER, LEAVE, window=0, hold=0)
    assert decide(decider, [("rock", 0.0)]) == ["rock"]
    again = decider.update(seen("rock", 3.0))
    assert (again.label, again.changed, again.since) == ("rock", True, 3.0)


def test_the_cooldown_goes_on_through_a_gap():
    decider = Decider(ENTER, LEAVE, window=0, hold=0, cooldown=5)
    frames = [("rock", 0.0), ("rock", 3.0), *shown("rock", 4.0, 1.5)]
    assert decide(decider, frames) == ["rock", None, *[None] * 10, *["rock"] * 5]


def test_while_there_is_nothing_to_see_what_was_decided_ends_and_the_cooldown_goes_on():
    decider = Decider(ENTER, LEAVE, window=10, hold=0, cooldown=0.5)
    assert decide(decider, [("rock", 0.0)]) == ["rock"]
    first, second = decider.nothing(0.1), decider.nothing(0.2)
    assert (first.label, first.changed, first.since) == (None, True, 0.1)
    assert (second.label, second.changed, second.since) == (None, False, 0.1)
    assert decide(decider, [("rock", 0.3), ("rock", 0.6)]) == [None, "rock"]


def test_nothing_to_see_and_a_clock_that_begins_again_leave_nothing_behind():
    decider = Decider(ENTER, LEAVE, window=0, hold=0, cooldown=60)
    assert decide(decider, [("rock", 100.0)]) == ["rock"]
    assert decider.nothing(5.0).changed
    assert decide(decider, [("rock", 5.1)]) == ["rock"]


def test_two_frames_at_the_same_time_are_in_order():
    decider = Decider(ENTER, LEAVE, window=0, hold=0)
    assert decide(decider, [("rock", 1.0), ("rock", 1.0)]) == ["rock", "rock"]


def test_changed_and_since_follow_the_label():
    decider = Decider(ENTER, LEAVE, window=0, hold=0.1, cooldown=0)
    labels = ["rock", "rock", "rock", "palm", "palm"]
    got = [decider.update(seen(label, n / 10)) for n, label in enumerate(labels)]
    assert [d.label for d in got] == [None, "rock", "rock", None, "palm"]
    assert [d.changed for d in got] == [False, True, False, True, True]
    assert [d.since for d in got] == pytest.approx([-math.inf, 0.1, 0.1, 0.3, 0.4])
    assert [d.time for d in got] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_while_undecided_the_confidence_is_the_likeliest_ones():
    decision = Decider(ENTER, LEAVE).update(seen("palm", 0.0, 0.6))
    assert decision.label is None
    assert decision.confidence == pytest.approx(0.6)


@pytest.mark.parametrize(
    "settings",
    [
        {"enter": 0.5, "leave": 0.6},
        {"enter": 1.0},
        {"leave": 0.0},
        {"enter": math.nan},
        {"leave": math.nan},
        {"window": -1},
        {"hold": -0.1},
        {"cooldown": -0.1},
        {"window": math.nan},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=r"leave|seconds"):
        Decider(**settings)


# --- Properties, over any stream


@st.composite
def streams(draw):
    """A decider's settings and a stream in order of time."""
    enter = draw(st.floats(0.35, 0.95))
    settings = {
        "enter": enter,
        "leave": draw(st.floats(0.1, enter)),
        "novelty": draw(st.sampled_from([1.0, math.inf])),
        "window": draw(st.sampled_from([0.0, 0.15, 0.3, 1.0])),
        "hold": draw(st.sampled_from([0.0, 0.1, 0.2, 0.5])),
        "cooldown": draw(st.sampled_from([0.0, 0.3, 1.0])),
    }
    frames, now = [], draw(st.sampled_from([0.0, 1e6]))
    for _ in range(draw(st.integers(1, 40))):
        label = draw(st.sampled_from(LABELS))
        frames.append(
            seen(label, now, draw(st.floats(0.34, 1.0)), draw(st.sampled_from([0.0, 2.0])))
        )
        now += draw(st.sampled_from([0.0, 0.03, 0.1, 0.1, 0.1, 3.0]))
    return settings, frames


def means(settings, frames):
    """The mean probabilities at each frame, by the definition, from scratch."""
    start = 0  # of the stream: a gap begins a new one
    for last, newest in enumerate(frames):
        if last and newest.time - frames[last - 1].time > GAP:
            start = last
        inside = [
            f for f in frames[start:last] if newest.time - f.time < settings["window"]
        ] + [newest]  # fmt: skip
        votes = [f.probabilities * (f.novelty <= settings["novelty"]) for f in inside]
        yield np.mean(np.array(votes, float), axis=0)


@given(streams())
def test_any_stream_is_decided_by_the_rules(stream):  # noqa: C901  (one assertion a rule)
    settings, frames = stream
    decider = Decider(**settings)
    before, ended, begun = None, {}, -math.inf
    likeliest, sure_since, last = None, None, frames[0].time
    for frame, mean in zip(frames, means(settings, frames), strict=True):
        decision = decider.update(frame)
        label = decision.label
        assert label is None or label in LABELS
        anew = frame.time - last > GAP
        if anew:
            sure_since = None
            if before is not None:
                ended[before] = last
        last = frame.time
        assert decision.changed == (label != before or (anew and label is not None))
        best = int(mean.argmax())
        if mean[best] < settings["enter"]:
            sure_since = None
        elif sure_since is None or best != likeliest:
            sure_since = frame.time
        likeliest = best
        at = LABELS.index(label) if label else best
        assert decision.confidence == pytest.approx(mean[at], abs=1e-6)
        if label is not None and decision.changed:
            assert mean[at] >= settings["enter"] - 1e-6, "begins only when sure"
            assert mean[at] == pytest.approx(mean.max()), "begins only as the likeliest"
            assert frame.time - sure_since >= settings["hold"] - 1e-6, "begins only when held"
            if label != "background":
                rest = frame.time - ended.get(label, -math.inf)
                assert rest >= settings["cooldown"], "rests after it ended"
        if label is not None:
            assert mean[at] >= settings["leave"] - 1e-6, "never lasts below leave"
        if before is not None and label != before and not anew:
            ended[before] = frame.time
            fell = mean[LABELS.index(before)] < settings["leave"] + 1e-6
            assert fell or label is not None, "ends only when unsure or for another"
        if decision.changed:
            begun = frame.time
        assert decision.since == begun
        before = label


@given(streams())
def test_the_same_stream_gives_the_same_decisions(stream):
    settings, frames = stream
    one, other = Decider(**settings), Decider(**settings)
    first = [one.update(frame) for frame in frames]
    assert first == [other.update(frame) for frame in frames]
    copies = [frame.probabilities.copy() for frame in frames]
    one.reset()
    assert [one.update(frame) for frame in frames] == first, "reset forgets everything"
    for frame, copy in zip(frames, copies, strict=True):
        np.testing.assert_array_equal(frame.probabilities, copy)


@given(streams())
def test_when_only_the_clock_is_another_the_decisions_are_the_same(stream):
    settings, frames = stream
    shifted = [Prediction(f.labels, f.probabilities, f.novelty, f.time + 2.0**20) for f in frames]
    one, other = Decider(**settings), Decider(**settings)
    near = any(  # rounding may move a frame over the edge of the window or of the cooldown
        abs(b.time - a.time - limit) < 1e-6
        for a in frames
        for b in frames
        for limit in (settings["window"], settings["cooldown"])
    )
    if not near:
        assert [one.update(f).label for f in frames] == [other.update(f).label for f in shifted]


@given(st.sampled_from(LABELS), st.floats(0.34, 1.0), streams())
def test_a_steady_view_settles(label, confidence, stream):
    settings, frames = stream
    decider = Decider(**settings)
    for frame in frames:
        decider.update(frame)
    start = frames[-1].time + 0.1
    got = [decider.update(seen(label, start + n / 10, confidence)).label for n in range(60)]
    settled = got[30:]
    assert all(one == other for one, other in pairwise(settled))
    probability = float(np.float32(confidence))
    if probability >= settings["enter"] + 1e-6:
        assert settled[0] == label
    elif probability < settings["leave"] - 1e-6:
        assert settled[0] is None


@given(streams(), streams())
def test_a_clock_that_goes_back_leaves_nothing_of_the_stream_before(one, other):
    settings, frames = one
    decider, fresh = Decider(**settings), Decider(**settings)
    for frame in frames:
        decider.update(msgspec.structs.replace(frame, time=frame.time + 2e6))
    before = decider.update(msgspec.structs.replace(frames[-1], time=frames[-1].time + 2e6)).label
    first, *rest = other[1]
    got, expected = decider.update(first), fresh.update(first)
    assert (got.label, got.confidence) == (expected.label, expected.confidence)
    assert got.changed == (expected.changed or before != expected.label)
    assert [decider.update(f).label for f in rest] == [fresh.update(f).label for f in rest]


@given(streams(), st.integers(0, 39))
def test_where_there_is_nothing_to_see_nothing_is_decided_and_the_hold_begins_anew(stream, at):
    settings, frames = stream
    decider = Decider(**settings)
    at = min(at, len(frames) - 1)
    before = [decider.update(frame) for frame in frames[: at + 1]][-1]
    now = frames[at].time
    decision = decider.nothing(now)
    assert (decision.label, decision.changed) == (None, before.label is not None)
    for frame in frames[at + 1 :]:
        decision = decider.update(frame)
        if decision.label is not None:
            first = frames[at + 1].time
            assert decision.time - first >= settings["hold"] - 1e-6
            break


@given(streams())
def test_outputs_are_driven_by_gestures_alone_and_each_beginning_once(stream):
    settings, frames = stream
    decider, fired = Decider(**settings), []
    outputs = Outputs({label: partial(fired.append, label) for label in LABELS[1:]})
    begun = []
    for frame in frames:
        decision = decider.update(frame)
        outputs.apply(decision)
        if decision.changed and decision.label not in (None, "background"):
            begun.append(decision.label)
    assert fired == begun
