"""Sounds and speech: with the real players and the real espeak-ng, on a loudspeaker that is a file.

ALSA's `file` device writes what it is given to play; a FIFO in its place is a sound without end.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import wave
from pathlib import Path

import numpy as np
import pytest

from edge.config import read_config
from edge.decider import Decision
from edge.errors import ConfigError
from edge.outputs.sound import Speaker
from edge.outputs.wiring import Wiring


def needs(program, package):
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"needs {program}: apt install {package}"
    )


needs_aplay = needs("aplay", "alsa-utils")
needs_mpg123 = needs("mpg123", "mpg123")
needs_espeak = needs("espeak-ng", "espeak-ng")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
RATE = 8000


def decision(label="rock"):
    return Decision(label, 0.9, 0.0, 0.0, changed=True)


def done(speaker):
    """Wait until all that was to be played has been."""
    last = threading.Event()
    speaker._worker.prepare(last.set)  # after all else
    assert last.wait(60)


def write_wav(path, level, seconds=0.1):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(np.full(round(RATE * seconds), level, "<i2").tobytes())


def read_levels(path):
    """The samples that reached the loudspeaker; the header is of a file that never ended."""
    return np.frombuffer(path.read_bytes()[44:], "<i2")


@pytest.fixture
def loudspeaker(tmp_path, monkeypatch):
    """Let ALSA's default device, and the one called `other`, be files."""
    config = tmp_path / "asound.conf"
    config.write_text(
        "".join(
            f'pcm.{name} {{ type file slave.pcm "null" file "{tmp_path}/{file}" format "wav" }}\n'
            for name, file in [("!default", "out.wav"), ("other", "other.wav")]
        )
        + "pcm.null { type null }\nctl.!default { type null }\n"
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(config))
    return tmp_path / "out.wav"


@pytest.fixture
def silence(tmp_path, monkeypatch):
    """Let there be no sound device."""
    (tmp_path / "asound.conf").write_text("")
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "asound.conf"))


@pytest.fixture
def opened(tmp_path):
    """Open an `edge.toml`; return its outputs, in order, and the speaker."""
    wirings = []

    def opened(text):
        path = tmp_path / "edge.toml"
        path.write_text(text)
        wirings.append(Wiring(read_config(path), "mock"))
        outputs = [output for each in wirings[-1].when.values() for output in each]
        return [*outputs, wirings[-1].share("sound", Speaker)]

    yield opened
    for wiring in wirings:
        wiring.close()


