"""`trainer train`."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge.console import Command
from edge.errors import PictureError
from trainer.commands.shared import ended_by_signals, json_option, kinds_for, measure
from trainer.errors import DataError, ExportError, TrainingError
from trainer.tell import accuracy_line, say, say_choice, say_end, say_sessions, say_skipped
from trainer.words import count, names

if TYPE_CHECKING:
    from edge.card import Card
    from trainer.dataset import Dataset
    from trainer.evaluate import Evaluation
    from trainer.features import Features
    from trainer.recipe import Taught

NEEDED = ("hand", "backbone")
"""Kinds without which `auto` makes far worse models."""
SAID = 3
"""Pieces of the report's advice that are printed at once."""


@click.command("train", cls=Command, epilog="Example: trainer train gestures/data -o model.onnx")
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "-o", "output", type=click.Path(path_type=Path, dir_okay=False), default="model.onnx",
    show_default=True, help="The model file to write.",
)  # fmt: skip
@click.option(
    "--features", default="auto", show_default=True,
    help="auto, pixels, edges, backbone, hand, hand-full, two-hands, face, some joined by +, or an "
    "ONNX file. "
    "auto tries all but hand-full, which a slow Pi has no time for.",
)  # fmt: skip
@click.option("--hidden", type=click.IntRange(1, 4096), default=64, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**31), default=0, show_default=True)
@click.option(
    "--mirror", is_flag=True,
    help="Gestures mean the same with either hand. Without it, left and right differ. Not for what "
    "points to a side: record that with each hand.",
)  # fmt: skip
@click.option("--test", type=click.Path(path_type=Path), help="Other pictures to measure on.")
@click.option(
    "--report", "page", type=click.Path(path_type=Path, dir_okay=False),
    help="The page about it.  [default: report.html beside the model]",
)  # fmt: skip
@click.option("--no-report", is_flag=True, help="Write no page.")
@click.option(
    "--plots", type=click.Path(path_type=Path, file_okay=False), help="A folder for the loss curve."
)
@json_option
def train(
    *,
    data: Path,
    output: Path,
    features: str,
    hidden: int,
    seed: int,
    mirror: bool,
    test: Path | None,
    page: Path | None,
    no_report: bool,
    plots: Path | None,
    as_json: bool,
) -> None:
    """Teach a network from DATA/<label>/<session>/<picture> and write a model file.

    Ctrl-C ends it early: while pictures are read and features measured, nothing is written; after
    that, the network so far is kept.
    """
    from edge.classifier import Classifier
    from trainer.dataset import check_teachable, read_dataset, without_copies
    from trainer.export import export
    from trainer.features.weights import missing, without

    start = time.perf_counter()
    page = None if no_report else page or output.with_name("report.html")
    _check_target(output, "-o")
    if output.suffix != ".onnx" and output.exists():  # an edge.toml, say
        raise ExportError(f"{output}: is there and may be no model; choose another with -o")
    if page is not None:
        _check_target(page, "--report")
        if page.resolve() == output.resolve():
            raise ExportError(f"{page}: would take the model's place; choose another name with -o")
    if plots is not None:
        plots.mkdir(parents=True, exist_ok=True)  # now, rather than after the training
    dataset = without_copies(read_dataset(data))
    check_teachable(dataset)
    unseen = _other_pictures(test, data)
    wanted = _kept_or(dataset, features)
    kinds = kinds_for(wanted)
    lacking = missing(NEEDED) if wanted == "auto" else []
    taught = _teach(dataset, kinds, hidden=hidden, seed=seed, mirror=mirror)
    card = export(taught, output)
    tested = measure(Classifier(output), unseen) if unseen else None
    if plots is not None:
        from trainer.plots import plot_loss

        plot_loss(taught.history, plots / "loss.png")
    seconds = time.perf_counter() - start
    if page is not None:
        _report(taught, card, output, page, seconds, lacking=lacking)
        seconds = time.perf_counter() - start
    if as_json:
        click.echo(json.dumps(_train_json(taught, output, page, tested, seconds)))
    else:
        _say_figures(taught, card, output, tested=tested, test=test, seconds=seconds)
    if lacking:  # last: what is said at the top has long scrolled away
        say(f"warning: {without(lacking)}")


def _say_figures(
    taught: Taught,
    card: Card,
    output: Path,
    *,
    tested: Evaluation | None,
    test: Path | None,
    seconds: float,
) -> None:
    size = output.stat().st_size / 1000
    click.echo(
        f"wrote {output} ({size:.0f} kB, {taught.features.name} features) in {seconds:.1f} s"
    )
    click.echo(accuracy_line(card.training.accuracy, card.training.measured_on))
    if tested is not None and tested.n == 0:
        say(f"warning: {test} has none of the labels taught: {names(card.labels)}")
    elif tested is not None:
        click.echo(accuracy_line(tested.accuracy, f"{count(tested.n, 'picture')} of {test}"))


