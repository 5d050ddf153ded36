"""The loop: Camera -> Frame -> Prediction -> Decision -> Outputs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from edge.card import no_such_class
from edge.classifier import Classifier
from edge.config import Decide
from edge.decider import Decider
from edge.errors import ConfigError
from edge.frame import Source
from edge.outputs import Outputs
from edge.service import stop_if_asked, until_stopped
from edge.sight import Sight
from edge.sources.opening import open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from pathlib import Path

    from edge.card import Card
    from edge.classifier import Prediction
    from edge.decider import Decision
    from edge.frame import Frame
    from edge.outputs import Output


class Step(msgspec.Struct, frozen=True, eq=False):
    """One turn of the loop."""

    frame: Frame
    prediction: Prediction
    decision: Decision
    trouble: str | None
    """Why nothing is decided, in words, such as a covered lens; None where all is well."""
    fresh: bool
    """Whether the frame shows another picture than the one before."""
    seconds: float
    """From having the frame to having switched the outputs, by this machine's clock."""
    latency: float | None = None
    """From the frame's arrival at the camera to that; None where the source is a recording."""


def steps(
    source: Source,
    classifier: Classifier,
    decider: Decider,
    outputs: Outputs,
    *,
    paused: Callable[[], bool] = lambda: False,
) -> Generator[Step, None, None]:
    """Run the loop, one step a frame. However it ends, the outputs are off and all is closed.

    Nothing is decided, and so every output is off, while there is nothing to see or `paused()`.
    """
    sight: Sight | None = None  # until a source that waits for its camera knows what it is
    troubled = False
    decider.reset()  # the outputs are off: nothing that was decided before may last
    with source:
        try:
            for frame in source:
                start = time.perf_counter()
                prediction = classifier.predict(frame)
                sight = sight or Sight(live=source.live)
                seen = sight.update(frame)  # also while paused: the watchdog wants fresh frames
                trouble = "paused" if paused() else seen
                decision = decider.nothing(frame.time) if trouble else decider.update(prediction)
                outputs.apply(decision)
                if trouble and not troubled:
                    outputs.hush()
                troubled = bool(trouble)
                stop_if_asked()
                seconds, now = time.perf_counter() - start, source.now()
                latency = None if now is None else now - frame.time
                yield Step(frame, prediction, decision, trouble, sight.fresh, seconds, latency)
        finally:
            outputs.close()  # before the camera, whose closing may hang


def watch(
    model: str | Path,
    when: Mapping[str, Output | Iterable[Output]],
    *,
    source: str | Path | Source | None = None,
) -> None:
    """Watch the camera and drive outputs, until the source ends, Ctrl-C or SIGTERM.

    >>> watch("model.onnx", when={"rock": LED(17)})  # doctest: +SKIP

    Args:
        model: path of a model file made by `trainer`.
        when: for each label an output, or several: anything with `on()` and `off()` is on while
            the label is decided, any other callable is called once when it is.
        source: where frames come from, a `Source` or its name; None takes the camera.

    Raises:
        HandwaveError: a model, source or output that cannot be used; the outputs are off then.
    """
    outputs = Outputs(when)
    with until_stopped(), outputs:
        classifier = Classifier(model)
        for label in when:
            if label not in classifier.labels:
                raise ConfigError(f"{model}: {no_such_class(label, classifier.labels)}")
        decider = make_decider(classifier.card)
        if not isinstance(source, Source):
            name = None if source is None else str(source)
            taken = classifier.card.camera
            source = open_source(name, size=taken.size, taken=taken)
        for _ in steps(source, classifier, decider, outputs):
            pass


def make_decider(card: Card, decide: Decide = Decide()) -> Decider:  # noqa: B008  (it is frozen)
    """Return the decider for a model: its card's thresholds, unless `edge.toml` says otherwise.

    Raises:
        ConfigError: a `leave` above the `enter` that the card gives.
    """
    enter = card.thresholds.enter if decide.enter is None else decide.enter
    leave = min(card.thresholds.leave, enter) if decide.leave is None else decide.leave
    if leave > enter:
        raise ConfigError(
            f"[decide] leave: {leave:g} is above enter, {enter:g} by the model's card; "
            "set enter as well, or a lower leave"
        )
    return Decider(
        enter,
        leave,
        novelty=card.thresholds.novelty if decide.novelty is None else decide.novelty,
        window=decide.window,
        hold=decide.hold,
        cooldown=decide.cooldown,
    )
