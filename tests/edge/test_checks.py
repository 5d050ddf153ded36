"""What a Pi may suffer from, described as files and commands' words, and what is said of it."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from edge import checks
from edge.checks import CHECKS, Subject, run_checks
from edge.config import CameraSettings, read_config
from edge.platform import Machine

GOOD_FILES = {
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/version": "Linux version 6.12",
    "proc/meminfo": "MemTotal:        4148000 kB\nMemAvailable:    3500000 kB\n",
    "proc/mounts": "proc /proc proc rw 0 0\n/dev/mmcblk0p2 / ext4 rw,noatime 0 0\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "0\n",
    "sys/class/thermal/thermal_zone0/temp": "48200\n",
    "boot/firmware/config.txt": "camera_auto_detect=1\n",
    "dev/video0": "",
    "dev/media0": "",
    "dev/gpiochip0": "",
    "dev/dma_heap/linux,cma": "",
    "etc/group": "video:x:44:pi\ngpio:x:997:pi\n",
}
LISTED = """Available cameras
-----------------
0 : imx708_wide [4608x2592 10-bit RGGB] (/base/axi/pcie@120000/rp1/i2c@88000/imx708@1a)
    Modes: 'SRGGB10_CSI2P' : 1536x864 [120.13 fps - (768, 432)/3072x1728 crop]
                             2304x1296 [56.03 fps - (0, 0)/4608x2592 crop]
"""
GOOD_WORDS = {
    "rpicam-hello": LISTED,
    "timedatectl": "yes\n",
    "systemctl": "LoadState=loaded\nActiveState=active\nSubState=running\nNRestarts=0\n",
}
VERSIONS = {"numpy": "2.2.4", "onnxruntime": "1.32.0", "msgspec": "0.22.0"}


@pytest.fixture
def describe(tmp_path):
    """A healthy Pi, but for what is said: files (None: not there), commands' words, and facts."""

    def make(files=(), words=(), config=None, **facts):
        for name, text in (GOOD_FILES | dict(files)).items():
            if text is not None:
                path = tmp_path / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        said = GOOD_WORDS | dict(words)
        healthy = {
            "root": tmp_path,
            "ask": lambda command: said.get(command[0]),
            "architecture": "aarch64",
            "bits": 64,
            "python": (3, 13),
            "separate": True,
            "user": "pi",
            "groups": frozenset({"pi", "video", "gpio"}),
            "now": checks.BORN + 1e6,
            "installed": VERSIONS.get,
            "importable": lambda _name: True,
            "usable": lambda _path: True,
            "space": lambda _path: (20_000_000_000, 32_000_000_000),
        }
        return Subject(Machine(**(healthy | facts)), config)

    return make


def config(source=None, **camera):
    nothing = {"outputs": list, "sections": {}}
    return SimpleNamespace(source=source, camera=CameraSettings(**camera), **nothing)


def found(subject, name):
    """The one finding of that name."""
    (finding,) = [finding for finding in run_checks(subject) if finding.name == name]
    return finding


def test_a_healthy_pi_has_nothing_to_be_told(describe):
    findings = run_checks(describe())
    assert [f for f in findings if f.verdict != "ok" or f.do] == []
    assert [f.name for f in findings] == [
        "machine", "system", "python", "libraries", "camera", "video", "gpio", "power", "heat",
        "memory", "disk", "card", "clock", "service",
    ]  # fmt: skip


