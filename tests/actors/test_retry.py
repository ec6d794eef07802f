"""Retries: of what another try may mend, spread out, within a budget that all of the process shares."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.actors.retry import Retry, worth_retrying
from lrm_actors.actors.retry_budget import PROCESS, RetryBudget
from lrm_actors.actors.sdk_retries import HangsLong, explain
from lrm_actors.domain.breaker_config import BreakerConfig
from lrm_actors.errors import CallTimedOut, CircuitOpen, SettingsError, Throttled
from lrm_actors.runtime.clock import ManualClock


class Unavailable(Exception):
    """As clients raise it for status 503."""

    status_code = 503


class RateLimited(Exception):
    """As clients raise it for status 429."""

    status_code = 429

    def __init__(self, **headers: str) -> None:
        super().__init__()
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Service:
    """Fails as often as it is told to, and then answers."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"

    async def fetch(self) -> str:
        return self()


def retry(
    clock: ManualClock | None = None, *, chance: float = 0.5, waits: list[float] | None = None, **more: Any
) -> Retry:
    """Retries that take no time: the clock goes on by what is waited."""
    clock = clock or ManualClock()

    def sleep(wait_s: float) -> None:
        if waits is not None:
            waits.append(wait_s)
        clock.advance(wait_s)

    async def sleep_async(wait_s: float) -> None:
        sleep(wait_s)

    more.setdefault("budget", RetryBudget())
    return Retry(now=clock.monotonic, chance=lambda: chance, sleep=sleep, sleep_async=sleep_async, **more)


def test_it_tries_again() -> None:
    """Until it succeeds, by every way to call."""
    for way in ("call", "call_blocking", "plain", "coroutine"):
        service, tried = Service(Unavailable(), TimeoutError()), retry()
        found = {
            "call": lambda s=service, r=tried: asyncio.run(r.call(s.fetch)),
            "call_blocking": lambda s=service, r=tried: r.call_blocking(s),
            "plain": lambda s=service, r=tried: r(s)(),
            "coroutine": lambda s=service, r=tried: asyncio.run(r(s.fetch)()),
        }[way]()
        assert ("answer", 3) == (found, service.calls)


def test_the_caller_gets_the_last_error() -> None:
    """The very object, with a note of how often it was tried."""
    last = Unavailable()
    service = Service(Unavailable(), Unavailable(), last, Unavailable())
    with pytest.raises(Unavailable) as raised:
        retry().call_blocking(service)
    assert (last, 3, ["tried 3 times"]) == (raised.value, service.calls, raised.value.__notes__)


@given(st.floats(0.0, 0.999), st.integers(2, 8))
def test_jitter_is_full(chance: float, attempts: int) -> None:
    """Each wait is a share of twice the last one's most, up to the cap, and chance alone says which."""
    waits: list[float] = []
    service = Service(*(Unavailable() for _ in range(attempts)))
    with pytest.raises(Unavailable):
        retry(chance=chance, waits=waits, attempts=attempts, first_s=1.0, cap_s=8.0).call_blocking(service)
    most = [min(8.0, 2.0**number) for number in range(attempts - 1)]
    assert [pytest.approx(one * (1.0 - chance)) for one in most] == waits


def test_retry_after_is_obeyed_up_to_a_limit() -> None:
    """Never sooner than the service wants; where it wants too much, the error is raised at once."""
    waits: list[float] = []
    service = Service(RateLimited(retry_after="20"), RateLimited(retry_after_ms="700"), RateLimited(retry_after="3600"))
    with pytest.raises(RateLimited) as raised:
        retry(waits=waits, attempts=9, chance=0.999).call_blocking(service)
    assert ([20.0, 0.7], 3) == (waits, service.calls)
    assert ["not tried again: the service wants to be left alone for 3600 s"] == raised.value.__notes__


def test_the_time_in_all_is_limited() -> None:
    """No try is begun after it."""
    service = Service(*(RateLimited(retry_after="50") for _ in range(99)))
    with pytest.raises(RateLimited):
        retry(attempts=50, total_s=120.0).call_blocking(service)
    assert 3 == service.calls


class Quota(Exception):
    """It stays the same however often it is tried."""

    status_code = 429
    code = "insufficient_quota"


class ReadTimeout(Exception):
    """Of a library, and no builtin one."""


class Wrapped(Exception):
    """By a host that keeps the cause."""


def wrapped(cause: BaseException) -> Wrapped:
    """An error with a cause."""
    error = Wrapped()
    error.__cause__ = cause
    return error


class Told(Unavailable):
    """The service says itself that it is not to be tried again."""

    class response:  # noqa: D106, N801 - an attribute
        headers = {"x-should-retry": "false"}  # noqa: RUF012


class Wrong(Exception):
    status_code = 400


