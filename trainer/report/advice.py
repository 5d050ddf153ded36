"""What to do next, in words: what to record, what to look at, what to believe less.

Noise is not reported: a rule applies only where its count of pictures is unlikely by chance.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from edge.card import BACKGROUND
from trainer.alike import Likeness
from trainer.dataset import NOTHING
from trainer.evidence import gain, mixed_up, wilson_upper
from trainer.features.weights import without
from trainer.report.copies import Copies, find_copies
from trainer.report.suspects import find_suspects
from trainer.sessions import STAMP
from trainer.words import count, names, percent, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from trainer.alike import Nearest
    from trainer.evidence import Evidence, Mixed
    from trainer.report.suspects import Suspects

Kind: TypeAlias = Literal[
    "weights", "unseen", "sessions", "mislabelled", "duplicates", "background", "confusion",
    "session", "more", "balance", "hands",
]  # fmt: skip

MOST = 8
"""Pieces of advice: more would not be read."""
UNSEEN = 0.5
"""Share of a gesture's pictures without a find beyond which it hardly triggers."""
NAMED = 48
"""Pictures that one piece of advice names."""
SEARCHED = 10_000
"""Pictures among which copies are looked for: a second's work, and four for twice as many."""
ENOUGH = 15
"""Pictures of a label, below which the first advice is more of them."""
FEW = 20
"""Pictures in which a hand was found, below which nothing is said of the other one."""
MUCH = 0.1
"""Accuracy by which the other hand must be worse to be mentioned."""
SOON = 600.0
"""Seconds within which sessions were taken in the same place and light."""
BURST = 0.99
"""Likeness of two pictures between which nothing moved."""


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do, and the pictures that show why."""

    kind: Kind
    text: str
    """One or two sentences. Names in them are shortened and without control characters."""
    pictures: list[Path] = field(default_factory=list)
    """The most telling first, at most `NAMED`."""


def advise(evidence: Evidence, lacking: Sequence[str] = ()) -> list[Advice]:
    """Return what to do next, the most important first, at most `MOST`.

    Args:
        evidence: what was said to each picture.
        lacking: kinds of features that could not be tried, as their weights are not here.
    """
    likeness = Likeness.of(evidence.rows, evidence.sessions.tolist())
    few = len(evidence.targets) <= SEARCHED
    nearest = likeness.nearest() if few else None
    copies = find_copies(evidence, nearest) if nearest else Copies()
    certain = np.ones(len(evidence.targets), bool)
    certain[copies.across] = False  # of what two labels have no answer can be right
    suspects = find_suspects(evidence, likeness, certain)
    counted = certain & ~suspects.mask
    rules = chain(
        _lacking(lacking),
        _unseen(evidence),
        _few_sessions(evidence),
        _soon_after(evidence),
        _divided(evidence, copies.across),
        _mislabelled(evidence, suspects),
        _copies(evidence, copies.within),
        _no_background(evidence),
        _confusions(evidence, counted),
        _bad_sessions(evidence, counted),
        _other_hand(evidence, counted),
        _more(evidence) if certain.all() else (),  # wrong labels bend the curve
        _balance(evidence),
        _bursts(evidence, nearest) if nearest else _not_searched(evidence),
    )
    return list(islice(rules, MOST))


def _lacking(kinds: Sequence[str]) -> Iterator[Advice]:
    if kinds:
        text = without(kinds)
        yield Advice("weights", f"{text[0].upper()}{text[1:]}.")


def _unseen(evidence: Evidence) -> Iterator[Advice]:
    """Look for gestures in which the only thing looked for, such as a hand, is mostly not found."""
    nothing = ~evidence.rows.any(axis=1) & (not evidence.whole)
    for number, label in enumerate(evidence.labels):
        of_label = evidence.targets == number
        unseen = np.flatnonzero(of_label & nothing)
        if label != BACKGROUND and len(unseen) > UNSEEN * of_label.sum():
            yield Advice(
                "unseen",
                f"What is looked for, a hand or a face, is not found in {len(unseen)} of "
                f"{count(int(of_label.sum()), 'picture')} of {shorten(label)}, and without it "
                "nothing is ever switched. If it is to mean that nobody is there, call it "
                f"{BACKGROUND}; if not, choose features that see the rest as well, such as "
                f"{'+'.join([*evidence.finders, 'backbone'])}.",
                evidence.paths(unseen[:NAMED]),
            )


def _few_sessions(evidence: Evidence) -> Iterator[Advice]:
    sessions = {label: len(found) for label, found in evidence.dataset.sessions().items()}
    lonely = [label for label, number in sessions.items() if number == 1]
    pairs = [label for label, number in sessions.items() if number == 2]
    if lonely:
        is_told = "it is" if len(lonely) == 1 else "they are"
        yield Advice(
            "sessions",
            f"There is only one session of {names(lonely)}, so how well {is_told} recognised "
            "elsewhere is not known. Record another one at another time, place or light.",
        )
    elif pairs:
        yield Advice(
            "sessions",
            f"There are only two sessions of {names(pairs)}, so every figure here comes from "
            "learning one of them. Record a third one at another time, place or light.",
        )


def _soon_after(evidence: Evidence) -> Iterator[Advice]:
    """Name labels whose sessions were all captured in one go: each knows the others' room."""
    soon: list[str] = []
    for label, sessions in evidence.dataset.sessions().items():
        times = [time for name in sessions if (time := _captured_at(name)) is not None]
        if 1 < len(times) == len(sessions) and max(times) - min(times) < SOON:
            soon.append(label)
    if soon:
        yield Advice(
            "sessions",
            f"All sessions of {names(soon)} were recorded within {SOON / 60:.0f} minutes, so how "
            "well it goes at another time, place or light is not known, and likely worse than the "
            "figure at the top. Record another one there.",
        )


