"""`edge.toml`: what each label does, checked before anything is switched on."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_origin

import msgspec

from edge.button import ButtonSettings
from edge.card import BACKGROUND, WHITE_BALANCES, Camera, no_such_class
from edge.errors import FOREIGN, ConfigError, HandwaveError, did_you_mean, named
from edge.outputs.header import check_pins
from edge.outputs.kind import Kind, Section, built_in, find_kind, kind_names
from edge.toml import convert, load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

log = logging.getLogger(__name__)

MAX_BYTES = 64_000
KINDS = ("pi", "webcam", "virtual", "ssh")
"""Kinds of source other than paths."""
NAMED = re.compile(r"pi|webcam(:\d{0,2})?|virtual(:\d{0,18})?|ssh://.+")
"""Their forms. No webcam beyond 99: to OpenCV 200 is another driver's 0."""
FORMS = "pi, webcam:0, a folder, a video file, virtual, or ssh://user@host"
"""All forms of a source, for messages."""
Seconds = Annotated[float, msgspec.Meta(ge=0, le=60)]
Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Strange = Annotated[float, msgspec.Meta(gt=0, le=1e6)]


class Decide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How sure to be: `[decide]`. What is not given comes from the model's card."""

    enter: Share | None = None
    leave: Share | None = None
    window: Seconds = 0.3
    hold: Seconds = 0.2
    cooldown: Seconds = 0.5
    novelty: Strange | None = None
    """Novelty above which frames are ignored; elsewhere the card's may be too low."""


class CameraSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How this device's camera is mounted and set: `[camera]`; docs/camera.md has the reasons."""

    number: Annotated[int, msgspec.Meta(ge=0, le=9)] = 0
    """Which of the Pi's own cameras; a webcam's number is in `source`."""
    rotation: int = 0
    """Degrees by which its picture is turned clockwise to stand upright: 0, 90, 180, 270."""
    rate: Annotated[float, msgspec.Meta(ge=1, le=240)] = 30.0
    """Frames a second to ask for."""
    focus: str | float | None = None
    """`continuous`, `once`, or dioptres (1 / distance in metres); None: `continuous` if it can."""
    white_balance: str | tuple[float, float] | None = None
    """`auto`, a kind of light, or gains `[red, blue]`; None: as the model's pictures had it."""
    exposure: str | float | None = None
    """`auto`, or seconds; None: as the model's pictures had it."""

    def light(self, taken: Camera | None) -> tuple[str | tuple[float, float], str | float]:
        """Return white balance and exposure: those set here, else those of the model's pictures."""
        balance, exposure = self.white_balance, self.exposure
        if taken is not None:
            balance, exposure = balance or taken.white_balance, exposure or taken.exposure
        return balance or "auto", exposure or "auto"

    def taken(
        self, size: tuple[int, int], asked: Camera | None, lacks: Mapping[str, object]
    ) -> Camera:
        """Return the settings in force: `asked`, overridden by these, without what it cannot do.

        What the camera cannot do is logged in one line.

        Args:
            size: `(width, height)`, pixels.
            asked: how the model's were taken.
            lacks: what it cannot set, such as `white balance`, and to what.
        """
        if lacks:
            words = ", ".join(f"{name} {value}" for name, value in lacks.items())
            log.warning("this camera cannot set %s; going on with its own", words)
        balance, exposure = self.light(asked)
        known = isinstance(balance, str) and balance != "auto" and "white balance" not in lacks
        return msgspec.structs.replace(
            asked or Camera(size=size),
            size=size,
            white_balance=balance if known else None,
            exposure=None if isinstance(exposure, str) or "exposure" in lacks else exposure,
        )


class Keep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the device keeps in memory, and nowhere else: `[keep]`; docs/watching.md."""

    unsure: Annotated[int, msgspec.Meta(ge=0, le=200)] = 0
    """Most pictures kept that it was unsure about, for `deploy pull`; 0 keeps none."""


class _Top(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: str = "model.onnx"
    source: str | None = None
    when: dict[str, Any] = {}
    decide: dict[str, Any] = {}
    camera: dict[str, Any] = {}
    button: dict[str, Any] | None = None
    keep: dict[str, Any] = {}


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole `edge.toml`."""

    path: Path
    model: Path
    """The model file, already found relative to `edge.toml`."""
    source: str | None
    when: dict[str, dict[str, list[Kind]]]
    """The outputs of each label by the name of their kind, in the order of the file."""
    decide: Decide
    sections: dict[str, Section]
    """What outputs of a kind share, by the kind's name."""
    camera: CameraSettings = CameraSettings()
    button: ButtonSettings | None = None
    keep: Keep = Keep()

    def outputs(self) -> list[tuple[str, str, Kind]]:
        """Return `(label, name of the kind, settings)` of every output."""
        return [
            (label, name, output)
            for label, kinds in self.when.items()
            for name, outputs in kinds.items()
            for output in outputs
        ]

    def check_labels(self, labels: list[str]) -> None:
        """Check that every label in `[when]` is one of the model's.

        Raises:
            ConfigError: naming the label, and the nearest one that exists.
        """
        for label in self.when:
            if label not in labels:
                raise ConfigError(f"{self.path}: [when.{label}]: {no_such_class(label, labels)}")


