from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable

import pytest

from lrm_actors.adapters.browser_use.outage import OutageGate, is_outage
from lrm_actors.errors import CircuitOpen


class OwnClock:
    """A clock that goes on when it is waited for."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.waits_s: list[float] = []

    def monotonic(self) -> float:
        return self.now_s

    async def wait(self, seconds: float, ended: asyncio.Event) -> None:
        self.waits_s.append(seconds)
        self.now_s += seconds


class ProviderError(Exception):
    def __init__(self, text: str, status_code: int) -> None:
        super().__init__(text)
        self.status_code = status_code


class APIConnectionError(Exception):
    pass


def run(work: Awaitable[bool]) -> bool:
    """Await it on a loop of its own."""

    async def working() -> bool:
        return await work

    return asyncio.run(working())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionRefusedError("refused"), True),
        (TimeoutError("late"), True),
        (CircuitOpen("llm", 3.0), True),
        (APIConnectionError("gone"), True),
        (ProviderError("slow down", 429), True),
        (ProviderError("overloaded", 529), True),
        (ProviderError("no such key", 401), False),
        (ProviderError("too long", 400), False),
        (ProviderError("Failed to parse structured output", 500), False),
        (ProviderError("Model does not support JSON mode and failed to parse JSON from text response", 502), False),
        (ConnectionError("Cannot connect to host api.sparse.example:443"), True),
        (ValueError("no idea"), False),
    ],
)
def test_an_outage_is_told_from_a_bad_answer(error: Exception, expected: bool) -> None:
    """Only what would pass by itself is waited for."""
    assert is_outage(error) is expected


def test_the_cause_counts_as_well() -> None:
    """SDKs wrap whatever happened in an error of theirs, also an answer that could not be read."""
    away = ProviderError("failed", 502)
    away.__cause__ = ConnectionResetError("reset")
    assert is_outage(away)
    answered = ProviderError("failed", 502)
    answered.__cause__ = json.JSONDecodeError("no JSON", "x", 0)
    assert not is_outage(answered)


def test_an_open_gate_does_not_wait() -> None:
    """Nothing is in the way of a model that answers."""
    clock = OwnClock()
    gate = OutageGate(lambda: 0.0, lambda: 60.0, clock=clock)
    assert run(gate.pass_through(asyncio.Event()))
    assert clock.waits_s == []


def test_ten_minutes_are_waited_out_with_a_dozen_tries() -> None:
    """Each try that fails makes the next wait longer, up to a minute."""
    clock = OwnClock()
    gate = OutageGate(lambda: 0.0, lambda: 86_400.0, clock=clock)
    tries = 0
    while clock.now_s < 700.0:
        gate.failed()
        assert run(gate.pass_through(asyncio.Event()))
        tries += 1
    assert clock.waits_s[:7] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    assert max(clock.waits_s) == 60.0
    assert tries < 20
    gate.answered()
    assert gate.lasted_s == 0.0


def test_the_breaker_and_the_service_are_both_listened_to() -> None:
    """The longest of the waits counts."""
    clock = OwnClock()
    until_s = clock.now_s + 30.0
    gate = OutageGate(lambda: max(0.0, until_s - clock.now_s), lambda: 86_400.0, clock=clock)
    gate.failed(asked_for_s=12.0)
    assert run(gate.pass_through(asyncio.Event()))
    assert clock.now_s == 130.0


def test_an_outage_that_lasts_too_long_is_not_waited_out() -> None:
    """The run is told, and gives up."""
    clock = OwnClock()
    gate = OutageGate(lambda: 0.0, lambda: 5.0, clock=clock)
    passed = True
    for _ in range(10):
        gate.failed()
        passed = run(gate.pass_through(asyncio.Event()))
        if not passed:
            break
    assert not passed
    assert clock.now_s < 115.0


def test_a_run_that_ends_is_let_through() -> None:
    """Whoever stops the agent does not wait for the model."""
    clock = OwnClock()
    gate = OutageGate(lambda: 1000.0, lambda: 86_400.0, clock=clock)
    ended = asyncio.Event()
    ended.set()
    assert run(gate.pass_through(ended))
    assert clock.waits_s == []