def _captured_at(session: str) -> float | None:
    """Return when `trainer capture` named a session, in seconds; None where it did not."""
    try:
        return datetime.strptime(session[:17], STAMP).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _mislabelled(evidence: Evidence, suspects: Suspects) -> Iterator[Advice]:
    for group in suspects.groups[:2]:
        shown, taken = (shorten(evidence.labels[label]) for label in (group.shown, group.taken))
        yield Advice(
            "mislabelled",
            f"{count(len(group.pictures), 'picture')} of {shown} in session "
            f"{shorten(group.session)} look like {taken}. Are they in the wrong folder?",
            evidence.paths(group.pictures[:NAMED]),
        )
    if number := len(suspects.pictures):
        first = int(suspects.pictures[0])
        picture, said = evidence.dataset.pictures[first], evidence.labels[evidence.said[first]]
        looks = "looks" if number == 2 else "look"  # each like whatever the network says
        others = f", and {count(number - 1, 'other')} {looks} wrong too" if number > 1 else ""
        yield Advice(
            "mislabelled",
            f"{shorten(picture.path.name)} of {shorten(picture.label)} (session "
            f"{shorten(picture.session)}) looks like {shorten(said)}{others}. "
            "Look at it first, as a hard picture is worth keeping; in the wrong folder, move it.",
            evidence.paths(suspects.pictures[:NAMED]),
        )


def _divided(evidence: Evidence, pairs: NDArray[np.int64]) -> Iterator[Advice]:
    """Name the pictures under two labels: one of each pair is wrong, whatever the network says."""
    if len(pairs):
        labels = np.array(evidence.labels, dtype=object)[evidence.targets]
        is_twice = "is there twice" if len(pairs) == 1 else "are there twice"
        yield Advice(
            "duplicates",
            f"{count(len(pairs), 'picture')} {is_twice}, the second time under another label "
            f"({names(_commonest(labels, pairs))}, in "
            f"{names(_commonest(evidence.sessions, pairs))}), which makes every figure here too "
            "bad. Delete the wrong one of each two.",
            evidence.paths(_side_by_side(pairs)[:NAMED]),
        )


def _copies(evidence: Evidence, pairs: NDArray[np.int64]) -> Iterator[Advice]:
    """Name copies in two sessions, with which a network is tested on what it has learned."""
    if len(pairs):
        yield Advice(
            "duplicates",
            f"{count(len(pairs), 'picture')} nearly repeat one of another session "
            f"({names(_commonest(evidence.sessions, pairs))}), which makes every figure here too "
            "good. Delete the copies, or join sessions that are one recording.",
            evidence.paths(_side_by_side(pairs)[:NAMED]),
        )


