"""Advice: said where there is reason to, and not about noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trainer.report.advice
from trainer.alike import Likeness
from trainer.dataset import Dataset, Picture
from trainer.evidence import CurvePoint, Evidence, mixed_up, reliability, wilson_lower, wilson_upper
from trainer.report.advice import MOST, NAMED, advise
from trainer.words import names, percent, shorten

HELD = ("s0", "s1", "s2")


class Case:
    """Pictures that are all recognised, and whose neighbours agree; then something goes wrong."""

    def __init__(self, labels=("background", "palm", "rock"), sessions=HELD, each=20, features=40):
        rng = np.random.default_rng(3)
        self.labels = list(labels)
        self.pictures = [
            Picture(Path("data") / label / session / f"{number}.jpg", label, session)
            for label in labels
            for session in sessions
            for number in range(each)
        ]
        n, self.each = len(self.pictures), each
        self.targets = np.array([self.labels.index(p.label) for p in self.pictures])
        looks = 1.5 * rng.standard_normal((len(labels), features))
        self.rows = (looks[self.targets] + rng.standard_normal((n, features))).astype(np.float32)
        self.said = self.targets.copy()
        self.sure = rng.uniform(0.85, 0.95, n)
        self.more = {}

    def where(self, label=None, session=None):
        return np.array(
            [
                i
                for i, p in enumerate(self.pictures)
                if label in {None, p.label} and session in {None, p.session}
            ]
        )

    def confuse(self, shown, taken, number, session=None):
        """Let some pictures be taken for another label, without being sure."""
        chosen = self.where(shown, session)[:number]
        self.said[chosen] = self.labels.index(taken)
        self.sure[chosen] = 0.6
        return chosen

    def evidence(self):
        n, classes = len(self.pictures), len(self.labels)
        P = np.repeat(((1 - self.sure) / max(1, classes - 1))[:, None], classes, axis=1)
        P[np.arange(n), self.said] = self.sure
        dataset = Dataset(Path("data"), self.pictures)
        return Evidence(dataset, self.targets, P, np.ones(n), self.rows, **self.more)

    def advice(self, kind=None):
        return [each for each in advise(self.evidence()) if kind in {None, each.kind}]


def test_where_all_is_well_nothing_is_said():
    assert Case().advice() == []


def test_missing_weights_are_said_first_with_what_to_run():
    case = Case(labels=("palm", "rock"))
    (first, second, *_) = advise(case.evidence(), ["hand", "backbone"])
    assert first.kind == "weights"
    assert first.text.startswith("The hand and backbone weights are missing, ")
    assert "trainer features fetch hand backbone, and train again." in first.text
    assert second.kind == "background"


def test_a_gesture_in_which_no_hand_is_found_is_said_to_do_nothing():
    case = Case(labels=("background", "nobody", "rock"))
    case.more["finders"] = ("hand-full",)
    for label in ("background", "nobody"):
        case.rows[case.where(label)[:40]] = 0
    (advice,) = case.advice("unseen")
    assert "not found in 40 of 60 pictures of nobody, and without it nothing" in advice.text
    assert advice.text.endswith("such as hand-full+backbone.")
    assert len(advice.pictures) == 40
    case.rows[case.where("nobody")[:30]] = 1
    assert case.advice("unseen") == []


# --- Sessions


def test_labels_with_a_single_session_are_named_first():
    case = Case()
    keep = [i for i, p in enumerate(case.pictures) if p.label != "rock" or p.session == "s0"]
    case.pictures = [case.pictures[i] for i in keep]
    case.targets, case.said = case.targets[keep], case.said[keep]
    case.rows, case.sure = case.rows[keep], case.sure[keep]
    first = case.advice()[0]
    assert first.kind == "sessions"
    assert "only one session of rock, so" in first.text


def test_two_sessions_are_few():
    (advice,) = Case(sessions=("a", "b")).advice()
    assert advice.kind == "sessions"
    assert "only two sessions of background, palm and rock" in advice.text


def test_sessions_captured_in_one_go_say_nothing_of_another_day():
    burst = ("2026-11-30-100000", "2026-11-30-100015", "2026-11-30-100300")
    (advice,) = Case(sessions=burst).advice("sessions")
    assert "All sessions of " in advice.text
    assert "within 10 minutes" in advice.text
    days = ("2026-11-28-100000", "2026-11-29-100015", "2026-11-30-100030")
    assert Case(sessions=days).advice("sessions") == []
    assert Case(sessions=("2026-11-30-100000", "kitchen", "hall")).advice("sessions") == []


@pytest.mark.parametrize(("wrong", "said"), [(0, False), (2, False), (20, True)])
def test_gestures_that_fail_with_the_other_hand_are_said(wrong, said):
    case = Case(sessions=("s0", "s1", "s2"))
    other = case.targets.copy()
    other[:wrong] = (other[:wrong] + 1) % len(case.labels)
    case.more["mirrored"] = other
    texts = [advice.text for advice in case.advice("hands")]
    assert bool(texts) == said
    if said:
        share = round(100 * (1 - wrong / len(other)))
        assert (
            f"With the other hand {share} % of these would be right, instead of 100 %" in texts[0]
        )
        assert "unless a gesture points to a side" in texts[0]


def test_pictures_without_a_hand_say_nothing_of_the_other():
    case = Case(sessions=("s0", "s1", "s2"))
    case.more["mirrored"] = np.full(len(case.targets), -1)
    assert case.advice("hands") == []


def test_a_dataset_of_one_session_is_only_told_to_grow():
    evidence = Case(sessions=("only",)).evidence()
    evidence.probabilities[:] = np.nan
    evidence.novelty[:] = np.nan
    assert evidence.accuracy is None
    assert [each.kind for each in advise(evidence)] == ["sessions"]


def test_a_session_much_worse_than_the_others_is_named_with_its_wrong_pictures():
    case = Case(labels=("background", "palm", "rock", "thumb"))
    for shown, taken in (("palm", "rock"), ("rock", "thumb"), ("thumb", "palm")):
        case.confuse(shown, taken, 10, "s1")
    (advice,) = case.advice("session")
    assert "Session s1 goes much worse than the others: 62 % right, and 100 % there" in advice.text
    assert len(advice.pictures) == 30
    assert {path.parent.name for path in advice.pictures} == {"s1"}


def test_a_session_is_compared_with_the_same_labels_elsewhere():
    """Palm is hard everywhere; a session of palms alone is no worse for that."""
    case = Case()
    for session in HELD:
        case.confuse("palm", "rock", 10, session)
    case.pictures += [Picture(Path(f"data/palm/more/{i}.jpg"), "palm", "more") for i in range(10)]
    case.targets = np.append(case.targets, [1] * 10)
    case.said = np.append(case.said, [2] * 5 + [1] * 5)
    case.sure = np.append(case.sure, [0.6] * 10)
    case.rows = np.append(case.rows, case.rows[case.where("palm")[:10]] + 1, axis=0)
    assert case.advice("confusion")
    assert not case.advice("session")


def test_of_many_sessions_some_are_worse_by_chance():
    rng = np.random.default_rng(0)
    case = Case(sessions=[f"s{i}" for i in range(30)], each=4)
    wrong = rng.permutation(len(case.pictures))[: len(case.pictures) // 8]
    case.said[wrong] = (case.said[wrong] + 1) % 3
    case.sure[wrong] = 0.5
    assert case.advice("session") == []


# --- Confusions


def test_a_confusion_is_said_in_numbers_with_its_pictures_and_its_session():
    case = Case()
    wrong = [*case.confuse("rock", "palm", 12, "s1"), *case.confuse("rock", "palm", 2, "s2")]
    (advice,) = case.advice("confusion")
    assert advice.text.startswith(
        "rock is taken for palm in 14 of 60 held-out pictures (mostly in session s1). Record"
    )
    assert set(advice.pictures) == {case.pictures[i].path for i in wrong}


def test_labels_taken_for_each_other_are_one_advice():
    case = Case()
    case.confuse("rock", "palm", 20)
    case.confuse("palm", "rock", 12)
    (advice,) = case.advice("confusion")
    assert "rock is taken for palm in 20 of 60 held-out pictures" in advice.text
    assert "and palm for rock in 12 of 60" in advice.text
    assert len(advice.pictures) == 32


@pytest.mark.parametrize(("wrong", "each", "said"), [(1, 20, 0), (3, 20, 0), (14, 20, 1)])
def test_a_few_mistakes_are_no_confusion(wrong, each, said):
    case = Case(each=each)
    case.confuse("rock", "palm", wrong)
    assert len(case.advice("confusion")) == said


def test_what_is_many_of_few_is_few_of_many():
    few, many = Case(each=5), Case(each=200)
    for case in (few, many):
        case.confuse("rock", "palm", 6)
    assert len(few.advice("confusion")) == 1
    assert many.advice("confusion") == []


def test_what_to_do_is_not_said_three_times():
    case = Case(labels=("a", "b", "c", "d", "e", "f", "g", "h", "none"))
    for shown, taken in ("ab", "cd", "ef", "gh"):
        case.confuse(shown, taken, 20)
    found = case.advice("confusion")
    assert len(found) == 3
    assert ["Record" in each.text for each in found] == [True, False, False]


def test_background_taken_for_a_gesture_and_the_reverse_are_told_apart():
    false_alarm, missed = Case(), Case()
    false_alarm.confuse("background", "palm", 20)
    missed.confuse("palm", "background", 20)
    (one,), (other,) = (case.advice("background") for case in (false_alarm, missed))
    assert "switch with no gesture there" in one.text
    assert "missed" in other.text


def test_no_background_is_said_but_not_where_it_has_another_name():
    assert "no label background" in Case(labels=("palm", "rock")).advice()[0].text
    assert Case(labels=("None", "palm", "rock")).advice("background") == []


# --- Wrong folders


def mislabel(case, indices, label):
    """Put pictures into another label's folder; what they show stays."""
    for i in indices:
        picture = case.pictures[i]
        case.pictures[i] = Picture(
            Path("data") / label / picture.session / f"moved-{i}.jpg", label, picture.session
        )
    case.targets[indices] = case.labels.index(label)
    case.sure[indices] = 0.97
    order = sorted(range(len(case.pictures)), key=lambda i: case.targets[i])
    case.pictures = [case.pictures[i] for i in order]
    for name in ("targets", "said", "sure", "rows"):
        setattr(case, name, getattr(case, name)[order])


