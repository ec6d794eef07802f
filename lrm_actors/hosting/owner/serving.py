"""The owner's end of the socket: one daemon thread that reads requests and writes replies, and never waits for either.

Talks to the file system and to the processes that connect. Each command runs on a thread of its own, a few at a time,
so that one that hangs holds up no other; a request or a reader that is slow costs a place until its deadline.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from queue import Empty, SimpleQueue

from eventstore.forking import abandon_in_children
from lrm_actors.hosting.owner.commands import Commands, failure
from lrm_actors.hosting.owner.errors import RequestRefused
from lrm_actors.hosting.owner.peer import may_command, peer_uid
from lrm_actors.hosting.owner.place import SOCKET_NAME, Identity, clear_stale, make_private, places, socket_there

logger = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 64 * 1024
MAX_CONNECTIONS = 32
"""Connections at a time. One more takes the place of the oldest that has not sent its request yet."""
MAX_AT_WORK = 4
"""Commands carried out at a time. One more is refused."""
REQUEST_WAIT_S = 5.0
"""Seconds that a client has to send its request."""
REPLY_WAIT_S = 10.0
"""Seconds that a client has to read the reply."""
CLOSE_WAIT_S = 0.5
"""Seconds that closing waits for the thread."""
SOCKET_MODE = 0o600

_ELSEWHERE = (errno.EPERM, errno.EACCES, errno.EROFS, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENAMETOOLONG)
"""The file system beside the log takes no sockets, or not one of this name."""


class OwnerSocket:
    """Serves the commands of a log's owner from construction to ``close``.

    Args:
        log: the log, which the caller owns: a socket that is there belongs to an owner that is dead.
        commands: what is carried out.

    Raises:
        OSError: there is no place for a socket, or what is there is none.
        RuntimeError: the machine has no thread to give.
    """

    def __init__(self, log: Path, commands: Commands) -> None:
        self._commands = commands
        self._pid = os.getpid()
        self._closing = False
        self._connections: dict[socket.socket, _Connection] = {}
        self._at_work = 0
        self._done: SimpleQueue[tuple[_Connection, bytes]] = SimpleQueue()
        self._awake, self._wake = socket.socketpair()
        self._listener: socket.socket | None = None
        self._selector: selectors.BaseSelector | None = None
        try:
            self._awake.setblocking(False)
            self._wake.setblocking(False)
            self._listener, self.path, self._identity = _listen(places(log))
            self._selector = selectors.DefaultSelector()
            self._selector.register(self._listener, selectors.EVENT_READ)
            self._selector.register(self._awake, selectors.EVENT_READ)
            self._thread = threading.Thread(target=self._serve, name="lrm-socket", daemon=True)
            self._thread.start()
        except BaseException:
            self._remove()
            self._let_go()
            raise
        abandon_in_children(self)

    def close(self) -> None:
        """Serve no more and remove the socket. Idempotent; in a forked child it touches nothing of the parent's."""
        if self._closing or os.getpid() != self._pid:
            return
        self._closing = True
        self._remove()
        self._rouse()
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_WAIT_S)

    def abandon(self) -> None:
        """In a forked child: let go of what belongs to the parent, which goes on serving."""
        self._closing = True
        self._let_go()

    def _remove(self) -> None:
        """Remove the socket, if it is still ours and not that of an owner after us."""
        if self._listener is not None and socket_there(self.path) == self._identity:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _let_go(self) -> None:
        for connection in list(self._connections):
            connection.close()
        self._connections.clear()
        for one in (self._listener, self._awake, self._wake, self._selector):
            if one is not None:
                one.close()

    # --- the thread ---------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        assert self._selector is not None
        try:
            while not self._closing:
                for key, _ in self._selector.select(self._patience_s()):
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj is self._awake:
                        self._hand_over()
                    else:
                        self._go_on(key.data)
                self._drop_late()
        except BaseException:
            logger.exception("the owner's socket is served no more")
            self._remove()
        finally:
            self._let_go()

    def _patience_s(self) -> float | None:
        due_s = min((one.deadline_s for one in self._connections.values() if not one.at_work), default=None)
        return None if due_s is None else max(0.0, due_s - time.monotonic())

    def _accept(self) -> None:
        assert self._listener is not None
        assert self._selector is not None
        try:
            accepted, _ = self._listener.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                self._make_room()
                time.sleep(0.05)  # the connection stays where it is, and would wake us at once again
            return
        if not may_command(peer_uid(accepted)):
            accepted.close()
            return
        accepted.setblocking(False)
        if len(self._connections) >= MAX_CONNECTIONS and not self._make_room():
            accepted.close()
            return
        connection = _Connection(accepted, time.monotonic() + REQUEST_WAIT_S)
        self._connections[accepted] = connection
        self._selector.register(accepted, selectors.EVENT_READ, connection)

    def _make_room(self) -> bool:
        """Drop the oldest that has not sent its request: who means it sends it at once."""
        for connection in self._connections.values():
            if not connection.at_work and connection.reply is None:
                self._drop(connection)
                return True
        return False

    def _go_on(self, connection: _Connection) -> None:
        """Read what came, or write what there is room for."""
        try:
            if connection.reply is None:
                self._read(connection)
            else:
                sent = connection.socket.send(connection.reply)
                connection.reply = connection.reply[sent:]
                if not connection.reply:
                    self._drop(connection)
        except BlockingIOError:
            return
        except OSError:  # whoever asked is gone
            self._drop(connection)

    def _read(self, connection: _Connection) -> None:
        got = connection.socket.recv(65_536)
        connection.request += got
        line, end, _ = connection.request.partition(b"\n")
        if end:
            self._start(connection, bytes(line))
        elif len(connection.request) > MAX_REQUEST_BYTES:
            self._reply(connection, failure(RequestRefused(f"a request takes at most {MAX_REQUEST_BYTES} bytes")))
        elif not got:
            self._drop(connection)

    def _start(self, connection: _Connection, request: bytes) -> None:
        """Have a request carried out; the selector looks at its connection again when there is a reply."""
        assert self._selector is not None
        if len(request) > MAX_REQUEST_BYTES:
            self._reply(connection, failure(RequestRefused(f"a request takes at most {MAX_REQUEST_BYTES} bytes")))
            return
        if self._at_work >= MAX_AT_WORK:
            hint = "try again in a moment; if it stays so, a command hangs in the owner"
            busy = RequestRefused(f"{MAX_AT_WORK} commands are being carried out already", hint=hint)
            self._reply(connection, failure(busy))
            return

        def carry_out() -> None:
            self._done.put((connection, self._commands.answer(request)))
            self._rouse()

        try:
            threading.Thread(target=carry_out, name="lrm-socket-command", daemon=True).start()
        except RuntimeError as error:  # the machine has no thread to give just now
            self._reply(connection, failure(error))
            return
        self._at_work += 1
        connection.at_work = True
        self._selector.unregister(connection.socket)

    def _rouse(self) -> None:
        with contextlib.suppress(OSError):  # full: it is about to wake up anyway. Closed: it has ended
            self._wake.send(b"\0")

    def _hand_over(self) -> None:
        with contextlib.suppress(OSError):
            self._awake.recv(4096)
        with contextlib.suppress(Empty):
            while True:
                connection, reply = self._done.get_nowait()
                self._at_work -= 1
                connection.at_work = False
                self._reply(connection, reply, registered=False)

    def _reply(self, connection: _Connection, reply: bytes, *, registered: bool = True) -> None:
        assert self._selector is not None
        connection.reply = memoryview(reply + b"\n")
        connection.deadline_s = time.monotonic() + REPLY_WAIT_S
        change = self._selector.modify if registered else self._selector.register
        change(connection.socket, selectors.EVENT_WRITE, connection)

    def _drop_late(self) -> None:
        now_s = time.monotonic()
        for connection in [one for one in self._connections.values() if not one.at_work and one.deadline_s <= now_s]:
            self._drop(connection)

    def _drop(self, connection: _Connection) -> None:
        assert self._selector is not None
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(connection.socket)
        self._connections.pop(connection.socket, None)
        connection.socket.close()


