"""The LLM takes requests and answers none: retries are few, the breaker opens, and a probe finds it well again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from lrm_actors import CircuitOpen, Retry
from lrm_actors.actors.retry_budget import RetryBudget
from lrm_actors.demo.scenarios.account import Account
from lrm_actors.demo.scenarios.services import NoAnswer, Service, ask, bound_socket, port_of
from lrm_actors.demo.scenarios.stage import Missing, Stage

LLM = "llm"
TIMEOUT_S = 0.1
PATIENT_S = 10.0
"""How long an answer may take that will come: this machine may be busy."""
THRESHOLD = 3
OPEN_S = 1.0
QUESTIONS, AT_ONCE, ATTEMPTS = 150, 25, 3
MOST_REQUESTS_EACH = 1.2
"""What retries may add to the load of a service that answers nothing."""


async def run(directory: Path, say: Callable[[str], None]) -> Account:
    """Have the LLM fall silent while the agent asks it many things, and answer again later."""
    stage = Stage(
        "llm-timeout",
        directory,
        say,
        circuit_breaker_failure_threshold=THRESHOLD,
        circuit_breaker_recovery_timeout=OPEN_S,
    )
    mode, service = stage.mode, Service()
    async with contextlib.AsyncExitStack() as held, stage:
        bound = held.enter_context(bound_socket())
        await held.enter_async_context(service.on(bound))
        port = port_of(bound)
        stage.breaking()
        service.silent = True
        stage.broke(f"the LLM on port {port} takes requests and answers none")
        each = await load_of_retries(port)
        stage.note(
            f"{QUESTIONS} questions with {ATTEMPTS} tries each and no breaker: {each:.2f} requests for each, for the"
            f" budget of retries was spent; without it there would be {ATTEMPTS}"
        )
        if each > MOST_REQUESTS_EACH:
            msg = f"retries make {each:.2f} requests of each question, more than {MOST_REQUESTS_EACH}"
            raise Missing(msg)
        llm = mode.get_circuit_breaker(LLM)
        sent = rejected = 0
        for _ in range(2 * THRESHOLD):
            try:
                await llm.call(ask, port, TIMEOUT_S)
            except NoAnswer as error:
                sent += 1
                await mode.handle_failure(error, {"component": LLM})
            except CircuitOpen:
                rejected += 1
        await stage.noticed("breaker.opened", lambda event: event.service == LLM)
        chosen = await stage.chosen("wait_for_breaker", LLM, because="the circuit opened")
        stage.note(f"of {2 * THRESHOLD} more questions {sent} were sent; {rejected} were turned away at once")
        service.silent = False
        answer = ""
        while not answer:
            try:
                answer = await llm.call(ask, port, PATIENT_S)
            except CircuitOpen as error:
                await asyncio.sleep(error.retry_after_s)
        closed = await stage.did("worked", "breaker.closed", lambda event: event.service == LLM)
        stage.works(f"the LLM answers again: {answer}")
        stage.told(chosen)
        stage.told(closed, of=closed.cause)
        return stage.account()


async def load_of_retries(port: int) -> float:
    """Requests that are made for each question, while every one fails and no breaker holds any back."""
    retry = Retry(attempts=ATTEMPTS, first_s=0.05, cap_s=0.1, budget=RetryBudget())
    free = asyncio.Semaphore(AT_ONCE)
    made = 0

    async def request() -> str:
        nonlocal made
        made += 1
        return await ask(port, TIMEOUT_S)

    async def question() -> None:
        async with free:
            with contextlib.suppress(OSError):
                await retry.call(request)

    await asyncio.gather(*(question() for _ in range(QUESTIONS)))
    return made / QUESTIONS