def test_pictures_in_the_wrong_folder_are_found():
    case = Case()
    mislabel(case, [*case.where("rock", "s0")[:2], *case.where("rock", "s2")[:1]], "palm")
    (advice,) = case.advice("mislabelled")
    assert "of palm" in advice.text
    assert "looks like rock, and 2 others look wrong too" in advice.text
    assert all(path.name.startswith("moved") for path in advice.pictures)
    assert len(advice.pictures) == 3
    assert case.advice("confusion") == []


def test_a_whole_session_in_the_wrong_folder_is_said_as_one():
    case = Case(sessions=("s0", "s1", "s2", "s3"))
    mislabel(case, case.where("rock", "s1"), "palm")
    case.pictures = [
        Picture(p.path, p.label, "wrong") if p.path.name.startswith("moved") else p
        for p in case.pictures
    ]
    (advice,) = case.advice("mislabelled")
    assert "20 pictures of palm in session wrong look like rock" in advice.text
    assert case.advice("confusion") == []
    assert case.advice("session") == []


def test_two_folders_that_were_swapped_are_both_named():
    case = Case(sessions=("s0", "s1", "s2"))
    swapped = {"palm": case.where("rock", "s1"), "rock": case.where("palm", "s1")}
    for label, indices in swapped.items():
        for i in indices:
            case.pictures[i] = Picture(Path("data") / label / "s1" / f"{i}.jpg", label, "s1")
        case.targets[indices] = case.labels.index(label)
        case.sure[indices] = 0.97
    texts = [advice.text for advice in case.advice("mislabelled")]
    assert len(texts) == 2
    assert any("20 pictures of palm in session s1 look like rock" in text for text in texts)
    assert any("20 pictures of rock in session s1 look like palm" in text for text in texts)
    assert case.advice("confusion") == []


