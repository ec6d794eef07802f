"""Looking at the actors of one system while they run, and holding them still: the manner of OTP's ``sys``.

Reads what the actors publish of themselves and asks none of them, so it answers while every one hangs; only suspending
and resuming go to an actor, over its control lane. Every call returns at once but ``suspend``, which has a timeout.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from lrm_actors.domain.children import ACTOR
from lrm_actors.domain.given import is_number, is_text, is_whole
from lrm_actors.errors import ActorStopped, AskTimeout, SettingsError
from lrm_actors.runtime.control import STARTING, STOPPED, SUSPENDED, Resume, Suspend
from lrm_actors.runtime.effects import EffectJob
from lrm_actors.runtime.inspection.records import (
    ActorCounts,
    ActorStatus,
    AskStatus,
    EffectStatus,
    InHand,
    MailboxStatus,
    SupervisedStatus,
    TimerStatus,
    ZombieStatus,
)
from lrm_actors.runtime.inspection.stacks import stack_of
from lrm_actors.runtime.inspection.tracing import MAX_TRACE_KEPT, TRACE_KEPT, TraceEntry
from lrm_actors.runtime.machine import here

if TYPE_CHECKING:
    from lrm_actors.runtime.shell import Shell
    from lrm_actors.runtime.system import ActorSystem

logger = logging.getLogger(__name__)

SUSPEND_TIMEOUT_S = 5.0
MOST_S = 86_400.0
"""Seconds that somebody may wait for an actor to be suspended."""
STACK_AFTER_S = 0.25
"""Seconds that an actor or an effect is at the same thing before its stack is shown unasked."""
TIMERS_SHOWN = 20
NAME_LIMIT = 200
"""Characters of a name, a key or an id that are shown: they come from outside."""
_TRIES = 20

T = TypeVar("T")


class Inspection:
    """What can be seen of a system, and its actors held. ``system.inspection`` is one."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system

    # --- one actor ----------------------------------------------------------------------------------------------

    def get_state(self, name: str) -> Any:
        """The committed state of an actor: an immutable object, the newest that is in the log.

        Raises:
            NoSuchActor: there is none of this name.
        """
        return self._system.state(name)

    def get_status(self, name: str, *, stack: bool = False) -> ActorStatus:
        """What an actor is doing.

        Args:
            name: the actor.
            stack: also of one that has only just begun, or does nothing.

        Raises:
            NoSuchActor: there is none of this name.
        """
        return self.status_among(self.children(), name, stack=stack)

    def status_among(self, children: Mapping[str | None, tuple[str, ...]], name: str, *, stack: bool) -> ActorStatus:
        """The same for whoever tells of many, and has looked at ``children`` once for all of them."""
        system = self._system
        shell = system.shell(name)
        now_s = system.clock.monotonic()
        counters = shell.counters
        in_hand = _in_hand(shell, now_s)
        stuck = shell.phase == STARTING or (in_hand is not None and in_hand.age_s >= STACK_AFTER_S)
        last = counters.last_error
        return ActorStatus(
            name=name,
            parent=self._parent(name),
            children=children.get(name, ()),
            phase=shell.phase,
            version=shell.published.version,
            epoch=shell.epoch,
            mailbox=_mailbox(shell),
            in_hand=in_hand,
            restarts=counters.restarts,
            failures=counters.failures,
            last_error=last,
            last_error_age_s=None if last is None else max(0.0, now_s - last.at_s),
            supervised=self.supervised(name),
            timers=self._timers(shell, now_s),
            stack=stack_of(shell.thread_id) if stack or stuck else (),
        )

    def statistics(self, name: str) -> ActorCounts:
        """What an actor has counted since the system started. Always on: it costs a few additions for each turn.

        Raises:
            NoSuchActor: there is none of this name.
        """
        counted = self._system.shell(name).counters
        return ActorCounts(
            name=name,
            messages=counted.messages,
            replies=counted.replies,
            events=counted.events,
            effects=counted.effects,
            turns=counted.turns,
            turn_s=counted.turn_s,
            longest_turn_s=counted.longest_turn_s,
            largest_turn=counted.largest_turn,
            failures=counted.failures,
            restarts=counted.restarts,
        )

    def stack(self, name: str) -> tuple[str, ...]:
        """Where the thread of an actor is now; empty when it has ended. Source lines, no values.

        Raises:
            NoSuchActor: there is none of this name.
        """
        return stack_of(self._system.shell(name).thread_id)

    # --- holding ------------------------------------------------------------------------------------------------

    def suspend(self, name: str, *, timeout_s: float = SUSPEND_TIMEOUT_S) -> None:
        """Have an actor handle no message until ``resume``, and wait until it has finished what it has in hand.

        Messages wait, asks until their timeout. Whoever stops the system resumes it first; a restart does too. The
        health is at least a warning meanwhile. Suspending a suspended actor does nothing.

        Raises:
            SettingsError: the timeout is no number of seconds.
            NoSuchActor, ActorStopped: there is none of this name, or not any more.
            CommandRefused: it does not run: it has failed, or waits for the log.
            AskTimeout: it did not finish in time. It is not suspended.
        """
        system = self._system
        shell = system.shell(name)
        if not is_number(timeout_s) or not 0 <= timeout_s <= MOST_S:  # before the actor is held, and not after
            raise SettingsError("timeout_s", timeout_s, f"a number of seconds from 0 to {MOST_S:,.0f}")
        if shell.phase == STOPPED:
            raise ActorStopped(f"{name} has stopped", actor=name)
        reply = here().reply(name)
        shell.mailbox.command(Suspend(reply))
        try:
            reply.get(timeout=timeout_s)
        except AskTimeout:
            shell.mailbox.command(Resume())  # behind the other in the same lane: when it comes to both, it goes on
            raise
        logger.warning("%s is suspended: its messages wait until it is resumed", name)

    def resume(self, name: str) -> None:
        """Have a suspended actor go on with the messages that wait. Does nothing to one that is not.

        Raises:
            NoSuchActor: there is none of this name.
        """
        shell = self._system.shell(name)
        if shell.phase != STOPPED:
            shell.mailbox.command(Resume())
            logger.warning("%s is resumed", name)

    def suspended(self) -> tuple[str, ...]:
        """Names of the actors that are suspended now."""
        return tuple(name for name in self._system.shells() if self._system.phase(name) == SUSPENDED)

    # --- tracing ------------------------------------------------------------------------------------------------

    def trace(self, actors: Iterable[str] | None = None, *, keep: int = TRACE_KEPT, bodies: bool = False) -> None:
        """Keep the newest messages, events and replies from now on, in memory; begin anew if that is done already.

        Args:
            actors: names, not necessarily of actors that are there already; None: all of them.
            keep: entries, from 1 to 10,000; older ones are let go.
            bodies: keep what is in them too, as text. They may hold secrets; types and ids do not.

        Raises:
            SettingsError: ``keep`` is out of range, or the actors are no names.
        """
        if not is_whole(keep) or not 1 <= keep <= MAX_TRACE_KEPT:
            raise SettingsError("keep", keep, f"a whole number from 1 to {MAX_TRACE_KEPT}")
        names = _names(actors)
        self._system.tracer.start(names, keep=keep, bodies=bodies)

    def stop_trace(self) -> None:
        """Keep nothing more. What was kept can be read until the next ``trace``."""
        self._system.tracer.stop()

    def traced(self, last: int | None = None) -> tuple[TraceEntry, ...]:
        """What is kept, oldest first.

        Args:
            last: only the newest so many.

        Raises:
            SettingsError: that is no number.
        """
        if last is not None and not is_whole(last):
            raise SettingsError("last", last, "a whole number, or None")
        return self._system.tracer.entries(last)

    @property
    def tracing(self) -> bool:
        """Whether a trace is on."""
        return self._system.tracer.active

    # --- the system ---------------------------------------------------------------------------------------------

    def dump(self, actor: str | None = None) -> dict[str, Any]:
        """The whole system at this moment as JSON data, ``lrm.dump/1``; see ``dumping.dump``."""
        from lrm_actors.runtime.inspection.dumping import dump

        return dump(self._system, actor=actor)

    def tree(self) -> str:
        """The same as text."""
        from lrm_actors.runtime.inspection.rendering import lines_of

        return "\n".join(lines_of(self.dump()))

    def effects(self) -> tuple[EffectStatus, ...]:
        """What the workers are carrying out, the oldest first, with the stack of what takes long."""
        now_s = self._system.clock.monotonic()
        found = []
        for job in self._system.running_effects():
            age_s = max(0.0, now_s - job.since_s)
            stack = stack_of(job.thread_id) if age_s >= STACK_AFTER_S else ()
            effect = job.job if isinstance(job.job, EffectJob) else None
            about = ("", type(job.job).__name__) if effect is None else (effect.actor, type(effect.effect).__name__)
            found.append(EffectStatus(*about, age_s, stack))
        return tuple(sorted(found, key=lambda one: -one.age_s))

    def asks(self) -> tuple[int, AskStatus | None]:
        """How many asks wait for their answer, and the one that has waited longest."""
        pending = self._system.pending_asks
        oldest = steadily(lambda: next(iter(pending.items()), None))
        if oldest is None:
            return 0, None
        reply, (kind, since_s) = oldest
        age_s = max(0.0, self._system.clock.monotonic() - since_s)
        return max(1, len(pending)), AskStatus(reply.actor, kind, age_s, reply.command_id[:NAME_LIMIT])

    def supervised(self, name: str) -> SupervisedStatus | None:
        """What the supervisor of an actor has on record of it; None when it has nothing, or there is none."""
        parent = self._parent(name)
        state = None if parent is None else self._system.state(parent)
        record = getattr(state, "children", {}).get(f"{ACTOR}:{name}")
        if record is None:
            return None
        return SupervisedStatus(str(record.status), int(record.attempt), str(record.last_error))

    def zombies(self) -> tuple[ZombieStatus, ...]:
        """The threads that hang in a handler though their actor has a successor, the oldest first."""
        now_s = self._system.clock.monotonic()
        found = []
        for shell in self._system.zombies():
            in_hand = _in_hand(shell, now_s)
            age_s, handling = (0.0, "") if in_hand is None else (in_hand.age_s, in_hand.type)
            found.append(ZombieStatus(shell.spec.name, age_s, handling, stack_of(shell.thread_id)))
        return tuple(sorted(found, key=lambda one: -one.age_s))

    def _parent(self, name: str) -> str | None:
        return self._system.supervisor_of(name)

    def children(self) -> dict[str | None, tuple[str, ...]]:
        """Each supervisor's actors, in start order; those of the guardian under None."""
        found: dict[str | None, list[str]] = {}
        for name in self._system.shells():
            found.setdefault(self._parent(name), []).append(name)
        return {parent: tuple(names) for parent, names in found.items()}

    def _timers(self, shell: Shell, now_s: float) -> tuple[TimerStatus, ...]:
        pending = steadily(shell.pending_timers)
        if pending is None:
            return ()
        next_ones = sorted(pending, key=lambda one: one[1])[:TIMERS_SHOWN]
        return tuple(TimerStatus(key[:NAME_LIMIT], due_s - now_s) for key, due_s in next_ones)