def _kept_or(dataset: Dataset, name: str) -> str:
    """Return the features to use: for recordings without pictures, the kind that they kept."""
    from edge.pictures import keeps_points

    if name != "auto":
        return name
    from trainer.features.points import read_points

    for kept in (one.path for one in dataset.pictures if keeps_points(one.path)):
        with suppress(PictureError):  # said later, as of any damaged picture
            return read_points(kept).kind
    return name


def _teach(
    dataset: Dataset, kinds: list[Features], *, hidden: int, seed: int, mirror: bool
) -> Taught:
    from trainer.cache import FeatureCache, cache_folder
    from trainer.progress import counting_bar, progress_bar
    from trainer.recipe import teach
    from trainer.repeats import join_repeating

    with (
        ended_by_signals(),
        FeatureCache(cache_folder() / "features.sqlite") as cache,
        counting_bar("comparing sessions") as comparing,
        counting_bar("reading pictures") as reading,
        counting_bar("measuring on sessions held out") as measuring,
        progress_bar() as progress,
    ):
        try:
            dataset = join_repeating(dataset, cache, comparing)
            _say_dataset(dataset)
            taught = teach(
                dataset, kinds, hidden=hidden, seed=seed, mirror=mirror, cache=cache,
                reading=reading, measuring=measuring, progress=progress,
            )  # fmt: skip
        except KeyboardInterrupt:
            raise TrainingError(
                "stopped before anything was learned; nothing was written"
            ) from None
    say_skipped(taught.described.unreadable)
    say_choice(taught)
    say_end(taught)
    say_sessions(taught.described.dataset)
    return taught


def _say_dataset(dataset: Dataset) -> None:
    # Per label, as all advice counts them: each label may name its sessions differently.
    sessions = {len(found) for found in dataset.sessions().values()}
    most = f"{'up to ' if len(sessions) > 1 else ''}{count(max(sessions), 'session')}"
    pictures = count(len(dataset.pictures), "picture")
    say(f"{dataset.root}: {pictures} in {most} of {names(dataset.labels)}")
    for note in dataset.notes:
        say(f"note: {note}")


def _check_target(output: Path, option: str) -> None:
    """Fail before the training, not after it, if a file cannot be written."""
    folder = output.resolve().parent
    if not folder.is_dir():
        raise ExportError(f"{output}: there is no folder {folder}; make it first")
    if output.exists() and not output.is_file():
        raise ExportError(
            f"{output}: is no file that may be replaced; choose another with {option}"
        )
    if not os.access(folder, os.W_OK):
        raise ExportError(f"{output}: may not write into {folder}; choose another with {option}")


def _other_pictures(test: Path | None, data: Path) -> Dataset | None:
    from edge.pictures import keeps_points
    from trainer.dataset import read_dataset

    if test is None:
        return None
    if test.resolve() == data.resolve():
        raise DataError(f"--test {test}: those are the pictures to learn from; take other ones")
    unseen = read_dataset(test)
    if all(keeps_points(picture.path) for picture in unseen.pictures):
        raise DataError(f"--test {test}: only points were kept there; a model looks at pictures")
    return unseen


def _report(
    taught: Taught, card: Card, output: Path, page: Path, seconds: float, *, lacking: list[str]
) -> None:
    """Write the page about a training, and say the most important of its advice."""
    from trainer.report.findings import report

    found = report(taught, card, output, page, seconds, lacking=lacking).advice
    # Missing weights are warned of last.
    for advice in [one for one in found if one.kind != "weights"][:SAID]:
        say(f"advice: {advice.text}")
    say(f"wrote {page}: what is taken for what, and what to do next")


def _train_json(
    taught: Taught, output: Path, page: Path | None, tested: Evaluation | None, seconds: float
) -> dict[str, Any]:
    dataset, held_out = taught.described.dataset, taught.held_out
    return {
        "model": str(output),
        "report": page and str(page),
        "features": taught.features.name,
        "candidates": [asdict(candidate) for candidate in taught.candidates],
        "labels": dataset.labels,
        # On the pictures of --test where there are some, or else on the held-out sessions.
        "accuracy": tested.accuracy if tested else held_out and held_out.accuracy,
        "measured_on": "test" if tested else "held-out sessions" if held_out else None,
        "validation_accuracy": held_out and held_out.accuracy,
        "validation": held_out
        and {
            "pictures": len(held_out.targets),
            "sessions": held_out.sessions,
            "labels_absent": taught.absent,
        },
        "test": tested and tested.as_json(),
        "sessions": len({picture.session for picture in dataset.pictures}),
        "pictures": len(dataset.pictures),
        "per_class": {
            label: {"pictures": count, "sessions": len(dataset.sessions()[label])}
            for label, count in dataset.counts().items()
        },
        "skipped": taught.described.unreadable,
        "epochs": len(taught.history.epochs),
        "interrupted": taught.interrupted,
        "bytes": output.stat().st_size,
        "seconds": round(seconds, 3),
    }
