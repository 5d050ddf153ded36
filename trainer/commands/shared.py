"""Options and steps that several commands share."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trainer.errors import DataError
from trainer.tell import say, say_skipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edge.classifier import Classifier
    from trainer.dataset import Dataset
    from trainer.evaluate import Evaluation
    from trainer.features import Features

json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON value on stdout and nothing else."
)


class _Folder(click.Path):
    """A folder's path; the empty string is refused, as it would mean the working directory."""

    name = "directory"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty; name a folder", param, ctx)
        return super().convert(value, param, ctx)


data_option = click.option(
    "--data", type=_Folder(path_type=Path, file_okay=False), default="data", show_default=True,
    help="The folder of all labels.",
)  # fmt: skip


def check_order(model: Path, others: Iterable[Path]) -> None:
    """Refuse a model that is named last.

    Raises:
        click.UsageError: what stands in its place is none, and a model follows.
    """
    if model.suffix.lower() != ".onnx" and any(one.suffix.lower() == ".onnx" for one in others):
        raise click.UsageError(f"{model}: the model comes first, and then what to show it")


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM end a training as Ctrl-C does, also where a script's `&` had Ctrl-C ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [(number, signal.signal(number, signal.default_int_handler)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def kinds_for(name: str) -> list[Features]:
    """Return the features that `--features` names: for `auto`, all candidates."""
    from trainer.features import AUTO, candidates, make_features

    wanted = "+".join(AUTO) if name == "auto" else name
    fetch_missing(wanted.split("+"))
    if name != "auto":
        return [make_features(name)]
    kinds, missing = candidates()
    for reason in missing:
        say(f"note: {reason}")
    return kinds


def fetch_missing(kinds: Iterable[str]) -> None:
    """Fetch missing weights, once; a failure is reported by whoever needs them."""
    from trainer.features import looks_for
    from trainer.features.weights import PACKAGES, are_here
    from trainer.features.weights import fetch as fetch_weights

    for name in sorted(PACKAGES.keys() & {looks_for(kind) for kind in kinds}):
        if not are_here(name):
            say(f"fetching the {name} weights, once ({PACKAGES[name].project}, checked)")
            try:
                fetch_weights(name)
            except DataError as problem:  # without them something else may do
                say(f"note: {problem}")


def measure(classifier: Classifier, dataset: Dataset) -> Evaluation:
    """Return how a model does on pictures, and say which could not be read."""
    from trainer.evaluate import evaluate
    from trainer.progress import counting_bar

    with counting_bar("looking at pictures") as progress:
        evaluation = evaluate(classifier, dataset, progress=progress)
    say_skipped(evaluation.skipped)
    return evaluation