def test_each_finding_is_one_line_and_what_is_wrong_says_what_to_do(describe):
    sick = describe(
        files={
            "boot/firmware/config.txt": "camera_auto_detect=0\n",
            "sys/devices/platform/soc/soc:firmware/get_throttled": "f000f\n",
            "sys/class/thermal/thermal_zone0/temp": "84000",
            "proc/meminfo": "MemAvailable: 20000 kB\n",
            "proc/mounts": "/dev/mmcblk0p2 / ext4 ro 0 0\n",
            "usr/lib/python3/dist-packages/numpy-1.24.2.dist-info/METADATA": "",
        },
        words={"rpicam-hello": "No cameras available!\n", "systemctl": GOOD_WORDS["systemctl"]
               .replace("=active", "=failed")},
        bits=32,
        python=(3, 9),
        now=0.0,
        importable=lambda _name: False,
        usable=lambda _path: False,
        space=lambda _path: (1000, 32_000_000_000),
    )  # fmt: skip
    findings = run_checks(sick)
    assert {f.name for f in findings if f.verdict == "wrong"} == {f.name for f in findings} - {
        "machine",
    }
    for finding in findings:
        assert "\n" not in finding.text + finding.do
        assert bool(finding.do) == (finding.verdict != "ok")


def test_a_laptop_is_asked_only_what_makes_sense(describe):
    laptop = describe(
        files={
            "proc/device-tree/model": None, "dev/gpiochip0": None, "dev/media0": None,
            "dev/dma_heap/linux,cma": None,
        },
        words={"systemctl": "LoadState=not-found\n"}, architecture="x86_64",
    )  # fmt: skip
    findings = run_checks(laptop)
    assert {f.verdict for f in findings} == {"ok"}
    assert findings[0].text == "no Raspberry Pi (x86_64): no camera or pins of one"
    assert [f.name for f in findings] == [
        "machine", "system", "python", "camera", "video", "memory", "disk", "clock",
    ]  # fmt: skip


def test_a_check_that_fails_itself_does_not_stop_the_others(describe):
    def check_odd(subject):
        raise ValueError("odd\nvery")

    odd, machine = run_checks(describe(), (check_odd, CHECKS[0]))
    assert (odd.name, odd.verdict) == ("odd", "warning")
    assert odd.text == "cannot be looked at: ValueError: odd"
    assert machine.name == "machine"


def test_an_empty_machine_is_no_reason_to_fail(tmp_path):
    machine = Machine(root=tmp_path, ask=lambda _command: None)
    assert not [f for f in run_checks(Subject(machine)) if "cannot be looked at" in f.text]


# --- The machine


@pytest.mark.parametrize(
    ("architecture", "text", "do"),
    [
        ("aarch64", "a 32-bit system: there is no onnxruntime", "Raspberry Pi OS (64-bit)"),
        ("armv7l", "a 32-bit system: there is no onnxruntime", "Raspberry Pi OS (64-bit)"),
        ("armv6l", "this Pi's processor has 32 bits", "Zero 2 W"),
    ],
)
def test_32_bits(describe, architecture, text, do):
    finding = found(describe(bits=32, architecture=architecture), "system")
    assert finding.verdict == "wrong"
    assert finding.text.startswith(text)
    assert do in finding.do


def test_an_old_python(describe):
    finding = found(describe(python=(3, 9)), "python")
    assert (finding.verdict, finding.text) == ("wrong", "Python 3.9 is too old")


def test_no_onnxruntime(describe):
    finding = found(describe(installed={**VERSIONS, "onnxruntime": None}.get), "python")
    assert (finding.text, finding.do) == ("missing: onnxruntime", "pip install onnxruntime")


@pytest.mark.parametrize(
    ("folder", "verdict"),
    [
        ("numpy-1.24.2.dist-info", "wrong"),
        ("numpy-1.24.2.egg-info", "wrong"),
        ("numpy-2.1.0.dist-info", "ok"),
    ],
)
def test_a_numpy_that_breaks_apts_modules(describe, folder, verdict):
    there = f"usr/lib/python3/dist-packages/{folder}/METADATA"
    finding = found(describe(files={there: ""}), "numpy")
    assert finding.verdict == verdict
    assert finding.do == ("pip install numpy==1.24.2" if verdict == "wrong" else "")


@pytest.mark.parametrize(
    ("kilobytes", "verdict"), [(1_000_000, "ok"), (150_000, "warning"), (50_000, "wrong")]
)
def test_memory(describe, kilobytes, verdict):
    files = {"proc/meminfo": f"MemFree: 1 kB\nMemAvailable:   {kilobytes} kB\n"}
    assert found(describe(files=files), "memory").verdict == verdict


