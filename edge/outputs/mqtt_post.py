"""Messages on their way to an MQTT broker that may be away for an hour.

Nothing here waits on the network in a frame: a message is left with `Post`, whose thread hands it
to paho, whose own thread talks to the broker.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge.words import count

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.client import Client

log = logging.getLogger(__name__)

LATE = 10.0
"""Seconds after which a fired message is dropped: late news is no news."""
FIRED = 64
"""Fired messages that may wait, those of one decision among them; a further one replaces the
oldest."""
CONNECTED = "mqtt: connected to %s"
BRIEF = 10.0
"""Seconds that a connection must last to count as one that worked."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message for the broker."""

    topic: str
    payload: str
    qos: int = 0
    retain: bool = False


class Post:
    """Queue of messages to a broker; reconnects for ever.

    They are handed to paho one at a time, so that the queue stays ours: of states the newest, of
    fired messages the last few while they are news. An hour without a broker costs nothing.

    Args:
        make: returns a client that is set up and about to connect.
        where: the broker, for messages.
        name: the device's, for messages.
    """

    def __init__(self, make: Callable[[], Client], where: str, name: str) -> None:
        self._make, self._where, self._name = make, where, name
        self._news = threading.Condition()  # guards what follows; never held while calling paho
        self._kept: dict[str, Message] = {}  # by topic: sent again after each connection
        self._due: dict[str, Message] = {}  # by topic: the newest, not yet sent
        self._fired: deque[tuple[float, Message]] = deque(maxlen=FIRED)
        self._linked = False
        self._answered = False  # whether the broker has said yes or no on this connection
        self._tried = False  # whether the first try to connect has ended, well or not
        self._closing = self._over = False
        self._deadline = 0.0
        self._said: str | None = None
        self._told = False  # whether that went to the log
        self._since = 0.0  # when the connection came about
        self._parted = threading.Event()
        self._client = self._dial()
        self._thread = threading.Thread(target=self._work, name="handwave mqtt", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        with self._news:
            return len(self._due) + len(self._fired)

    def keep(self, message: Message) -> None:
        """Send a state; the newest is sent again after every reconnection."""
        with self._news:
            self._kept[message.topic] = self._due[message.topic] = message
            self._news.notify_all()

    def change(self, message: Message) -> None:
        """Send a state once; while the broker is away a newer one replaces it."""
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
        if self.waiting and not self._told:
            why = self._said or f"no answer from {self._where} yet"
            log.error("mqtt: %s; %s", why, f"{count(self.waiting, 'message')} not sent")
        self._over, linked = True, self._linked
        self._client.disconnect()
        # paho's thread ends by itself. It is not joined: looking up a name may keep it for long.
        if linked:
            self._parted.wait(timeout)

    def _work(self) -> None:
        while (one := self._take()) is not None:
            self._hand_over(*one)

    def _take(self) -> tuple[float | None, Message] | None:
        """Wait for the next message; return it and, if it fires, when it was queued. None ends."""
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
                    self._news.wait(left)  # a brief connection, as in `edge wiggle`, still sends
                else:
                    self._news.wait()

    def _hand_over(self, at: float | None, message: Message) -> None:
        """Give paho one message and wait until it is out (acknowledged, with qos 1 and 2)."""
        try:
            out = self._client.publish(message.topic, message.payload, message.qos, message.retain)
            while not out.is_published():
                if self._closing and time.monotonic() > self._deadline:
                    return
                if at is not None and not self._linked and time.monotonic() - at > LATE:
                    self._redial()
                    return
                out.wait_for_publish(0.5)
        except (RuntimeError, ValueError):  # the connection went before it was out
            if message.qos > 0:
                self._redial()
            self._take_back(at, message)
            time.sleep(0.05)  # until paho has noticed, too

    def _dial(self) -> Client:
        client = self._make()
        client.on_connect = self._connected
        client.on_connect_fail = self._not_connected
        client.on_disconnect = self._disconnected
        client.loop_start()
        return client

    def _redial(self) -> None:
        """Start a new client: paho resends qos 1 and 2 messages after each reconnection, for ever.

        It has no other way to withdraw a message.
        """
        old = self._client
        old.on_connect_fail = old.on_disconnect = None
        # It may be looking up a name, and connect in the end: two of one id throw each other out.
        old.on_connect = lambda client, *_: client.disconnect()
        old.disconnect()  # its thread ends by itself
        with self._news:
            self._linked = False
        self._client = self._dial()

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
            self._parted.clear()
            self._since = time.monotonic()
            if self._said is None or not self._said.startswith("thrown out"):
                # Whoever was told of a problem is told of its end, and of the next one.
                log.log(logging.WARNING if self._told else logging.INFO, CONNECTED, self._where)
                self._said = None
            self._told = False
        with self._news:
            self._tried = self._answered = True
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
            answered, self._answered = self._answered, False
            self._tried = True
            self._news.notify_all()
        self._parted.set()
        if not answered and not self._closing:
            # Also after paho's patience with one that says nothing at all, `mqtt.KEEP_ALIVE`.
            self._say(
                f"{self._where} takes the connection but does not answer; is it an MQTT broker, "
                "and does it want tls = true, or none? Trying again for ever"
            )
        if was and not self._closing:
            if time.monotonic() - self._since >= BRIEF:
                self._said = None  # that connection worked: any problem now is new
                self._say(f"lost {self._where} ({reason}); trying again for ever")
            else:
                self._say(
                    f"thrown out by {self._where} at once; "
                    f"if another device is named '{self._name}' too, set another name in [mqtt]"
                )

    def _say(self, text: str) -> None:
        """Log a problem once: a device may retry for days."""
        if text != self._said:
            self._told = not self._closing
            if self._told:
                log.error("mqtt: %s", text)
        self._said = text
