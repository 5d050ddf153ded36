"""The report: one page that is whole, says what was measured, and trusts no name."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import cycle
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge.card import Camera, Card, Golden, Thresholds, Training
from trainer.choose import Candidate
from trainer.dataset import Dataset, Picture, read_dataset
from trainer.errors import ExportError
from trainer.evidence import CurvePoint, Evidence
from trainer.report.advice import Advice, advise
from trainer.report.explain import UnitPicture
from trainer.report.page import Occlusion, Report, write_report
from trainer.training import Epoch, History

VOID = {"meta", "img", "br", "wbr", "input", "hr", "link"}
REFERENCES = {"popovertarget", "aria-labelledby", "for"}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }} $%&",
    "שלום\u202eevil",
    "x" * 500,
]


class Page(HTMLParser):
    """Reads a page, and complains about what no page should have."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.references, self.tags = [], [], [], []
        self.texts, self.addresses = [], []
        self.feed(text)
        self.close()
        assert self.open == [], "not closed"

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"{tag}: an attribute twice"
        values = dict(attrs)
        self.tags.append((tag, values))
        self.ids += [values["id"]] if "id" in values else []
        self.references += [values[name] for name in REFERENCES & values.keys()]
        self.addresses += [values[name] for name in ("src", "href", "action") if name in values]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> without a beginning"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.texts))

    def all(self, tag, **wanted):
        return [v for t, v in self.tags if t == tag and wanted.items() <= v.items()]


def card(labels, accuracy, pictures):
    return Card(
        labels=labels,
        camera=Camera(size=(64, 48)),
        thresholds=Thresholds(enter=0.6, leave=0.4, novelty=2.0),
        training=Training(
            features="edges", hidden=16, seed=0, accuracy=accuracy, temperature=1.0,
            pictures=dict.fromkeys(labels, pictures), sessions=dict.fromkeys(labels, 3),
            measured_on="96 pictures of 3 sessions not trained on",
        ),
        golden=[
            Golden(label=labels[0], sha256="", size=(1, 1), probabilities=[0.5], novelty=1.0)
        ],
    )  # fmt: skip


def history(epochs=8, *, held_out=True):
    made = [
        Epoch(n, epochs, 1 / n, 0.9, 2 / n if held_out else None, 0.7 if held_out else None, n)
        for n in range(1, epochs + 1)
    ]
    return History(made, made[-1])


def evidence_of(dataset, *, wrong=0.2, held_out=True):
    rng = np.random.default_rng(0)
    index = {label: number for number, label in enumerate(dataset.labels)}
    targets = np.array([index[picture.label] for picture in dataset.pictures])
    n, classes = len(targets), len(index)
    said = np.where(rng.random(n) < wrong, rng.integers(0, classes, n), targets)
    P = np.full((n, classes), 0.2 / max(1, classes - 1))
    P[np.arange(n), said] = 0.8
    P = P if held_out else np.full_like(P, np.nan)
    right = np.arange(10) / 10
    shares = ((1, 0.5), (2, 0.8)) if held_out else ()
    curve = [CurvePoint(sessions, sessions * n / 3, right < share) for sessions, share in shares]
    rows = rng.standard_normal((n, 20)).astype(np.float32)
    novelty = rng.gamma(5, 0.2, n) if held_out else np.full(n, np.nan)
    return Evidence(dataset, targets, P, novelty, rows, curve)


def report_of(evidence, **more):
    return Report(
        evidence=evidence,
        **{
            "card": card(evidence.labels, evidence.accuracy, 12),
            "model": Path("somewhere/model.onnx"),
            "advice": advise(evidence),
            "history": history(),
            "made": datetime(2030, 5, 17, 9, 30, tzinfo=UTC),
            "seconds": 3.21,
        }
        | more,
    )


def made_up(labels=("background", "fist", "palm"), *, sessions=3, each=8):
    """Return a dataset of files that are not there."""
    return Dataset(
        Path("data"),
        [
            Picture(Path("data") / f"{i}" / f"s{s}" / f"{n}.jpg", label, f"s{s}")
            for i, label in enumerate(labels)
            for s in range(sessions)
            for n in range(each)
        ],
    )


@pytest.fixture
def write(tmp_path):
    def page(report):
        write_report(report, tmp_path / "report.html")
        return Page((tmp_path / "report.html").read_text(encoding="utf-8"))

    return page


def full(data):
    evidence = evidence_of(read_dataset(data))
    picture = evidence.dataset.pictures[0]
    return report_of(
        evidence,
        candidates=[
            Candidate("pixels", 0.5, 0.3, 300_000, remark="far behind"),
            Candidate("edges", 0.8, 0.6, 800_000, chosen=True, remark="cheapest of the best"),
            Candidate("backbone", None, 7.0, 2_700_000, remark="not installed"),
        ],
        unreadable=["data/palm/s1/9.jpg: damaged picture"],
        units=[UnitPicture(3, np.zeros((32, 32, 3), np.uint8), 1, 2)],
        occlusions=[Occlusion(picture.path, picture.label, np.eye(8))],
    )