def read_config(path: str | Path) -> Config:
    """Read and check `edge.toml`.

    Raises:
        ConfigError: it is missing, no TOML, or has an unknown key, a wrong type or a bad pin.
    """
    path = Path(path)
    table = _load(path)
    sections = _take_sections(path, table)

    def hint(key: str, _: str) -> str:
        if key in kind_names():
            return f"; an output stands below its label: [when.LABEL] and below it {key} = ..."
        meant = f"; did you mean [when.{key}]?" if _is_actions(table[key]) else ""
        return meant or did_you_mean(key, _Top.__struct_encode_fields__)

    top = _convert(table, _Top, f"{path}:", unknown=hint)
    if not top.model:
        raise ConfigError(f'{path}: model: it is empty; write model = "model.onnx", or no line')
    config = Config(
        path=path,
        model=path.parent / top.model,
        source=_found_from(path, top.source),
        when={
            label: _read_outputs(path, label, actions)
            for label, actions in _in_one_spelling(path, top.when).items()
        },
        decide=_checked_decide(path, top.decide),
        sections=sections,
        camera=_checked_camera(path, top.camera),
        button=_read_button(path, top.button),
        keep=_convert(top.keep, Keep, f"{path}: [keep]"),
    )
    for label, name, output in config.outputs():
        if output.lacking and name not in sections:
            raise ConfigError(f"{path}: [when.{label}] {name}: {output.lacking}")
    check_pins(config)
    return config


def read_outputs_anyway(path: Path) -> list[tuple[str, str, Kind]]:
    """Return the outputs of an `edge.toml` that is broken elsewhere: whatever is right by itself.

    Only for switching off the pins it names; a device must not start with half a file.
    """
    found = []
    with suppress(ConfigError):
        when = _load(path).get("when")
        for label, actions in when.items() if isinstance(when, dict) else ():
            for name, value in actions.items() if isinstance(actions, dict) else ():
                for one in value if isinstance(value, list) else [value]:
                    with suppress(ConfigError):
                        outputs = _read_outputs(path, label, {name: one})[name]
                        found += [(label, name, output) for output in outputs]
    return found


def _read_button(path: Path, table: dict[str, Any] | None) -> ButtonSettings | None:
    return None if table is None else _convert(table, ButtonSettings, f"{path}: [button]")


def _take_sections(path: Path, table: dict[str, Any]) -> dict[str, Section]:
    """Take out of the file's tables those that outputs of one kind share, such as `[mqtt]`."""
    sections = {}
    for name in [name for name in table if name not in _Top.__struct_fields__]:
        with named(f"{path}: [{name}] "):
            kind = find_kind(name)
        if kind is not None and kind.section is not None:
            where = f"{path}: [{name}]"
            with _blaming(kind, where):
                sections[name] = _convert(table.pop(name), kind.section, where)
                _check(sections[name], path.parent, where)
    return sections


def _read_outputs(path: Path, label: str, actions: object) -> dict[str, list[Kind]]:
    """Read what one label does: for each kind one value, or a list of them."""
    where = f"{path}: [when.{label}]"
    if label == BACKGROUND:
        raise ConfigError(f"{where}: '{BACKGROUND}' never triggers anything; take it away")
    found: dict[str, list[Kind]] = {}
    for name, value in _convert(actions, dict[str, Any], where).items():
        with named(f"{where} "):
            kind = find_kind(name)
        if kind is None:
            raise ConfigError(f"{where} unknown key '{name}'{did_you_mean(name, kind_names())}")
        if kind.lists and isinstance(value, list):
            _check_is_several(f"{where} {name}", kind, value)
            found[name] = [
                _read_output(path, f"{where} {name}[{number}]:", kind, one)
                for number, one in enumerate(value)
            ]
        else:
            found[name] = [_read_output(path, f"{where} {name}:", kind, value)]
    return found


def _check_is_several(where: str, kind: type[Kind], value: list[Any]) -> None:
    """Check that a list is not meant as the one setting, where that is a list itself."""
    name = getattr(kind, "short", None)
    short = next((one for one in msgspec.structs.fields(kind) if one.encode_name == name), None)
    if short is None or get_origin(short.type) is not tuple:
        return
    if value and not any(isinstance(one, list | dict) for one in value):
        raise ConfigError(f"{where}: a list is several; for one: {{ {name} = {value} }}")