def _side_by_side(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the pictures of pairs `[n, 2]`, each once and beside its copy."""
    return np.array(list(dict.fromkeys(pairs.ravel().tolist())))


def _commonest(of_pictures: NDArray[np.object_], pairs: NDArray[np.int64]) -> list[str]:
    """Return a property, say the session, of the pictures in pairs `[n, 2]`, commonest first."""
    return [one for one, _ in Counter(of_pictures[_side_by_side(pairs)].tolist()).most_common()]


def _no_background(evidence: Evidence) -> Iterator[Advice]:
    if not any(label.casefold() in NOTHING for label in evidence.labels):
        yield Advice(
            "background",
            f"There is no label {BACKGROUND}, so nothing says what no gesture looks like. Record "
            "where the camera will stand: nobody there, and people doing something else.",
        )


def _confusions(evidence: Evidence, counted: NDArray[np.bool_]) -> Iterator[Advice]:
    """Look for pairs of labels that are mixed up, and name the three worst."""
    told: set[str] = set()
    for ways in mixed_up(evidence, counted)[:3]:
        either = np.zeros_like(counted)
        either[np.concatenate([way.pictures for way in ways])] = True
        kind, what = _against(evidence.labels, ways[0])
        text = f"{_as_words(evidence, ways)}. {'' if what in told else what}".rstrip()
        told.add(what)  # the same three times over is not read
        yield Advice(kind, text, evidence.paths(evidence.surest(either)[:NAMED]))


def _as_words(evidence: Evidence, ways: list[Mixed]) -> str:
    """Say what is taken for what, and in which session, if it is mostly one of several."""
    parts: list[str] = []
    for way in ways:
        shown, taken = (shorten(evidence.labels[label]) for label in (way.shown, way.taken))
        often = f"{len(way.pictures)} of {way.of}"
        part = (
            f", and {shown} for {taken} in {often}" if parts else
            f"{shown} is taken for {taken} in {often} held-out pictures"
        )  # fmt: skip
        of_label = evidence.held_out & (evidence.targets == way.shown)
        session, number = Counter(evidence.sessions[way.pictures].tolist()).most_common(1)[0]
        if len(set(evidence.sessions[of_label])) > 1 and number > 0.6 * len(way.pictures):
            share = "all" if number == len(way.pictures) else "mostly"
            part += f" ({share} in session {shorten(session)})"
        parts.append(part)
    return "".join(parts)


def _against(labels: list[str], way: Mixed) -> tuple[Kind, str]:
    """Return the advice about labels that are mixed up."""
    if labels[way.shown] == BACKGROUND:
        return "background", (
            "An output would switch with no gesture there. Record more background in that place: "
            "empty, and with hands and people doing something else."
        )
    if labels[way.taken] == BACKGROUND:
        return "background", (
            "It would be missed. Record it nearer to the camera, and check that no picture of "
            "background shows it."
        )
    return "confusion", (
        "Record another session of both, turning and moving the hand a little, or choose "
        "gestures that look less alike."
    )


def _bad_sessions(evidence: Evidence, counted: NDArray[np.bool_]) -> Iterator[Advice]:
    """Look for sessions that go worse than the same labels do in the others, and name the worst."""
    counted = counted & evidence.held_out
    sessions = sorted(set(evidence.sessions[counted].tolist()))
    found = []
    for session in sessions if len(sessions) > 2 else ():
        here = counted & (evidence.sessions == session)
        others = counted & ~here
        by_label = [others & (evidence.targets == label) for label in evidence.targets[here]]
        expected = np.mean([evidence.right[same if same.any() else others].mean()
                            for same in by_label])  # fmt: skip
        right = int(evidence.right[here].sum())
        if wilson_upper(right, int(here.sum()), len(sessions)) < expected - 0.1:
            found.append((float(expected) * here.sum() - right, session, here, float(expected)))
    for _, session, here, expected in sorted(found, key=lambda item: -item[0])[:2]:
        share = percent(float(evidence.right[here].mean()))
        yield Advice(
            "session",
            f"Session {shorten(session)} goes much worse than the others: {share} right, and "
            f"{percent(expected)} there. If the light, distance or background in it is one the "
            "device will meet, record two more like it; if not, leave it out.",
            evidence.paths(evidence.surest(here & ~evidence.right)[:NAMED]),
        )


def _other_hand(evidence: Evidence, counted: NDArray[np.bool_]) -> Iterator[Advice]:
    """Say how the same gestures would go with the other hand, where that is much worse."""
    if evidence.mirrored is None:
        return
    shown = counted & (evidence.mirrored >= 0)
    if shown.sum() < FEW:
        return
    right = float(evidence.right[shown].mean())
    other = float((evidence.mirrored == evidence.targets)[shown].mean())
    if other < right - MUCH:
        yield Advice(
            "hands",
            f"With the other hand {percent(other)} of these would be right, instead of "
            f"{percent(right)}. If either hand may show them, record each, or teach with --mirror, "
            "unless a gesture points to a side.",
        )


def _more(evidence: Evidence) -> Iterator[Advice]:
    """Say whether more sessions would help, where the curve can tell."""
    sessions = gain(evidence.curve)
    few = _usual_number(evidence) < ENOUGH
    if sessions and sessions.climbs:
        yield Advice(
            "more",
            f"More sessions would help: {percent(sessions.half.accuracy)} right after learning "
            f"from {sessions.half.sessions:.2g} a label, {percent(sessions.all.accuracy)} from "
            f"{sessions.all.sessions:.2g}. Record the next ones in other places, light and "
            "clothes.",
        )
    elif sessions and sessions.is_flat and sessions.all.accuracy < 0.95 and not few:
        yield Advice(
            "more",
            f"More of the same would hardly help: {percent(sessions.half.accuracy)} right after "
            f"learning from {_sessions(sessions.half.sessions)} a label, "
            f"{percent(sessions.all.accuracy)} from {sessions.all.sessions:.2g}. Bring the hand "
            "nearer, choose gestures that differ more, or try other features.",
        )


def _sessions(mean: float) -> str:
    """Return `1 session` or `2.5 sessions`."""
    number = f"{mean:.2g}"
    return f"{number} session{'' if number == '1' else 's'}"


def _usual_number(evidence: Evidence) -> float:
    """Return how many pictures a label has, the median."""
    return float(np.median(list(evidence.dataset.counts().values())))


def _balance(evidence: Evidence) -> Iterator[Advice]:
    counts = evidence.dataset.counts()
    usual = _usual_number(evidence)
    few = [label for label, number in counts.items() if number < 0.4 * usual]
    if few:
        least, most = (end(counts[label] for label in few) for end in (min, max))
        number = f"{least} to " if least < most else ""
        yield Advice(
            "balance",
            f"{names(few)}: only {number}{count(most, 'picture')}, where others have {usual:.0f}. "
            "Record more until they are about as many.",
        )
    elif usual < ENOUGH:
        yield Advice(
            "balance",
            f"Only about {count(round(usual), 'picture')} a label: that is few. Record ten to "
            "twenty of each in every session.",
        )


def _bursts(evidence: Evidence, nearest: Nearest) -> Iterator[Advice]:
    # Of the same label: else it is gestures that look alike, not a hand that kept still.
    same = evidence.targets[nearest.within] == evidence.targets
    still = np.flatnonzero((nearest.within_likeness >= BURST) & same)
    if evidence.whole and len(still) > 0.6 * len(evidence.targets):
        pairs = np.stack([still[:6], nearest.within[still[:6]]], axis=1)
        yield Advice(
            "duplicates",
            f"{count(len(still), 'picture')} hardly differ from another one of their session, and "
            "add little. Move and turn the hand between pictures, or take fewer a second.",
            evidence.paths(_side_by_side(pairs)),
        )


def _not_searched(evidence: Evidence) -> Iterator[Advice]:
    yield Advice(
        "duplicates",
        f"Copies were not looked for: of {len(evidence.targets):,} pictures each would have to be "
        f"compared with all others, which takes too long beyond {SEARCHED:,}.",
    )