def test_a_mistake_whose_neighbours_have_its_own_label_is_the_networks():
    case = Case()
    wrong = case.where("rock")[:3]
    case.said[wrong] = 1
    case.sure[wrong] = 0.99
    assert case.advice("mislabelled") == []


def test_a_network_that_guesses_accuses_nobody():
    case = Case()
    mislabel(case, case.where("rock", "s0")[:3], "palm")
    rng = np.random.default_rng(0)
    unsure = rng.permutation(len(case.pictures))[:120]
    case.said[unsure] = rng.integers(0, 3, 120)
    assert case.advice("mislabelled") == []


# --- Copies


def copy(case, number, other, noise=0.05):
    """Let pictures of one session come again in another, a little changed."""
    rng = np.random.default_rng(1)
    origin, copies = case.where("rock", "s0")[:number], case.where(other, "s1")[:number]
    changed = noise * rng.standard_normal((number, case.rows.shape[1]))
    case.rows[copies] = case.rows[origin] + changed
    return {case.pictures[i].path for i in (*origin, *copies)}


def test_copies_in_two_sessions_make_the_figures_too_good():
    case = Case()
    paths = copy(case, 4, "rock")
    (advice,) = case.advice("duplicates")
    assert "8 pictures nearly repeat one of another session (s0 and s1)" in advice.text
    assert "too good" in advice.text
    assert set(advice.pictures) == paths
    first, second = advice.pictures[:2]
    assert (first.name, first.parent.name) != (second.name, second.parent.name)
    assert first.name == second.name  # each beside its copy