@needs_aplay
def test_a_sound_reaches_the_loudspeaker_each_time(opened, tmp_path, loudspeaker):
    write_wav(tmp_path / "hello.wav", 1234)
    sound, speaker = opened('[when.rock]\nsound = "hello.wav"')
    for _ in range(2):
        sound.fire(decision())
        done(speaker)
        levels = read_levels(loudspeaker)
        assert (levels[: RATE // 10] == 1234).all()
        loudspeaker.unlink()


@needs_aplay
def test_a_name_that_looks_like_an_option_is_none(opened, tmp_path, loudspeaker):
    write_wav(tmp_path / "--help.wav", 7)
    sound, speaker = opened('[when.rock]\nsound = "--help.wav"')
    sound.fire(decision())
    done(speaker)
    assert 7 in read_levels(loudspeaker)


@needs_aplay
def test_the_section_says_which_loudspeaker(opened, tmp_path, loudspeaker):
    write_wav(tmp_path / "hello.wav", 99)
    sound, speaker = opened('[sound]\ndevice = "other"\n[when.rock]\nsound = "hello.wav"')
    sound.fire(decision())
    done(speaker)
    assert 99 in read_levels(tmp_path / "other.wav")
    assert not loudspeaker.exists()


@needs_mpg123
def test_an_mp3_is_played_too(opened, tmp_path, loudspeaker, caplog):
    frame = b"\xff\xfb\x90\x00" + bytes(413)  # 128 kbit/s, 44.1 kHz, and nothing to hear
    (tmp_path / "hello.mp3").write_bytes(20 * frame)
    sound, speaker = opened('[when.rock]\nsound = "hello.mp3"')
    sound.fire(decision())
    done(speaker)
    assert caplog.messages == []
    assert len(read_levels(loudspeaker)) > 44100 // 10


@needs_aplay
def test_sounds_of_one_decision_follow_one_another(opened, tmp_path, loudspeaker):
    write_wav(tmp_path / "a.wav", 1)
    write_wav(tmp_path / "b.wav", 2)
    first, second, speaker = opened('[when.rock]\nsound = ["a.wav", "b.wav"]')
    heard = []
    play = speaker.play
    speaker.play = lambda d, sound: play(d, lambda cut: (sound(cut), heard.append(cut.is_set())))
    same = decision()
    first.fire(same)
    second.fire(same)
    done(speaker)
    assert heard == [False, False]
    assert 2 in read_levels(loudspeaker)


@linux
@needs_aplay
def test_a_dozen_sounds_of_one_decision_are_all_heard(opened, tmp_path, loudspeaker):
    names = [f"{number}.wav" for number in range(12)]
    for number, name in enumerate(names):
        write_wav(tmp_path / name, 1 + number, 0.01)
    *sounds, speaker = opened(f"[when.rock]\nsound = {names}")
    same, heard = decision(), []
    play = speaker.play
    speaker.play = lambda d, sound: play(d, lambda cut: (sound(cut), heard.append(cut.is_set())))
    for sound in sounds:
        sound.fire(same)
    done(speaker)
    assert heard == [False] * 12


@linux
@needs_aplay
def test_a_new_decision_ends_what_still_sounds(opened, tmp_path, loudspeaker, caplog, wait_for):
    write_wav(tmp_path / "long.wav", 1)
    write_wav(tmp_path / "next.wav", 2)
    long, following, speaker = opened(
        '[when.rock]\nsound = "long.wav"\n[when.palm]\nsound = "next.wav"'
    )
    os.mkfifo(loudspeaker)  # aplay waits for who listens, as for ever
    long.fire(decision())
    wait_for(lambda: children("aplay"))
    loudspeaker.unlink()
    following.fire(decision("palm"))
    done(speaker)
    assert children("aplay") == []
    assert 2 in read_levels(loudspeaker)
    assert caplog.messages == []


@linux
@needs_aplay
def test_closing_is_silence(opened, tmp_path, loudspeaker, wait_for):
    write_wav(tmp_path / "long.wav", 1)
    sound, speaker = opened('[when.rock]\nsound = "long.wav"')
    os.mkfifo(loudspeaker)
    sound.fire(decision())
    wait_for(lambda: children("aplay"))
    speaker.close()
    assert children("aplay") == []


@linux
@needs_aplay
def test_a_player_that_is_killed_is_said_and_the_next_sound_is_heard(
    opened, tmp_path, loudspeaker, caplog, wait_for
):
    write_wav(tmp_path / "long.wav", 3)
    sound, speaker = opened('[when.rock]\nsound = "long.wav"')
    os.mkfifo(loudspeaker)
    sound.fire(decision())
    wait_for(lambda: children("aplay"))
    os.kill(children("aplay")[0], 9)
    done(speaker)
    (line,) = caplog.messages
    assert line.startswith("sound: long.wav: aplay: ended by SIGKILL")
    loudspeaker.unlink()
    sound.fire(decision())
    done(speaker)
    assert 3 in read_levels(loudspeaker)


@needs_aplay
def test_a_missing_sound_device_is_said_once(opened, tmp_path, silence, caplog):
    write_wav(tmp_path / "hello.wav", 1)
    sound, speaker = opened('[when.rock]\nsound = "hello.wav"')
    for _ in range(3):
        sound.fire(decision())
        done(speaker)
    (line,) = caplog.messages
    assert line.startswith("sound: hello.wav: aplay: exit code 1: ")
    assert "audio open error" in line
    assert line.endswith("; aplay -l lists the sound devices there are")


def test_missing_programs_are_said_once_and_stop_nothing(opened, tmp_path, monkeypatch, caplog):
    write_wav(tmp_path / "hello.wav", 1)
    monkeypatch.setenv("PATH", str(tmp_path))
    sound, words, speaker = opened('[when.rock]\nsound = "hello.wav"\nsay = "Hi"')
    for output in [sound, words, sound, words]:
        output.fire(decision())
        done(speaker)
    assert caplog.messages == [
        "sound: hello.wav: there is no aplay here; sudo apt install alsa-utils",
        "say: 'Hi': there is no espeak-ng here; sudo apt install espeak-ng",
        "say: 'Hi': there is no aplay here; sudo apt install alsa-utils",
    ]


def test_a_sound_that_is_gone_later_on_is_said(opened, tmp_path, loudspeaker, caplog):
    write_wav(tmp_path / "hello.wav", 1)
    sound, speaker = opened('[when.rock]\nsound = "hello.wav"')
    (tmp_path / "hello.wav").unlink()
    sound.fire(decision())
    done(speaker)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("sound: hello.wav: ")


def children(program):
    """Our threads' children that run a program."""
    tasks = [task / "children" for task in Path("/proc/self/task").iterdir()]
    pids = [pid for path in tasks for pid in path.read_text().split()]
    return [int(pid) for pid in pids if Path(f"/proc/{pid}/comm").read_text().strip() == program]


@linux
@needs_aplay
def test_a_thousand_sounds_leave_no_process_no_file_and_no_thread(
    opened, tmp_path, loudspeaker, caplog, open_files
):
    write_wav(tmp_path / "hello.wav", 1, seconds=0.001)
    sound, speaker = opened('[when.rock]\nsound = "hello.wav"')
    sound.fire(decision())
    done(speaker)
    before = open_files(), threading.active_count()
    for number in range(1000):
        sound.fire(decision())  # most cut the one before short, wherever it is just then
        if number % 20 == 0:
            done(speaker)
    done(speaker)
    assert (open_files(), threading.active_count()) == before
    assert children("aplay") == []
    assert caplog.messages == []


# --- Speech


@needs_espeak
@needs_aplay
def test_words_are_heard(opened, loudspeaker, caplog):
    words, speaker = opened('[when.rock]\nsay = "Hello"')
    words.fire(decision())
    done(speaker)
    levels = read_levels(loudspeaker)
    assert caplog.messages == []
    assert len(levels) > 22050 // 4
    assert np.abs(levels.astype(int)).max() > 3000


def spoken(opened, speaker_text):
    words, speaker = opened(speaker_text)
    done(speaker)
    return words._wave


@needs_espeak
def test_voice_and_speed_count_the_sections_where_the_line_says_nothing(opened):
    plain = spoken(opened, '[when.rock]\nsay = "Good morning"')
    slow = spoken(opened, '[when.rock]\nsay = { text = "Good morning", speed = 80 }')
    german = spoken(opened, '[when.rock]\nsay = { text = "Good morning", voice = "de" }')
    assert len(slow) > 1.3 * len(plain)
    assert german != plain
    section = '[say]\nspeed = 80\nvoice = "de"\n'
    assert spoken(
        opened, section + '[when.rock]\nsay = { text = "Good morning", speed = 160 }'
    ) == (german)
    assert spoken(
        opened, section + '[when.rock]\nsay = { text = "Good morning", voice = "en" }'
    ) == (slow)


@needs_espeak
@pytest.mark.parametrize("text", ["--help", "-f /etc/passwd", "-w x.wav", "$(touch x) `touch x`"])
def test_words_that_look_like_options_are_words(opened, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    made = spoken(opened, f"[when.rock]\nsay = '{text}'")
    assert len(made) > 10_000
    assert {path.name for path in tmp_path.iterdir()} == {"edge.toml"}


@needs_espeak
def test_words_in_other_scripts_are_understood(opened):
    umlauts = spoken(opened, '[when.rock]\nsay = { text = "schön", voice = "de" }')
    without = spoken(opened, '[when.rock]\nsay = { text = "schon", voice = "de" }')
    latin_1 = spoken(opened, '[when.rock]\nsay = { text = "schÃ¶n", voice = "de" }')
    assert len({umlauts, without, latin_1}) == 3


@needs_espeak
def test_a_voice_that_espeak_does_not_know_is_said_when_opened(opened, caplog):
    words, speaker = opened('[when.rock]\nsay = { text = "Hi", voice = "nobody" }')
    done(speaker)
    words.fire(decision())
    done(speaker)
    (line,) = caplog.messages
    assert line.startswith("say: 'Hi': espeak-ng: exit code 1: ")
    assert "voice does not exist" in line


@needs_espeak
@needs_aplay
def test_words_without_a_sound_device_say_so_though_espeak_would_not(opened, silence, caplog):
    words, speaker = opened('[when.rock]\nsay = "Hi"')
    words.fire(decision())
    done(speaker)
    (line,) = caplog.messages
    assert line.startswith("say: 'Hi': aplay: exit code 1: ")


# --- What may be said


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('sound = "gone.wav"', "sound: there is no file 'gone.wav' beside edge.toml"),
        ('sound = "."', "sound: '.' is none of .wav, .mp3; convert it to one of them"),
        ('sound = "a.ogg"', "sound: 'a.ogg' is none of .wav, .mp3; convert it to one of them"),
        ('sound = "text.wav"', "sound: 'text.wav' is no .wav file, whatever its name; convert it"),
        ('sound = "text.mp3"', "sound: 'text.mp3' is no .mp3 file, whatever its name; convert it"),
        ('sound = "folder.wav"', "sound: there is no file 'folder.wav' beside edge.toml"),
        ('sound = "fifo.wav"', "sound: there is no file 'fifo.wav' beside edge.toml"),
        ('sound = "../up.wav"', "sound: '../up.wav' is not inside the folder of edge.toml, which"),
        ('sound = "/up.wav"', "sound: '/up.wav' is not inside the folder of edge.toml, which is"),
        ('sound = "link.wav"', "sound: 'link.wav' is not inside the folder of edge.toml, which is"),
        ('sound = "loop.wav"', "sound: there is no file 'loop.wav' beside edge.toml"),
        ('sound = ""', "sound: '' is none of .wav, .mp3"),
        ('sound = ["ok.wav", "gone.wav"]', "sound[1]: there is no file 'gone.wav'"),
        ("sound = 3", "sound: expected text, got a whole number"),
        ('sound = { file = "ok.wav", loud = 3 }', "sound: unknown key 'loud'"),
        ('say = " "', "say: there is nothing to say"),
        ('say = "a\\nb"', "say: plain text of one line, please"),
        ('say = { text = "a", voice = "-x" }', "say: voice: '-x' is none; espeak-ng --voices"),
        ('say = { text = "a", voice = "../x" }', "say: voice: '../x' is none; espeak-ng --voices"),
        ('say = { text = "a", speed = 1000 }', "say: speed: expected a whole number <= 450"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, line, says):
    folder = tmp_path / "gestures"
    folder.mkdir()
    for name in ("ok.wav", "../up.wav"):
        write_wav(folder / name, 1)
    for name in ("text.wav", "text.mp3"):
        (folder / name).write_text("not a sound")
    (folder / "folder.wav").mkdir()
    os.mkfifo(folder / "fifo.wav")
    (folder / "link.wav").symlink_to("../up.wav")
    (folder / "loop.wav").symlink_to("loop.wav")
    path = folder / "edge.toml"
    path.write_text(f"[when.rock]\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    text = str(caught.value).removeprefix(f"{path}: [when.rock] ")
    assert text.startswith(says)
    assert "\n" not in text


def test_the_sections_voice_is_looked_at_as_well(tmp_path):
    (tmp_path / "edge.toml").write_text('[when.rock]\nsay = "a"\n[say]\nvoice = "no such"\n')
    with pytest.raises(ConfigError, match=r"\[say\] voice: 'no such' is none; espeak-ng"):
        read_config(tmp_path / "edge.toml")


def test_too_many_words_are_refused(tmp_path):
    (tmp_path / "edge.toml").write_text(f'[when.rock]\nsay = "{"a" * 501}"\n')
    with pytest.raises(ConfigError, match="501 characters take too long; say it in 500"):
        read_config(tmp_path / "edge.toml")