@pytest.mark.parametrize(
    ("error", "worth"),
    [
        (Unavailable(), True), (RateLimited(), True), (TimeoutError(), True), (ConnectionResetError(), True),
        (ReadTimeout(), True), (wrapped(ReadTimeout()), True), (wrapped(Unavailable()), True),
        (CallTimedOut("llm", 3.0), True), (Quota(), False), (wrapped(Quota()), False), (Told(), False),
        (Wrong(), False), (ValueError(), False), (KeyError("x"), False),
        (CircuitOpen("llm", 3.0), False), (Throttled("llm", 0.5), False),
        (asyncio.CancelledError(), False), (KeyboardInterrupt(), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)  # fmt: skip
def test_what_another_try_may_mend(error: BaseException, worth: bool) -> None:
    """Bugs, rejections, and what stays the same are not tried again."""
    assert worth is worth_retrying(error)


def test_cancelled_calls_end() -> None:
    """They are no failure."""
    service = Service(asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(retry().call(service.fetch))
    assert 1 == service.calls


def test_calls_do_not_share_their_tries() -> None:
    """However many use one object at the same time, each makes as many as there are."""
    tried, services = retry(budget=RetryBudget(reserve=100.0)), [Service(*[Unavailable()] * 3) for _ in range(20)]

    async def main() -> None:
        await asyncio.gather(*(tried.call(one.fetch) for one in services), return_exceptions=True)

    asyncio.run(main())
    assert [3] * 20 == [one.calls for one in services]


def amplification(budget: RetryBudget, calls: int, threads: int = 8) -> float:
    """Requests per call when everything fails, from several threads."""
    made: list[int] = []

    def work() -> None:
        tried, service = retry(budget=budget), Service()
        for _ in range(calls // threads):
            service.errors = [Unavailable() for _ in range(3)]
            with pytest.raises(Unavailable):
                tried.call_blocking(service)
        made.append(service.calls)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(made) / (calls // threads * threads)


def test_total_failure_does_not_multiply_the_load(release: bool) -> None:
    """At most 1.2 requests are made for each call, where three tries each would make three."""
    calls, budget = (20_000 if release else 800), RetryBudget()
    found = amplification(budget, calls)
    print(f"{calls} calls, {found:.3f} requests each")
    assert 1.1 < found <= 1.2
    assert found == pytest.approx(budget.statistics().amplification)


class Endless(RetryBudget):
    """Planted: a budget that pays for everything."""

    def take(self) -> bool:
        return super().take() or True


def test_planted_a_budget_that_is_none_is_caught() -> None:
    """Three requests each."""
    assert amplification(Endless(), 80) > 1.2


def test_a_sound_service_fills_the_budget() -> None:
    """What fails now and then can be retried again, and it never holds more than its reserve."""
    budget = RetryBudget(reserve=5.0)
    for _ in range(5):
        assert budget.take()
    assert not budget.take()
    for _ in range(100):
        retry(budget=budget).call_blocking(lambda: None)
    assert (5.0, 1) == (budget.statistics().tokens, budget.statistics().refused)
    assert PROCESS is Retry().budget


def test_a_rejection_is_not_retried() -> None:
    """Retries outside a guard end when it opens."""
    clock, service = ManualClock(), Service(*(Unavailable() for _ in range(9)))
    guard = CircuitBreaker("llm", BreakerConfig(failure_threshold=2), tell=lambda _: None, clock=clock)
    with pytest.raises(CircuitOpen):
        retry(clock, attempts=9).call_blocking(guard(service))
    assert 2 == service.calls


def test_what_cannot_be_is_refused() -> None:
    """Numbers, streams, and a coroutine function where a plain one is wanted."""
    wrong: list[Callable[[], object]] = [
        lambda: Retry(attempts=0),
        lambda: Retry(cap_s=float("inf")),
        lambda: RetryBudget(2.0),
        lambda: RetryBudget(reserve=0.0),
    ]
    for one in wrong:
        with pytest.raises(SettingsError):
            one()

    def lines() -> Any:
        yield 1

    with pytest.raises(TypeError):
        Retry()(lines)
    with pytest.raises(TypeError):
        _ = Retry().call_blocking(Service().fetch)


class Timeout:
    """As clients hold several timeouts."""

    connect, read = 5.0, 600.0


class Client:
    """As a client of a large language model."""

    def __init__(self, max_retries: Any = 2, timeout: Any = None) -> None:
        self.max_retries, self.timeout = max_retries, timeout


class TestExplain:
    """How long one hung call takes."""

    def test_it_warns(self) -> None:
        """Three tries of ten minutes are half an hour; told with what to do, which counts those around it too."""
        with pytest.warns(HangsLong, match=r"3 tries of 600 s: a hung call takes 30 min, more than 10 min"):
            found = explain(Client(timeout=Timeout()))
        assert (3, 600.0, 1800.0, True) == (found.attempts, found.timeout_s, found.worst_s, found.too_long)
        with pytest.warns(HangsLong, match=r"3 x 3 tries of 600 s: a hung call takes 90 min"):
            assert 9 == explain(Client(timeout=600), retry=Retry()).attempts

    def test_it_does_not_cry_wolf(self) -> None:
        """Short ones are told without a warning; one without a timeout hangs for ever."""
        assert "Client: 1 tries of 30 s: a hung call takes 30 s" == explain(Client(0, 30.0)).text
        with pytest.warns(HangsLong, match=r"without a timeout: a hung call takes for ever"):
            assert float("inf") == explain(Client(0)).worst_s
        with pytest.warns(HangsLong):
            assert 1 == explain(object()).attempts
