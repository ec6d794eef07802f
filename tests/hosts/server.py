"""A loopback server that fails in every way a service can: the first part of the path says how."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Mapping
from typing import Any

import attrs

PATIENCE_S = 20.0
SILENT_S = 0.15
"""How long to wait for an answer that does not come."""
"""How long a connection that says nothing is kept open, and how long a client waits for an answer that is to come."""


def patience_s(url: str) -> float:
    """How long a client is to wait: a busy machine is slow, and only what is silent by intent is to seem so."""
    return SILENT_S if "silen" in url else PATIENCE_S


@attrs.frozen
class Answer:
    """One way to answer."""

    status: int = 200
    body: Any = ""
    headers: Mapping[str, str] = attrs.Factory(dict)
    then: str = "end"
    """``end``; ``silent``: never a word; ``drop``: closed without one; ``reset``: torn down; ``garbage``: no HTTP;
    ``cut``: half of the body, then closed."""

    def head(self, length: int) -> bytes:
        """The status line and the headers."""
        kind = "text/html" if isinstance(self.body, str) else "application/json"
        headers = {"content-type": kind, "content-length": str(length), "connection": "close", **self.headers}
        lines = [f"HTTP/1.1 {self.status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Server:
    """Answers on a port of loopback until it is closed."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers = answers
        self._ended = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._threads: list[threading.Thread] = []
        self.port: int = self._socket.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, name="loopback")
        self._accepting.start()

    def url(self, name: str, rest: str = "") -> str:
        """Where this answer is to be had."""
        assert name in self._answers, name
        return f"http://127.0.0.1:{self.port}/{name}{rest}"

    def close(self) -> None:
        """End it, with all its threads."""
        self._ended.set()
        with socket.create_connection(("127.0.0.1", self.port)):
            pass
        for thread in (self._accepting, *self._threads):
            thread.join(PATIENCE_S)
        self._socket.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            client, _ = self._socket.accept()
            thread = threading.Thread(target=self._serve, args=(client,), name="loopback-client")
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            client.settimeout(PATIENCE_S)
            try:
                self._answer(client)
            except OSError:  # the client went first
                return

    def _answer(self, client: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            part = client.recv(65536)
            if not part:
                return
            request += part
        path = request.split(b" ", 2)[1].decode()
        answer = self._answers.get(path.split("/")[1].split("?")[0], Answer(404, "nothing here"))
        body = answer.body.encode() if isinstance(answer.body, str) else json.dumps(answer.body).encode()
        match answer.then:
            case "silent":
                self._ended.wait(PATIENCE_S)
            case "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case "garbage":
                client.sendall(b"\x00\x01\x02 this is no HTTP\r\n\r\n")
            case "cut":
                client.sendall(answer.head(len(body) * 2 + 100) + body)
            case "end":
                client.sendall(answer.head(len(body)) + body)


def refused_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
