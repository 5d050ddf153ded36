"""MQTT: every decision as a sensor of Home Assistant, and messages of one's own a label.

This module makes the messages; `mqtt_post` sends them.
"""

from __future__ import annotations

import logging
import re
import socket
import unicodedata
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from edge.card import BACKGROUND
from edge.errors import OutputError, named
from edge.outputs.kind import Kind, Section
from edge.outputs.mqtt_post import Message, Post
from edge.outputs.secret_files import read_secret

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from ssl import SSLContext

    from paho.mqtt.client import Client

    from edge.decider import Decision
    from edge.outputs.apply import Output
    from edge.outputs.wiring import Wiring

log = logging.getLogger(__name__)

KEEP_ALIVE = 30
"""Seconds of silence after which the connection is probed, from either side."""
LONGEST_PAUSE = 60
"""Seconds between two tries to connect, at most; they begin with one and double."""
MAX_TOPIC = 200
MAX_PASSWORD_BYTES = 1000
_left: dict[tuple[str, int], set[str]] = {}
"""By broker, the retained topics that this process has set: a reload with another name clears them,
else Home Assistant shows a device that no longer exists."""


class Broker(Section, frozen=True):
    """`[mqtt]`: which broker, and what this device is called there."""

    library: ClassVar[str] = "paho.mqtt.enums"
    host: str
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    """0 is the usual one: 1883, or 8883 with TLS."""
    username: str | None = None
    password_file: str | None = None
    """A file with the password and nothing else; never the password in `edge.toml`."""
    tls: bool = False
    ca_file: str | None = None
    """Certificates to trust instead of the system's; with one, `tls` is true."""
    name: str | None = None
    """The device's; by default the host's. Two devices of one name throw each other out."""
    base: str = "handwave"
    """The first part of our own topics."""
    discovery: bool = True
    """Whether Home Assistant is told of this device."""
    discovery_prefix: str = "homeassistant"

    def __post_init__(self) -> None:
        """Check what types cannot."""
        _check_host(self.host)
        _check_topic(self.base, "base")
        _check_topic(self.discovery_prefix, "discovery_prefix")
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file: a password needs a username as well")
        if self.username is not None and re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", self.username):
            raise ValueError("username: plain text of one line, please")  # brokers just hang up
        if self.name is not None and not self.name.strip():
            raise ValueError("name: is empty; take the line away for the host's name")

    def read_secrets(self, folder: Path) -> None:
        _password(self.password_file, folder)
        if self.ca_file is not None:
            _trusted(self.ca_file, folder)

    def open(self, wiring: Wiring) -> Device:
        """Begin to connect, and return what tells the broker of every decision."""
        labels = wiring.labels or list(wiring.when)
        return Device(self, post(self, wiring), labels)

    def device_name(self) -> str:
        """Return what people call the device."""
        return socket.gethostname() if self.name is None else self.name.strip()


class Mqtt(Kind, frozen=True):
    """A message of the user's own: one per decision, or with `payload_off` one at start and end."""

    short: ClassVar[str] = "topic"
    section: ClassVar[type[Section] | None] = Broker
    lacking: ClassVar[str] = 'which broker? Add [mqtt] and below it host = "..."'
    topic: str
    payload: str = "ON"
    payload_off: str | None = None
    retain: bool = False
    qos: Annotated[int, msgspec.Meta(ge=0, le=2)] = 0

    def check(self, folder: Path) -> None:
        _check_topic(self.topic, "topic")

    def open(self, wiring: Wiring) -> Output:
        settings = wiring.section("mqtt")
        assert isinstance(settings, Broker)  # noqa: S101  (else `lacking` was said)
        there = post(settings, wiring)
        on = Message(self.topic, self.payload, self.qos, self.retain)
        if self.payload_off is None:
            return lambda: there.fire(on)
        follower = Follower(there, on, Message(self.topic, self.payload_off, self.qos, self.retain))
        follower.off()  # a process that was killed may have left it on
        return follower


