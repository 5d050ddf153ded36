"""The model file, run: a frame in, a prediction out."""

from __future__ import annotations

import ctypes
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edge.card import GOLDEN_KEY, TOLERANCE, read_card, unpack_golden
from edge.errors import ModelError
from edge.files import read_bounded
from edge.frame import GAP
from edge.limits import more_memory
from edge.seal import check_seal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from onnxruntime import InferenceSession, RunOptions

    from edge.card import Card
    from edge.frame import Frame, Image

MAX_MODEL_BYTES = 200_000_000
MEMORY, MEMORY_A_BYTE = 500_000_000, 4
"""Bytes that opening and trying a model may take, plus this many per byte of the file."""
TRIAL_SECONDS = 20.0
"""How long all golden frames may take: half a second each is usual on the slowest Pi. A
reloading device handles no frames, and systemd's watchdog kills it after 30 s."""
AT_ONCE = 2
"""Golden frames that are tried at a time: each needs memory of its own."""


class Prediction(msgspec.Struct, frozen=True, eq=False):
    """What one frame looks like, all by itself."""

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]
    """float32 `[classes]`, in the order of `labels`, summing to 1."""
    novelty: float
    """How unlike anything taught; higher is stranger."""
    time: float
    """The frame's time, seconds."""

    @property
    def label(self) -> str:
        """The likeliest label."""
        return self.labels[int(self.probabilities.argmax())]

    @property
    def confidence(self) -> float:
        """The largest probability."""
        return float(self.probabilities.max())