@pytest.mark.parametrize(
    ("free", "verdict"), [(10**9, "ok"), (10**8, "warning"), (10**6, "wrong"), (0, "wrong")]
)
def test_a_full_card(describe, free, verdict):
    finding = found(describe(space=lambda _path: (free, 32 * 10**9)), "disk")
    assert finding.verdict == verdict
    assert "of 32 GB" in finding.text


@pytest.mark.parametrize(
    ("mount", "fstab", "verdict", "text"),
    [
        ("/dev/mmcblk0p2 / ext4 rw,noatime 0 0", "", "ok", "can be written"),
        ("/dev/mmcblk0p2 / ext4 ro,noatime 0 0", "", "wrong", "after errors"),
        ("/dev/mmcblk0p2 / ext4 ro 0 0", "PARTUUID=1 / ext4 defaults,ro 0 1", "ok", "etc/fstab"),
        ("overlayroot / overlay rw,lowerdir=/lower 0 0", "", "ok", "overlay"),
        ("/dev/root / ext4 rw,errors=remount-ro 0 0", "", "ok", "can be written"),
    ],
)
def test_a_card_that_has_become_read_only(describe, mount, fstab, verdict, text):
    finding = found(describe(files={"proc/mounts": mount, "etc/fstab": fstab}), "card")
    assert finding.verdict == verdict
    assert text in finding.text


def test_a_clock_from_before_edge_was_written(describe):
    finding = found(describe(now=0.0), "clock")
    assert finding.verdict == "wrong"
    assert "1970-01-01 00:00 UTC" in finding.text


def test_a_clock_that_no_network_sets_is_fine(describe):
    finding = found(describe(words={"timedatectl": "no\n"}), "clock")
    assert finding.verdict == "ok"
    assert "not set by a network: fine" in finding.text


# --- Power and heat


@pytest.mark.parametrize(
    ("bits", "power", "heat"),
    [
        ("0", "ok", "ok"),
        ("1", "wrong", "ok"),
        ("50005", "wrong", "ok"),  # under-voltage and, because of it, throttled
        ("50000", "warning", "ok"),
        ("4", "ok", "wrong"),
        ("2", "ok", "wrong"),
        ("8", "ok", "wrong"),
        ("80008", "ok", "wrong"),
        ("80000", "ok", "warning"),
    ],
)
@pytest.mark.parametrize("by", ["file", "command"])
def test_the_firmwares_bits(describe, bits, power, heat, by):
    path = "sys/devices/platform/soc/soc:firmware/get_throttled"
    subject = (
        describe(files={path: f"{bits}\n"})
        if by == "file"
        else describe(files={path: None}, words={"vcgencmd": f"throttled=0x{bits}\n"})
    )
    assert found(subject, "power").verdict == power
    assert found(subject, "heat").verdict == heat


def test_a_pi_5_has_its_firmware_elsewhere(describe):
    there = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"
    usual = "sys/devices/platform/soc/soc:firmware/get_throttled"
    assert found(describe(files={usual: None, there: "1\n"}), "power").verdict == "wrong"


@pytest.mark.parametrize("words", [None, "", "VCHI initialization failed\n", "error=1 feed\n"])
def test_bits_that_nobody_tells_are_not_judged(describe, words):
    path = "sys/devices/platform/soc/soc:firmware/get_throttled"
    subject = describe(files={path: None}, words={"vcgencmd": words})
    assert "power" not in {finding.name for finding in run_checks(subject)}


@pytest.mark.parametrize(
    ("temperature", "verdict"), [(48_200, "ok"), (72_000, "warning"), (83_500, "wrong")]
)
def test_heat(describe, temperature, verdict):
    files = {"sys/class/thermal/thermal_zone0/temp": f"{temperature}\n"}
    finding = found(describe(files=files), "heat")
    assert finding.verdict == verdict
    assert f"{temperature / 1000:.0f} °C" in finding.text