@dataclass(frozen=True, slots=True)
class Follower:
    """A switch that sends one message for on and another for off."""

    post: Post
    said_on: Message
    said_off: Message

    def on(self) -> None:
        self.post.change(self.said_on)

    def off(self) -> None:
        self.post.change(self.said_off)


class Device:
    """This device as the broker and Home Assistant see it.

    Args:
        settings: `[mqtt]`.
        post: what takes messages.
        labels: what may be decided; `background` is no event.
    """

    def __init__(self, settings: Broker, post: Post, labels: Iterable[str]) -> None:
        self._post = post
        self._topics = Topics(settings)
        self._events = [label for label in labels if label != BACKGROUND]
        found = discovery(settings, self._events) if settings.discovery else {}
        for topic, payload in found.items():
            post.keep(Message(topic, _json(payload), retain=True))
        kept = {*found, self._topics.state, self._topics.status}
        broker = settings.host, settings.port
        for topic in _left.get(broker, set()) - kept:
            post.change(Message(topic, "", retain=True))  # an empty retained message deletes it
        _left[broker] = kept
        self._tell(None, None)  # replaces what the last run left at the broker
        self._keep(self._topics.status, "online")

    def decided(self, decision: Decision) -> None:
        """Send the decision."""
        confidence = round(decision.confidence, 3)
        self._tell(decision.label, confidence)
        if decision.label in self._events:
            event = {"event_type": decision.label, "confidence": confidence}
            self._post.fire(Message(self._topics.event, _json(event)))

    def close(self) -> None:
        """Say goodbye; never longer than a few seconds, closing twice is fine."""
        self._tell(None, None)
        self._keep(self._topics.status, "offline")
        self._post.close()

    def _tell(self, label: str | None, confidence: float | None) -> None:
        self._keep(self._topics.state, _json({"label": label, "confidence": confidence}))

    def _keep(self, topic: str, payload: str) -> None:
        # Retained, so that Home Assistant knows the state when it starts after us.
        self._post.keep(Message(topic, payload, retain=True))


class Topics:
    """The device's own topics."""

    def __init__(self, settings: Broker) -> None:
        here = f"{settings.base}/{_slug(settings.device_name())}"
        self.state = f"{here}/state"
        self.event = f"{here}/event"
        self.status = f"{here}/status"


def discovery(settings: Broker, labels: list[str]) -> dict[str, dict[str, Any]]:
    """Return Home Assistant's discovery messages by topic: a sensor, and an event for automations.

    One message an entity, which every version understands, and other systems as well. Source:
    https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
    """
    name = settings.device_name()
    slug, topics = _slug(name), Topics(settings)
    ours = _version()
    shared = {
        "name": "Gesture",
        "icon": "mdi:hand-wave",
        "availability_topic": topics.status,
        "device": {
            "identifiers": [f"handwave_{slug}"],
            "name": name,
            "manufacturer": "handwave",
            "model": "Gesture camera",
            **ours,
        },
        "origin": {"name": "handwave", **ours},
    }
    sensor = {
        **shared,
        "unique_id": f"handwave_{slug}_gesture",
        "state_topic": topics.state,
        "value_template": "{{ value_json.label or 'none' }}",
        "json_attributes_topic": topics.state,
        "json_attributes_template": "{{ {'confidence': value_json.confidence} | tojson }}",
    }
    event = {
        **shared,
        "unique_id": f"handwave_{slug}_event",
        "state_topic": topics.event,
        "event_types": labels,
    }
    found = {"sensor": sensor, "event": event} if labels else {"sensor": sensor}
    return {
        f"{settings.discovery_prefix}/{component}/handwave_{slug}/gesture/config": payload
        for component, payload in found.items()
    }


def post(settings: Broker, wiring: Wiring) -> Post:
    """Return the one connection to the broker, opened when first asked for.

    Raises:
        OutputError: no paho-mqtt, or a file that cannot be read.
    """
    return wiring.share("mqtt", lambda: _open_post(settings, wiring.folder))


