"""What others see of an actor that is on its way back: no second failure, and the state that it had committed."""

from __future__ import annotations

import threading

import pytest

from eventstore.memory import MemoryStore
from lrm_actors.domain import supervisor
from lrm_actors.domain.behavior import NOTHING, Context, Decision
from lrm_actors.errors import HandlerFailed
from lrm_actors.runtime.clock import ManualClock
from lrm_actors.runtime.guardian import LOOK_AGAIN_S
from tests.runtime.support import PATIENCE_S, Add, Count, FailingStore, Raise, counter, eventually, running
from tests.runtime.test_deaths import Escape


def test_a_restart_that_takes_long_is_not_another_failure() -> None:
    """An actor that is still recovering when the guardian looks again is restarted once, and not given up."""
    clock, store = ManualClock(), MemoryStore()
    recovering, go_on = threading.Event(), threading.Event()
    go_on.set()

    def recover(_state: Count, _ctx: Context) -> Decision:
        recovering.set()
        go_on.wait(PATIENCE_S)
        return NOTHING

    with running(supervisor.spec(), counter(recover=recover), store=store, clock=clock) as system:
        system.ask_blocking("supervisor", supervisor.StartSupervising(("actor:counter",), 1))
        recovering.clear()
        go_on.clear()
        with pytest.raises(HandlerFailed):
            system.ask_blocking("counter", Raise(ValueError))
        eventually(lambda: system.state("supervisor").children["actor:counter"].status == "backoff")
        eventually(lambda: len(clock._schedule._calls) >= 2)  # its restart, and the guardian's next look
        clock.advance(1.0)
        assert recovering.wait(PATIENCE_S)
        handled = system._shells["supervisor"].handled
        clock.advance(LOOK_AGAIN_S)
        eventually(lambda: system._shells["supervisor"].handled > handled)
        go_on.set()
        eventually(lambda: system.state("supervisor").children["actor:counter"].status == "running")
        types = [record.type for record in store.read_stream("supervisor")]
        assert (1, 1) == (types.count("supervisor.child_failed"), types.count("supervisor.child_restarted"))


def test_an_actor_whose_thread_died_still_shows_the_state_it_had_committed() -> None:
    """Until it is back, readers see its last committed state, not its first."""
    with running(supervisor.spec(), counter(), clock=ManualClock()) as system:
        assert 5 == system.ask_blocking("counter", Add(5))
        system._shells["counter"].mailbox.command(Escape(SystemExit()))
        eventually(lambda: system.phase("counter") == "failed")
        assert 5 == system.state("counter").total


def test_who_was_given_up_in_an_append_of_unknown_outcome_is_stopped_all_the_same() -> None:
    """The effect of that turn was not carried out; recovery takes it up, so that asks to the actor end."""
    clock, store = ManualClock(), FailingStore()
    policy = supervisor.RestartPolicy(intensity=0)
    with running(supervisor.spec(policy), counter(), store=store, clock=clock) as system:
        system.ask_blocking("supervisor", supervisor.StartSupervising(("actor:counter",), 1))
        store.unknown = "stored"
        system.tell("counter", Raise(ValueError))
        eventually(lambda: system.state("supervisor").children["actor:counter"].status == "given_up")
        eventually(lambda: system.phase("supervisor") == "running")
        assert "failed" == system.phase("counter")
        clock.advance(supervisor.RECOVERY_GRACE_S)
        eventually(lambda: system.phase("counter") == "stopped")
