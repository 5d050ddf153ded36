"""An output of one's own: tell another device, such as an ESP32, what is decided, by UDP."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, ClassVar

from edge.outputs import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from edge.outputs.wiring import Wiring


class Udp(Kind, frozen=True):
    """udp = "192.168.1.20", or udp = { host = "192.168.1.20", port = 4210, on = "red" }."""

    short: ClassVar[str] = "host"  # what a bare value stands for
    host: str
    port: int = 4210
    on: str = "on"
    off: str = "off"

    def check(self, folder: Path) -> None:
        """Find mistakes while edge.toml is read, before anything is switched on."""
        ipaddress.ip_address(self.host)  # a name would be looked up, while frames wait
        if not 0 < self.port < 65536:
            raise ValueError(f"port: {self.port} is none; take one from 1 to 65535")

    def open(self, wiring: Wiring) -> Line:
        """Take what it needs, once, when the device starts."""
        return Line(self)


class Line:
    """With on() and off() it follows its label; with fire(decision) instead it would fire."""

    def __init__(self, settings: Udp) -> None:
        self._settings = settings
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)

    def on(self) -> None:
        self._send(self._settings.on)

    def off(self) -> None:
        self._send(self._settings.off)

    def close(self) -> None:
        self._socket.close()

    def _send(self, text: str) -> None:
        self._socket.sendto(text.encode(), (self._settings.host, self._settings.port))
