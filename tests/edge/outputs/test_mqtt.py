"""MQTT with a real broker: mosquitto, started, stopped and killed at will."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edge.config import read_config
from edge.decider import Decision
from edge.errors import ConfigError, OutputError
from edge.outputs import Outputs, mqtt, mqtt_post
from edge.outputs.wiring import Wiring

ROOT = Path(__file__).parents[3]
GOLDEN = Path(__file__).with_name("discovery.json")
MOSQUITTO = shutil.which(
    "mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
)
PATIENCE = 30
"""Seconds; only a test that fails waits so long."""


def decision(label, confidence=0.9, *, changed=True):
    return Decision(label, confidence, 0.0, 0.0, changed)


def wait_until(true):
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def wait_for_paho():
    """Wait for the ends of its threads, which closing does not."""
    for thread in threading.enumerate():
        if thread.name.startswith("paho-mqtt-client-handwave"):
            thread.join(PATIENCE)


@pytest.fixture(scope="module", autouse=True)
def tidy():
    """Leave none of those threads to the tests that come next and count."""
    yield
    wait_for_paho()


class Broker:
    """mosquitto on a port of its own, which forgets everything when it ends."""

    def __init__(self, folder, *extra):
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.settings = folder / "mosquitto.conf"
        lines = [
            f"listener {self.port} 127.0.0.1", "persistence false",
            *(["user root"] if os.getuid() == 0 else []),
            *(extra or ["allow_anonymous true"]),
        ]  # fmt: skip
        self.settings.write_text("\n".join(lines) + "\n")
        self.process = None

    def start(self):
        log = self.folder / "mosquitto.log"
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [MOSQUITTO, "-c", str(self.settings)], stdout=file, stderr=file
            )
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.01)
        pytest.fail(f"mosquitto does not listen: {log.read_text()}")

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Listener:
    """Somebody else at the broker, such as Home Assistant, who writes down what comes."""

    def __init__(self, port, **login):
        self.heard, self._news, self._there = [], threading.Condition(), threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2)
        if login:
            self.client.username_pw_set(**login)
        self.client.on_connect = lambda client, *_: client.subscribe("#", 2)
        self.client.on_subscribe = lambda *_: self._there.set()
        self.client.on_message = self._message
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._there.wait(PATIENCE)

    def _message(self, _client, _data, message):
        with self._news:
            self.heard.append((message.topic, message.payload.decode(), message.retain))
            self._news.notify_all()

    def on(self, topic):
        """What came on a topic so far."""
        return [payload for there, payload, _ in self.heard if there == topic]

    def until(self, topic, *payloads):
        """Wait until the last that came on a topic are these."""
        with self._news:
            came = self._news.wait_for(
                lambda: self.on(topic)[-len(payloads) :] == list(payloads), PATIENCE
            )
            assert came, f"{topic}: {self.on(topic)}"

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path):
    if MOSQUITTO is None:
        pytest.skip("no MQTT broker here: apt-get install mosquitto")
    broker = Broker(tmp_path)
    yield broker
    broker.stop()


@pytest.fixture
def listen():
    open_ones = []

    def listen(port, **login):
        open_ones.append(Listener(port, **login))
        return open_ones[-1]

    yield listen
    for one in open_ones:
        one.close()


@pytest.fixture
def wire(tmp_path, monkeypatch):
    """A function that opens an edge.toml; all is closed in the end."""
    monkeypatch.setattr(mqtt, "LONGEST_PAUSE", 1)
    opened = []

    def wire(text):
        (tmp_path / "edge.toml").write_text(text)
        opened.append(Wiring(read_config(tmp_path / "edge.toml"), "mock"))
        return Outputs(opened[-1].when, opened[-1].observers), opened[-1]

    yield wire
    for one in opened:
        one.close()


def settings(port, more=""):
    return f'[mqtt]\nhost = "127.0.0.1"\nport = {port}\nname = "Kitchen Pi"\n{more}\n'


def state(label, confidence):
    return json.dumps({"label": label, "confidence": confidence}, separators=(",", ":"))


HERE = "handwave/kitchen_pi"
NOTHING = state(None, None)


# --- What arrives


def test_every_decision_arrives_and_is_kept_for_who_comes_later(broker, wire, listen):
    broker.start()
    early = listen(broker.port)
    outputs, _ = wire(settings(broker.port))
    early.until(f"{HERE}/status", "online")
    for label in ["rock", None, "background"]:
        outputs.apply(decision(label))
        early.until(f"{HERE}/state", state(label, 0.9))
    late = listen(broker.port)
    late.until(f"{HERE}/state", state("background", 0.9))
    late.until(f"{HERE}/status", "online")
    assert all(retained for _, _, retained in late.heard)


def test_a_gesture_is_an_event_and_background_is_none(broker, wire, listen):
    broker.start()
    ear = listen(broker.port)
    outputs, _ = wire(settings(broker.port, "[when.rock]\n[when.palm]"))
    for label in ["rock", None, "background", "palm"]:
        outputs.apply(decision(label, 0.87654))
    ear.until(
        f"{HERE}/event",
        '{"event_type":"rock","confidence":0.877}', '{"event_type":"palm","confidence":0.877}',
    )  # fmt: skip
    assert len(ear.on(f"{HERE}/event")) == 2
    late = listen(broker.port)
    assert late.on(f"{HERE}/event") == [], "an event is not kept: nobody makes a gesture twice"


def test_home_assistant_is_told_what_the_golden_file_says(broker, wire, listen):
    broker.start()
    wire(settings(broker.port, "[when.rock]\n[when.'thumb up']"))
    listen(broker.port).until(f"{HERE}/status", "online")
    ear = listen(broker.port)  # comes later, as after a restart of Home Assistant
    ear.until(f"{HERE}/status", "online")
    wanted = json.loads(GOLDEN.read_text())
    for topic, payload in wanted.items():
        got = next(json.loads(text) for text in ear.on(topic))
        for part in (got["device"], got["origin"]):
            part.pop("sw_version", None)
        assert got == payload


def test_the_golden_file_keeps_home_assistants_rules():
    # As its MQTT integration checks them: homeassistant/components/mqtt/{discovery,schemas}.py.
    topic_rule = r"homeassistant/(sensor|event)/[a-zA-Z0-9_-]+/[a-zA-Z0-9_-]+/config"
    ids = []
    for topic, payload in json.loads(GOLDEN.read_text()).items():
        assert re.fullmatch(topic_rule, topic)
        ids.append(payload["unique_id"])
        assert payload["device"]["identifiers"]
        assert payload["origin"]["name"]
        assert payload["state_topic"] != payload["availability_topic"]
    assert len(set(ids)) == len(ids) == 2


def test_without_discovery_home_assistant_is_told_nothing(broker, wire, listen):
    broker.start()
    ear = listen(broker.port)
    wire(settings(broker.port, "discovery = false"))
    ear.until(f"{HERE}/status", "online")
    assert {topic for topic, _, _ in ear.heard} == {f"{HERE}/state", f"{HERE}/status"}


def test_after_a_reload_with_another_name_nothing_is_left_of_the_old_one(broker, wire, listen):
    broker.start()
    ear = listen(broker.port)
    text = settings(broker.port, "[when.rock]")
    _, wiring = wire(text)
    ear.until(f"{HERE}/status", "online")
    wiring.close()
    wire(text.replace("Kitchen Pi", "Hall"))
    ear.until(f"{HERE}/status", "online", "offline", "")
    ear.until(f"{HERE}/state", "")
    for kind in ("sensor", "event"):
        ear.until(f"homeassistant/{kind}/handwave_kitchen_pi/gesture/config", "")
    ear.until("handwave/hall/status", "online")
    late = listen(broker.port)
    late.until("handwave/hall/status", "online")
    assert [topic for topic, *_ in late.heard if "kitchen_pi" in topic] == []


def test_both_prefixes_are_the_users(broker, wire, listen):
    broker.start()
    ear = listen(broker.port)
    wire(settings(broker.port, 'base = "home/cams"\ndiscovery_prefix = "ha"'))
    ear.until("home/cams/kitchen_pi/status", "online")
    assert {topic.split("/")[0] for topic, _, _ in ear.heard} == {"ha", "home"}


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Küche 2", "kuche_2"), ("../x/#", "x"), ("raspberrypi", "raspberrypi"), ("厨房", "4ae988a2")],
)
def test_any_name_becomes_a_part_of_a_topic(name, slug):
    assert mqtt.Topics(mqtt.Broker(host="x", name=name)).state == f"handwave/{slug}/state"


def test_by_default_the_name_is_the_hosts():
    assert mqtt.Broker(host="x").device_name() == socket.gethostname()


# --- Messages of one's own


def test_a_topic_alone_is_sent_on_once_a_gesture(broker, wire, listen):
    broker.start()
    ear = listen(broker.port)
    outputs, _ = wire(settings(broker.port, '[when.rock]\nmqtt = "lamp/set"'))
    ear.until(f"{HERE}/status", "online")
    for label, changed in [("rock", True), ("rock", False), (None, True), ("rock", True)]:
        outputs.apply(decision(label, changed=changed))
    outputs.close()
    ear.until(f"{HERE}/status", "offline")
    assert ear.on("lamp/set") == ["ON", "ON"]


def test_with_payload_off_it_follows_and_ends_off(broker, wire, listen):
    broker.start()
    ear = listen(broker.port)
    line = '{ topic = "lamp/set", payload = "1", payload_off = "0", retain = true, qos = 1 }'
    outputs, _ = wire(settings(broker.port, f"[when.rock]\nmqtt = {line}"))
    outputs.apply(decision("rock"))
    ear.until("lamp/set", "1")
    outputs.apply(decision(None))
    ear.until("lamp/set", "1", "0")
    outputs.apply(decision("rock"))
    ear.until("lamp/set", "1", "0", "1")
    outputs.close()
    ear.until("lamp/set", "1", "0", "1", "0")
    late = listen(broker.port)
    late.until("lamp/set", "0")


def test_what_a_killed_process_left_on_is_off_from_the_start(broker, wire, listen):
    broker.start()
    ear = listen(broker.port)
    line = '{ topic = "lamp/set", payload = "1", payload_off = "0" }'
    wire(settings(broker.port, f"[when.rock]\nmqtt = {line}"))
    ear.until("lamp/set", "0")


def test_twenty_messages_of_one_decision_all_arrive(broker, wire, listen):
    broker.start()
    ear = listen(broker.port)
    topics = ", ".join(f'"lamp/{number}"' for number in range(20))
    outputs, _ = wire(settings(broker.port, f"[when.rock]\nmqtt = [{topics}]"))
    outputs.apply(decision("rock"))
    for number in range(20):
        ear.until(f"lamp/{number}", "ON")


def test_several_messages_for_one_label(broker, wire, listen):
    broker.start()
    ear = listen(broker.port)
    outputs, _ = wire(
        settings(
            broker.port, "[when.rock]\nmqtt = ['a/b', { topic = 'c', payload = 'x', qos = 2 }]"
        )
    )
    outputs.apply(decision("rock"))
    ear.until("a/b", "ON")
    ear.until("c", "x")


# --- When it ends


def test_closing_says_goodbye(broker, wire, listen):
    broker.start()
    ear = listen(broker.port)
    outputs, wiring = wire(settings(broker.port))
    ear.until(f"{HERE}/status", "online")
    outputs.apply(decision("rock"))
    outputs.close()
    wiring.close()
    ear.until(f"{HERE}/status", "online", "offline")
    assert ear.on(f"{HERE}/state")[-1] == NOTHING


def test_a_life_shorter_than_the_way_to_the_broker_sends_all_the_same(broker, wire, listen):
    broker.start()
    ear = listen(broker.port)
    outputs, wiring = wire(settings(broker.port, '[when.rock]\nmqtt = "bell"'))
    outputs.apply(decision("rock"))
    outputs.close()
    wiring.close()
    ear.until(f"{HERE}/status", "offline")
    assert ear.on("bell") == ["ON"]


LIVE = """
import sys, time
from edge.config import read_config
from edge.outputs.wiring import Wiring
wiring = Wiring(read_config(sys.argv[1]), "mock")
print("up", flush=True)
time.sleep(600)
"""


def test_a_device_that_is_killed_is_offline_by_its_last_will(broker, listen, tmp_path):
    broker.start()
    ear = listen(broker.port)
    (tmp_path / "edge.toml").write_text(settings(broker.port))
    device = subprocess.Popen([sys.executable, "-c", LIVE, tmp_path / "edge.toml"], cwd=ROOT)
    try:
        ear.until(f"{HERE}/status", "online")
    finally:
        device.send_signal(signal.SIGKILL)
        device.wait()
    ear.until(f"{HERE}/status", "online", "offline")
    listen(broker.port).until(f"{HERE}/status", "offline")


def test_a_device_back_from_a_power_cut_is_online_though_its_old_link_still_stands(
    broker, listen, wire, tmp_path
):
    broker.start()
    ear = listen(broker.port)
    (tmp_path / "edge.toml").write_text(settings(broker.port))
    device = subprocess.Popen([sys.executable, "-c", LIVE, tmp_path / "edge.toml"], cwd=ROOT)
    try:
        ear.until(f"{HERE}/status", "online")
        device.send_signal(signal.SIGSTOP)  # silent, but not gone, as after a power cut
        wire(settings(broker.port))
        ear.until(f"{HERE}/status", "online", "offline", "online")
    finally:
        device.kill()
        device.wait()


# --- When the broker is away


def test_no_broker_at_boot_is_no_error_and_it_is_found_when_it_comes(broker, wire, listen, caplog):
    outputs, _ = wire(settings(broker.port, '[when.rock]\nmqtt = "lamp/set"'))
    outputs.apply(decision("rock"))
    time.sleep(1.2)  # a try or two
    broker.start()
    ear = listen(broker.port)
    ear.until(f"{HERE}/status", "online")
    ear.until(f"{HERE}/state", state("rock", 0.9))
    ear.until("lamp/set", "ON")
    assert caplog.messages == [
        f"mqtt: cannot reach 127.0.0.1:{broker.port} (Connection refused); trying again for ever",
        f"mqtt: connected to 127.0.0.1:{broker.port}",
    ], "once, however many tries, and then that it is over"


def test_after_a_restart_of_the_broker_everything_is_there_again(broker, wire, listen, caplog):
    caplog.set_level(logging.INFO)
    broker.start()
    ear = listen(broker.port)
    outputs, _ = wire(settings(broker.port))
    ear.until(f"{HERE}/status", "online")
    broker.stop()
    for label in ["rock", None, "palm"]:
        outputs.apply(decision(label))
    broker.start()  # it has forgotten all it knew
    late = listen(broker.port)
    late.until(f"{HERE}/status", "online")
    late.until(f"{HERE}/state", state("palm", 0.9))
    assert any(topic.startswith("homeassistant/sensor/") for topic, _, _ in late.heard)
    assert outputs.failures == 0


def test_an_hour_without_a_broker_costs_nothing(broker, wire, listen):
    line = '{ topic = "lamp/set", payload_off = "OFF" }'
    outputs, wiring = wire(
        settings(broker.port, f'[when.rock]\nmqtt = {line}\n[when.palm]\nmqtt = "bell"')
    )
    post = mqtt.post(wiring.section("mqtt"), wiring)
    most = 0
    for number in range(20_000):  # five a second for an hour, and more
        outputs.apply(decision(["rock", None, "palm", None][number % 4], number / 20_000))
        most = max(most, post.waiting)
    assert most <= 5 + mqtt_post.FIRED, "two for Home Assistant, three of ours, and what fired last"
    assert len(post._client._out_packet) == len(post._client._out_messages) == 0
    broker.start()
    ear = listen(broker.port)
    ear.until(f"{HERE}/state", state(None, 1.0))
    ear.until("lamp/set", "OFF")
    ear.until(f"{HERE}/status", "online")
    assert len(ear.on("lamp/set")) == 1, "only how it is now"


def test_what_fired_too_long_ago_is_not_sent(broker, wire, listen, monkeypatch):
    monkeypatch.setattr(mqtt_post, "LATE", 0.0)
    outputs, wiring = wire(
        settings(broker.port, '[when.rock]\nmqtt = "bell"\n[when.palm]\nmqtt = "gong"')
    )
    outputs.apply(decision("rock"))
    broker.start()
    ear = listen(broker.port)
    ear.until(f"{HERE}/state", state("rock", 0.9))
    post = mqtt.post(wiring.section("mqtt"), wiring)
    wait_until(lambda: post.waiting == 0)
    monkeypatch.setattr(mqtt_post, "LATE", 60.0)
    outputs.apply(decision("palm"))
    ear.until("gong", "ON")
    assert ear.on("bell") == []


def fire_as_the_link_dies(broker, outputs, post):
    broker.process.send_signal(signal.SIGSTOP)  # it takes bytes, and acknowledges nothing
    outputs.apply(decision("rock"))
    wait_until(lambda: post._client._out_messages)
    broker.stop()


def test_what_fired_and_was_on_its_way_when_the_link_died_is_not_sent_late(
    broker, wire, listen, monkeypatch
):
    monkeypatch.setattr(mqtt_post, "LATE", 1.0)
    broker.start()
    outputs, wiring = wire(
        settings(
            broker.port,
            "[when.rock]\nmqtt = { topic = 'door', qos = 1 }\n[when.palm]\nmqtt = 'gong'",
        )
    )
    post = mqtt.post(wiring.section("mqtt"), wiring)
    wait_until(lambda: post._linked and post.waiting == 0)
    fire_as_the_link_dies(broker, outputs, post)
    time.sleep(2.5)
    broker.start()
    ear = listen(broker.port)
    ear.until(f"{HERE}/state", state("rock", 0.9))
    outputs.apply(decision("palm"))
    ear.until("gong", "ON")
    assert ear.on("door") == []


def test_a_client_left_in_the_middle_of_connecting_never_comes_back(
    broker, wire, listen, monkeypatch
):
    monkeypatch.setattr(mqtt_post, "LATE", 2.0)
    broker.start()
    door = "[when.rock]\nmqtt = { topic = 'door', qos = 1 }"
    outputs, wiring = wire(settings(broker.port, door))
    post = mqtt.post(wiring.section("mqtt"), wiring)
    wait_until(lambda: post._linked and post.waiting == 0)
    look_up, threads = socket.getaddrinfo, set()

    def slowly(*arguments, **options):
        if threading.current_thread().name.startswith("paho"):
            threads.add(threading.current_thread())
            time.sleep(3)
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    fire_as_the_link_dies(broker, outputs, post)
    broker.start()
    ear = listen(broker.port)
    ear.until(f"{HERE}/state", state("rock", 0.9))
    wait_until(lambda: sum(thread.is_alive() for thread in threads) == 1)
    time.sleep(1)
    assert ear.on("door") == []
    assert ear.on(f"{HERE}/status").count("online") == 1


@pytest.mark.parametrize("qos", [1, 2])
def test_what_fired_and_lost_its_link_for_a_moment_arrives(broker, wire, listen, qos):
    broker.start()
    outputs, wiring = wire(
        settings(broker.port, f"[when.rock]\nmqtt = {{ topic = 'door', qos = {qos} }}")
    )
    post = mqtt.post(wiring.section("mqtt"), wiring)
    wait_until(lambda: post._linked and post.waiting == 0)
    fire_as_the_link_dies(broker, outputs, post)
    broker.start()
    ear = listen(broker.port)
    ear.until("door", "ON")


def test_a_broker_that_does_not_answer_keeps_no_frame_and_no_end(tmp_path, wire):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, says nothing
        outputs, wiring = wire(settings(silent.getsockname()[1], "[when.rock]\nmqtt = 'a'"))
        done = threading.Event()

        def live():
            for number in range(1000):
                outputs.apply(decision(["rock", None][number % 2]))
            outputs.close()
            wiring.close()
            done.set()

        threading.Thread(target=live, daemon=True).start()
        assert done.wait(PATIENCE)


def test_a_broker_that_hangs_keeps_no_frame_and_no_end(broker, wire, listen):
    broker.start()
    ear = listen(broker.port)
    outputs, wiring = wire(settings(broker.port, "[when.rock]\nmqtt = { topic = 'a', qos = 1 }"))
    ear.until(f"{HERE}/status", "online")
    broker.process.send_signal(signal.SIGSTOP)
    post = mqtt.post(wiring.section("mqtt"), wiring)
    for number in range(5000):
        outputs.apply(decision(["rock", None][number % 2]))
    assert post.waiting <= 10 + mqtt_post.FIRED
    assert len(post._client._out_packet) + len(post._client._out_messages) <= 3
    outputs.close()
    wiring.close()
    broker.process.send_signal(signal.SIGCONT)
    ear.until(f"{HERE}/status", "offline")


@contextmanager
def answering(talk):
    """Listen at a port; each connection is handed to `talk` in a thread of its own."""
    held = []

    def accept(server):
        with suppress(OSError):
            while True:
                held.append(server.accept()[0])
                talk(held[-1])

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, args=(server,), daemon=True).start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for one in held:
                one.close()


@pytest.mark.parametrize("talk", [lambda link: None, lambda link: link.close()])
def test_what_takes_the_connection_and_is_no_broker_is_told_once(wire, monkeypatch, caplog, talk):
    monkeypatch.setattr(mqtt, "KEEP_ALIVE", 1)  # for the one that says nothing at all
    with answering(talk) as port:
        _, wiring = wire(settings(port))
        wait_until(lambda: caplog.messages)
        time.sleep(2.5)  # a try or two more
        wiring.close()
    wait_for_paho()
    (line,) = caplog.messages
    assert line.startswith(
        f"mqtt: 127.0.0.1:{port} takes the connection but does not answer; is it"
    )
    assert "tls = true" in line


def test_two_devices_of_one_name_are_told_so_once(broker, wire, listen, caplog):
    broker.start()
    ear = listen(broker.port)
    wire(settings(broker.port))
    ear.until(f"{HERE}/status", "online")
    wire(settings(broker.port))
    wait_until(lambda: len(ear.on(f"{HERE}/status")) >= 8)
    told = [line for line in caplog.messages if "named 'Kitchen Pi' too" in line]
    assert len(told) == len(caplog.messages) <= 2, "each of the two says it once"


# --- Who may come in


@pytest.fixture
def guarded(tmp_path):
    if MOSQUITTO is None:
        pytest.skip("no MQTT broker here: apt-get install mosquitto")
    users = tmp_path / "users"
    users.touch(mode=0o600)
    subprocess.run(
        [shutil.which("mosquitto_passwd") or "mosquitto_passwd", "-b", users, "pi", "se cret"],
        check=True, capture_output=True,
    )  # fmt: skip
    broker = Broker(tmp_path, f"password_file {users}", "allow_anonymous false").start()
    yield broker
    broker.stop()


def test_with_the_password_from_its_file_the_device_is_let_in(
    guarded, wire, listen, tmp_path, caplog
):
    secret = tmp_path / "password"
    secret.write_text("se cret\n")
    secret.chmod(0o600)
    wire(settings(guarded.port, 'username = "pi"\npassword_file = "password"'))
    ear = listen(guarded.port, username="pi", password="se cret")
    ear.until(f"{HERE}/status", "online")
    assert caplog.messages == []


def test_a_refusal_is_said_once_with_what_to_do(guarded, wire, caplog):
    outputs, _ = wire(settings(guarded.port))
    outputs.apply(decision("rock"))
    time.sleep(2.5)  # several tries
    assert caplog.messages == [
        f"mqtt: 127.0.0.1:{guarded.port} refuses: Not authorized; see username and password_file"
    ]


def test_a_password_that_everybody_may_read_is_told(wire, tmp_path, caplog):
    secret = tmp_path / "password"
    secret.write_text("x")
    secret.chmod(0o644)
    wire(settings(1, 'username = "pi"\npassword_file = "password"'))
    assert caplog.messages[0].startswith("mqtt: everybody on this machine may read ")


@pytest.fixture
def sealed(tmp_path):
    """A broker with TLS, and the certificate of who signed its own."""
    if MOSQUITTO is None:
        pytest.skip("no MQTT broker here: apt-get install mosquitto")
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    broker = Broker(tmp_path, "allow_anonymous true", f"certfile {certificate}", f"keyfile {key}")
    yield broker.start()
    broker.stop()


def test_over_tls_with_the_certificate_that_the_user_trusts(sealed, wire, tmp_path):
    _, wiring = wire(settings(sealed.port, 'ca_file = "ca.pem"'))
    post = mqtt.post(wiring.section("mqtt"), wiring)
    wait_until(lambda: post._linked and post.waiting == 0)


@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")  # paho leaves it to
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python to close
def test_a_broker_that_nobody_vouches_for_is_told_nothing(sealed, wire, caplog):
    _, wiring = wire(settings(sealed.port, "tls = true"))
    wait_until(lambda: caplog.messages)
    assert "certificate verify failed" in caplog.messages[0]
    assert not mqtt.post(wiring.section("mqtt"), wiring)._linked
    wiring.close()
    wait_for_paho()


# --- What is wrong in edge.toml


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[mqtt]", "[mqtt] object missing required field `host`"),
        ("[mqtt]\nhost = ''", "[mqtt] host: '' is no host's name; such as"),
        ("[mqtt]\nhost = 'mqtt://x'", "[mqtt] host: 'mqtt://x' is no host's name; such as"),
        ("[mqtt]\nhost = 'x:18830'", "[mqtt] host: 'x:18830' has a port in it; write it below: p"),
        ("[mqtt]\nhost = '[::1]'", "[mqtt] host: '[::1]': an address without brackets; port"),
        ("[mqtt]\nhost = 'x'\nusername = \"a\\u0000\"", "[mqtt] username: plain text of one line"),
        ("[mqtt]\nhost = 'a..b'", "[mqtt] host: 'a..b' is no host's name"),
        ("[mqtt]\nhost = 'x'\nport = 70000", "[mqtt] port: expected a whole number <= 65535"),
        ("[mqtt]\nhost = 'x'\npassword = 'y'", "[mqtt] unknown key 'password'; did you mean"),
        (
            "[mqtt]\nhost = 'x'\npassword_file = 'y'",
            "[mqtt] password_file: a password needs a user",
        ),
        ("[mqtt]\nhost = 'x'\nname = ' '", "[mqtt] name: is empty"),
        ("[mqtt]\nhost = 'x'\nbase = 'a/#'", "[mqtt] base: '#' cannot be in a topic"),
        ("[mqtt]\nhost = 'x'\ndiscovery_prefix = ''", "[mqtt] discovery_prefix: a topic has 1 to"),
        ("[when.rock]\nmqtt = ''", "[when.rock] mqtt: topic: a topic has 1 to 200 bytes"),
        ("[when.rock]\nmqtt = 'a/+/b'", "[when.rock] mqtt: topic: '+' cannot be in a topic"),
        ("[when.rock]\nmqtt = '$SYS/x'", "[when.rock] mqtt: topic: topics that begin with $"),
        ("[when.rock]\nmqtt = {topic = 'a', qos = 3}", "[when.rock] mqtt: qos: expected a whole n"),
        ("[when.rock]\nmqtt = {topc = 'a'}", "[when.rock] mqtt: unknown key 'topc'; did you mean"),
    ],
)
def test_each_mistake_is_named_where_it_is(tmp_path, text, line):
    path = tmp_path / "edge.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: {line}")


def test_a_message_without_a_broker_says_what_to_add(tmp_path):
    path = tmp_path / "edge.toml"
    path.write_text("[when.rock]\nmqtt = 'a'")
    with pytest.raises(ConfigError, match=r"when.rock\] mqtt: which broker\? Add \[mqtt\]"):
        read_config(path)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (
            "username = 'pi'\npassword_file = 'none'",
            r"edge.toml: \[mqtt\] password_file: .*none: no such file; write the password into",
        ),
        ("username = 'pi'\npassword_file = 'edge.toml'", None),
        ("ca_file = 'none.pem'", r"edge.toml: \[mqtt\] ca_file: .*none.pem: No such file"),
        ("ca_file = 'edge.toml'", "edge.toml: "),
        ('ca_file = "a\\u0000b"', "embedded null byte"),
    ],
)
def test_a_file_that_is_no_use_is_said_before_it_begins(wire, more, line):
    if line is None:
        wire(settings(1, more))  # any text may be a password
        return
    with pytest.raises(OutputError, match=line):
        wire(settings(1, more))


def test_without_a_new_enough_library_the_way_to_get_it(wire, monkeypatch):
    monkeypatch.setitem(sys.modules, "paho.mqtt.enums", None)  # as with 1.6
    with pytest.raises(OutputError, match=r"pip install 'paho-mqtt>=2'"):
        wire(settings(1))


@pytest.mark.parametrize(("late", "says"), [
    (True, "mqtt: cannot reach nowhere:1 (why); trying again for ever; 1 message not sent"),
    (False, "mqtt: no answer from nowhere:1 yet; 1 message not sent"),
])  # fmt: skip
def test_what_was_not_sent_is_said_at_the_end_whenever_that_is_known(caplog, late, says):
    """Looking up a name may fail when the device is about to stop, or has not failed by then."""
    quiet = types.SimpleNamespace(loop_start=lambda: None, disconnect=lambda: None)
    post = mqtt_post.Post(lambda: quiet, "nowhere:1", "pi")
    post.change(mqtt_post.Message("a", "b"))
    if late:
        post._closing = True
        post._say("cannot reach nowhere:1 (why); trying again for ever")
        post._closing = False
    post.close(timeout=0.05)
    assert caplog.messages == [says]