def test_hands_held_alike_are_no_copies():
    """Where rows say only how a hand is held, the same gesture elsewhere looks like a copy."""
    case = Case()
    copy(case, 4, "rock")
    case.more = case.more | {"finders": ("hand",)}
    assert case.advice("duplicates") == []


def test_hands_that_are_the_same_to_the_last_digit_are_copies():
    case = Case()
    paths = copy(case, 4, "rock", noise=0.0)
    case.rows[case.where("palm", "s0")] = 0.0  # where no hand is found all are alike
    case.rows[case.where("palm", "s1")] = 0.0
    case.more = case.more | {"finders": ("hand",)}
    (advice,) = case.advice("duplicates")
    assert "8 pictures nearly repeat one of another session" in advice.text
    assert set(advice.pictures) == paths


def test_a_copy_under_two_labels_is_an_error_in_one():
    case = Case()
    copy(case, 2, "palm")
    assert "another label" in case.advice("duplicates")[0].text


def test_copies_under_two_labels_make_the_figures_too_bad_and_are_counted_once():
    case = Case()
    paths = copy(case, 4, "palm")
    (advice,) = case.advice()
    assert advice.text.startswith(
        "4 pictures are there twice, the second time under another label (palm and rock, in s1 and "
        "s0), which makes every figure here too bad."
    )
    assert set(advice.pictures) == paths
    first, second = advice.pictures[:2]
    assert first.name == second.name


def test_copies_under_two_labels_leave_open_whether_more_sessions_would_help():
    case = Case()
    case.more = {"curve": curve((1, 0.5), (2, 0.7), (4, 0.85))}
    assert case.advice("more")
    copy(case, 4, "palm")
    assert not case.advice("more")


def test_copies_under_two_labels_are_no_bad_session_confusion_or_other_advice():
    case = Case(labels=("background", "palm", "rock", "thumb"))
    for origin, other in (("rock", "palm"), ("palm", "thumb"), ("thumb", "rock")):
        here, there = case.where(origin, "s0")[:10], case.where(other, "s1")[:10]
        case.rows[there] = case.rows[here]
        case.said[there] = case.labels.index(origin)
        case.sure[there] = 0.97
    (advice,) = case.advice()
    assert advice.kind == "duplicates"
    assert "30 pictures are there twice" in advice.text


def test_a_copy_under_another_label_is_found_in_a_session_of_the_same_name():
    case = Case()
    case.rows[case.where("palm", "s0")[:3]] = case.rows[case.where("rock", "s0")[:3]]
    (advice,) = case.advice()
    assert "3 pictures are there twice" in advice.text
    assert "(palm and rock, in s0)" in advice.text


def test_copies_of_both_sorts_are_two_pieces_of_advice_those_under_two_labels_first():
    case = Case()
    copy(case, 4, "rock")
    case.rows[case.where("palm", "s1")[4:8]] = case.rows[case.where("background", "s0")[4:8]]
    worse, better = case.advice("duplicates")
    assert "too bad" in worse.text
    assert "8 pictures nearly repeat" in better.text
    assert "too good" in better.text


def test_many_features_are_compared_as_well():
    case = Case(features=900)
    paths = copy(case, 4, "rock")
    assert set(case.advice("duplicates")[0].pictures) == paths


