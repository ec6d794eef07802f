"""Tells systemd that the process runs, that the watchdog turns, and that the end has begun: ``sd_notify``, in short.

Talks to the socket in ``NOTIFY_SOCKET``, where there is one; see sd_notify(3) and sd_watchdog_enabled(3). Never raises.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping


class Notifier:
    """Whoever started this process, if it wants to be told.

    Args:
        variables: the environment.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        address = variables.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._told: dict[str, str] = {}
        self.ping_every_s: float | None = None
        """Seconds between two signs of life, half of what is allowed; None: none are wanted."""
        with contextlib.suppress(ValueError):
            allowed_us = int(variables.get("WATCHDOG_USEC", "0"))
            meant = variables.get("WATCHDOG_PID", "") in {"", str(os.getpid())}
            if self._address and meant and allowed_us > 0:
                self.ping_every_s = allowed_us / 2e6

    def ready(self) -> None:
        """The process runs. Told once."""
        self._tell_once("READY", "1")

    def ping(self) -> None:
        """The watchdog turns."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """What it is at, in words; told when that changed."""
        self._tell_once("STATUS", text)

    def stopping(self) -> None:
        """The end has begun. Told once."""
        self._tell_once("STOPPING", "1")

    def _tell_once(self, name: str, value: str) -> None:
        if self._told.get(name) != value:
            self._told[name] = value
            self._send(f"{name}={value}")

    def _send(self, text: str) -> None:
        if not self._address or not hasattr(socket, "AF_UNIX"):
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.setblocking(False)
            told.connect(self._address)
            told.send(text.encode())
