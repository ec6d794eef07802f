"""What we rely on of pykka beyond its public interface. A pykka that changes it fails here, by name."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import Any

import pykka
import pytest
from pykka import _ref, messages
from pykka._envelope import Envelope as PykkaEnvelope

from lrm_actors.errors import ActorStopped, AskTimeout, HandlerFailed
from lrm_actors.runtime.actor import Actor, Ref, UnregisteredActor
from lrm_actors.runtime.envelope import Envelope
from lrm_actors.runtime.mailbox import Mailbox
from lrm_actors.runtime.reply import Reply
from tests.runtime.support import PATIENCE_S


class Echo(Actor):
    """Sends back what it gets; raises what it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[BaseException] = []

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, BaseException):
            raise message
        return message

    def on_error(self, error: BaseException, message: Any) -> None:
        self.errors.append(error)


def test_the_private_hooks_we_override_exist_and_take_what_we_think() -> None:
    """``_actor_loop``, ``_create_actor_inbox`` and ``_create_future`` are there with these signatures."""
    assert ["self"] == list(inspect.signature(pykka.ThreadingActor._actor_loop).parameters)
    assert [] == list(inspect.signature(pykka.ThreadingActor._create_actor_inbox).parameters)
    assert [] == list(inspect.signature(pykka.ThreadingActor._create_future).parameters)
    assert "daemon" in inspect.getsource(pykka.ThreadingActor._start_actor_loop)


def test_a_ref_copies_inbox_and_stopped_flag_of_its_actor() -> None:
    """A shell that is given a mailbox makes its ref anew, because the ref copied the first inbox."""
    actor = Echo()
    first = actor.actor_ref
    actor.actor_inbox = Mailbox("other")
    assert first.actor_inbox is not actor.actor_inbox
    assert pykka.ActorRef(actor).actor_inbox is actor.actor_inbox
    assert first.actor_stopped is actor.actor_stopped


def test_our_envelope_has_the_fields_of_pykkas() -> None:
    """Messages sent through pykka's own ref arrive as ``message`` and ``reply_to``."""
    assert {"message", "reply_to"} == set(PykkaEnvelope.__slots__)
    assert {"message", "reply_to"} <= set(Envelope.__struct_fields__)


def test_a_ref_tells_and_asks_through_our_inbox_and_future() -> None:
    """The ``ActorRef`` of pykka works unchanged on our actors, and stop() ends them."""
    ref = Echo.start()
    ref.tell("told")
    assert "asked" == ref.ask("asked", timeout=PATIENCE_S)
    assert isinstance(ref.ask("x", block=False), Reply)
    assert ref.stop(timeout=PATIENCE_S)
    assert not ref.is_alive()


async def awaited(ref: Ref[Any], message: Any, timeout_s: float = PATIENCE_S) -> Any:
    """Ask from an event loop."""
    return await ref.ask_async(message, timeout_s=timeout_s)


def test_a_plain_actor_is_asked_from_an_event_loop_too() -> None:
    """With an answer, a failure that ends neither loop nor actor, and a typed error once it has stopped."""
    ref = Echo.start()
    assert "asked" == asyncio.run(awaited(ref, "asked"))
    with pytest.raises(HandlerFailed):
        asyncio.run(awaited(ref, SystemExit(3)))
    assert ref.stop(timeout=PATIENCE_S)
    with pytest.raises(pykka.ActorDeadError):
        asyncio.run(awaited(ref, "late"))


def test_an_awaited_ask_of_a_plain_actor_ends_in_time_and_when_it_stops() -> None:
    """A handler that blocks costs the asker its time and no more; what waits behind it hears that the actor stopped."""
    entered, release = threading.Event(), threading.Event()

    class Blocked(Actor):
        def on_receive(self, message: Any) -> Any:
            entered.set()
            release.wait(PATIENCE_S)

    ref = Blocked.start()

    async def main() -> tuple[Any, ...]:
        with pytest.raises(AskTimeout):
            await awaited(ref, "blocks", 0.01)
        entered.wait(PATIENCE_S)
        ref.stop(block=False)
        behind = asyncio.ensure_future(awaited(ref, "behind"))
        await asyncio.sleep(0)
        release.set()
        return tuple(await asyncio.gather(behind, return_exceptions=True))

    (behind,) = asyncio.run(main())
    assert isinstance(behind, ActorStopped)


def test_stop_sends_the_message_we_recognise() -> None:
    """``ActorRef.stop`` sends ``_ActorStop``."""
    assert "_ActorStop()" in inspect.getsource(_ref.ActorRef.stop)
    assert messages._ActorStop() is not None


def test_our_actors_are_not_in_the_registry_that_one_system_exit_stops() -> None:
    """A SystemExit in any plain pykka actor stops all registered ones; ours live on."""

    class Foreign(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> Any:
            raise SystemExit

    bystander = pykka.ThreadingActor.start()
    ours = Echo.start()
    assert ours not in pykka.ActorRegistry.get_all()
    Foreign.start().tell("die")
    bystander.actor_stopped.wait(PATIENCE_S)
    assert not bystander.is_alive()
    assert 1 == ours.ask(1, timeout=PATIENCE_S)
    ours.stop()


def test_no_error_ends_a_plain_actor() -> None:
    """SystemExit in a handler goes to its asker, wrapped; from a tell, to ``on_error``; the actor lives on."""
    ref = Echo.start()
    with pytest.raises(HandlerFailed) as failed:
        ref.ask(SystemExit(3), timeout=PATIENCE_S)
    assert "SystemExit" == failed.value.error
    ref.tell(KeyboardInterrupt())
    assert 1 == ref.ask(1, timeout=PATIENCE_S)
    ref.stop()


def test_every_death_of_a_thread_is_told_once() -> None:
    """Whatever escapes the loop itself, ``on_thread_end`` is called exactly once, with it."""
    deaths: list[BaseException | None] = []
    told = threading.Event()

    class Doomed(UnregisteredActor):
        def run(self) -> None:
            raise SystemExit

        def on_thread_end(self, death: BaseException | None) -> None:
            deaths.append(death)
            told.set()

    Doomed.start()
    assert told.wait(PATIENCE_S)
    assert [SystemExit] == [type(death) for death in deaths]
