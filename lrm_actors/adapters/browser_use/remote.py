"""A browser that is not ours, spoken to over its debugging port: never started, and never ended."""

from __future__ import annotations

from collections.abc import Mapping

from lrm_actors.adapters.browser_use.browser_errors import BrowserUnreachable
from lrm_actors.adapters.browser_use.chromium import ANSWER_TIMEOUT_S, Attachment, answers
from lrm_actors.adapters.browser_use.connection import CALL_TIMEOUT_S, CONNECT_TIMEOUT_S, Connection


class RemoteBrowser:
    """The twin of ``OwnedChromium`` for a browser that somebody else looks after."""

    owned = False
    """Whether we start and end it, and everything in it is the agent's."""

    def __init__(
        self, cdp_url: str, *, headers: Mapping[str, str] | None = None, answer_timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        """Nothing is asked yet.

        Args:
            cdp_url: ``ws://`` or ``wss://``, or the ``http://`` or ``https://`` address that tells it.
            headers: sent with each request, for a browser that asks who one is.
            answer_timeout_s: after how long without an answer it counts as gone, above 0.
        """
        self.cdp_url = cdp_url
        self.headers = dict(headers or {})
        self._answer_timeout_s = answer_timeout_s
        self._answered = False

    def pid(self) -> None:
        """None: its process is none of our business."""
        return

    def exit_status(self) -> None:
        """None: its process is none of our business."""
        return

    def alive(self) -> bool:
        """Whether it answered when it was last asked. Answers at once."""
        return self._answered

    async def responsive(self, timeout_s: float | None = None) -> bool:
        """Whether it answers a call in time.

        Args:
            timeout_s: above 0; None: ``answer_timeout_s``.
        """
        timeout_s = self._answer_timeout_s if timeout_s is None else timeout_s
        self._answered = await answers(self.cdp_url, timeout_s, headers=self.headers)
        return self._answered

    async def ensure(self) -> Attachment:
        """See that it answers. It can only be brought back where it runs.

        Raises:
            BrowserUnreachable: it does not.
        """
        if not await self.responsive():
            raise BrowserUnreachable(self.cdp_url, f"no answer within {self._answer_timeout_s:g} s")
        return Attachment(self.cdp_url, None, "attached")

    async def end(self) -> tuple[int, ...]:
        """Nothing is ended: it is not ours."""
        return ()

    async def release(self) -> None:
        """Nothing is held."""

    async def connect(
        self, *, timeout_s: float = CONNECT_TIMEOUT_S, call_timeout_s: float = CALL_TIMEOUT_S
    ) -> Connection:
        """As ``OwnedChromium.connect``.

        Raises:
            BrowserUnreachable: it does not answer in time.
        """
        return await Connection.open(
            self.cdp_url, headers=self.headers, timeout_s=timeout_s, call_timeout_s=call_timeout_s
        )
