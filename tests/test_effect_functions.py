"""What may be given to an effect: every kind of function, and what is refused at once, before it is needed."""

from __future__ import annotations

import asyncio
import functools
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from lrm_actors.domain.behavior import Command
from lrm_actors.domain.journal import IntendEffect
from lrm_actors.domain.journaling.book import Recorded
from lrm_actors.effects import Ask, Skip
from lrm_actors.errors import EffectInDoubt, JournalMismatch, SettingsError
from lrm_actors.hosting.effects import wants_key
from tests.test_effects import Killed, World


def passing_on(function: Callable[..., Any]) -> Callable[..., Any]:
    """As a decorator that tries again, or takes the time, has it."""

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return called


def giving(function: Callable[[str], Any]) -> Callable[[], Any]:
    """As a decorator that has the argument has it."""

    @functools.wraps(function)
    def called() -> Any:
        return function("given")

    return called


def test_a_decorated_function_is_handed_the_key_that_it_wants() -> None:
    """It is looked at, and not what the decorator made of it; but where that takes no argument, none is handed over."""
    world = World()
    with world.step():
        world.effect("send", passing_on(world.send))
        assert "given" == world.effect("give", giving(lambda key: key))
        assert "none" == world.effect("none", passing_on(lambda: "none"))
    assert 36 == len(world.keys[0])


def test_an_argument_that_must_be_given_by_name_is_refused_before_anything_is_on_record() -> None:
    """It would fail each time it is called."""
    world = World()

    def send(*, key: str) -> str:
        return key

    with pytest.raises(SettingsError, match="by its name"), world.step():
        world.effect("send", send)
    assert "IntendEffect" not in world.journal.kinds()
    assert not wants_key(functools.partial(send, key="mine"))

    def optional(*, key: str = "mine") -> str:
        return key

    assert not wants_key(optional)


def test_a_function_that_raises_stop_iteration_does_not_hang_the_host() -> None:
    """No future takes it: whoever awaited one would wait for ever."""
    world = World()

    async def main() -> None:
        async with world.async_step():
            await asyncio.wait_for(world.async_effect("next", lambda: next(iter(()))), 30)

    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(main())
    entry = world.state.effects.get("next#1")
    assert entry is not None
    assert "failed" == entry.status


def test_what_skip_is_to_give_is_looked_at_when_it_is_given() -> None:
    """Not in the night in which it is needed."""
    with pytest.raises(SettingsError, match="JSON value"):
        Skip(object())


def test_a_doubt_outlives_a_repetition_that_was_cancelled_before_its_function_was_called() -> None:
    """The function was not called this time, and may have done its work the time before."""
    world = World()
    world.killed_in()
    asked = world.journal.ask_blocking

    def cancelled(to: str, command: Command, **how: Any) -> Any:
        reply = asked(to, command, **how)
        if isinstance(command, IntendEffect):
            raise Killed
        return reply

    world.journal.ask_blocking = cancelled  # type: ignore[method-assign]
    with pytest.raises(Killed), world.step():
        world.effect("send", world.send)
    entry = world.state.effects.get("send#1")
    assert entry is not None
    assert ("in_doubt", 2) == (entry.status, entry.attempt)
    assert ["die"] == world.calls


def test_a_traceback_says_how_to_go_on() -> None:
    """Whoever reads in the night why the agent is started again and again sees the command that helps."""
    world = World()
    world.killed_in(policy=Ask())
    with pytest.raises(JournalMismatch) as mismatch, world.step("another"):
        pass
    assert "lrm effects forget 1" in "".join(traceback.format_exception(mismatch.value))
    with pytest.raises(EffectInDoubt) as doubt, world.step():
        world.effect("send", world.send, Ask())
    assert "lrm effects settle" in "".join(traceback.format_exception(doubt.value))


@pytest.mark.parametrize(("many", "elsewhere"), [(1, True), (2, False)])
def test_the_record_of_many_effects_is_looked_through_beside_the_loop(
    monkeypatch: pytest.MonkeyPatch, many: int, elsewhere: bool
) -> None:
    """A repeated step of ten thousand effects does not hold the host's loop, and asks for all that it has to."""
    monkeypatch.setattr("lrm_actors.hosting.stepping.MANY", many)
    world = World()
    threads: list[int] = []
    on_record = world.stepping.on_record

    def noted(step: int) -> list[Recorded]:
        threads.append(threading.get_ident())
        return on_record(step)

    monkeypatch.setattr(world.stepping, "on_record", noted)

    async def main() -> None:
        with pytest.raises(ValueError, match="later"):
            async with world.async_step():
                await world.async_effect("one", lambda: 1)
                await world.async_effect("two", lambda: 2)
                raise ValueError("later")
        with pytest.raises(JournalMismatch, match="1/two#1"):
            async with world.async_step():
                await world.async_effect("one", lambda: 1)

    asyncio.run(main())
    assert [elsewhere] == [thread != threading.get_ident() for thread in threads]