# --- The page


def test_the_page_is_whole_and_everything_it_points_to_is_there(data, write):
    page = write(full(data))
    assert len(page.ids) == len(set(page.ids))
    assert set(page.references) <= set(page.ids)
    assert len(page.references) > 10
    assert {"html", "head", "title", "main", "h1", "h2", "table"} <= {tag for tag, _ in page.tags}


def test_nothing_comes_from_anywhere_else(data, write, tmp_path):
    page = write(full(data))
    text = (tmp_path / "report.html").read_text()
    assert not re.search(r"https?:|//[a-z]|url\(|@import", text)
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, values in page.tags for name in values)
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert "default-src 'none'" in policy["content"]
    assert "script-src" not in policy["content"]


def test_it_says_how_good_the_model_is_and_on_what(data, write):
    report = full(data)
    page = write(report)
    share = f"{100 * report.card.training.accuracy:.0f} %"
    assert f"{share} of the pictures from sessions it had not learned from" in page.text
    assert "guessing would be right in 33 %" in page.text
    assert "Measured on 96 pictures of 3 sessions not trained on." in page.text
    assert "2030-05-17 09:30" in page.text
    assert "edges , 16 hidden units" in page.text
    for title in (
        "What to do next", "What is taken for what", "Labels", "Sessions", "Would more help?",
        "How it learned", "How far to believe it", "Features that were tried",
        "What it needs to see", "What hidden units respond to", "Pictures that could not be read",
    ):  # fmt: skip
        assert title in page.text
    assert "cheapest of the best" in page.text
    assert "damaged picture" in page.text
    assert len(page.all("tr", **{"class": "chosen"})) == 1


def test_where_the_figure_is_not_the_share_below_it_says_why(write):
    evidence = evidence_of(made_up())
    assert "luck helps a winner" not in write(report_of(evidence)).text
    told = write(report_of(evidence, card=card(evidence.labels, 0.5, 12))).text
    assert "luck helps a winner" in told
    assert "50 % of the pictures from sessions" in told


def test_an_accuracy_of_nothing_is_a_figure_too(write):
    evidence = evidence_of(made_up())
    assert (
        "luck helps a winner"
        in write(report_of(evidence, card=card(evidence.labels, 0.0, 12))).text
    )


def test_a_limit_that_is_nearly_nothing_is_said_in_words_that_make_a_sentence(write):
    evidence = evidence_of(made_up())
    own = card(evidence.labels, 0.5, 12)
    limits = Thresholds(enter=0.998, leave=0.004, novelty=2.0)
    page = write(report_of(evidence, card=msgspec.structs.replace(own, thresholds=limits)))
    assert "from 99.8 % confidence, until it is below 0.4 %" in page.text


def test_a_curve_of_one_point_asks_nothing(write):
    point = CurvePoint(1.0, 12.0, np.ones(4, bool))
    # Of two sessions, all of the others is one.
    evidence = replace(evidence_of(made_up()), curve=[point, point, point])
    assert "Would more help?" not in write(report_of(evidence)).text


def test_every_number_in_the_confusion_opens_its_pictures(data, write):
    report = full(data)
    page = write(report)
    matrix = report.evidence.confusion()
    opened = {values["id"] for values in page.all("div") if "popover" in values}
    assert opened == {f"cell-{row}-{column}" for row, column in np.argwhere(matrix)}
    buttons = [v for v in page.all("button") if v.get("popovertargetaction") != "hide"]
    assert {button["popovertarget"] for button in buttons} == opened
    counts = [int(b["aria-label"].rsplit(" ", 1)[1]) for b in buttons]
    assert sum(counts) == matrix.sum()
    wrong = [v for v in page.all("img") if v["src"].startswith("data:image/jpeg")]
    assert len(wrong) >= (~report.evidence.right).sum()
    assert all(values["alt"] for values in page.all("img"))


def test_charts_have_words_for_who_cannot_see_them(data, write):
    charts = write(full(data)).all("svg")
    assert len(charts) == 5
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)


def test_tables_have_headers(data, write):
    page = write(full(data))
    assert len(page.all("table")) == 4
    assert all("scope" in values for values in page.all("th"))


# --- Whatever was measured


def test_where_nothing_was_held_out_it_says_so(write):
    evidence = evidence_of(made_up(sessions=1), held_out=False)
    page = write(report_of(evidence, history=history(held_out=False)))
    assert "How good it is nobody knows" in page.text
    assert "What is taken for what" not in page.text
    assert "nan" not in page.text


def test_no_history_and_a_perfect_model_are_no_error(write):
    evidence = evidence_of(made_up(), wrong=0)
    page = write(report_of(evidence, history=History([], None))).text
    assert "100 %" in page
    assert "How it learned" not in page


