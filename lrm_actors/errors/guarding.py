"""Errors of guarded calls and of work that is held back: LRM-3001 and on."""

from __future__ import annotations

from eventstore.notes import Reduced
from lrm_actors.errors.base import LrmError


class Rejected(LrmError):
    """Base of the rejections: nothing was called, and nothing is said about the service by them."""

    code = "LRM-3009"
    hint = "wait, or do other work"
    retry_after_s: float = 0.0
    """Seconds after which to try again; 0 where nobody knows."""


class CircuitOpen(Rejected):
    """A call was rejected because the service is failing. Try again in ``retry_after_s``."""

    __slots__ = ("retry_after_s", "service")
    code = "LRM-3001"
    hint = "wait, or do other work; 'lrm why breaker' says why it opened"

    # One is made for every call while a service is down, so its words are put together by whoever wants to read them.
    def __init__(self, service: str, retry_after_s: float) -> None:  # its base has both as ``args`` already
        self.service = service
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"circuit for {self.service!r} is open, retry in {self.retry_after_s:.1f} s"

    def __reduce__(self) -> Reduced:
        return type(self), (self.service, self.retry_after_s), self.__dict__.copy()


class CallTimedOut(LrmError, TimeoutError):
    """A guarded call took longer than it may, and was cancelled. A failure of the service."""

    code = "LRM-3006"
    hint = "raise timeout_s if the service is sound and merely slow"

    def __init__(self, service: str, timeout_s: float) -> None:
        super().__init__(f"a call of {service!r} took longer than {timeout_s:g} s")
        self.service, self.timeout_s = service, timeout_s


class BulkheadFull(Rejected):
    """A call was rejected because as many as may be are under way, and as many as may wait do."""

    code = "LRM-3007"
    hint = "wait, or do other work; raise the limit only if the service bears it"

    def __init__(self, name: str, limit: int, waited_s: float = 0.0) -> None:
        super().__init__(
            f"{limit} calls of {name!r} are under way" + (f", waited {waited_s:.1f} s" if waited_s else "")
        )
        self.name, self.limit, self.waited_s = name, limit, waited_s


class Throttled(Rejected):
    """A call was rejected because the service has been turning down too many of late."""

    code = "LRM-3008"
    hint = "send less, or later"

    def __init__(self, name: str, share: float) -> None:
        super().__init__(f"calls of {name!r} are held back: {share:.0%} of them")
        self.name, self.share = name, share
        """Of the calls, from 0 to 1: how many are rejected at the moment."""


class WorkShed(Rejected):
    """A piece of work was not done, because the operation mode saves resources for what matters more."""

    code = "LRM-3010"
    hint = "go on without it, or give it to defer()"

    def __init__(self, name: str, criticality: str, mode: str, waited_s: float = 0.0) -> None:
        waited = f", and did not within {waited_s:g} s" if waited_s else ""
        super().__init__(f"{name!r} ({criticality}) does not run in {mode} mode{waited}")
        self.name, self.criticality, self.mode, self.waited_s = name, criticality, mode, waited_s


class DeferralFull(Rejected):
    """A piece of work was not put off, because as much as may be waits already."""

    code = "LRM-3011"
    hint = "leave it, or raise max_deferred if it is small and worth doing late"

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(f"{name!r} is not put off: {limit} pieces of work wait already")
        self.name, self.limit = name, limit
