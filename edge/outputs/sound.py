"""`sound` and `say`: what a loudspeaker does when a label is decided.

Sounds are played by the players that Raspberry Pi OS has, speech is made by espeak-ng, all as
child processes. The newest decision is the one that is heard: it ends what still sounds of the one
before. Sounds of one decision follow one another.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
from typing import IO, TYPE_CHECKING, Annotated, ClassVar

import msgspec

from edge.outputs.kind import Kind, Section
from edge.outputs.paths import find_beside, read_head, suffix
from edge.outputs.process import Ended, Once, run
from edge.outputs.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edge.decider import Decision
    from edge.outputs.apply import Output
    from edge.outputs.wiring import Wiring

PLAYERS = {".wav": "aplay", ".mp3": "mpg123"}
"""What plays a file, by its ending."""
PACKAGES = {"aplay": "alsa-utils", "mpg123": "mpg123", "espeak-ng": "espeak-ng"}
"""Apt's package of each program."""
SOUNDS = 64
"""Sounds that may wait: all of one decision."""
LONGEST_TEXT = 500
SPEAK_WITHIN = 30.0
"""Time limit for making speech from a text, seconds."""


class Loudspeaker(Section, frozen=True):
    """`[sound]`: what sounds and speech are played on."""

    device: str | None = None
    """ALSA's name of it, such as `plughw:CARD=Headphones`; `aplay -L` lists them."""


class Sound(Kind, frozen=True):
    """A sound file: played each time its label is decided."""

    short: ClassVar[str] = "file"
    section: ClassVar[type[Section] | None] = Loudspeaker
    file: str

    def check(self, folder: Path) -> None:
        ending = suffix(self.file, PLAYERS)
        head = read_head(find_beside(folder, self.file))
        if not (_is_wav(head) if ending == ".wav" else _is_mp3(head)):
            raise ValueError(f"'{self.file}' is no {ending} file, whatever its name; convert it")

    def files(self, folder: Path) -> tuple[str, ...]:
        return (self.file,)

    def programs(self) -> tuple[str, ...]:
        return (PLAYERS[suffix(self.file, PLAYERS)],)

    def open(self, wiring: Wiring) -> Output:
        return Recording(self.file, find_beside(wiring.folder, self.file), _speaker(wiring))


class Voice(Section, frozen=True):
    """`[say]`: defaults for every `say`."""

    voice: str = "en"
    """One of `espeak-ng --voices`, such as `de` or `en-us+f3`."""
    speed: Annotated[int, msgspec.Meta(ge=80, le=450)] = 160
    """Words a minute."""

    def check(self, folder: Path) -> None:
        _check_voice(self.voice)


class Say(Kind, frozen=True):
    """Words: spoken each time its label is decided."""

    short: ClassVar[str] = "text"
    section: ClassVar[type[Section] | None] = Voice
    text: str
    voice: str | None = None
    speed: Annotated[int, msgspec.Meta(ge=80, le=450)] | None = None

    def check(self, folder: Path) -> None:
        if not self.text.strip():
            raise ValueError("there is nothing to say")
        if len(self.text) > LONGEST_TEXT:
            raise ValueError(f"{len(self.text)} characters take too long; say it in {LONGEST_TEXT}")
        if not self.text.isprintable():
            raise ValueError("plain text of one line, please")
        if self.voice is not None:
            _check_voice(self.voice)

    def programs(self) -> tuple[str, ...]:
        return ("espeak-ng", "aplay")

    def open(self, wiring: Wiring) -> Output:
        section = wiring.section("say")
        shared = section if isinstance(section, Voice) else Voice()
        return Speech(
            self.text, self.voice or shared.voice, self.speed or shared.speed, _speaker(wiring)
        )


class Speaker:
    """The loudspeaker, which all sounds share: one is heard at a time.

    A new decision ends what still sounds of the one before, and whatever of it waited: what the
    hand does now is what should be heard. Sounds of the same decision are heard one after another.

    Args:
        device: ALSA's name of it; None is the system's default.
    """

    def __init__(self, device: str | None = None) -> None:
        self.device = device
        self._worker = Worker("sound", waiting=SOUNDS)
        self._decision: Decision | None = None
        self._cut = threading.Event()

    def play(self, decision: Decision, sound: Callable[[threading.Event], object]) -> None:
        """Have `sound(cut)` called in the worker; it ends when it can, or when `cut` is set."""
        if decision is not self._decision:
            self._decision = decision
            self._cut.set()
        self._worker.do(lambda: self._play(decision, sound))

    def hush(self) -> None:
        """End what sounds, and whatever waits."""
        self._decision = None
        self._cut.set()

    def end(self) -> None:
        """Ask what sounds to end."""
        self.hush()
        self._worker.end()

    def prepare(self, work: Callable[[threading.Event], object]) -> None:
        """Have `work(cut)` done when there is time."""
        self._worker.prepare(lambda: work(self._worker.stopping))

    def player(self, program: str) -> list[str]:
        """Return the words with which a player plays on this loudspeaker."""
        if program == "mpg123":  # only ALSA: it would go on to JACK and others, and hang there
            return [program, "-q", "-o", "alsa", *(["-a", self.device] if self.device else [])]
        return [program, "-q", *(["-D", self.device] if self.device else [])]

    def close(self) -> None:
        """Be silent."""
        self.end()
        self._worker.close()

    def _play(self, decision: Decision, sound: Callable[[threading.Event], object]) -> None:
        # Event first, then the check: either we see the newer decision, or it sees this event.
        cut = self._cut = threading.Event()
        if self._decision is decision:
            sound(cut)