def test_a_loss_that_is_no_number_is_no_error(write):
    odd = History([Epoch(1, 1, np.nan, 0.5, np.inf, 0.5, 0.1)], None)
    write(report_of(evidence_of(made_up()), history=odd))


def test_what_would_have_been_switched_is_counted(write):
    evidence = evidence_of(made_up(each=10), wrong=0)
    evidence.novelty[:] = 1
    fists = np.flatnonzero(evidence.targets == 1)
    evidence.novelty[fists[:6]] = 9  # strange: nothing
    evidence.probabilities[fists[6:9]] = [0.1, 0.1, 0.8]  # another gesture
    evidence.probabilities[fists[9:12]] = [0.25, 0.5, 0.25]  # not sure enough
    page = write(report_of(evidence, advice=[]))
    assert "the right output in 80 %, a wrong one in 5 % and none in 15 % of cases" in page.text
    assert "one of the background would switch something in 0 %" in page.text


def test_pictures_that_are_gone_are_named_all_the_same(write):
    page = write(report_of(evidence_of(made_up())))
    assert page.addresses == []
    assert "not shown" in page.text


def test_beside_a_picture_stands_which_one_it_is(write):
    dataset = made_up()
    page = write(report_of(evidence_of(dataset), advice=[
        Advice("more", "Look.", [dataset.pictures[30].path]),
    ]))  # fmt: skip
    assert "fist / s0 / 6.jpg" in page.text


def test_what_was_not_tested_has_no_precision(write):
    evidence = evidence_of(made_up(), wrong=0.3)
    evidence.probabilities[evidence.targets == 2] = np.nan
    assert (evidence.said == 2).any()  # others were taken for it
    assert "palm - not tested 0 12 3" in write(report_of(evidence, advice=[])).text


@pytest.mark.parametrize(
    ("most", "says"),
    [
        (1.0, "100 % less sure"),
        (0.998, "over 99 % less sure"),
        (0.93, "up to 93 % less sure"),
        (0.004, "hardly less sure anywhere"),
        (-0.1, "hardly less sure anywhere"),
    ],
)
def test_what_hiding_a_part_does_is_said_in_plain_words(write, most, says):
    evidence = evidence_of(made_up())
    page = write(
        report_of(evidence, occlusions=[Occlusion(Path("a.jpg"), "fist", most * np.ones((2, 2)))])
    )
    assert f"fist {says}" in page.text


# --- Hostile names


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_and_nothing_else(write, name):
    labels = sorted([name, "background", "palm"])
    dataset = Dataset(
        Path(name), [Picture(p.path.parent / f"{name[:50]}.jpg", p.label, name) for p in
                     made_up(labels).pictures],
    )  # fmt: skip
    evidence = evidence_of(dataset)
    page = write(
        report_of(
            evidence,
            model=Path(name[:200].replace("/", "_")),
            advice=[Advice("confusion", name, [dataset.pictures[0].path])],
            candidates=[Candidate(name, 0.5, 1, 1, chosen=True, remark=name)],
            unreadable=[name],
            units=[UnitPicture(0, np.zeros((2, 2, 3), np.uint8), 0, 1)],
            occlusions=[Occlusion(Path(name), name, np.eye(2))],
        )
    )
    assert not {"script", "link"} & {tag for tag, _ in page.tags}
    assert not any("onerror" in values for _, values in page.tags)
    assert "\u202e" not in page.text
    assert "49" not in page.text
    assert max(map(len, page.texts)) < 600


def test_bytes_that_are_no_text_are_no_error(write):
    odd = Picture(Path("data") / "a" / "\udcff.jpg", "palm", "s\udc80")
    dataset = made_up()
    write(report_of(evidence_of(Dataset(Path(), [*dataset.pictures, odd]))))


# --- Bounds


def test_the_page_is_bounded_for_thousands_of_pictures_and_labels(tmp_path, data):
    files = [picture.path for picture in read_dataset(data).pictures]
    pictures = [
        Picture(file.parent / ".." / file.parent.name / file.name, f"l{i % 120:03}", f"s{i // 40}")
        for i, file in zip(range(10_000), cycle(files), strict=False)
    ]
    evidence = evidence_of(Dataset(data, pictures))
    report = report_of(evidence, advice=[], unreadable=["x"] * 5000)
    write_report(report, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 3_000_000
    page = Page((tmp_path / "report.html").read_text())
    assert "40 labels with the most mistakes, of 120" in page.text
    assert "and 4950 more" in page.text


# --- The file


def test_it_replaces_the_page_before_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(report_of(evidence_of(made_up())), path)
    assert path.read_text().startswith("<!doctype html>")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_where_it_cannot_be_written_one_line_says_so(tmp_path):
    (tmp_path / "report.html").mkdir()
    for path in (tmp_path / "report.html", tmp_path / "nowhere" / "report.html"):
        with pytest.raises(ExportError, match=r"report\.html: cannot be written"):
            write_report(report_of(evidence_of(made_up())), path)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
