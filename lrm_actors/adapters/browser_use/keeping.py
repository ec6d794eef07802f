"""Keeps the agent's browser: attaches its session, notices that it crashed, froze or let go, and brings it back.

Talks to the browser's process and debugging port, and to browser-use's session between two steps only. What is in the
browser is read and written over a connection of our own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.adapters.browser_use import compat, storage
from lrm_actors.adapters.browser_use.browser_errors import BrowserError, BrowserInUse, BrowserNotFound
from lrm_actors.adapters.browser_use.chromium import OwnedChromium
from lrm_actors.adapters.browser_use.connection import Connection
from lrm_actors.adapters.browser_use.remote import RemoteBrowser
from lrm_actors.errors import CircuitOpen

LOOK_EACH_S = 0.2
"""How often it is looked whether the browser is there; a look costs some microseconds."""
ASK_EACH_S = 2.0
"""How often it is asked something, which a frozen one does not answer."""
ANSWER_S = 2.5
SILENT_ANSWERS = 2
"""Questions without an answer after which it counts as frozen."""
CALL_S = 5.0
STORED = ("cookies", "origins", "tabs")
"""What a state has of a browser that was read once."""
FIRST_PAUSE_S, MOST_PAUSE_S = 0.5, 30.0
HALT_S = 5.0
"""Seconds that what is under way has to end, once nobody wants the browser any more."""
MOST_MADE = 8
"""Sessions that are remembered: what they began may go on for some seconds."""

T = TypeVar("T")

_log = logging.getLogger("lrm_actors.adapters.browser_use")


class BrowserLost(ConnectionError):
    """The browser crashed, froze, or let go of the connection. Said where it was noticed."""


class HealStopped(Exception):
    """The run is to end, so the browser is not brought back. Only a restart by the supervisor may fail with it."""


class BrowserKeeper:
    """One browser, and the session that the agent has of it.

    Args:
        browser: the agent's own, or a remote one.
        session: makes a session for an address.
        breaker: guards the starts of the browser.
        attempts: gives how often it may be started in a row.
        on_lost: told of each loss, on the loop.
        on_answer: told of each answer.
    """

    def __init__(
        self,
        browser: OwnedChromium | RemoteBrowser,
        session: Callable[[str], Any],
        *,
        breaker: CircuitBreaker,
        attempts: Callable[[], int],
        on_lost: Callable[[BrowserLost], Awaitable[object]],
        on_answer: Callable[[], object] = lambda: None,
    ) -> None:
        self.browser = browser
        self._make = session
        self._breaker = breaker
        self._attempts = attempts
        self._on_lost = on_lost
        self._on_answer = on_answer
        self.session: Any = None
        self.fresh = True
        """Whether the browser is a new one since the session before: its pages are not those that it had."""
        self.lost = False
        """Whether the session has no browser any more."""
        self.heals_s: list[float] = []
        """Seconds from each loss to a browser that works."""
        self._lost_at_s = 0.0
        self.pid: int | None = None
        """Of the browser that the session is of."""
        self._made: list[Any] = []
        """The sessions there were, to be stopped for good in the end."""
        self._turn = asyncio.Lock()
        self._halted = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Future[Any]] = set()
        self._connection: Connection | None = None
        self._before: Mapping[str, Any] = {}
        """What was in the browser when it was read or written last."""
        self.rewind = False
        """Whether what is in the browser is to be replaced, although it is there: another state is gone on from."""

    async def open(self, state: Mapping[str, Any]) -> Any:
        """Attach to the browser, or start it and put back what was in it. The session, ready for an agent.

        Raises:
            BrowserError: it could not be started, after as many attempts as are allowed.
            HealStopped: the run is to end.
        """
        async with self._turn:
            await self._open(state)
            self._watch = asyncio.ensure_future(self._look())
        return self.session

    async def heal(self, state: Mapping[str, Any]) -> bool:
        """Between two steps: bring the browser back if it is lost. Whether it was.

        Args:
            state: what is to be in it, if it has to be a new one.

        Raises:
            BrowserError: it could not be started, after as many attempts as are allowed.
            HealStopped: the run is to end.
        """
        if not self.lost and not self.rewind and self.session.is_cdp_connected:
            return False
        async with self._turn:
            if not self.lost and not self.rewind:
                await self._noticed("the connection to it ended")
            with contextlib.suppress(Exception):  # it is to be thrown away
                async with asyncio.timeout(CALL_S):
                    await self.session.stop()
            await self._open(state)
        loop = asyncio.get_running_loop()
        if self._lost_at_s:
            self.heals_s.append(loop.time() - self._lost_at_s)
            _log.warning("the browser is back after %.1f s", self.heals_s[-1])
        self._lost_at_s = 0.0
        return True

    async def bring_back(self) -> None:
        """What the supervisor calls: have a browser that answers. The session is attached between two steps."""
        attachment = await self._unless_halted(self.browser.ensure())
        if self.session is not None and attachment.pid != self.pid:
            await self._noticed("it was started anew")

    def halt(self) -> None:
        """Bring no browser back any more, and give up what is under way of that. Returns at once."""
        self._halted.set()

    async def read(self) -> dict[str, Any]:
        """What is in the browser now: cookies, storage, tabs. Empty if it cannot be told."""
        try:
            connection = await self._connected()
            focus = None if self.session is None else self.session.agent_focus_target_id
            async with asyncio.timeout(CALL_S):
                found = await storage.read_browser(
                    connection, focus=focus, before=self._before, owned=self.browser.owned
                )
            self._before = found
            place = {"directory": str(self.browser.directory)} if isinstance(self.browser, OwnedChromium) else {}
            return {name: value for name, value in found.items() if name != "unread"} | place
        except (BrowserError, TimeoutError, OSError) as error:
            _log.debug("the browser cannot be read: %s", error)
            await self._disconnect()
            return {}

    async def restore(self, state: Mapping[str, Any]) -> str | None:
        """Put cookies, storage and tabs back. The id of the tab that the agent was on."""
        if not all(name in state for name in STORED):
            return None
        connection = await self._connected()
        report = await storage.restore_browser(connection, state, owned=self.browser.owned)
        for failed in report["failed"]:
            _log.warning("not put back into the browser: %s", failed)
        self._before = {**state, "tabs": report["tabs"]}
        focus: str | None = report["focus"]
        return focus

    async def clear_caches(self) -> None:
        """Have the browser give memory back."""
        page = await self.session.get_or_create_cdp_session(focus=False)
        for method in ("Network.clearBrowserCache", "HeapProfiler.collectGarbage"):
            async with asyncio.timeout(CALL_S):
                await page.cdp_client.send_raw(method, session_id=page.session_id)

    async def close(self, *, end: bool) -> None:
        """Let go of the session, and end the browser if it is ours and is to be ended."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._watch
            self._watch = None
        await self._disconnect()
        if self.session is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CALL_S):
                    await self.session.stop()
        for telling in list(self._telling):
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CALL_S):
                    await telling
        if end:
            await self.browser.end()
        else:
            await self.browser.release()
        for session in self._made:
            await compat.let_go(session)
        self._made.clear()

    # --- inside -------------------------------------------------------------------------------------------------

    async def _open(self, state: Mapping[str, Any]) -> None:
        pause_s, attempt = FIRST_PAUSE_S, 1
        while True:
            try:
                await self._unless_halted(self._breaker.call(self._attach, state))
                return
            except CircuitOpen as rejected:
                await self._unless_halted(asyncio.sleep(min(MOST_PAUSE_S, rejected.retry_after_s)))
                continue
            except (BrowserInUse, BrowserNotFound):
                raise
            except (BrowserError, OSError, RuntimeError, TimeoutError) as error:
                if attempt >= self._attempts():
                    raise
                _log.warning("the browser could not be brought back (attempt %d): %s", attempt, error)
            attempt += 1
            await self._unless_halted(asyncio.sleep(pause_s))
            pause_s = min(MOST_PAUSE_S, pause_s * 2)

    async def _unless_halted(self, doing: Awaitable[T]) -> T:
        """Await it, for as long as somebody wants the browser.

        Raises:
            HealStopped: nobody does. It is cancelled, and has ``HALT_S`` to end.
        """
        task, halted = asyncio.ensure_future(doing), asyncio.ensure_future(self._halted.wait())
        try:
            await asyncio.wait((task, halted), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise HealStopped("the run is to end")
            return task.result()
        finally:
            halted.cancel()
            if not task.done():
                task.cancel()
                task.add_done_callback(_heard)
                await asyncio.wait((task,), timeout=HALT_S)

    async def _attach(self, state: Mapping[str, Any]) -> None:
        await self._disconnect()
        attachment = await self.browser.ensure()
        first = self.session is None
        known = state.get("pid") if first else self.pid
        self.fresh = self.browser.owned and (attachment.how == "launched" or attachment.pid != known)
        if attachment.reaped:
            _log.info("ended what was left of the browser before: %s", attachment.reaped)
        self.pid = attachment.pid
        focus = None
        if self.fresh or self.rewind:
            focus = await self.restore(state)
        else:
            self._before = state
        self.session = self._make(attachment.cdp_url)
        self._made = [one for one in self._made if one is not self.session]
        self._made.append(self.session)
        for old in self._made[:-MOST_MADE]:
            await compat.let_go(old)
        self._made = self._made[-MOST_MADE:]
        await self.session.start()
        await self._focus(state, focus)
        self.rewind = self.lost = False

    async def _focus(self, state: Mapping[str, Any], focus: str | None) -> None:
        """Select the tab that the agent was on."""
        place, tabs = state.get("focus"), state.get("tabs") or []
        if focus is None and isinstance(place, int) and 0 <= place < len(tabs):
            focus = tabs[place]["id"]
        if any(one.target_id == focus for one in self.session.get_page_targets()):
            await self.session.get_or_create_cdp_session(focus, focus=True)

    async def _look(self) -> None:
        """Notice, while a step runs, that there is no browser any more, so that nothing waits for it."""
        loop = asyncio.get_running_loop()
        asked_s, silent = loop.time(), 0
        while True:
            await asyncio.sleep(LOOK_EACH_S)
            try:
                if self.lost or self._turn.locked():
                    asked_s, silent = loop.time(), 0
                elif self.browser.owned and not self.browser.alive():
                    await self._noticed("its process ended")
                elif loop.time() - asked_s >= (ASK_EACH_S if not silent else LOOK_EACH_S):
                    answered = await self.browser.responsive(ANSWER_S)
                    asked_s, silent = loop.time(), 0 if answered else silent + 1
                    if answered:
                        self._on_answer()
                    elif silent >= SILENT_ANSWERS and not self._turn.locked():
                        silent = 0
                        self._kill()
                        await self._noticed("it does not answer")
            except Exception:  # noqa: BLE001 - the next look may succeed
                _log.exception("the browser could not be looked at")

    def _kill(self) -> None:
        """End a browser of ours that is frozen: whatever waits for it then learns at once that it waits in vain."""
        pid = self.browser.pid()
        if self.browser.owned and pid is not None and self.browser.alive():  # it is the one that we started
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def _noticed(self, what: str) -> None:
        if self.lost:
            return
        self.lost = True
        self._lost_at_s = asyncio.get_running_loop().time()
        _log.warning("the browser is lost: %s", what)
        await self._disconnect()
        if self.session is not None:
            await compat.drop_connection(self.session)
        telling = asyncio.ensure_future(self._on_lost(BrowserLost(f"browser crashed: {what}")))
        self._telling.add(telling)
        telling.add_done_callback(self._told)

    def _told(self, telling: asyncio.Future[Any]) -> None:
        self._telling.discard(telling)
        if not telling.cancelled() and (error := telling.exception()) is not None:
            _log.error("the loss of the browser is not on record: %s", error)

    async def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = await self.browser.connect(timeout_s=CALL_S, call_timeout_s=CALL_S)
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.close()


def _heard(task: asyncio.Future[Any]) -> None:
    """Nobody asks what came of it, and asyncio is not to complain of that."""
    if not task.cancelled():
        task.exception()


async def end_elsewhere(state: Mapping[str, Any], directory: Path) -> None:
    """End the browser that an earlier process had in another directory, if its owner is gone: the log was moved since.

    Args:
        state: of the browser, as it is on record.
        directory: where it is now.
    """
    before = state.get("directory")
    if not isinstance(before, str) or before == str(directory) or not await asyncio.to_thread(os.path.isdir, before):
        return
    with contextlib.suppress(BrowserError, OSError, TimeoutError):  # somebody has it, or it is not there any more
        ended = await OwnedChromium(before).end()
        _log.info("ended what was left of the browser in %s: %s", before, ended)


def make_session(profile: Any, given: Any, directory: Path) -> Callable[[str], Any]:
    """A function that makes a session for the address of a browser.

    Args:
        profile: browser-use's own, as the user gave it, or None.
        given: a session that the user made; it is used as it is, with the address put in.
        directory: for what browser-use would otherwise put below the temporary directory.
    """
    browser_use = compat.load()

    def make(cdp_url: str) -> Any:
        ours = {"cdp_url": cdp_url, "is_local": False, "keep_alive": True}
        if given is not None:
            given.browser_profile = given.browser_profile.model_copy(update=ours)
            return given
        if profile is not None:
            return browser_use.BrowserSession(browser_profile=profile.model_copy(update=ours))
        made = browser_use.BrowserProfile(
            **ours, user_data_dir=directory / "profile", downloads_path=directory / "downloads"
        )
        return browser_use.BrowserSession(browser_profile=made)

    return make
