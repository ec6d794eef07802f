"""A Chromium of our own: started on a profile of ours, known again after a kill of its owner, ended with all its tree.

Talks to the operating system on threads, and to the browser over its debugging port; the event loop is never held.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from eventstore.frozen import frozen
from lrm_actors.adapters.browser_use import launching, processes
from lrm_actors.adapters.browser_use import marker as markers
from lrm_actors.adapters.browser_use.browser_errors import BrowserError, BrowserUnreachable
from lrm_actors.adapters.browser_use.connection import CALL_TIMEOUT_S, CONNECT_TIMEOUT_S, Connection
from lrm_actors.adapters.browser_use.launching import Options
from lrm_actors.adapters.browser_use.marker import Marker
from lrm_actors.adapters.browser_use.places import Places

ANSWER_TIMEOUT_S = 3.0
"""How long a browser may take to say that it is there; a frozen one is known by it."""
LEAVE_TIMEOUT_S = 3.0
"""How long it may take to write its profile and end by itself when it is asked to."""
LOOK_EACH_S = 0.02
HELD_UP_S = 1.0
T = TypeVar("T")


@frozen
class Attachment:
    """A browser that can be spoken to."""

    cdp_url: str
    """Of its websocket; good for ``BrowserSession(cdp_url=...)`` as long as this browser lives."""
    pid: int | None
    """Of its main process; None: not on this machine."""
    how: str
    """``launched``: it is new, and knows no more than its profile; ``attached``: it went on, with all its tabs."""
    reaped: tuple[int, ...] = ()
    """Processes of the one before that were ended for it."""


class OwnedChromium:
    """One browser at a time, in one directory, which no other agent may have at the same time."""

    owned = True
    """Whether we start and end it, and everything in it is the agent's."""

    def __init__(
        self,
        directory: Path | str,
        *,
        executable: str | Path | None = None,
        headless: bool = True,
        args: Sequence[str] = (),
        window: tuple[int, int] | None = None,
        start_timeout_s: float = 30.0,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        """Nothing is started yet.

        Args:
            directory: for its profile and all else; made when it is first needed, private to the user.
            executable: of Chromium or Chrome; None: the one that is found on this machine.
            headless: without a window. With one it needs a display.
            args: more of Chromium's switches.
            window: width and height in pixels.
            start_timeout_s: how long it may take until it can be spoken to, above 0.
            answer_timeout_s: after how long without an answer one counts as frozen, above 0; ``ensure`` waits twice as
                long where its process is not stopped.
        """
        self._places = Places(Path(directory).resolve())
        chosen = None if executable is None else str(executable)
        self._options = Options(chosen, headless, tuple(args), window, start_timeout_s)
        self._answer_timeout_s = answer_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._marker: Marker | None = None
        self._claim: Callable[[], object] | None = None
        self._turn = asyncio.Lock()

    @property
    def directory(self) -> Path:
        """Where all that is its own stands."""
        return self._places.directory

    @property
    def profile(self) -> Path:
        """Its ``--user-data-dir``."""
        return self._places.profile

    @property
    def cdp_url(self) -> str:
        """Where it is to be spoken to; empty before the first ``ensure``."""
        return self._marker.cdp_url if self._marker is not None else ""

    def pid(self) -> int | None:
        """Of its main process, whether it lives or not; None: there is none. Answers at once."""
        return (self._marker.pid or None) if self._marker is not None else None

    def exit_status(self) -> int | None:
        """Of our own child once it has ended, negative for a signal; None while it lives, or is not our child."""
        return None if self._process is None else self._process.poll()

    def alive(self) -> bool:
        """Whether its process is there. Answers at once; ``responsive`` says whether it is of any use."""
        if self._process is not None:
            return self._process.poll() is None
        marker = self._marker
        return marker is not None and processes.lives(marker.pid, marker.started, self.profile)

    async def responsive(self, timeout_s: float | None = None) -> bool:
        """Whether it answers a call in time. One that is stopped, stuck or gone does not.

        Args:
            timeout_s: above 0; None: ``answer_timeout_s``.
        """
        if not self.cdp_url:
            return False
        self._places.bound_log()
        return await answers(self.cdp_url, self._answer_timeout_s if timeout_s is None else timeout_s)

    async def ensure(self) -> Attachment:
        """See to it that there is a browser that answers, from whatever state things are in.

        One that runs and answers is taken as it is, also one that an earlier process left behind, if it is known to be
        ours by its process, when that began, and its profile. One that does not is ended with all its processes, and
        another is started. Called by several at once, it is done once.

        Raises:
            BrowserInUse: another agent has the directory, or a browser that is not ours has the profile.
            BrowserNotFound, BrowserNotStarted: none could be started; nothing of it is left.
            TimeoutError: the old one cannot be ended.
            OSError: the directory cannot be written.
        """
        async with self._turn:
            try:
                return await self._ensure()
            except BaseException:
                if self._marker is None:
                    self._let_go()
                raise

    async def end(self) -> tuple[int, ...]:
        """End it with all its processes, and let the directory go. It may write its profile before, if it answers.

        Returns: the processes that were killed; none, if it went by itself.

        Raises:
            BrowserInUse: another agent has the directory.
            TimeoutError: the processes cannot be ended.
        """
        async with self._turn:
            try:
                marker = await self._claimed()
                if marker is not None and await self._is_spoken_to(marker):
                    await self._ask_to_leave(marker)
                return await self._kill()
            finally:
                self._let_go()

    async def release(self) -> None:
        """Leave it running, and let the directory go: the next ``ensure``, of any process, takes it as it is."""
        async with self._turn:
            process, self._process = self._process, None
            self._marker = None
            if process is not None:
                launching.leave(process)
            self._let_go()

    async def connect(
        self, *, timeout_s: float = CONNECT_TIMEOUT_S, call_timeout_s: float = CALL_TIMEOUT_S
    ) -> Connection:
        """A connection to it that is the caller's alone, for ``read_browser`` and ``restore_browser``.

        Raises:
            BrowserUnreachable: there is none, or it does not answer in time.
        """
        if not self.cdp_url:
            raise BrowserUnreachable("", "it was not started yet")
        return await Connection.open(self.cdp_url, timeout_s=timeout_s, call_timeout_s=call_timeout_s)

    async def _ensure(self) -> Attachment:
        marker = await self._claimed()
        if marker is not None and await self._is_spoken_to(marker) and await self._is_of_use(marker):
            return Attachment(marker.cdp_url, marker.pid, "attached")
        reaped = await self._kill()
        self._process, self._marker = await self._launch()
        return Attachment(self._marker.cdp_url, self._marker.pid, "launched", reaped)

    async def _is_of_use(self, marker: Marker) -> bool:
        """Whether it answers: what is in it is lost otherwise, so one that is not stopped is asked twice."""
        return await self.responsive() or (
            not await asyncio.to_thread(processes.is_stopped, marker.pid) and await self.responsive()
        )

    async def _claimed(self) -> Marker | None:
        """The launch that is known in the directory, which is this object's from here on."""
        if self._claim is None:
            await asyncio.to_thread(self._take_claim)
        if self._marker is None:
            marker = await asyncio.to_thread(markers.read, self._places.marker)
            # A marker that tells of another profile came here with a copy of its directory, whose browser is not ours.
            self._marker = marker if marker is not None and marker.profile == str(self.profile) else None
        return self._marker

    async def _is_spoken_to(self, marker: Marker) -> bool:
        return bool(marker.cdp_url) and await asyncio.to_thread(self._is_ours, marker)

    def _is_ours(self, marker: Marker) -> bool:
        if self._process is not None and self._process.pid == marker.pid:
            return self._process.poll() is None
        return processes.lives(marker.pid, marker.started, self.profile)

    async def _launch(self) -> tuple[subprocess.Popen[bytes], Marker]:
        stop = threading.Event()

        def undo(made: tuple[subprocess.Popen[bytes], Marker]) -> None:
            launching.end(*made, self._places)

        return await _to_the_end(lambda: launching.launch(self._options, self._places, stop), stop.set, undo)

    async def _kill(self) -> tuple[int, ...]:
        process, marker = self._process, self._marker
        ended = await _to_the_end(lambda: launching.end(process, marker, self._places))
        self._process = self._marker = None
        return ended

    async def _ask_to_leave(self, marker: Marker) -> None:
        with contextlib.suppress(BrowserError):
            async with await Connection.open(marker.cdp_url, timeout_s=self._answer_timeout_s) as connection:
                await connection.send_raw("Browser.close", timeout_s=self._answer_timeout_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_TIMEOUT_S):
                    while await asyncio.to_thread(self._is_ours, marker):  # noqa: ASYNC110 - processes tell nobody
                        await asyncio.sleep(LOOK_EACH_S)

    def _take_claim(self) -> None:
        self._claim = weakref.finalize(self, os.close, self._places.take_lock())

    def _let_go(self) -> None:
        if self._claim is not None:
            self._claim()
        self._claim = None


async def answers(cdp_url: str, timeout_s: float, **how: Any) -> bool:
    """Whether a browser answers in time, asked over a connection that is made for it.

    Args:
        cdp_url: of the browser.
        timeout_s: for all of it.
        how: see ``Connection.open``.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    if await _answers(cdp_url, timeout_s, how):
        return True
    # Where this process itself was held up (stopped, swapped out, a machine that slept), the answer was not awaited.
    held_up = loop.time() - began > timeout_s + HELD_UP_S
    return held_up and await _answers(cdp_url, timeout_s, how)


async def _answers(cdp_url: str, timeout_s: float, how: dict[str, Any]) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            connection = await Connection.open(cdp_url, timeout_s=timeout_s, **how)
            try:
                await connection.send_raw("Browser.getVersion", timeout_s=timeout_s)
                return True
            finally:
                await connection.close()
    except (BrowserError, TimeoutError):
        return False


async def _to_the_end(
    work: Callable[[], T], stop: Callable[[], object] = lambda: None, undo: Callable[[T], object] = lambda _: None
) -> T:
    """Do blocking work on a thread, and see it end even if nobody wants it any more.

    Args:
        work: to be done.
        stop: tells it that nobody does.
        undo: takes back what it made nevertheless, on a thread as well.
    """
    doing = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        stop()
        with contextlib.suppress(Exception):
            made = await doing
            await asyncio.to_thread(undo, made)
        raise