# --- Camera


def test_the_camera_is_named(describe):
    finding = found(describe(), "camera")
    assert (finding.verdict, finding.text) == ("ok", "0 imx708_wide 4608x2592 10-bit RGGB")


def test_the_older_name_of_the_command(describe):
    subject = describe(words={"rpicam-hello": None, "libcamera-hello": LISTED})
    assert found(subject, "camera").verdict == "ok"


def test_nobody_to_ask(describe):
    finding = found(describe(words={"rpicam-hello": None}), "camera")
    assert (finding.verdict, finding.do) == ("warning", "sudo apt install rpicam-apps-lite")


def test_a_camera_number_that_is_not_there(describe):
    finding = found(describe(config=config(number=1)), "camera")
    assert finding.verdict == "wrong"
    assert finding.text.startswith("there is no camera 1, only: 0 imx708_wide")


SILENT = "[    7.1] imx219 10-0010: failed to read chip id 219\n[7.2] imx219 10-0010: probe -121\n"


@pytest.mark.parametrize(
    ("text", "log", "says", "do"),
    [
        ("camera_auto_detect=1", "", "none found: most often its cable", "latch closed"),
        ("camera_auto_detect=1", SILENT, "the imx219 does not answer: its cable", "latch closed"),
        ("camera_auto_detect=0", "", "told not to look for one", "write camera_auto_detect=1"),
        ("#camera_auto_detect=1", "", "told not to look for one", "write camera_auto_detect=1"),
        ("", "", "told not to look for one", "write camera_auto_detect=1"),
        ("camera_auto_detect=1\nstart_x=1", "", "legacy camera", "take start_x=1 out"),
        ("dtoverlay=imx477", "", "the imx477 that dtoverlay= names is not found", "is it a imx477"),
        ("dtoverlay=imx219,cam0 # v2", SILENT, "the imx219 that dtoverlay= names does not answer",
         "camera_auto_detect=1 instead"),
        ("camera_auto_detect=0\ndtoverlay=ov5647", "", "the ov5647 that", "is it a ov5647"),
        ("camera_auto_detect=0\ndtoverlay=vc4-kms-v3d", "", "told not to look", "write camera_"),
    ],
)  # fmt: skip
def test_why_there_is_no_camera(describe, text, log, says, do):
    subject = describe(
        files={"boot/firmware/config.txt": text},
        words={"rpicam-hello": "No cameras available!\n", "dmesg": log},
    )
    finding = found(subject, "camera")
    assert finding.verdict == "wrong"
    assert says in finding.text
    assert do in finding.do


def test_config_txt_was_elsewhere_before_bookworm(describe):
    subject = describe(
        files={"boot/firmware/config.txt": None, "boot/config.txt": "camera_auto_detect=0"},
        words={"rpicam-hello": "No cameras available!\n"},
    )
    assert "/boot/config.txt" in found(subject, "camera").do


def test_a_webcam_on_a_pi(describe):
    assert found(describe(config=config("webcam:0")), "camera").verdict == "ok"
    finding = found(describe(config=config("webcam:3")), "camera")
    assert (finding.verdict, finding.text) == ("wrong", "there is no webcam 3")
    assert "/dev/video0" in finding.do


def test_a_folder_needs_no_camera(describe):
    subject = describe(config=config("clips"), words={"rpicam-hello": "No cameras available!\n"})
    assert "camera" not in {finding.name for finding in run_checks(subject)}


def test_the_pis_camera_on_no_pi(describe):
    finding = found(describe(files={"proc/device-tree/model": None}, config=config("pi")), "camera")
    assert (finding.verdict, finding.text) == ("wrong", "source is pi, and this is none")


# --- Rights


