"""What an actor's own code must give: a mistake is told by name, and before anything of it is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from eventstore.errors import NotAnEvent
from eventstore.memory import MemoryStore
from lrm_actors.domain.behavior import Command, Effect, Spec, StartTimer, Wire, then
from lrm_actors.errors import BadSpec, HandlerFailed, NoSuchActor, NotACommand, WiringError
from lrm_actors.runtime.checking import RESERVED
from lrm_actors.runtime.system import ActorSystem
from tests.runtime.support import Add, Added, Count, Look, counter, eventually, running

NOTHING: Any = None
NOT_ONE: Any = "shout"


class Do(Command):
    """What the actor makes its mistake on."""


class Shout(Effect):
    """An effect."""


def mistaken(decided: Callable[[], Any]) -> Spec[Any]:
    """A counter that decides on ``Do`` what it must not."""
    sound = counter()
    return Spec("counter", Count(), lambda s, c, x: decided() if isinstance(c, Do) else sound.decide(s, c, x), _evolve)


def _evolve(state: Count, fact: object) -> Any:
    match fact:
        case Added(amount) if amount != 13:
            return counter().evolve(state, fact)
    return None  # as a match without a last line does


@pytest.mark.parametrize(
    ("decided", "message"),
    [
        (lambda: None, "None was decided, which is no Decision"),
        (lambda: Added(1), "Added(amount=1) was decided, which is no Decision"),
        (lambda: then(Added(1), effects=[NOT_ONE]), "'shout' among its effects"),
        (lambda: then(Added(13)), "evolve gave None for Added(amount=13)"),
        (lambda: then(effects=[StartTimer("tea", float("nan"), Do())]), "timer 'tea': its delay is nan"),
        (lambda: then(effects=[StartTimer("tea", NOTHING, Do())]), "timer 'tea': its delay is None"),
        (lambda: then(effects=[StartTimer("tea", 1.0, NOTHING)]), "timer 'tea': None is no Command"),
    ],
    ids=["nothing", "an event", "no effect", "no state", "no number", "no delay", "no command"],
)
def test_a_decision_that_is_none_is_told_by_name_and_stores_nothing(decided: Callable[[], Any], message: str) -> None:
    """The asker hears what was wrong and what to try, and the actor goes on after its restart."""
    with running(mistaken(decided)) as system:
        with pytest.raises(HandlerFailed) as failed:
            system.ask_blocking("counter", Do())
        assert "BadDecision" == failed.value.error
        assert message in failed.value.message
        assert failed.value.hint.endswith("; the command changed nothing")
        assert 0 == system.store.head
        assert 1 == system.ask_blocking("counter", Add(1))


def test_an_actor_that_began_with_none_may_have_none_as_its_state() -> None:
    """Only a state that was something cannot become nothing."""
    spec: Spec[Any] = Spec("counter", None, lambda _s, c, _x: then(Added(c.amount), reply=1), lambda _s, _e: None)
    with running(spec) as system:
        assert 1 == system.ask_blocking("counter", Add(1))


def test_what_a_handler_of_an_effect_gives_back_is_looked_at() -> None:
    """It is not sent to the actor as a message that nobody can handle: the effect failed, by name."""
    wrong: Any = {Shout: lambda _effect: "done"}
    with running(mistaken(lambda: then(effects=[Shout()])), handlers=wrong) as system:
        system.ask_blocking("counter", Do())
        eventually(lambda: system.inspection.get_status("counter").last_error is not None)
        last = system.inspection.get_status("counter").last_error
        assert last is not None
        assert ("effect", "the handler of Shout gave 'done', which is no Command") == (last.kind, last.message)


def test_only_commands_are_sent() -> None:
    """Anything else is refused where it is sent, and no actor fails on it."""
    with running(counter()) as system:
        for wrong in ("text", Add, None):
            not_one: Any = wrong
            with pytest.raises(NotACommand):
                system.tell("counter", not_one)
            with pytest.raises(NotACommand):
                system.ask_blocking("counter", not_one)
        assert 0 == system.statistics().actors[0].failures


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": 3},
        {"decide": None},
        {"evolve": "evolve"},
        {"initial": Count},
        {"recover": 1},
        {"mailbox_block_s": "1"},
        {"hung_after_s": "60"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_spec_that_cannot_be_is_refused_when_it_is_made(wrong: dict[str, Any]) -> None:
    """Named with the field and what is allowed, and not by whatever would trip over it later."""
    sound = counter()
    whole: dict[str, Any] = {"name": "a", "initial": Count(), "decide": sound.decide, "evolve": sound.evolve}
    with pytest.raises(BadSpec) as refused:
        Spec(**{**whole, **wrong})
    assert next(iter(wrong)) == refused.value.field


def test_a_wire_that_cannot_be_is_refused_when_it_is_made() -> None:
    """A class without its decorator, a place that is none, a function that is none."""
    with pytest.raises(NotAnEvent):
        Wire(Count, to="counter", make=lambda _fact, _record: None)
    with pytest.raises(WiringError, match="'now' is no place"):
        Wire(Added, to="counter", make=lambda _fact, _record: None, start="now")
    with pytest.raises(WiringError, match="is no function"):
        Wire(Added, to="counter", make=NOTHING)


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_no_actor_has_the_name_of_a_stream_of_the_runtime(name: str) -> None:
    """Two would write to one stream."""
    with pytest.raises(WiringError, match=f"cannot be named {name}"):
        ActorSystem(MemoryStore(), [counter(name)])


def test_actors_and_handlers_that_are_none_are_refused() -> None:
    """Before anything runs."""
    one: Any = counter()
    named: Any = ["counter"]
    for specs, handlers in ((one, {}), (named, {}), ([one], {"Shout": print}), ([one], {Shout: 1})):
        given: Any = handlers
        with pytest.raises(WiringError):
            ActorSystem(MemoryStore(), specs, handlers=given)


def test_who_is_there_is_said_where_somebody_is_not() -> None:
    """A typing error shows at once; before the start, that is what is missing."""
    system = ActorSystem(MemoryStore(), [counter()])
    with pytest.raises(NoSuchActor) as early:
        system.state("counter")
    system.stop()
    assert "start() the system first" == early.value.hint
    with running(counter()) as system, pytest.raises(NoSuchActor, match="'countre'; there are counter"):
        system.ask_blocking("countre", Look())
