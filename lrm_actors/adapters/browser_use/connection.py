"""A connection to a browser's debugging port that is ours alone: each call has a deadline, and each failure a type.

Talks to the browser through ``cdp_use``. Never shares the connection of a browser-use session: what is attached there
would be taken for a tab of the agent's.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import logging
import urllib.request
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Self

from lrm_actors.adapters.browser_use.browser_errors import BrowserSilent, BrowserUnreachable, CdpRefused

CALL_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
FAREWELL_S = 0.5
"""How long the closing handshake may take; a frozen browser gives none."""

_OURS: ContextVar[bool] = ContextVar("lrm_browser_connection", default=False)
"""Set in what a connection of ours does, its task that reads included."""

Handler = Callable[[Mapping[str, Any], str | None], Any]


class Connection:
    """An open connection. Belongs to one event loop; ``close`` it, or use it as ``async with``."""

    def __init__(self, cdp_url: str, client: Any, *, call_timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.cdp_url = cdp_url
        self._client = client
        self._call_timeout_s = call_timeout_s
        self._sessions: dict[str, str] = {}

    @classmethod
    async def open(
        cls,
        cdp_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = CONNECT_TIMEOUT_S,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> Connection:
        """Connect.

        Args:
            cdp_url: ``ws://`` or ``wss://``, or the ``http://`` or ``https://`` address that tells it.
            headers: sent with each request, for a browser that asks who one is.
            timeout_s: for all of it, above 0.
            call_timeout_s: for each call later on.

        Raises:
            BrowserUnreachable: nobody is there, or nobody answers in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                client_class = await asyncio.to_thread(_client_class)
                address = await _websocket_of(cdp_url, headers, timeout_s)
                client = client_class(address, additional_headers=dict(headers) if headers else None)
                quiet = _OURS.set(True)
                try:
                    await client.start()
                finally:
                    _OURS.reset(quiet)
        except TimeoutError as error:
            raise BrowserUnreachable(cdp_url, f"no answer within {timeout_s:g} s") from error
        except ImportError:
            raise
        except Exception as error:  # what a websocket can fail with has no base of its own
            raise BrowserUnreachable(cdp_url, f"{type(error).__name__}: {error}") from error
        return cls(address, client, call_timeout_s=call_timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def send_raw(
        self,
        method: str,
        params: Any | None = None,
        session_id: str | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Mapping[str, Any]:
        """Call a method of the protocol.

        Args:
            method: ``Target.getTargets`` and the like.
            params: of it, plain JSON.
            session_id: which tab is asked; None: the browser.
            timeout_s: in place of the connection's own.

        Raises:
            CdpRefused: the browser said no.
            BrowserSilent: no answer in time.
            BrowserUnreachable: the connection is broken.
        """
        timeout_s = self._call_timeout_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                answer: Mapping[str, Any] = await self._client.send_raw(method, params, session_id)
        except TimeoutError as error:
            raise BrowserSilent(method, timeout_s) from error
        except RuntimeError as error:
            told = error.args[0] if error.args else None
            if isinstance(told, dict):
                raise CdpRefused(method, str(told.get("message", told)), int(told.get("code", 0))) from error
            raise BrowserUnreachable(self.cdp_url, str(error)) from error
        except Exception as error:
            raise BrowserUnreachable(self.cdp_url, f"{type(error).__name__}: {error}") from error
        return answer

    async def session_of(self, target_id: str) -> str:
        """The session of a tab on this connection, attached to it when it is first asked for.

        Raises:
            CdpRefused: there is no such tab.
            BrowserSilent, BrowserUnreachable: as ``send_raw``.
        """
        if target_id not in self._sessions:
            if not self._sessions:
                self._client.register.Target.detachedFromTarget(self._detached)
            answer = await self.send_raw("Target.attachToTarget", {"targetId": target_id, "flatten": True})
            self._sessions[target_id] = answer["sessionId"]
        return self._sessions[target_id]

    def on_event(self, domain: str, event: str, handler: Handler) -> None:
        """Have a plain function called with each event of this kind, and the session it is of."""
        getattr(getattr(self._client.register, domain), event)(handler)

    async def close(self) -> None:
        """Close it. A browser that does not take leave in time is left without."""
        client = self._client
        transport = getattr(client.ws, "transport", None)
        try:
            async with asyncio.timeout(FAREWELL_S):
                await client.stop()
        except TimeoutError:
            if transport is not None:
                transport.abort()
            with contextlib.suppress(Exception):
                await client.stop()

    def _detached(self, params: Mapping[str, Any], _session: str | None) -> None:
        for target_id, session in list(self._sessions.items()):
            if session == params.get("sessionId"):
                del self._sessions[target_id]


class _Quiet(logging.Filter):
    """Keeps what ``cdp_use`` says of our own connections out of the log: there is a new one every few seconds."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether somebody should read it: of the connections of others all, of ours what went wrong."""
        return record.levelno >= logging.ERROR or not _OURS.get()


_QUIET = _Quiet()


def _client_class() -> Any:
    """The client, which takes a while to import."""
    logging.getLogger("cdp_use.client").addFilter(_QUIET)  # a second time it does nothing
    return importlib.import_module("cdp_use.client").CDPClient


async def _websocket_of(cdp_url: str, headers: Mapping[str, str] | None, timeout_s: float) -> str:
    """The address of the websocket itself.

    Raises:
        OSError, ValueError, KeyError: it cannot be found out.
    """
    if cdp_url.startswith(("ws://", "wss://")):
        return cdp_url
    if not cdp_url.startswith(("http://", "https://")):
        raise ValueError("the address must begin with ws://, wss://, http:// or https://")
    request = urllib.request.Request(f"{cdp_url.rstrip('/')}/json/version", headers=dict(headers or {}))  # noqa: S310 - checked above

    def ask() -> str:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310 - checked above
            return str(json.load(response)["webSocketDebuggerUrl"])

    return await asyncio.to_thread(ask)