def _read_output(path: Path, where: str, kind: type[Kind], value: object) -> Kind:
    short = getattr(kind, "short", None)
    with _blaming(kind, where):
        if isinstance(value, dict):
            output = _convert(value, kind, where)
        elif short is None:  # somebody else's kind
            raise ConfigError(f"{where} write its settings as a table: {{ ... }}")
        else:
            output = _convert({short: value}, kind, where, inner=short)
        _check(output, path.parent, where)
        # They are asked for again where nobody knows whose they are.
        for told in (output.pins, output.programs):
            if not isinstance(told(), tuple):
                raise TypeError(f"{told.__name__}() gives no tuple")
    return output


def _check(settings: Kind | Section, folder: Path, where: str) -> None:
    """Let an output, or what outputs of its kind share, check itself."""
    try:
        with named(f"{where} "):
            settings.check(folder)
    except ValueError as problem:
        raise ConfigError(f"{where} {problem}") from None


@contextmanager
def _blaming(kind: type[Kind], where: str) -> Iterator[None]:
    """Say in one line what else somebody else's kind raises, and whose mistake it is."""
    try:
        yield
    except FOREIGN as problem:
        if isinstance(problem, HandwaveError) or kind in built_in().values():
            raise
        what = f"{type(problem).__name__}: {problem}"
        raise ConfigError(f"{where} fails ({what}); tell who wrote it") from problem


def _in_one_spelling(path: Path, when: dict[str, Any]) -> dict[str, Any]:
    """Return the tables by their labels; an umlaut may be one letter or two."""
    labels = [unicodedata.normalize("NFC", label) for label in when]
    for label, number in Counter(labels).items():
        if number > 1:
            raise ConfigError(
                f"{path}: [when.{label}] is there twice, spelled in two ways; join them"
            )
    return dict(zip(labels, when.values(), strict=True))


def _found_from(path: Path, source: str | None) -> str | None:
    """Return a source, made relative to `edge.toml`'s folder if it is a path there."""
    if source is None:
        return None
    if not source:
        raise ConfigError(f"{path}: source: it is empty; take the line out for the camera")
    if source.partition(":")[0] in KINDS:
        if not NAMED.fullmatch(source):
            raise ConfigError(f"{path}: source: there is no '{source}'; a source is {FORMS}")
        return source
    there = path.parent / source
    with suppress(OSError, ValueError):
        if there.exists():
            return str(there)
    if "/" not in source and "." not in source:
        raise ConfigError(f"{path}: source: there is no '{source}'; a source is {FORMS}")
    return source


def _load(path: Path) -> dict[str, Any]:
    missing = "no such file; see README.md for one to start from"
    return load(path, MAX_BYTES, what="edge.toml", missing=missing, error=ConfigError)


def _is_actions(value: object) -> bool:
    return isinstance(value, dict) and not any(isinstance(one, dict) for one in value.values())


_convert = partial(convert, error=ConfigError)


def _checked_decide(path: Path, table: dict[str, Any]) -> Decide:
    decide = _convert(table, Decide, f"{path}: [decide]")
    if decide.enter is not None and decide.leave is not None and decide.leave > decide.enter:
        raise ConfigError(f"{path}: [decide] leave: must not be above enter ({decide.enter:g})")
    return decide


def _checked_camera(path: Path, table: dict[str, Any]) -> CameraSettings:
    where = f"{path}: [camera]"
    camera = _convert(table, CameraSettings, where)
    focus, balance, exposure = camera.focus, camera.white_balance, camera.exposure
    wrong = (
        f"rotation: {camera.rotation} is not 0, 90, 180 or 270"
        if camera.rotation not in {0, 90, 180, 270}
        else f"focus: '{focus}' is not continuous, once or a number of dioptres"
        if isinstance(focus, str) and focus not in {"continuous", "once"}
        else f"focus: {focus:g} dioptres; 0 is far away, 1 is 1 m, 10 is 10 cm, the most is 32"
        if isinstance(focus, int | float) and not 0 <= focus <= 32
        else f"white_balance: there is no '{balance}'{did_you_mean(balance, WHITE_BALANCES)}"
        if isinstance(balance, str) and balance not in WHITE_BALANCES
        else "white_balance: gains of red and blue are above 0 and at most 32"
        if isinstance(balance, tuple) and not all(0 < gain <= 32 for gain in balance)
        else f"exposure: '{exposure}' is not auto or a number of seconds"
        if isinstance(exposure, str) and exposure != "auto"
        else f"exposure: {exposure:g} is not above 0 s and at most 1 s; 0.01 is a hundredth of one"
        if isinstance(exposure, int | float) and not 0 < exposure <= 1
        else None
    )
    if wrong:
        raise ConfigError(f"{where} {wrong}")
    return camera
