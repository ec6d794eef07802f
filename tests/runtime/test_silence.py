"""An ask whose time ran out says what the actor was at: whoever reads it at night knows where to look."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from lrm_actors.domain.behavior import Decision, Spec, stash
from lrm_actors.errors import AskTimeout, HandlerFailed
from lrm_actors.runtime.clock import ManualClock
from tests.runtime.support import PATIENCE_S, Add, Count, Look, Raise, Wait, counter, running


def test_it_failed_and_waits_for_its_restart() -> None:
    """With what it failed on, of both kinds of asks."""
    with running(counter(), clock=ManualClock()) as system:  # whose time stands: the restart never comes
        for _ in range(2):
            try:
                system.ask_blocking("counter", Raise(KeyError), timeout_s=0.1)
            except (HandlerFailed, AskTimeout):
                continue
        told = "it failed on Raise and waits for its restart: KeyError"
        with pytest.raises(AskTimeout, match=told) as late:
            system.ask_blocking("counter", Look(), timeout_s=0.05)
        assert ("counter", True) == (late.value.actor, bool(late.value.command_id))
        with pytest.raises(AskTimeout, match=told):
            asyncio.run(system.ask("counter", Look(), timeout_s=0.05))


def test_it_has_something_in_hand() -> None:
    """What, and for how long."""
    entered, release = threading.Event(), threading.Event()
    with running(counter()) as system:
        system.tell("counter", Wait(entered, release))
        assert entered.wait(PATIENCE_S)
        try:
            with pytest.raises(AskTimeout, match=r"it has had Wait in hand for \d+\.\d s"):
                system.ask_blocking("counter", Look(), timeout_s=0.05)
        finally:
            release.set()


def test_it_has_put_the_command_off() -> None:
    """Which is no trouble of the actor's."""

    def decide(state: Count, command: Any, ctx: Any) -> Decision:
        return stash() if isinstance(command, Look) else counter().decide(state, command, ctx)

    with running(Spec("counter", Count(), decide, counter().evolve)) as system:
        with pytest.raises(AskTimeout, match="it has put the command off"):
            system.ask_blocking("counter", Look(), timeout_s=1.0)
        assert 1 == system.ask_blocking("counter", Add(1))


def test_it_is_suspended() -> None:
    """By whoever looks at it."""
    with running(counter()) as system:
        system.inspection.suspend("counter")
        with pytest.raises(AskTimeout, match="it is suspended"):
            system.ask_blocking("counter", Look(), timeout_s=0.05)