@pytest.mark.parametrize(
    ("name", "device"),
    [("video", "video0"), ("video", "linux,cma"), ("gpio", "gpiochip0")],
)
@pytest.mark.parametrize(
    ("groups", "members", "do"),
    [
        ({"pi"}, "", "sudo usermod --append --groups {} pi, and log in again"),
        ({"pi"}, "ann,pi", "log out and in again: pi has joined the group {} since"),
        ({"pi", "video", "gpio"}, "pi", "pi is in the group {}, but the device is not"),
    ],
)
def test_a_device_that_this_user_may_not_use(describe, name, device, *, groups, members, do):
    subject = describe(
        files={"etc/group": f"root:x:0:\nvideo:x:44:{members}\ngpio:x:997:{members}\n"},
        usable=lambda path: path.name != device,
        groups=frozenset(groups),
    )
    finding = found(subject, name)
    assert finding.verdict == "wrong"
    assert re.fullmatch(rf"pi may not use /dev/(dma_heap/)?{device}", finding.text)
    assert finding.do.startswith(do.format(name))


def test_a_pi_without_pins(describe):
    finding = found(describe(files={"dev/gpiochip0": None}), "gpio")
    assert (finding.verdict, finding.text[:25]) == ("wrong", "there is no /dev/gpiochip")


# --- Libraries


def test_missing_libraries_come_from_apt(describe):
    finding = found(describe(importable=lambda name: name != "lgpio", separate=False), "libraries")
    assert (finding.text, finding.do) == ("missing: lgpio", "sudo apt install python3-lgpio")


def test_a_venv_that_does_not_see_them(describe):
    there = "usr/lib/python3/dist-packages/picamera2/__init__.py"
    subject = describe(files={there: ""}, importable=lambda name: name != "picamera2")
    finding = found(subject, "libraries")
    assert finding.do.startswith("installed, but this venv does not see it: make it with --system")


def test_files_that_only_the_device_has_are_opened_with_the_place_where_they_are_named(
    describe, tmp_path
):
    path = tmp_path / "edge.toml"
    hook = 'url = "http://x", secret_file = "token"'
    path.write_text(
        f'[mqtt]\nhost = "x"\nca_file = "none.pem"\n[when.rock]\nwebhook = {{ {hook} }}\n'
    )
    finding = found(describe(config=read_config(path)), "files")
    where = f"{path}: [when.rock] webhook: secret_file: {tmp_path / 'token'}: no such file; "
    assert (finding.verdict, finding.text[: len(where)]) == ("wrong", where)
    laptop = describe(files={"proc/device-tree/model": None}, config=read_config(path))
    (tmp_path / "proc/device-tree/model").unlink()
    assert found(laptop, "files").verdict == "warning", "there it may be none"
    (tmp_path / "token").write_text("x")
    (tmp_path / "token").chmod(0o600)
    text = found(describe(config=read_config(path)), "files").text
    assert text.startswith(f"{path}: [mqtt] ca_file: {tmp_path / 'none.pem'}: No such file")


def test_picamera2_is_not_needed_for_a_webcam(describe):
    subject = describe(config=config("webcam:0"), importable=lambda name: name != "picamera2")
    assert found(subject, "libraries").verdict == "ok"


# --- The service


@pytest.mark.parametrize(
    ("words", "verdict", "text"),
    [
        ("LoadState=not-found\nActiveState=inactive\n", "ok", "not installed; deploy setup does"),
        (None, "ok", "not installed"),
        (GOOD_WORDS["systemctl"], "ok", "running"),
        (GOOD_WORDS["systemctl"].replace("NRestarts=0", "NRestarts=7"), "warning", "7 times"),
        ("LoadState=loaded\nActiveState=inactive\n", "warning", "not started"),
        ("LoadState=loaded\nActiveState=failed\nSubState=failed\n", "wrong", "failed (failed)"),
        ("LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nNRestarts=3\n", "wrong",
         "activating (auto-restart), restarted 3 times"),
    ],
)  # fmt: skip
def test_the_service(describe, words, verdict, text):
    finding = found(describe(words={"systemctl": words}), "service")
    assert finding.verdict == verdict
    assert text in finding.text
