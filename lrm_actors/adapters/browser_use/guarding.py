"""The model behind its breaker: an outage is told apart from a bad answer, and a decision on record is not asked again.

Talks to the model and to the breaker. Looks to browser-use exactly like the model that it stands before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.adapters.browser_use import compat
from lrm_actors.adapters.browser_use.outage import is_outage
from lrm_actors.errors import CircuitOpen

BEFORE_THEIRS_S = 1.0
"""Seconds by which our time for a call is shorter than browser-use's: so the breaker hears of it."""


class Calls:
    """What one step knows of its calls of the model."""

    def __init__(self) -> None:
        self.decision: Callable[[Any], Any] | None = None
        """What an earlier attempt of the step decided, as an object of the class that is given to it."""
        self.outage: BaseException | None = None
        """Why the model could not be reached, if that is how the step ended."""

    def begin(self, decision: Callable[[Any], Any] | None) -> None:
        """A step begins."""
        self.decision = decision
        self.outage = None


class GuardedModel:
    """Stands before a model. Everything but ``ainvoke`` is the model's own.

    Args:
        model: what is asked.
        breaker: guards it.
        calls: of the step under way.
        timeout_s: gives the seconds that a call may take, None for as long as it likes.
        answered: called after each answer.
    """

    def __init__(
        self,
        model: Any,
        breaker: CircuitBreaker,
        calls: Calls,
        *,
        timeout_s: Callable[[], float | None],
        answered: Callable[[], object],
    ) -> None:
        self._model = model
        self._guard = breaker.using(ignore=lambda error: not is_outage(error))
        self._calls = calls
        self._timeout_s = timeout_s
        self._answered = answered

    # browser-use looks at the class of a model to choose its prompt.
    __class__ = property(lambda self: type(self._model))

    def __getattr__(self, name: str) -> Any:
        """The model's own."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._model, name)

    async def ainvoke(self, messages: Any, output_format: Any = None, **more: Any) -> Any:
        """Ask the model, unless its answer is on record.

        Raises:
            ModelProviderError: of browser-use, from ``CircuitOpen``: it was away too often; the next step waits for it.
        """
        decides = output_format is not None and "action" in getattr(output_format, "model_fields", {})
        if decides and self._calls.decision is not None:
            decision, self._calls.decision = self._calls.decision, None
            return _completion(decision(output_format))
        try:
            answer = await self._guard.call(self._within, messages, output_format, more)
        except CircuitOpen as rejected:
            if decides:
                self._calls.outage = rejected
            # For this browser-use goes on with its fallback model, where it has one.
            raise compat.part("llm.exceptions", "ModelProviderError")(str(rejected), 503) from rejected
        except Exception as error:
            if decides and is_outage(error):
                self._calls.outage = error
            raise
        if decides:
            self._calls.outage = None
        self._answered()
        return answer

    async def _within(self, messages: Any, output_format: Any, more: Mapping[str, Any]) -> Any:
        called: Awaitable[Any] = self._model.ainvoke(messages, output_format, **more)
        limit_s = self._timeout_s()
        if limit_s is None:
            return await called
        async with asyncio.timeout(max(0.1, limit_s - BEFORE_THEIRS_S)):
            return await called


def _completion(answer: Any) -> Any:
    return compat.part("llm.views", "ChatInvokeCompletion")(completion=answer, usage=None)
