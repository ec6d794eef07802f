"""What goes over an actor's control lane, what its shell works with, and where it reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import attrs

from eventstore.frozen import frozen
from eventstore.protocol import EventStore
from lrm_actors.domain.behavior import Command, Effect
from lrm_actors.runtime.clock import Clock
from lrm_actors.runtime.inspection.tracing import Tracer
from lrm_actors.runtime.recovery import RecoveryGate
from lrm_actors.runtime.reply import Reply
from lrm_actors.runtime.workers import Workers

STARTING, RUNNING, FAILED, NO_STORAGE, STOPPED = "starting", "running", "failed", "no_storage", "stopped"
SUSPENDED = "suspended"
HALTED = "halted"
"""Stopped by its supervisor until it is started again."""

Handler = Callable[[Any], Command | None]
"""Carries out one kind of effect, on a worker thread; what it returns goes back to the actor that decided it."""


class Funnel(Protocol):
    """Where a shell reports what it cannot deal with itself. The guardian is one. Calls are quick and never raise."""

    def actor_failed(self, name: str, kind: str, error: BaseException, handling: str) -> None:
        """An actor failed and waits to be restarted. ``kind``: start, told, asked, wired, effect, stream."""

    def storage_failed(self, name: str, error: BaseException) -> None:
        """An actor could not append and waits for the log."""

    def fenced(self, name: str, error: BaseException) -> None:
        """An actor's stream or log belongs to somebody newer; it has ended itself."""

    def ended_normally(self, name: str, reason: str) -> None:
        """An actor has stopped itself, as it decided: no failure."""

    def thread_ended(self, name: str, death: BaseException | None) -> None:
        """An actor's thread is gone. ``death`` is None when it was stopped."""


@frozen
class Services:
    """What a shell works with."""

    store: EventStore
    clock: Clock
    workers: Workers
    handlers: Mapping[type[Effect], Handler]
    funnel: Funnel
    new_id: Callable[[], str]
    random: Callable[[], float]
    tracer: Tracer
    recoveries: RecoveryGate = attrs.field(factory=RecoveryGate)


@frozen
class Restart:
    """Load the state again and go on with the mailbox. Answered with the seconds it took."""

    reply: Reply | None = None


@frozen
class TakeSnapshot:
    """Store the state as it is. Answered with its version, or with None where that cannot be done now."""

    reply: Reply | None = None


@frozen
class StorageBack:
    """The log can be written again, and every outcome is settled."""


@frozen
class Stop:
    """End in order. In the ordinary lane: after what waits there."""

    reply: Reply | None = None


@frozen
class Suspend:
    """Handle no message until ``Resume``. Answered when that holds."""

    reply: Reply


@frozen
class Resume:
    """Go on with the messages that wait. Nothing happens to an actor that is not suspended."""


@frozen
class Halt:
    """Handle nothing until the next ``Restart``; what waits stays, and what comes waits too."""

    reply: Reply


@frozen
class GoOn:
    """Go on after a failure with the committed state, without loading it."""


@frozen
class EffectEscaped:
    """An effect's handler raised what it should have dealt with."""

    effect: str
    error: BaseException
