"""Nobody listens on the site's port any more; the agent tries again, later each time, until somebody does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from lrm_actors.demo.scenarios.account import Account
from lrm_actors.demo.scenarios.services import Service, ask, bound_socket, port_of
from lrm_actors.demo.scenarios.stage import Missing, Stage

SITE = "site"
TIMEOUT_S = 10.0
REFUSED = 2
"""Tries that fail before somebody listens again."""
MOST_TRIES = 6


async def run(directory: Path, say: Callable[[str], None]) -> Account:
    """Have connections refused, for real: the port is bound, and nobody listens on it."""
    stage = Stage("network", directory, say)
    mode = stage.mode
    async with contextlib.AsyncExitStack() as held, stage:
        bound = held.enter_context(bound_socket())
        stage.breaking()
        stage.broke(f"nobody listens on port {port_of(bound)}, where the site should be")
        waits: list[float] = []
        read_to = 0
        async with mode.step("fetch the prices") as step:
            while not step.result:
                try:
                    step.result = {"prices": await ask(port_of(bound), TIMEOUT_S)}
                except OSError as error:
                    if len(waits) == MOST_TRIES:
                        raise Missing(f"no answer in {MOST_TRIES} tries: {error}") from error
                    strategy = await mode.handle_failure(error, {"component": SITE})
                    waits.append(strategy.delay_s)
                    if len(waits) == 1:
                        await stage.noticed("analyzer.failure_recorded", lambda event: event.component == SITE)
                    last = await stage.chosen(strategy, SITE, after=read_to)
                    read_to = last.position
                    if len(waits) == REFUSED:
                        await held.enter_async_context(Service().on(bound))
                    await asyncio.sleep(strategy.delay_s)
        told = ", then ".join(f"{wait_s:.1f} s" for wait_s in waits)
        stage.note(
            f"{len(waits)} tries were refused; it waited {told}: each time up to twice as long, some of it chance"
        )
        await stage.did("worked", "journal.step_committed")
        stage.told(last, of=last.cause)
        return stage.account()
