"""What a host needs for one edge.toml: packages, wheels, groups, rights. Pure; knows no host."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from deploy.setup.survey import upstream
from edge.outputs.sound import PACKAGES

if TYPE_CHECKING:
    from deploy.setup.survey import Survey
    from edge.config import Config

GROUPS = ("video", "gpio", "audio")
"""The camera, the pins, the loudspeaker: what the unit asks for as well."""
BASE = ("python3-venv", "python3-numpy")
HARDWARE = ("python3-gpiozero", "python3-lgpio")
CAMERA = ("python3-picamera2",)
COMPILER = ("python3-dev", "gcc")
FALLBACK = {
    "picamera2": ("python3-libcamera", "python3-prctl", "python3-pil", *COMPILER, "libcap-dev"),
    "lgpio": COMPILER,
}
"""apt packages that PyPI's modules need where apt has no such modules: plain Debian. Bookworm's has
no python3-libcamera: webcams and pins work there."""
SCREEN = ("python3-pygame", "python3-pil", "libegl1", "libgles2")
KEEPING = ("python3-pil",)
"""Packages for making JPEGs of the pictures that it was unsure about."""
ALL = (
    *BASE, *HARDWARE, *CAMERA, *FALLBACK["picamera2"], *FALLBACK["lgpio"],
    *PACKAGES.values(), *SCREEN, "polkitd",
)  # fmt: skip
"""Every package that some edge.toml may need: what a survey asks about."""
SHUTDOWN = "polkitd"
GPIOZERO = (2, 0)
SWIG = "swig<4.3"
"""Generates lgpio's C code; newer versions generate code that does not compile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What must be there."""

    apt: tuple[str, ...]
    pip: tuple[str, ...]
    """Requirements of the venv, NumPy not among them: that is apt's."""
    groups: tuple[str, ...] = GROUPS
    network: bool = False
    """Whether the service may use the network."""
    shutdown: bool = False
    """Whether the service may shut the machine down."""
    camera: bool = True
    """Whether edge.toml uses a Pi's own camera."""
    signers: str | None = None
    """The text of an allowed_signers file: whose bundles are taken; None: as it is."""
    notes: tuple[str, ...] = ()
    """Notes for the user on how this differs from the usual."""


def needs(config: Config | None, survey: Survey) -> Needs:
    """Return what a host needs for an edge.toml; None: for any that drives pins."""
    kinds = [(name, output) for _, name, output in config.outputs()] if config else []
    names = {name for name, _ in kinds}
    source = (config.source if config else None) or "pi"
    camera = source == "pi"
    button = config.button if config else None
    shutdown = button is not None and "shutdown" in {button.press, button.hold}
    wanted = [*BASE, *HARDWARE, *(CAMERA if camera else ())]
    programs = [program for _, output in kinds for program in output.programs()]
    wanted += [PACKAGES[program] for program in programs if program in PACKAGES]
    wanted += SCREEN if "picture" in names else ()
    wanted += KEEPING if config and config.keep.unsure else ()
    wanted += [SHUTDOWN] if shutdown else []
    extras = {"mqtt", "webhook"} & {*names, *(config.sections if config else ())}
    pip = [*required(), *required(*extras)] if extras else required()
    if source.startswith("webcam"):
        pip.append("opencv-python-headless")
    wanted, more, notes = without_what_apt_lacks(list(dict.fromkeys(wanted)), survey)
    return Needs(
        apt=tuple(wanted),
        pip=tuple(dict.fromkeys([*pip, *more])),
        groups=(*GROUPS, "render") if "picture" in names else GROUPS,
        network=bool(extras),
        shutdown=shutdown,
        camera=camera,
        notes=tuple(notes),
    )


def required(*extras: str) -> list[str]:
    """Return this handwave's run-time requirements except NumPy, and those of `extras`."""
    found = []
    for line in metadata.requires("handwave") or ():
        one = Requirement(line)
        asked = any(one.marker.evaluate({"extra": e}) for e in extras) if one.marker else not extras
        if one.name != "numpy" and asked:
            found.append(f"{one.name}{one.specifier}")
    return found


def without_what_apt_lacks(
    wanted: list[str], survey: Survey
) -> tuple[list[str], list[str], list[str]]:
    """Return apt's packages, what comes from PyPI instead, and notes that say so.

    A module that is there already, however it came, is asked of nobody.
    """
    apt, pip, notes = list(wanted), [], []
    for package in (*HARDWARE, *CAMERA):
        module = package.removeprefix("python3-")
        if package not in apt or package in survey.packages:
            continue
        if usable(module, survey.modules.get(module)):
            apt.remove(package)
        elif not in_apt(package, survey):
            apt.remove(package)
            pip.append({"gpiozero": "gpiozero>=2.0.1"}.get(module, module))
    if pip:
        more = [one for module in pip for one in FALLBACK.get(module, ())]
        apt = list(dict.fromkeys([*apt, *more]))
        names = ", ".join(one.partition(">")[0] for one in pip)
        notes.append(f"apt has no (new enough) {names} there: taken from PyPI into the venv")
    return apt, pip, notes


def usable(module: str, version: str | None) -> bool:
    """Return whether a module that is there will do."""
    return version is not None and (module != "gpiozero" or upstream(version) >= GPIOZERO)


def in_apt(package: str, survey: Survey) -> bool:
    """Return whether apt can install a package that will do; without lists: as on such systems."""
    if survey.lists_age is None:
        return survey.raspberry
    version = survey.candidates.get(package)
    return version is not None and usable(package.removeprefix("python3-"), version)