def _open_post(settings: Broker, folder: Path) -> Post:
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion  # not in 1.x, which Bookworm's apt has
    except ImportError:
        raise OutputError(
            "[mqtt] needs paho-mqtt 2: deploy setup brings it; or in edge's venv: "
            "pip install 'paho-mqtt>=2'"
        ) from None
    name = settings.device_name()
    tls = settings.tls or settings.ca_file is not None
    with named("[mqtt] "):
        password = _password(settings.password_file, folder)
        trusted = _trusted(settings.ca_file, folder) if tls else None
    port = settings.port or (8883 if tls else 1883)

    def make() -> Client:
        # The same id each time: a broker that still holds the connection from before a power cut
        # ends that one first, so that its last will precedes our "online".
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"handwave_{_slug(name)}")
        client.suppress_exceptions = True  # a mistake in a callback must not end paho's thread
        client.will_set(Topics(settings).status, "offline", qos=1, retain=True)
        client.reconnect_delay_set(1, LONGEST_PAUSE)
        if settings.username is not None:
            client.username_pw_set(settings.username, password)
        if trusted is not None:
            client.tls_set_context(trusted)
        client.connect_async(settings.host, port, KEEP_ALIVE)
        return client

    return Post(make, f"{settings.host}:{port}", name)


def _trusted(ca_file: str | None, folder: Path) -> SSLContext:
    """Return the TLS context that trusts the system's certificates, or the user's own."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file is None:
        context.load_default_certs()
        return context
    path = folder / ca_file
    try:
        context.load_verify_locations(path)
    except (OSError, ValueError) as problem:  # ssl.SSLError is one; a ValueError is a null byte
        why = getattr(problem, "strerror", None) or problem
        raise OutputError(f"ca_file: {path}: {why}") from None
    return context


def _password(password_file: str | None, folder: Path) -> str | None:
    if password_file is None:
        return None
    path = folder / password_file
    text = read_secret(path, MAX_PASSWORD_BYTES, owner="mqtt", what="password")
    try:
        return text.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise OutputError(f"password_file: {path}: no UTF-8 text, so no password") from None


def _check_host(host: str) -> None:
    port = re.fullmatch(r"[^:\[\]]+:(\d+)", host)
    if port:
        raise ValueError(f"host: '{host}' has a port in it; write it below: port = {port[1]}")
    if host.startswith("["):
        raise ValueError(f"host: '{host}': an address without brackets; port = ... is a line below")
    if not host or re.search(r"[\s/@\]]", host):
        raise ValueError(
            f"host: '{host}' is no host's name; such as \"homeassistant.local\", without mqtt://"
        )
    try:
        host.encode("idna")  # else it would fail in paho's thread
    except UnicodeError:
        raise ValueError(f"host: '{host}' is no host's name") from None


def _check_topic(topic: str, key: str) -> None:
    if not topic or len(topic.encode("utf-8", "replace")) > MAX_TOPIC:
        raise ValueError(f"{key}: a topic has 1 to {MAX_TOPIC} bytes")
    wild = re.search(r"[+#\x00-\x1f\x7f\ud800-\udfff]", topic)
    if wild:
        raise ValueError(f"{key}: {wild[0]!a} cannot be in a topic that is sent to")
    if topic.startswith("$"):
        raise ValueError(f"{key}: topics that begin with $ are the broker's own")


def _slug(name: str) -> str:
    """Return a name as a part of a topic: Home Assistant takes letters, digits, _ and -."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9_-]+", "_", plain.lower()).strip("_")[:60]
    if slug:
        return slug
    import hashlib  # OpenSSL: 3 MB, for a name without a Latin letter

    return hashlib.sha256(name.encode()).hexdigest()[:8]


def _version() -> dict[str, str]:
    """Return our version for Home Assistant's pages; nothing where it is not known."""
    try:
        return {"sw_version": version("handwave")}
    except PackageNotFoundError:  # a bundle on a Pi is not installed, just found
        return {}


def _json(payload: object) -> str:
    return msgspec.json.encode(payload).decode()
