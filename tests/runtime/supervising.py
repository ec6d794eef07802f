"""Trees of counters over a real store, for the tests of supervision with threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from lrm_actors.domain import supervisor
from lrm_actors.domain.behavior import Command, Context, Decision, Spec, then
from lrm_actors.domain.supervisor import ChildSpec, RestartPolicy, Supervision
from lrm_actors.errors import HandlerFailed
from lrm_actors.runtime.system import ActorSystem
from tests.runtime.support import Count, Look, Raise, counter, eventually
from tests.runtime.support import decide as decide_as_counter

SOON = RestartPolicy(backoff_initial_s=0.001, backoff_max_s=0.01, intensity=20)
STEPS = {
    "supervisor.hold_started": "stop",
    "supervisor.restart_started": "start",
    "supervisor.child_resumed": "resume",
    "supervisor.child_stopped": "end",
}


class Finish(Command):
    """A command on which a counter decides that it is done."""


def finishing(state: Count, command: Any, ctx: Context) -> Decision:
    """A counter that can be done."""
    return then(stop="it is done") if isinstance(command, Finish) else decide_as_counter(state, command, ctx)


def counters(*names: str) -> list[Spec[Any]]:
    """Counters that can be done."""
    return [Spec(name, Count(), finishing, counter().evolve) for name in names]


def root(
    *children: ChildSpec | str, policy: RestartPolicy = SOON, name: str = "supervisor", **options: Any
) -> Spec[Any]:
    """A supervisor of these actors."""
    specs = tuple(ChildSpec(f"actor:{one}") if isinstance(one, str) else one for one in children)
    return supervisor.spec(policy, name=name, supervision=Supervision(children=specs, **options))


@contextmanager
def supervised(store: Any, *specs: Spec[Any], **options: Any) -> Iterator[ActorSystem]:
    """A started system whose supervisors know their children."""
    system = ActorSystem(store, specs, **options)
    system.start()
    try:
        yield system
    finally:
        system.stop(deadline_s=2.0)


def steps(store: Any, stream: str = "supervisor") -> list[str]:
    """What a supervisor did with its children, as its log has it: ``stop c``, ``start a``."""
    return [
        f"{STEPS[record.type]} {record.event.child.partition(':')[2]}"
        for record in store.read_stream(stream)
        if record.type in STEPS
    ]


def statuses(system: ActorSystem, name: str = "supervisor") -> dict[str, str]:
    """What the children of a supervisor are doing."""
    children = system.state(name).children
    return {child.partition(":")[2]: children[child].status for child in children}


def fail(system: ActorSystem, name: str, error: type[BaseException]) -> None:
    """Have an actor fail on something that is not tried again: it was asked."""
    with pytest.raises(HandlerFailed):
        system.ask_blocking(name, Raise(error))


def all_up(system: ActorSystem, names: Sequence[str], supervisor: str = "supervisor") -> None:
    """Wait until these run, and answer."""
    eventually(lambda: all(statuses(system, supervisor).get(name) == "running" for name in names), f"{names} are up")
    for name in names:
        system.ask_blocking(name, Look())
