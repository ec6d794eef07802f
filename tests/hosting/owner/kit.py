"""What the tests of the owner's socket share: a raw client that says what it likes."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

PATIENCE_S = 20.0
"""How long a test waits for what must come; only a failing test waits this long."""


def connect(path: Path) -> socket.socket:
    """A connection to a socket."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(PATIENCE_S)
    client.connect(str(path))
    return client


def read_to_end(client: socket.socket) -> bytes:
    """Everything until the other end closes."""
    got = bytearray()
    try:
        while more := client.recv(65_536):
            got += more
    except ConnectionResetError:  # it closed without reading all that was sent
        pass
    return bytes(got)


def send(path: Path, request: bytes) -> Any:
    """What comes back for some bytes; None for nothing."""
    with connect(path) as client:
        try:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, OSError):  # it has heard enough
            pass
        answered = read_to_end(client)
    return json.loads(answered) if answered else None
