"""MQTT: every decision as a sensor of Home Assistant, and messages of one's own a label.

Nothing here waits on the network in a frame: a message is left with `Post`, whose thread hands it
to paho, whose own thread talks to the broker.
"""

from __future__ import annotations

import logging
import re
import socket
import sys
import threading
import time
import unicodedata
from collections import deque
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from edge.card import BACKGROUND
from edge.errors import OutputError
from edge.files import read_bounded
from edge.outputs.kind import Kind, Section

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from paho.mqtt.client import Client

    from edge.decider import Decision
    from edge.outputs.apply import Output
    from edge.wiring import Wiring

log = logging.getLogger(__name__)

LATE = 10.0
"""Seconds after which a message that fires is not sent any more: late news is no news."""
FIRED = 8
"""Messages that fire and may wait; a further one takes the oldest's place."""
KEEP_ALIVE = 30
"""Seconds of silence after which the broker is asked whether it is there; it asks likewise."""
LONGEST_PAUSE = 60
"""Seconds between two tries to connect, at most; they begin with one and double."""
BRIEF = 10.0
"""Seconds that a connection must last to count as one that worked."""
MAX_TOPIC = 200
MAX_PASSWORD_BYTES = 1000


class Broker(Section, frozen=True):
    """`[mqtt]`: which broker, and what this device is called there."""

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
        if self.name is not None and not self.name.strip():
            raise ValueError("name: is empty; take the line away for the host's name")

    def open(self, wiring: Wiring) -> Device:
        """Begin to connect, and return what tells the broker of every decision."""
        labels = wiring.labels or list(wiring.when)
        return Device(self, post(self, wiring), labels)

    def device_name(self) -> str:
        """Return what people call the device."""
        return socket.gethostname() if self.name is None else self.name.strip()


class Mqtt(Kind, frozen=True):
    """A message of one's own: once, or with `payload_off` one when it begins and one at its end."""

    short: ClassVar[str] = "topic"
    section: ClassVar[type[Section] | None] = Broker
    lacking: ClassVar[str] = 'which broker? Add [mqtt] and below it host = "..."'
    topic: str
    payload: str = "ON"
    payload_off: str | None = None
    retain: bool = False
    qos: Annotated[int, msgspec.Meta(ge=0, le=2)] = 0

    def check(self, folder: Path) -> None:  # noqa: ARG002, D102
        _check_topic(self.topic, "topic")

    def open(self, wiring: Wiring) -> Output:  # noqa: D102
        settings = wiring.section("mqtt")
        assert isinstance(settings, Broker)  # noqa: S101  (else `lacking` was said)
        there = post(settings, wiring)
        on = Message(self.topic, self.payload, self.qos, self.retain)
        if self.payload_off is None:
            return lambda: there.fire(on)
        return Follower(there, on, Message(self.topic, self.payload_off, self.qos, self.retain))


@dataclass(frozen=True, slots=True)
class Message:
    """One message for the broker."""

    topic: str
    payload: str
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Follower:
    """A switch whose two sides are two messages."""

    post: Post
    begin: Message
    end: Message

    def on(self) -> None:  # noqa: D102
        self.post.change(self.begin)

    def off(self) -> None:  # noqa: D102
        self.post.change(self.end)


