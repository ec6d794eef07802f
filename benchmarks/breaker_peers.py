"""Other libraries' circuit breakers, each as its own documentation uses it on a function.

They come with the ``bench`` extra; one that is not installed is left out.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, cast

PEERS = ("circuitbreaker", "pybreaker", "purgatory", "aiobreaker", "hyx", "pyresilience", "backon")

Call = Callable[..., Any]


def synchronous(service: Call) -> dict[str, Call]:
    """The service behind each peer that guards plain functions."""
    makers: dict[str, Callable[[Call], Call]] = {
        "circuitbreaker": _circuitbreaker,
        "pybreaker": _pybreaker,
        "purgatory": _purgatory,
        "aiobreaker": _aiobreaker,
        "pyresilience": _pyresilience,
        "backon": _backon,
    }
    return {name: make(service) for name, make in makers.items() if available(name)}


def asynchronous(service: Call) -> dict[str, Call]:
    """The service behind each peer that guards coroutine functions alone."""
    return {"hyx": _hyx(service)} if available("hyx") else {}


def available(name: str) -> bool:
    """Whether a peer is installed."""
    return importlib.util.find_spec(name) is not None


def _circuitbreaker(service: Call) -> Call:
    from circuitbreaker import CircuitBreaker

    return cast("Call", CircuitBreaker(failure_threshold=5, recovery_timeout=30)(service))


def _pybreaker(service: Call) -> Call:
    import pybreaker

    return cast("Call", pybreaker.CircuitBreaker(fail_max=5, reset_timeout=30)(service))


def _purgatory(service: Call) -> Call:
    from purgatory import SyncCircuitBreakerFactory

    return cast("Call", SyncCircuitBreakerFactory(default_threshold=5, default_ttl=30)("bench")(service))


def _aiobreaker(service: Call) -> Call:
    import datetime as dt

    from aiobreaker import CircuitBreaker

    return cast("Call", CircuitBreaker(fail_max=5, timeout_duration=dt.timedelta(seconds=30))(service))


def _pyresilience(service: Call) -> Call:
    from pyresilience import CircuitBreakerConfig, resilient

    return cast(
        "Call", resilient(circuit_breaker=CircuitBreakerConfig(failure_threshold=5, recovery_timeout=30))(service)
    )


def _backon(service: Call) -> Call:
    from backon import CircuitBreaker

    breaker = CircuitBreaker(failure_threshold=5, recovery_timeout=30)

    def called(x: Any) -> Any:
        return breaker.call(service, x)

    return called


def _hyx(service: Call) -> Call:
    from hyx.circuitbreaker import consecutive_breaker

    return cast("Call", consecutive_breaker(failure_threshold=5, recovery_time_secs=30)(service))