class Classifier:
    """A model file ready to run.

    >>> classifier = Classifier("model.onnx")         # doctest: +SKIP
    >>> classifier.predict(frame).label               # doctest: +SKIP
    'rock'

    Args:
        model: path of a model file made by `trainer`.
        threads: processor threads onnxruntime may use; with our own features a second one costs
            as much processor time again and saves next to none.

    Raises:
        ModelError: missing, damaged, of a newer format, not ours, or disagreeing with its golden
            frames.
    """

    def __init__(self, model: str | Path, *, threads: int = 1) -> None:
        self.path = Path(model)
        content = read_bounded(
            self.path,
            MAX_MODEL_BYTES,
            what="model",
            missing="no such model; make one with: trainer train DATA",
            error=ModelError,
        )
        sealed = check_seal(content, str(model))
        self._state: NDArray[np.float32] | None = None
        self._time = np.nan
        self._options: RunOptions | None = None
        try:
            with more_memory(MEMORY + MEMORY_A_BYTE * len(content)):
                self._open(content, threads, sealed=sealed)
        except (MemoryError, RuntimeError) as problem:  # the second: no memory for a thread
            raise ModelError(
                f"{model}: needs more memory than a model may ({_first_line(problem)}); "
                "train it again, with simpler features"
            ) from None
        _give_back(self._session)

    def _open(self, content: bytes, threads: int, *, sealed: bool) -> None:
        """Open the session, and try it on its golden frames."""
        self._session = open_session(content, str(self.path), threads=threads)
        metadata = self._metadata()
        self.card: Card = read_card(metadata, str(self.path))
        self.labels = tuple(self.card.labels)
        self._check_signature()
        self._outputs = [
            "probabilities", "novelty", *(["next_state"] if self.card.state else []),
        ]  # fmt: skip
        with self._time_limit(TRIAL_SECONDS):
            self._check_golden(metadata.get(GOLDEN_KEY, ""), sealed=sealed)

    def predict(self, frame: Frame) -> Prediction:
        """Classify one frame, continuing from the last one; raises as `run` does.

        The model's state after the last frame is an input for this one. A frame that is no later
        than the last, or more than a second later, begins a new stream.
        """
        state = self._state if 0 < frame.time - self._time <= GAP else None
        probabilities, novelty, self._state = self._run(frame.image, state)
        self._time = frame.time
        return Prediction(self.labels, probabilities, novelty, frame.time)

    def run(self, image: Image) -> tuple[NDArray[np.float32], float]:
        """Return probabilities, float32 `[classes]`, and novelty of a uint8 `[h, w, 3]` picture.

        The picture is taken by itself, whatever was before.

        Raises:
            ModelError: a picture that this model cannot take, such as an empty one.
        """
        probabilities, novelty, _ = self._run(image, None)
        return probabilities, novelty

    def _run(
        self, image: Image, state: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float32], float, NDArray[np.float32] | None]:
        feed: dict[str, NDArray[Any]] = {"image": np.ascontiguousarray(image)}
        if state is not None:
            feed["state"] = state
        try:
            probabilities, number, *following = self._session.run(
                self._outputs, feed, self._options
            )
            novelty = float(number)  # fails where a damaged graph gives more than one
        except Exception as problem:  # noqa: BLE001  (onnxruntime's errors have no other base)
            raise ModelError(f"{self.path}: cannot run: {_first_line(problem)}") from None
        return probabilities, novelty, following[0] if following else None

    @contextmanager
    def _time_limit(self, seconds: float) -> Iterator[None]:
        """Stop the session's runs in the block after `seconds`: a model's loop may never end."""
        from onnxruntime import RunOptions

        options = self._options = RunOptions()
        # Return the memory of the parallel golden runs; afterwards frames run one at a time.
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

        late = False

        def end() -> None:
            nonlocal late
            late = options.terminate = True

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        except ModelError:
            if late:
                raise ModelError(
                    f"{self.path}: its golden frames take more than {seconds:g} s here; "
                    "train it again, with simpler features"
                ) from None
            raise
        finally:
            timer.cancel()
            self._options = None

    def _metadata(self) -> dict[str, str]:
        try:
            return dict(self._session.get_modelmeta().custom_metadata_map)
        except UnicodeDecodeError:
            raise ModelError(f"{self.path}: damaged (no UTF-8); send or train it again") from None

    def _check_signature(self) -> None:
        # `get_inputs` leaves out optional inputs, such as the state.
        takes = [*self._session.get_inputs(), *self._session.get_overridable_initializers()]
        gives = self._session.get_outputs()
        inputs, outputs = (
            {v.name: (v.type, len(v.shape)) for v in side} for side in (takes, gives)
        )
        states = [v.shape for v in [*takes, *gives] if v.name in {"state", "next_state"}]
        expected = (
            {"image": ("tensor(uint8)", 3)},
            {"probabilities": ("tensor(float)", 1), "novelty": ("tensor(float)", 0)},
        )
        if self.card.state:
            for side, name in zip(expected, ("state", "next_state"), strict=True):
                side[name] = ("tensor(float)", 1)
        if (inputs, outputs) != expected or any(shape != [self.card.state] for shape in states):
            raise ModelError(f"{self.path}: its inputs or outputs are not a handwave model's")

    def _check_golden(self, packed: str, *, sealed: bool) -> None:
        """Recompute what the trainer computed; a disagreement means wrong arithmetic here."""
        images = unpack_golden(self.card, packed, str(self.path), sealed=sealed)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                answers = list(pool.map(self.run, images))
            except BaseException:  # the pool waits for its threads: they must not be long
                if self._options is not None:
                    self._options.terminate = True
                raise
        for golden, (probabilities, novelty) in zip(self.card.golden, answers, strict=True):
            there = np.asarray(golden.probabilities)
            off = (
                float(np.abs(probabilities - there).max())
                if probabilities.shape == there.shape
                else np.inf
            )
            strange = abs(novelty - golden.novelty) / max(1.0, abs(golden.novelty))
            if not (off <= TOLERANCE and strange <= TOLERANCE):  # also catches NaN
                raise ModelError(
                    f"{self.path}: disagrees with its golden frame of '{golden.label}' by "
                    f"{max(off, strange):.2g} (at most {TOLERANCE:g}); send or train it again"
                )


def open_session(model: bytes, where: str, *, threads: int = 1) -> InferenceSession:
    """Open serialised ONNX in onnxruntime, on the processor.

    Raises:
        ModelError: onnxruntime cannot load it.
    """
    # Since 1.29 onnxruntime sends telemetry unless told not to before it is loaded.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime  # slow to load: only when a model is

    onnxruntime.disable_telemetry_events()
    onnxruntime.set_default_logger_severity(4)  # for messages outside any session
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # we report errors ourselves, in one line
    # A model is one file: external weights are looked for where no file can be.
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", os.devnull
    )
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(
            model,
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # else it prints what is wrong to stdout and tries the same again
        )
    except Exception as problem:  # noqa: BLE001  (onnxruntime's errors have no other base)
        raise ModelError(
            f"{where}: not a model that runs here: {_first_line(problem)}; "
            "make one with: trainer train DATA"
        ) from None


def _give_back(session: InferenceSession) -> None:
    """Free memory that only opening needed: with `backbone`, a seventh of the total."""
    session._model_bytes = None  # noqa: SLF001  (it keeps the whole file otherwise)
    with suppress(Exception):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)


def _first_line(problem: Exception) -> str:
    line = str(problem).strip().partition("\n")[0]
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", line)[:200].rstrip(".")