class Device:
    """What the broker, and Home Assistant behind it, sees of this device.

    Args:
        settings: `[mqtt]`.
        post: what takes messages.
        labels: what may be decided; `background` is no event.
    """

    def __init__(self, settings: Broker, post: Post, labels: Iterable[str]) -> None:
        self._post = post
        self._topics = Topics(settings)
        self._events = [label for label in labels if label != BACKGROUND]
        if settings.discovery:
            for topic, payload in discovery(settings, self._events).items():
                post.keep(Message(topic, _json(payload), retain=True))
        self._tell(None, None)  # not what the last run left with the broker
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
    """Return what Home Assistant wants to know, by topic: a sensor, and an event for automations.

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


class Post:
    """Messages on their way to the broker, for ever trying to reach it.

    They are handed to paho one at a time, so that what waits stays ours: of a state the newest, of
    what fires the last few for as long as they are news. An hour without a broker costs nothing.

    Args:
        client: set up, not yet connecting.
        where: the broker, for messages.
        name: the device's, for messages.
    """

    def __init__(self, client: Client, where: str, name: str) -> None:
        self._client, self._where, self._name = client, where, name
        self._news = threading.Condition()  # guards what follows; never held while calling paho
        self._kept: dict[str, Message] = {}  # by topic: told anew after each connection
        self._due: dict[str, Message] = {}  # by topic: the newest, not yet sent
        self._fired: deque[tuple[float, Message]] = deque(maxlen=FIRED)
        self._linked = False
        self._tried = False  # whether the first try to connect has ended, well or not
        self._closing = self._over = False
        self._deadline = 0.0
        self._said: str | None = None
        self._since = 0.0  # when the connection came about
        self._parted = threading.Event()
        client.on_connect = self._connected
        client.on_connect_fail = self._not_connected
        client.on_disconnect = self._disconnected
        self._thread = threading.Thread(target=self._work, name="handwave mqtt", daemon=True)
        self._thread.start()
        client.loop_start()

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        with self._news:
            return len(self._due) + len(self._fired)

    def keep(self, message: Message) -> None:
        """Send a state; the broker is told the newest again whenever it is back."""
        with self._news:
            self._kept[message.topic] = self._due[message.topic] = message
            self._news.notify_all()

    def change(self, message: Message) -> None:
        """Send a state once; while the broker is away a newer one takes its place."""
        with self._news:
            self._due[message.topic] = message
            self._news.notify_all()

    def fire(self, message: Message) -> None:
        """Send a message now or within `LATE` seconds, else never."""
        with self._news:
            self._fired.append((time.monotonic(), message))
            self._news.notify_all()

    def close(self, *, timeout: float = 2.0) -> None:
        """Send what waits, for `timeout` seconds at most, and part; closing twice is fine."""
        with self._news:
            if self._closing:
                return
            self._closing = True
            self._deadline = time.monotonic() + timeout
            self._news.notify_all()
        self._thread.join(2 * timeout)
        self._over, linked = True, self._linked
        self._client.disconnect()
        # paho's thread ends by itself. It is not joined: looking up a name may keep it for long.
        if linked:
            self._parted.wait(timeout)

    def _work(self) -> None:
        while (one := self._take()) is not None:
            self._hand_over(*one)

    def _take(self) -> tuple[float | None, Message] | None:
        """Wait for the next message, and since when it has waited if it fires; None is the end."""
        with self._news:
            while True:
                # States first, as Home Assistant must know us before our events; at the end they
                # are last, as nothing comes after a goodbye.
                if self._linked and self._due and not (self._closing and self._fired):
                    return None, self._due.pop(next(iter(self._due)))
                if self._linked and self._fired:
                    at, message = self._fired.popleft()
                    if time.monotonic() - at <= LATE:
                        return at, message
                elif self._closing:
                    left = self._deadline - time.monotonic()
                    if self._tried or left <= 0:
                        return None
                    self._news.wait(left)  # a short life, as in `edge wiggle`, sends all the same
                else:
                    self._news.wait()

    def _hand_over(self, at: float | None, message: Message) -> None:
        """Give paho one message and wait until it is out (acknowledged, with qos 1 and 2)."""
        try:
            out = self._client.publish(message.topic, message.payload, message.qos, message.retain)
            while not out.is_published():
                if self._closing and time.monotonic() > self._deadline:
                    return
                out.wait_for_publish(0.5)
        except (RuntimeError, ValueError):  # the connection went; with qos 1 and 2 paho tries again
            if message.qos == 0:
                self._take_back(at, message)
            time.sleep(0.05)  # until paho has noticed, too

    def _take_back(self, at: float | None, message: Message) -> None:
        with self._news:
            if at is None:
                self._due.setdefault(message.topic, message)  # a newer one is better
            elif len(self._fired) < FIRED:
                self._fired.appendleft((at, message))

    # --- What paho tells, in its thread

    def _connected(self, client: Client, _data: Any, _flags: Any, reason: Any, _more: Any) -> None:
        if self._over:
            client.disconnect()
            return
        if reason.is_failure:
            self._say(f"{self._where} refuses: {reason}; see username and password_file")
        else:
            self._since = time.monotonic()
            if self._said is None or not self._said.startswith("thrown out"):
                log.info("mqtt: connected to %s", self._where)
        with self._news:
            self._tried = True
            self._linked = not reason.is_failure
            if self._linked:
                self._due = {**self._kept, **self._due}
            self._news.notify_all()

    def _not_connected(self, _client: Client, _data: Any) -> None:
        problem = sys.exception()  # paho calls this where it has caught it
        why = getattr(problem, "strerror", None) or str(problem or "") or type(problem).__name__
        self._say(f"cannot reach {self._where} ({why}); trying again for ever")
        with self._news:
            self._tried = True
            self._news.notify_all()

    def _disconnected(self, _client: Client, _d: Any, _f: Any, reason: Any, _more: Any) -> None:
        with self._news:
            was, self._linked = self._linked, False
        self._parted.set()
        if was and not self._closing:
            if time.monotonic() - self._since >= BRIEF:
                self._said = None  # that one worked: whatever is wrong now is new
                self._say(f"lost {self._where} ({reason}); trying again for ever")
            else:
                self._say(
                    f"thrown out by {self._where} at once; "
                    f"if another device is named '{self._name}' too, set another name in [mqtt]"
                )

    def _say(self, text: str) -> None:
        """Log what is wrong, once: a device that stands alone tries for days."""
        if text != self._said and not self._closing:
            log.warning("mqtt: %s", text)
        self._said = text


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
            "[mqtt] needs paho-mqtt 2; in edge's venv: pip install 'paho-mqtt>=2'"
        ) from None
    name = settings.device_name()
    # The same id each time: a broker that still holds the connection of before a power cut ends
    # that one first, so that its last will comes before our "online" and not after it.
    client = Client(CallbackAPIVersion.VERSION2, client_id=f"handwave_{_slug(name)}")
    client.suppress_exceptions = True  # a mistake in a callback must not end paho's thread
    client.will_set(Topics(settings).status, "offline", qos=1, retain=True)
    client.reconnect_delay_set(1, LONGEST_PAUSE)
    if settings.username is not None:
        client.username_pw_set(settings.username, _password(settings.password_file, folder))
    tls = settings.tls or settings.ca_file is not None
    if tls:
        _trust(client, settings.ca_file, folder)
    port = settings.port or (8883 if tls else 1883)
    client.connect_async(settings.host, port, KEEP_ALIVE)
    return Post(client, f"{settings.host}:{port}", name)


def _trust(client: Client, ca_file: str | None, folder: Path) -> None:
    path = None if ca_file is None else folder / ca_file
    try:
        client.tls_set(None if path is None else str(path))
    except (OSError, ValueError) as problem:  # ssl.SSLError, with "no certificate found", is one
        why = getattr(problem, "strerror", None) or problem
        raise OutputError(f"[mqtt] ca_file: {path}: {why}") from None


def _password(password_file: str | None, folder: Path) -> str | None:
    if password_file is None:
        return None
    path = folder / password_file
    text = read_bounded(
        path, MAX_PASSWORD_BYTES, what="password",
        missing="no such file; write the password into it, and nothing else", error=OutputError,
    )  # fmt: skip
    if path.stat().st_mode & 0o007:
        # No reason to stop: the lamp on the wall should light all the same.
        log.warning("mqtt: everybody on this machine may read %s; chmod o= %s", path, path)
    try:
        return text.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise OutputError(f"{path}: no UTF-8 text, so no password") from None


def _check_host(host: str) -> None:
    if not host or re.search(r"[\s/@]", host):
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
