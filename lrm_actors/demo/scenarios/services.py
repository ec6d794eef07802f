"""The services that a scenario's agent depends on: real sockets, which answer, are silent, or refuse."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n42"
MOST_BYTES = 4096


class NoAnswer(TimeoutError):
    """The service took the request and did not answer in time."""


class Service:
    """Takes requests on a socket of this machine."""

    def __init__(self) -> None:
        self.silent = False
        """Whether it takes requests and answers none."""
        self._open: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def on(self, bound: socket.socket) -> AsyncIterator[None]:
        """Listen on a socket for as long as the block lasts."""
        server = await asyncio.start_server(self._take, sock=bound, backlog=1024)
        try:
            yield
        finally:
            server.close()
            for task in tuple(self._open):
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            if not await reader.readline():
                return
            if self.silent:
                await reader.read()  # until whoever asked hangs up
                return
            writer.write(ANSWER)
            await writer.drain()
        except (OSError, asyncio.CancelledError):
            return
        finally:
            self._open.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def bound_socket() -> socket.socket:
    """A socket with a port of its own, on which nobody listens yet: connections are refused."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound


def port_of(bound: socket.socket) -> int:
    """The port of a socket."""
    return int(bound.getsockname()[1])


async def ask(port: int, timeout_s: float) -> str:
    """Ask a service once.

    Raises:
        NoAnswer: it did not answer in time.
        OSError: it cannot be reached.
    """
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET / HTTP/1.1\r\n\r\n")
                await writer.drain()
                head, _, body = (await reader.read(MOST_BYTES)).partition(b"\r\n\r\n")
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError as error:
        raise NoAnswer(f"no answer within {timeout_s:g} s") from error
    if not head.startswith(b"HTTP/1.1 200"):
        raise ConnectionResetError("the connection was closed without an answer")
    return body.decode()
