"""A browser that is brought back while the run is to end: nothing waits for it any more, whatever it is at."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from lrm_actors.adapters.browser_use import keeping
from lrm_actors.adapters.browser_use.browser_errors import BrowserUnreachable
from lrm_actors.adapters.browser_use.keeping import BrowserKeeper, HealStopped
from lrm_actors.errors import CircuitOpen

FOREVER_S = 1e6


async def hangs() -> Any:
    """A browser that neither starts nor fails."""
    await asyncio.sleep(FOREVER_S)


async def fails() -> Any:
    """One that cannot be started now: it is tried again, after a pause that grows."""
    raise BrowserUnreachable("", "not now")


def rejects(function: Any, *args: Any) -> Awaitable[Any]:
    """The breaker of the browser is open, and stays so."""
    raise CircuitOpen("browser", retry_after_s=FOREVER_S)


def passes(function: Callable[..., Awaitable[Any]], *args: Any) -> Awaitable[Any]:
    """It is closed."""
    return function(*args)


async def lost(error: BaseException) -> None:
    """Nobody has to know."""


def keeper_of(ensure: Any, call: Any = passes) -> BrowserKeeper:
    """A keeper of a browser that is brought back in this way."""
    browser: Any = SimpleNamespace(ensure=ensure, owned=True, alive=lambda: False)
    breaker: Any = SimpleNamespace(call=call)
    return BrowserKeeper(browser, lambda url: None, breaker=breaker, attempts=lambda: 10**6, on_lost=lost)


WAITS: dict[str, tuple[Any, Any]] = {
    "the start hangs": (hangs, passes),
    "between two tries": (fails, passes),
    "the breaker is open": (hangs, rejects),
}


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("how", ["open", "heal"])
def test_a_heal_under_way_ends_when_the_run_is_to(monkeypatch: pytest.MonkeyPatch, wait: str, how: str) -> None:
    """It went on for as long as its tries took, half a minute each and more, and the run did not end."""
    monkeypatch.setattr(keeping, "FIRST_PAUSE_S", FOREVER_S)
    monkeypatch.setattr(keeping, "MOST_PAUSE_S", FOREVER_S)
    ensure, call = WAITS[wait]
    ended: list[str] = []

    async def ensured() -> Any:
        try:
            return await ensure()
        finally:
            ended.append("undone")

    async def main() -> None:
        keeper = keeper_of(ensured, call)
        if how == "heal":
            keeper.lost = True
            keeper.session = SimpleNamespace(is_cdp_connected=False, stop=lambda: asyncio.sleep(0))
        healing = asyncio.ensure_future(getattr(keeper, how)({}))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not healing.done()
        keeper.halt()
        with pytest.raises(HealStopped):
            await healing
        assert not asyncio.all_tasks() - {asyncio.current_task()}
        with pytest.raises(HealStopped):
            await keeper_halted(keeper)

    async def keeper_halted(keeper: BrowserKeeper) -> None:
        keeper.browser.ensure = hangs  # type: ignore[method-assign]  # the supervisor restarts it meanwhile
        await keeper.bring_back()

    asyncio.run(main())
    assert (["undone"] if call is passes else []) == ended


def test_what_does_not_end_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a bound: a thread of it may hang on a disk."""
    monkeypatch.setattr(keeping, "HALT_S", 0.01)
    let_go = asyncio.Event()

    async def stubborn() -> Any:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    async def main() -> None:
        keeper = keeper_of(stubborn)
        healing = asyncio.ensure_future(keeper.open({}))
        await asyncio.sleep(0)
        keeper.halt()
        with pytest.raises(HealStopped):
            await healing
        let_go.set()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    asyncio.run(main())
