"""Events: gestures seen and missed, false triggers, delays; counted as a person would."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.decider import GAP
from edge.replay.events import GRACE, Events, Verdict, poisson_upper


def count(*frames):
    """Run `(time, truth, decided)` frames."""
    events = Events()
    for frame in frames:
        events.update(*frame)
    return events


def figures(events):
    return events.shown, events.seen, events.missed, events.false


def test_nothing_shown_nothing_counted():
    assert figures(count()) == (0, 0, 0, 0)
    assert figures(count((0, None, None), (1, "background", "background"))) == (0, 0, 0, 0)


def test_a_gesture_decided_while_it_lasts_is_seen_with_its_delay():
    events = count((0, None, None), (1, "rock", None), (1.4, "rock", "rock"), (2, "rock", "rock"))
    assert figures(events) == (1, 1, 0, 0)
    assert events.delays == pytest.approx([0.4])


def test_a_gesture_never_decided_is_missed():
    assert figures(count((0, "rock", None), (1, "rock", None), (2, None, None))) == (1, 0, 1, 0)


def test_what_was_too_brief_to_be_decided_is_told_from_the_rest():
    frames = [(t / 10, "rock" if t < 20 else "palm", None) for t in range(22)]
    events = count(*frames, (2.2, None, None))
    assert (events.missed, events.brief(0.2), events.brief(5)) == (2, 1, 2)


def test_a_wrong_decision_is_false_and_the_gesture_missed():
    assert figures(count((0, "rock", None), (0.5, "rock", "palm"))) == (1, 0, 1, 1)


def test_a_decision_for_nothing_is_false():
    assert figures(count((0, "background", None), (1, "background", "rock"))) == (0, 0, 0, 1)
    assert figures(count((0, None, "rock"))) == (0, 0, 0, 1)


def test_a_decision_that_lasts_is_one_decision():
    assert figures(count(*((t, "background", "rock") for t in range(9)))) == (0, 0, 0, 1)


def test_background_and_undecided_switch_nothing_and_are_never_false():
    assert figures(count((0, "rock", "background"), (1, "rock", None))) == (1, 0, 1, 0)


@pytest.mark.parametrize(("after", "seen"), [(0.1, 1), (GRACE - 0.01, 1), (GRACE + 0.01, 0)])
def test_just_after_the_gesture_still_counts(after, seen):
    events = count((0, "rock", None), (1, "rock", None), (1 + after, None, "rock"))
    assert figures(events) == (1, seen, 1 - seen, 1 - seen)
    assert events.delays == pytest.approx([1 + after][:seen])


def test_the_grace_of_a_gesture_ends_where_another_begins():
    events = count((0, "rock", None), (1, "palm", None), (1.1, "palm", "rock"))
    assert figures(events) == (2, 0, 2, 1)


def test_the_same_gesture_decided_twice_is_seen_once_and_not_false():
    events = count((0, "rock", "rock"), (1, "rock", None), (2, "rock", "rock"))
    assert figures(events) == (1, 1, 0, 0)
    assert events.delays == [0]


def test_a_gesture_shown_twice_is_two_gestures():
    events = count((0, "rock", "rock"), (1, None, None), (2, "rock", None), (2.5, "rock", "rock"))
    assert figures(events) == (2, 2, 0, 0)
    assert events.delays == pytest.approx([0, 0.5])


def test_gestures_without_a_pause_are_told_apart():
    events = count((0, "rock", "rock"), (1, "palm", "rock"), (1.2, "palm", "palm"))
    assert figures(events) == (2, 2, 0, 0)
    assert events.delays == pytest.approx([0, 0.2])


def test_a_gesture_is_seen_in_its_first_frame():
    assert count((5, "rock", "rock")).delays == [0]


labels = st.sampled_from([None, "background", "rock", "palm"])
streams = st.lists(st.tuples(st.floats(0.01, 2), labels, labels), max_size=30)


@given(streams)
def test_the_figures_always_add_up(stream):
    now, frames = 0.0, []
    for step, truth, decided in stream:
        now += step
        frames.append((now, truth, decided))
    events = count(*frames)
    pairs = list(pairwise([(-math.inf, None, None), *frames]))  # a gap begins everything anew
    runs = [b[1] for a, b in pairs if b[1] != a[1] or b[0] - a[0] > GAP]
    begun = [b[2] for a, b in pairs if b[2] != a[2] or b[0] - a[0] > GAP]
    triggers = sum(d not in (None, "background") for d in begun)
    assert events.shown == sum(t not in (None, "background") for t in runs)
    assert events.seen + events.missed == events.shown
    assert events.seen + events.false <= triggers
    assert events.missed >= 0
    assert all(delay >= 0 for delay in events.delays)


@given(streams)
def test_a_perfect_device_sees_all_and_triggers_nothing_false(stream):
    now, events = 0.0, Events()
    for step, truth, _ in stream:
        now += step
        events.update(now, truth, truth)
    assert (events.missed, events.false) == (0, 0)
    assert set(events.delays) <= {0.0}


def test_deciding_twice_for_one_gesture_is_a_repetition_and_no_second_sight():
    events = count(
        (0, "rock", None), (0.2, "rock", "rock"), (0.4, "rock", None), (0.6, "rock", "rock")
    )
    assert figures(events) == (1, 1, 0, 0)
    assert events.repeated == 1


def test_the_figures_of_a_label_are_its_gestures_and_the_decisions_for_it():
    events = count(
        (0, "rock", None), (0.2, "rock", "rock"), (0.4, "rock", "palm"), (0.6, "palm", None)
    )
    assert figures(events.of("rock")) == (1, 1, 0, 0)
    assert figures(events.of("palm")) == (1, 0, 1, 1)
    assert figures(events) == (2, 1, 1, 1)


def test_a_wrong_decision_while_a_gesture_is_shown_is_a_mistake_and_false():
    events = count((0, "rock", "palm"), (0.1, "rock", None), (2, None, "palm"))
    assert (events.false, events.mistaken) == (2, 1)


@pytest.mark.parametrize(("delay", "soon"), [(0.4, 1), (0.5 + 1e-12, 1), (0.51, 0)])
def test_soon_is_within_half_a_second(delay, soon):
    assert count((0, "rock", None), (delay, "rock", "rock")).soon == soon


def test_each_beginning_decision_has_its_verdict():
    events = Events()
    frames = [
        (0.0, "rock", None, None),
        (0.1, "rock", "rock", Verdict.SEEN),
        (0.2, "rock", "rock", None),
        (0.3, "rock", None, None),
        (0.4, "rock", "rock", Verdict.REPEATED),
        (0.5, "rock", "palm", Verdict.FALSE),
        (0.6, "rock", "background", None),
    ]
    for time, truth, decided, verdict in frames:
        assert events.update(time, truth, decided) is verdict


def test_where_a_gesture_began_may_be_known_better_than_by_frames():
    events = Events()
    events.update(1.0, "rock", None, since=0.95)
    events.update(1.2, "rock", "rock", since=0.95)
    events.update(1.4, "rock", None, since=1.35)
    assert events.delays == pytest.approx([0.25])
    assert figures(events) == (2, 1, 1, 0)


def test_a_gap_without_frames_parts_two_gestures_of_the_same_label():
    events = count((0, "rock", "rock"), (GAP, "rock", "rock"), (2.1 + GAP, "rock", "rock"))
    assert figures(events) == (2, 2, 0, 0)


def test_a_written_gesture_is_one_however_far_apart_its_frames_are():
    events = Events()
    for time, since in [(1, 0.5), (3, 0.5), (5, 0.5), (7, 6.5), (9, 6.5)]:
        events.update(time, "rock", "rock" if time > 4 else None, since=since)
    assert figures(events) == (2, 2, 0, 0)
    assert [(one.start, one.end) for one in events.gestures] == [(0.5, 5), (6.5, 9)]


@pytest.mark.parametrize(
    # Source: tables of exact 95 % one-sided upper limits of a Poisson mean.
    ("count", "most"),
    [(0, 2.996), (1, 4.744), (2, 6.296), (5, 10.513), (10, 16.962), (100, 118.08)],
)
def test_what_so_few_events_leave_possible(count, most):
    assert poisson_upper(count) == pytest.approx(most, abs=0.005)