def test_a_burst_without_movement_adds_little():
    case = Case()
    rng = np.random.default_rng(0)
    for label in case.labels:
        for session in HELD:
            here = case.where(label, session)
            noise = 0.02 * rng.standard_normal((len(here), case.rows.shape[1]))
            case.rows[here] = case.rows[here[0]] + noise
    (advice,) = case.advice("duplicates")
    assert "hardly differ" in advice.text


def test_gestures_that_look_alike_are_no_burst():
    case = Case()
    rng = np.random.default_rng(0)
    for session in HELD:
        here = [case.where(label, session) for label in case.labels]
        for number in range(case.each):  # each picture's like is in another label
            row = rng.standard_normal(case.rows.shape[1])
            for label, where in enumerate(here):
                case.rows[where[number]] = row + 0.01 * label
    assert not any("hardly differ" in advice.text for advice in case.advice("duplicates"))


def test_too_many_pictures_are_not_compared_and_that_is_said(monkeypatch):
    case = Case()
    copy(case, 4, "rock")
    monkeypatch.setattr(trainer.report.advice, "SEARCHED", 100)
    (advice,) = case.advice("duplicates")
    assert "Copies were not looked for: of 180 pictures" in advice.text
    assert "100" in advice.text


def test_likeness_is_the_cosine_between_scaled_features(monkeypatch):
    monkeypatch.setattr("trainer.alike.BLOCK", 7)  # several blocks
    rows = np.random.default_rng(0).standard_normal((50, 30)).astype(np.float32)
    sessions = [str(i % 4) for i in range(50)]
    nearest = Likeness.of(rows, sessions).nearest()
    z = (rows - rows.mean(axis=0)) / (rows.std(axis=0) + 0.05 * rows.std())
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    cosines = z @ z.T
    for i in range(50):
        others = [j for j in range(50) if sessions[j] != sessions[i]]
        own = [j for j in range(50) if sessions[j] == sessions[i] and j != i]
        assert nearest.elsewhere[i] == max(others, key=lambda j: cosines[i, j])
        assert nearest.within[i] == max(own, key=lambda j: cosines[i, j])
        assert nearest.within_likeness[i] == pytest.approx(cosines[i, own].max(), abs=1e-4)


def test_a_picture_alone_in_its_session_has_nothing_near_it_there():
    rows = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    nearest = Likeness.of(rows, ["a", "b", "b"]).nearest()
    assert nearest.within.tolist() == [-1, 2, 1]
    alone = Likeness.of(rows, ["a", "a", "a"]).nearest()
    assert alone.elsewhere.tolist() == [-1, -1, -1]
    assert alone.elsewhere_likeness.tolist() == [-1, -1, -1]


# --- More, and how many


def curve(*points):
    tested = np.arange(200) / 200
    return [CurvePoint(sessions, 20 * sessions, tested < share) for sessions, share in points]


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (curve((1, 0.5), (2, 0.7), (4, 0.85)), "More sessions would help: 70 %"),
        (curve((1, 0.5), (2, 0.7), (4, 0.7)), "More of the same would hardly help"),
        (curve((1, 0.9), (2, 0.98), (4, 0.98)), None),  # good as it is
        (curve((1, 0.5), (2, 0.70), (4, 0.72)), None),  # who can tell
        ([CurvePoint(n, n, np.arange(20) < 18 + (n > 1)) for n in (1, 2)], None),  # one picture
        (curve((4, 0.7)), None),
        (curve((3.5, 0.5), (4, 0.9)), None),  # no point near the half
    ],
)
def test_whether_more_sessions_help_is_read_off_the_curve(found, says):
    case = Case()
    case.more = {"curve": found}
    texts = [each.text for each in case.advice("more")]
    assert len(texts) == (says is not None)
    assert all(text.startswith(says) for text in texts)


def test_a_label_with_far_fewer_pictures_is_named():
    case = Case()
    keep = [i for i, p in enumerate(case.pictures) if p.label != "rock" or int(p.path.stem) < 5]
    case.pictures = [case.pictures[i] for i in keep]
    for name in ("targets", "said", "sure", "rows"):
        setattr(case, name, getattr(case, name)[keep])
    (advice,) = case.advice()
    assert advice.kind == "balance"
    assert "rock: only 15 pictures, where others have 60" in advice.text


def test_few_pictures_altogether_are_few():
    (advice,) = Case(each=3).advice()
    assert "about 9 pictures a label" in advice.text


