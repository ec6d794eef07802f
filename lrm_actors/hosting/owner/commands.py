"""The commands that the owner of a log takes over its socket, by name: a request never names code, only a row here."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from eventstore.errors import EventStoreError
from lrm_actors.errors import LrmError
from lrm_actors.hosting.owner.errors import RequestRefused

logger = logging.getLogger(__name__)

REPLY_SCHEMA = "lrm.reply/1"
MAX_REPLY_BYTES = 8 * 1024 * 1024
"""Bytes of a reply. A command whose result is larger ends with an error."""
ITEMS_AT_ONCE = 20
"""Items of a list that are made into JSON in a row, before other threads are let in."""
TEXT_LIMIT = 2_000
"""Characters of an error's text in a reply."""

FAILED_HINT = "the owner's own log has the traceback"
"""Where a command failed on something that nobody expected."""

Function = Callable[[Mapping[str, Any]], Any]
"""Carries out one command, on a thread of its own. Takes the request's arguments; what it returns must be JSON."""


class Commands:
    """The table of them. Rows may be added while requests are served."""

    def __init__(self, functions: Mapping[str, Function] | None = None) -> None:
        self._functions = dict(functions or {})
        self._lock = threading.Lock()

    def register(self, name: str, function: Function) -> None:
        """Take a command from now on; the same name again replaces it."""
        with self._lock:
            self._functions = {**self._functions, name: function}

    def names(self) -> tuple[str, ...]:
        """Those there are."""
        return tuple(sorted(self._functions))

    def answer(self, request: bytes) -> bytes:
        """The reply to one request, both a line of JSON without its end. Never raises."""
        try:
            result = self._carry_out(request)
            head = json.dumps({"schema": REPLY_SCHEMA, "ok": True})
            reply = f'{head[:-1]}, "result": {"".join(_pieces(result))}}}'.encode()
            if len(reply) > MAX_REPLY_BYTES:
                raise RequestRefused(f"the reply takes {len(reply)} bytes, more than {MAX_REPLY_BYTES}")
        except BaseException as error:  # noqa: BLE001 - nothing that a request leads to may end the thread that serves
            return failure(error)
        return reply

    def _carry_out(self, request: bytes) -> Any:
        try:
            asked = json.loads(request.decode())
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict) or not isinstance(asked.get("command"), str):
            raise RequestRefused("the request is no JSON object with a command")
        arguments = asked.get("arguments", {})
        if not isinstance(arguments, dict):
            raise RequestRefused("the arguments are no JSON object")
        name = asked["command"]
        function = self._functions.get(name)
        if function is None:
            raise RequestRefused(f"there is no command {name[:100]!r}", hint=f"give one of: {', '.join(self.names())}")
        return function(arguments)


def _pieces(data: Any, depth: int = 2) -> Iterator[str]:
    """JSON in pieces: one that is long is made in one go that no other thread, such as a host's loop, gets between."""
    if depth and isinstance(data, dict) and data:
        for index, (key, value) in enumerate(data.items()):
            yield f"{', ' if index else '{'}{json.dumps(str(key))}: "
            yield from _pieces(value, depth - 1)
        yield "}"
    elif depth and isinstance(data, list) and data:
        for index, value in enumerate(data):
            yield ", " if index else "["
            yield from _pieces(value, depth - 1)
            if index % ITEMS_AT_ONCE == ITEMS_AT_ONCE - 1:
                time.sleep(0)
        yield "]"
    else:
        yield json.dumps(data, allow_nan=False)


def failure(error: BaseException) -> bytes:
    """The reply that says what went wrong."""
    if isinstance(error, (LrmError, EventStoreError)):
        code, hint = error.code, error.hint
    else:
        logger.warning("a command from the socket failed", exc_info=error)
        code, hint = RequestRefused.code, FAILED_HINT
    try:
        text = str(error) if isinstance(error, (LrmError, EventStoreError)) else f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001 - the text of a failure must not be the next failure
        text = f"{type(error).__name__}: its text cannot be had"
    told = {"code": code, "message": text[:TEXT_LIMIT], "hint": hint[:TEXT_LIMIT]}
    return json.dumps({"schema": REPLY_SCHEMA, "ok": False, "error": told}).encode()