def steadily(read: Callable[[], T]) -> T | None:
    """What is read from a dictionary that others change meanwhile: tried again a few times, then None."""
    for _ in range(_TRIES):
        try:
            return read()
        except RuntimeError:  # it changed its size
            continue
    return None


def _mailbox(shell: Shell) -> MailboxStatus:
    mailbox = shell.mailbox
    return MailboxStatus(
        depth=mailbox.depth(),
        capacity=mailbox.capacity,
        oldest_age_s=mailbox.oldest_age_s(),
        stashed=len(mailbox.stashed),
        dropped=mailbox.dropped,
        dead_letters=mailbox.dead_letters,
        closed=mailbox.closed,
    )


def _names(given: object) -> list[str] | None:
    """Names of actors as they were given: one, several, or None for all."""
    if given is None:
        return None
    several = list(given) if isinstance(given, Iterable) and not is_text(given) else [given]
    names = [one for one in several if is_text(one)]
    if len(names) < len(several):
        raise SettingsError("actors", given, "names of actors, or None")
    return names


def _in_hand(shell: Shell, now_s: float) -> InHand | None:
    """What a shell is at: in pure code, or in the append after it."""
    hand, batch = shell.hand, shell.mailbox.in_hand
    entered_s, busy_s = hand.since_s, shell.busy_since_s
    since_s = entered_s if entered_s is not None else busy_s
    if since_s is None:
        return None
    envelope, delivery = (None, None) if entered_s is None else (hand.message(), hand.delivery)
    if envelope is not None:
        kind = type(envelope.message).__name__
    elif entered_s is None:
        kind = "append"
    else:
        kind = "recover" if delivery is None else str(getattr(delivery, "record", delivery).type)
    command_id = None if envelope is None or envelope.command_id is None else envelope.command_id[:NAME_LIMIT]
    asked = envelope is not None and envelope.reply_to is not None
    return InHand(kind, max(0.0, now_s - since_s), command_id, asked, len(batch))