def test_one_is_no_plural():
    texts = " ".join(each.text for each in Case(each=1, sessions=["s0"]).advice())
    assert "about 1 picture a label" in texts
    case = Case()
    keep = [i for i, p in enumerate(case.pictures) if p.label != "rock" or i == 120]
    case.pictures = [case.pictures[i] for i in keep]
    for name in ("targets", "said", "sure", "rows"):
        setattr(case, name, getattr(case, name)[keep])
    assert "rock: only 1 picture, where" in " ".join(each.text for each in case.advice())
    case.more = {"curve": curve((1, 0.7), (2, 0.7))}
    assert "learning from 1 session a label, 70 % from 2" in case.advice("more")[0].text


# --- Whatever there is


@given(st.integers(0, 10_000), st.integers(2, 7), st.integers(1, 5), st.integers(1, 12))
def test_advice_is_bounded_and_readable_whatever_was_said(seed, classes, sessions, each):
    rng = np.random.default_rng(seed)
    labels = [f"l{i}" for i in range(classes)]
    case = Case(labels=labels, sessions=[f"s{i}" for i in range(sessions)], each=each)
    case.said = rng.integers(0, classes, len(case.pictures))
    case.sure = rng.uniform(1 / classes, 1, len(case.pictures))
    evidence = case.evidence()
    never = rng.random(len(case.pictures)) < rng.choice([0, 0.5, 1])
    evidence.probabilities[never] = np.nan
    found = advise(evidence)
    assert len(found) <= MOST
    for each_advice in found:
        assert len(each_advice.pictures) <= NAMED
        assert set(each_advice.pictures) <= {p.path for p in case.pictures}
        assert each_advice.text.endswith((".", "?"))
        assert "nan" not in each_advice.text


def test_hostile_names_are_shortened_and_hold_no_control_characters():
    label = "x" * 300 + "\u202e\x1b[31m"
    case = Case(labels=("background", "palm", label))
    case.confuse(label, "palm", 30)
    (advice,) = case.advice("confusion")
    assert len(advice.text) < 400
    assert "\x1b" not in advice.text
    assert "\u202e" not in advice.text


def test_the_confusion_counts_only_what_was_held_out():
    case = Case()
    case.confuse("rock", "palm", 20)
    evidence = case.evidence()
    evidence.probabilities[case.where("rock")[:10]] = np.nan
    matrix = evidence.confusion()
    assert matrix.tolist() == [[60, 0, 0], [0, 60, 0], [0, 10, 40]]
    assert evidence.accuracy == pytest.approx(160 / 170)
    ((way,),) = mixed_up(evidence, evidence.held_out)
    assert (way.shown, way.taken, len(way.pictures), way.of) == (2, 1, 10, 50)


def test_calibration_error_is_the_distance_between_confidence_and_accuracy():
    case = Case()
    case.sure[:] = 0.75
    case.confuse("rock", "palm", 18)
    case.sure[:] = 0.75  # right in nine of ten
    bins, error = reliability(case.evidence())
    assert error == pytest.approx(0.15)
    assert [each.number for each in bins] == [0, 0, 0, 0, 0, 0, 0, 180, 0, 0]
    assert bins[7].accuracy == pytest.approx(0.9)


@given(st.integers(0, 50), st.integers(1, 50), st.integers(1, 20))
def test_what_a_share_may_stand_for_narrows_with_number_and_widens_with_looking(part, more, among):
    whole = part + more
    low, high = wilson_lower(part, whole), wilson_upper(part, whole)
    assert -1e-9 <= low <= part / whole <= high <= 1 + 1e-9
    assert wilson_upper(10 * part, 10 * whole) <= high + 1e-9
    assert wilson_lower(part, whole, among) <= low + 1e-9


def test_names_and_numbers_in_sentences():
    assert names(["a"]) == "a"
    assert names(["a", "b"]) == "a and b"
    assert names(list("abcd")) == "a, b, c and d"
    assert names(list("abcde")) == "a, b, c and 2 more"
    assert percent(0.999) == "over 99 %"
    assert percent(1.0) == "100 %"
    assert percent(0.001) == "under 1 %"
    assert shorten("a" * 50 + "z" * 50, 20) == "a" * 13 + "…" + "z" * 6
    assert shorten("👩\u200d🚀") == "👩\u200d🚀"