class _Connection:
    """One client, with what it has sent so far and what it has still to read."""

    __slots__ = ("at_work", "deadline_s", "reply", "request", "socket")

    def __init__(self, connected: socket.socket, deadline_s: float) -> None:
        self.socket = connected
        self.deadline_s = deadline_s
        self.request = bytearray()
        self.reply: memoryview | None = None
        self.at_work = False


def _listen(where: Iterable[Path]) -> tuple[socket.socket, Path, Identity]:
    """A socket at the first of these places that takes one."""
    failed: OSError | None = None
    for path in where:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if path.name != SOCKET_NAME:
                make_private(path.parent)
            clear_stale(path)
            listener.bind(os.fspath(path))  # never through a link: the name must be free
            path.chmod(SOCKET_MODE)  # nobody can connect before it listens
            identity = socket_there(path)
            if identity is None:
                raise FileExistsError(f"{path} was replaced by something that is no socket")
            listener.setblocking(False)
            listener.listen(MAX_CONNECTIONS)
        except OSError as error:
            listener.close()
            failed = error
            if error.errno not in _ELSEWHERE:
                break
        except BaseException:
            listener.close()
            raise
        else:
            return listener, path, identity
    raise failed if failed is not None else OSError(errno.ENOENT, "there is no place for a socket")
