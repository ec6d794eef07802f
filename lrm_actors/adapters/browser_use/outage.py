"""Waits out a model that cannot be reached: between two steps, so that none is spent on it.

Talks to the breaker only, and to a clock that a test may own.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, Protocol

from lrm_actors.errors import CircuitOpen

FIRST_WAIT_S = 1.0
MOST_WAIT_S = 60.0
OUTAGE_CODES = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529))
"""Of HTTP: the service, and not the question, was at fault."""
OUTAGE_NAMES = (
    "APIConnectionError", "APITimeoutError", "RateLimitError", "InternalServerError", "ServiceUnavailable",
    "OverloadedError", "ConnectError", "ConnectTimeout", "ReadTimeout", "ReadError", "WriteError", "PoolTimeout",
    "RemoteProtocolError", "ClientConnectorError", "ServerDisconnectedError", "ModelRateLimitError",
)  # fmt: skip
"""Of the errors of SDKs that do not have to be installed here."""
ANSWER_NAMES = ("ValidationError", "JSONDecodeError", "ModelOutputTruncatedError", "ParseFailedGenerationError")
"""What says that there was an answer, and that it was no good."""
_NOT_READ = re.compile(r"\b(failed to|could not|cannot|unable to) parse\b", re.IGNORECASE)
"""The same, in the words of an error that has the status of an outage. An address may have some of them."""


def is_outage(error: BaseException) -> bool:
    """Whether the model could not be reached, and did not merely answer badly. Causes count as well."""
    chain = list(_causes(error))
    if any(type(one).__name__ in ANSWER_NAMES or _NOT_READ.search(str(one)) for one in chain):
        return False
    return any(_is_outage(one) for one in chain)


def _is_outage(error: BaseException) -> bool:
    if isinstance(error, CircuitOpen | TimeoutError | ConnectionError):
        return True
    names = {one.__name__ for one in type(error).__mro__}
    code = getattr(error, "status_code", None)
    if code is not None:
        return code in OUTAGE_CODES
    return not names.isdisjoint(OUTAGE_NAMES)


def _causes(error: BaseException) -> Any:
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in seen:
        seen.append(one)
        yield one
        one = one.__cause__ or one.__context__


class Clock(Protocol):
    """Where the gate's time comes from."""

    def monotonic(self) -> float:
        """Seconds since any moment."""

    async def wait(self, seconds: float, ended: asyncio.Event) -> None:
        """Return after so long, or when the event is set."""


class LoopClock:
    """The event loop's own."""

    def monotonic(self) -> float:
        """Seconds since any moment."""
        return asyncio.get_running_loop().time()

    async def wait(self, seconds: float, ended: asyncio.Event) -> None:
        """Return after so long, or when the event is set."""
        try:
            async with asyncio.timeout(seconds):
                await ended.wait()
        except TimeoutError:
            return


class OutageGate:
    """Closed while the model is away.

    A step that could not ask the model is undone, so it costs nothing; the next one is let through when the breaker
    lets a probe through, and after a wait that doubles up to a minute.

    Args:
        retry_after_s: gives how long the breaker stays open.
        limit_s: gives how long an outage may last.
        clock: where time comes from.
        on_wait: called with the seconds of each wait.
    """

    def __init__(
        self,
        retry_after_s: Callable[[], float],
        limit_s: Callable[[], float],
        *,
        clock: Clock | None = None,
        on_wait: Callable[[float], object] = lambda _: None,
    ) -> None:
        self._retry_after_s = retry_after_s
        self._limit_s = limit_s
        self.clock: Clock = LoopClock() if clock is None else clock
        self._on_wait = on_wait
        self.failures = 0
        """In a row."""
        self.asked_for_s = 0.0
        """What the service said itself: ``Retry-After``."""
        self.since_s: float | None = None
        """When the outage began, by the clock."""

    def failed(self, asked_for_s: float = 0.0) -> None:
        """The model could not be reached once more."""
        self.failures += 1
        self.asked_for_s = asked_for_s
        if self.since_s is None:
            self.since_s = self.clock.monotonic()

    def answered(self) -> None:
        """The model answered."""
        self.failures = 0
        self.asked_for_s = 0.0
        self.since_s = None

    @property
    def lasted_s(self) -> float:
        """How long the outage has lasted; 0 while there is none."""
        return 0.0 if self.since_s is None else self.clock.monotonic() - self.since_s

    async def pass_through(self, ended: asyncio.Event) -> bool:
        """Wait until the model may be asked again, or the run is to end. False: it was away for too long."""
        waited_s = 0.0
        while self.failures and not ended.is_set():  # an open breaker alone may be that of a model not used any more
            if self.lasted_s >= self._limit_s():
                return False
            wait_s = max(self._backoff_s() - waited_s, self.asked_for_s - waited_s, self._retry_after_s())
            if wait_s <= 0:
                break
            wait_s = min(wait_s, MOST_WAIT_S)
            self._on_wait(wait_s)
            began_s = self.clock.monotonic()
            await self.clock.wait(wait_s, ended)
            waited_s += max(self.clock.monotonic() - began_s, 0.001)
        return True

    def _backoff_s(self) -> float:
        return 0.0 if not self.failures else min(MOST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(self.failures - 1, 10))
