"""What judging a failure costs, from the exception object to its category."""

from __future__ import annotations

import errno
import time

from lrm_actors.actors.analyzer import facts_of
from lrm_actors.domain.classify import classify

ROUNDS, QUICK_ROUNDS = 4000, 400
BATCHES = 9


def classify_us(*, quick: bool = False) -> float:
    """Microseconds to judge one failure: the quickest of some batches, over errors of four kinds."""
    errors = _errors()
    rounds = QUICK_ROUNDS if quick else ROUNDS
    best = float("inf")
    for _ in range(BATCHES):
        began = time.perf_counter()
        for number in range(rounds):
            classify(facts_of(errors[number % len(errors)], "llm"))
        best = min(best, time.perf_counter() - began)
    return best / rounds * 1e6


def _errors() -> list[BaseException]:
    """Errors of four kinds: a wrapped timeout, a rate limit with a body, an OS error, a bug."""
    base = _cls("openai._exceptions", "APIError", _cls("openai._exceptions", "OpenAIError", Exception))
    connection, status = (
        _cls(base.__module__, "APIConnectionError", base),
        _cls(base.__module__, "APIStatusError", base),
    )
    transport = _cls("httpx2._exceptions", "TimeoutException", _cls("httpx2._exceptions", "TransportError", Exception))
    slow = _cls(base.__module__, "APITimeoutError", connection)("Request timed out.")
    slow.__cause__ = _cls("httpx2._exceptions", "ReadTimeout", transport)("timed out")
    limit = _cls(base.__module__, "RateLimitError", status)("Error code: 429 - rate limit reached for gpt-4o in org-1")
    limit.__dict__.update(status_code=429, code="rate_limit_exceeded", type="tokens", body={"error": {"code": "x"}})
    return [slow, limit, ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), KeyError("missing")]


def _cls(module: str, name: str, base: type[Exception]) -> type[Exception]:
    return type(name, (base,), {"__module__": module})


if __name__ == "__main__":
    print(f"classify_us {classify_us():.1f}")
