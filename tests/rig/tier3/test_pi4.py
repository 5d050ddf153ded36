"""Tier 3: from the card to a lit LED on a virtual Raspberry Pi 4, and what power does to it."""

import json
import shlex
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.tier3, pytest.mark.timeout(1500)]

LED, BUTTON = 17, 26
DOCTOR = (
    "cd /opt/handwave/current && "
    "PYTHONPATH=. /opt/handwave/venv/bin/python -P -m edge doctor --json"
)
PINOUT = "import sys, gpiozerocli.pinout as it; sys.exit(it.main(['--monochrome']))"
LIGHTS = """
import gpiozero
led = gpiozero.LED(5)
led.on()
print(type(led.pin_factory).__name__, flush=True)
input()
"""
LISTENS = f"""
import gpiozero
button = gpiozero.Button({BUTTON})
print("ready", flush=True)
assert button.wait_for_press(200)
print("pressed", flush=True)
assert button.wait_for_release(200)
print("released", flush=True)
"""


@pytest.fixture
def start(board):
    """Return a function that starts a Python program as the user `pi`, in a folder of theirs."""
    running = []

    def begin(program):
        process = subprocess.Popen(
            ["ssh", "-F", board.ssh_config, "pi", f"python3 -c {shlex.quote(program)}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def device(board, project):
    """Return the board, once one command has made it a device that watches for a palm."""
    board.deploy("setup", folder=project)
    return board


@pytest.fixture
def push(device, project):
    """Return a function that pushes what lights another LED."""

    def to(line):
        text = (project / "edge.toml").read_text()
        before = next(row for row in text.splitlines() if row.startswith("led = "))
        (project / "edge.toml").write_text(text.replace(before, f"led = {line}"))
        return device.deploy("push", folder=project)

    return to


def test_gpiozero_takes_it_for_a_raspberry_pi_4(board):
    assert board.run("uname -m; dpkg --print-architecture").stdout.split() == ["aarch64", "arm64"]
    shown = board.run(f'python3 -c "{PINOUT}"', user="pi").stdout
    assert "Raspberry Pi 4B" in shown
    assert "BCM2711" in shown


def test_gpiozero_drives_the_kernels_chip_through_lgpio(board, start):
    lights = start(LIGHTS)
    assert lights.stdout.readline() == "LGPIOFactory\n"
    assert board.high() == {5}


def test_gpiozero_hears_a_button_through_the_kernels_chip(board, start):
    listens = start(LISTENS)
    assert listens.stdout.readline() == "ready\n"
    board.press(BUTTON, down=True)
    assert listens.stdout.readline() == "pressed\n"
    board.press(BUTTON, down=False)
    assert listens.stdout.readline() == "released\n"


def test_from_the_card_to_a_lit_led_in_one_command(device):
    device.wait(LED, BUTTON)
    assert device.show("ActiveState") == "active"
    device.until(lambda: device.status["label"] == "palm")


def test_it_runs_a_pis_own_onnxruntime_under_the_units_limits(device):
    pid = device.show("MainPID")
    maps = device.run(f"cat /proc/{pid}/maps").stdout
    assert "/opt/handwave/venv/lib/python3.13/site-packages/onnxruntime/" in maps
    assert "-aarch64-linux-gnu.so" in maps
    limit = device.run("cat /sys/fs/cgroup/system.slice/handwave.service/memory.max").stdout
    assert int(limit) == 400 * 1024**2


def test_a_second_set_up_changes_nothing(device, project):
    pid = device.show("MainPID")
    said = device.deploy("setup", folder=project).stdout
    assert "pi: nothing to do: it is set up" in said
    assert "pi: nothing to do: it runs " in said
    assert device.show("MainPID") == pid


def test_doctor_finds_a_pi_and_nothing_wrong(device):
    told = json.loads(device.run(DOCTOR, user="pi").stdout)
    checks = {one["name"]: one for one in told["checks"]}
    assert told["wrong"] == 0, told
    assert "Raspberry Pi 4 Model B" in checks["machine"]["text"]
    assert "aarch64" in checks["system"]["text"]
    assert {checks[name]["verdict"] for name in ("gpio", "numpy", "model", "service")} == {"ok"}


def test_the_button_pauses_it_and_lets_it_go_on(device):
    device.wait(LED, BUTTON)
    device.press(BUTTON, down=True)
    device.wait()
    device.press(BUTTON, down=False)
    device.wait(BUTTON)
    assert "paused" in device.journal
    device.press(BUTTON, down=True)
    device.wait(LED)
    device.press(BUTTON, down=False)
    device.wait(LED, BUTTON)


def test_a_push_moves_it_to_another_pin(device, push):
    push(27)
    device.wait(27, BUTTON)


def test_status_over_ssh_is_what_is_so(device, project):
    told = json.loads(device.deploy("status", "--json", folder=project).stdout)
    assert "palm" in json.dumps(told)


@pytest.mark.parametrize(("off", "which"), [("3 years ago", "behind"), ("3 years", "ahead")])
def test_a_clock_years_off_stops_no_push_and_misleads_no_status(device, push, project, off, which):
    device.run(f"timedatectl set-ntp false; date --set '{off}'")
    try:
        pin = {"behind": 16, "ahead": LED}[which]
        push(pin)
        device.wait(pin, BUTTON)
        (told,) = json.loads(device.deploy("status", "--json", folder=project).stdout)["hosts"]
        assert told["well"], told
        assert told["label"] == "palm"
        assert any(note.endswith(which) for note in told["notes"]), told
    finally:
        device.run(f"date --set @{time.time():.0f}")


def test_what_takes_too_much_memory_is_ended_with_its_pins_off_and_started_again(device, push):
    push(LED)
    device.wait(LED, BUTTON)
    pid, before = device.show("MainPID"), device.show("MemoryMax")
    device.run("systemctl set-property --runtime handwave MemoryMax=24M")  # as if it had leaked
    try:
        device.wait(BUTTON)
        device.until(lambda: "killed by the OOM killer" in device.journal)
        assert device.show("MainPID") != pid
    finally:
        device.run(f"systemctl set-property --runtime handwave MemoryMax={before}")
    device.wait(LED, BUTTON)
    assert device.show("ActiveState") == "active"


def test_a_reboot_brings_it_back(device, push):
    push(LED)
    before = device.boot_id
    device.run("systemctl reboot", check=False)
    device.hang_up()
    device.wait_for_boot(not_before=before)
    device.wait(LED, BUTTON)
    assert device.show("ActiveState") == "active"


def test_the_power_cut_just_after_a_push_leaves_the_new_release_whole(device, push):
    push(23)
    device.cut()
    device.boot()
    device.wait(23, BUTTON)
    device.run("cd /opt/handwave/current && sha256sum --quiet --check MANIFEST")


def test_the_power_cut_during_a_push_leaves_the_old_release(device, push, project):
    push(24)
    old = device.run("readlink /opt/handwave/current").stdout
    text = (project / "edge.toml").read_text()
    (project / "edge.toml").write_text(text.replace("led = 24", "led = 25"))
    command = [sys.executable, "-u", "-m", "deploy", "push", "pi", "-F", str(device.ssh_config)]
    with subprocess.Popen(
        command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as pushing:
        assert any(line.startswith("pi: restart: ") for line in pushing.stdout)
        device.cut()
        _, errors = pushing.communicate()
    assert pushing.returncode == 1
    assert len(errors.splitlines()) == 1
    device.boot()
    device.wait(24, BUTTON)
    assert device.run("readlink /opt/handwave/current").stdout == old
    push(25)
    device.wait(25, BUTTON)
    assert "Traceback" not in device.journal
