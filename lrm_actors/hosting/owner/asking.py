"""Asking the process that owns a log: one request, one reply, all within a deadline."""

from __future__ import annotations

import json
import math
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrm_actors.hosting.owner.errors import NoOwner, OwnerSilent, RequestFailed
from lrm_actors.hosting.owner.place import places, socket_there

ANSWER_WAIT_S = 10.0
BUSY_PAUSE_S = 0.02
MAX_REPLY_BYTES = 16 * 1024 * 1024
"""Bytes of a reply that are read; an owner sends less."""


def ask_owner(
    log: Path, command: str, arguments: Mapping[str, Any] | None = None, *, timeout_s: float = ANSWER_WAIT_S
) -> Any:
    """Have the process that owns a log carry out a command, and return its result, which is JSON data.

    Args:
        log: the log's path.
        command: a name that its owner knows.
        arguments: JSON data.
        timeout_s: seconds for all of it, more than 0 and finite.

    Raises:
        NoOwner: no process that owns it answers at its socket.
        OwnerSilent: it did not answer in time, or what it answered is none.
        RequestFailed: it refused the request or failed on it; the error carries the code of what went wrong.
    """
    if not 0 < timeout_s < math.inf:
        raise ValueError(f"timeout_s must be more than 0 and finite, got {timeout_s!r}")
    deadline_s = time.monotonic() + timeout_s
    request = json.dumps({"command": command, "arguments": dict(arguments or {})}).encode() + b"\n"
    try:
        with _connected(log, deadline_s) as connection:
            connection.settimeout(_left_s(deadline_s))
            connection.sendall(request)
            answered = _line(connection, deadline_s)
    except TimeoutError:
        raise OwnerSilent(str(log), f"none within {timeout_s:g} s") from None
    except OSError as error:
        raise OwnerSilent(str(log), str(error.strerror or error)) from None
    try:
        reply = json.loads(answered)
        if reply["ok"]:
            return reply["result"]
        told = {key: str(reply["error"][key]) for key in ("code", "message", "hint")}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise OwnerSilent(str(log), "what it answered is no reply") from None
    raise RequestFailed(told["message"], told["code"], told["hint"])


def _connected(log: Path, deadline_s: float) -> socket.socket:
    why = "it has no socket"
    for path in places(log):
        while socket_there(path) is not None:  # else nothing is there, or a link, which is not followed
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.settimeout(_left_s(deadline_s))
                connection.connect(str(path))
            except BlockingIOError:  # as many wait to be let in as may
                connection.close()
                time.sleep(min(BUSY_PAUSE_S, _left_s(deadline_s)))
            except TimeoutError:
                connection.close()
                raise
            except OSError as error:
                connection.close()
                why = f"{path}: {error.strerror or error}"
                break
            except BaseException:
                connection.close()
                raise
            else:
                return connection
    raise NoOwner(str(log), why)


def _line(connection: socket.socket, deadline_s: float) -> bytes:
    got = bytearray()
    while not got.endswith(b"\n"):
        connection.settimeout(_left_s(deadline_s))
        more = connection.recv(65_536)
        if not more:
            raise ConnectionResetError("it closed the connection")
        got += more
        if len(got) > MAX_REPLY_BYTES:
            raise ConnectionAbortedError("its answer is too long")
    return bytes(got)


def _left_s(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    return left_s