class Recording:
    """A sound file, ready to be played.

    Args:
        name: as `edge.toml` calls it.
        path: the file.
        speaker: what plays it.
    """

    def __init__(self, name: str, path: Path, speaker: Speaker) -> None:
        self._name, self._speaker = name, speaker
        program = PLAYERS[path.suffix.lower()]
        self._words = [*speaker.player(program), "--", str(path.resolve())]
        self._once = Once()
        _look_for(program, f"sound: {name}", self._once)

    def fire(self, decision: Decision) -> None:
        """Play it from its beginning; returns at once."""
        self._speaker.play(decision, self._play)

    def hush(self) -> None:
        """End it, if it sounds."""
        self._speaker.hush()

    def _play(self, cut: threading.Event) -> None:
        _play(self._words, f"sound: {self._name}", self._once, cut)


class Speech:
    """Words, ready to be spoken: made once, so that they are heard without delay.

    espeak-ng only makes the speech: it says nothing of a missing sound device, and aplay does.

    Args:
        text: what to say.
        voice: one of espeak-ng's.
        speed: words a minute.
        speaker: what says it.
    """

    def __init__(self, text: str, voice: str, speed: int, speaker: Speaker) -> None:
        self._words = [
            "espeak-ng", "-b", "1", "-v", voice, "-s", str(speed), "--stdout", "--", text,
        ]  # fmt: skip
        self._name = f"say: '{text if len(text) <= 30 else text[:27] + '...'}'"
        self._speaker = speaker
        self._once = Once()
        self._wave = b""
        _look_for("espeak-ng", self._name, self._once)
        _look_for("aplay", self._name, self._once)
        speaker.prepare(self._make)

    def fire(self, decision: Decision) -> None:
        """Say it from its beginning; returns at once."""
        self._speaker.play(decision, self._say)

    def hush(self) -> None:
        """End it, if it sounds."""
        self._speaker.hush()

    def _make(self, cut: threading.Event) -> None:
        """Make the speech, as a WAV file in memory; keep it only when all of it is there."""
        if self._wave or shutil.which("espeak-ng") is None:
            return
        with _memory() as file:
            ended = run(self._words, cut=cut, seconds=SPEAK_WITHIN, stdout=file)
            file.seek(0)
            made = file.read()
        if ended.well and not ended.cut and _is_wav(made):
            self._wave = made
        elif not ended.cut:
            self._once.trouble(f"{self._name}: espeak-ng: {ended}")

    def _say(self, cut: threading.Event) -> None:
        self._make(cut)
        if self._wave:
            with _memory() as file:
                file.write(self._wave)
                file.seek(0)
                words = [*self._speaker.player("aplay"), "-"]
                _play(words, self._name, self._once, cut, file)


def _check_voice(voice: str) -> None:
    if not re.fullmatch(r"\w[\w+-]*", voice, re.ASCII):
        raise ValueError(
            f"voice: '{voice}' is none; espeak-ng --voices lists them, such as en or de"
        )


def _speaker(wiring: Wiring) -> Speaker:
    section = wiring.section("sound")
    device = section.device if isinstance(section, Loudspeaker) else None
    return wiring.share("sound", lambda: Speaker(device))


def _look_for(program: str, what: str, once: Once) -> None:
    """Say that a program is missing; it is no reason to stop: the other outputs go on."""
    if shutil.which(program) is None:
        once.trouble(f"{what}: {_missing(program)}")


def _missing(program: str) -> str:
    return f"there is no {program} here; sudo apt install {PACKAGES[program]}"


def _play(
    words: Sequence[str],
    what: str,
    once: Once,
    cut: threading.Event,
    stdin: IO[bytes] | None = None,
) -> None:
    """Play something to its end; a problem is logged once, until playing works again."""
    try:
        ended: Ended = run(words, cut=cut, stdin=stdin)
    except FileNotFoundError:
        once.trouble(f"{what}: {_missing(words[0])}")
        return
    except OSError as problem:
        once.trouble(f"{what}: {words[0]} cannot be started: {problem.strerror}")
        return
    if not ended.well:
        once.trouble(f"{what}: {words[0]}: {ended}; aplay -l lists the sound devices there are")
    elif not ended.cut:
        once.over()


def _memory() -> IO[bytes]:
    """Return a file that is not on any disk, where the system has such."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("handwave"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


def _is_wav(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WAVE"


def _is_mp3(head: bytes) -> bool:
    frame = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0
    return frame or head[:3] == b"ID3"
