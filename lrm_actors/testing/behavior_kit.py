"""One actor without threads, in a test's hand: run a command, see what comes of it, and have every rule checked.

The commands go through the runtime's own turn and into a store in memory; effects are not carried out. After the manner
of Pekko's ``EventSourcedBehaviorTestKit``.
"""

from __future__ import annotations

import random
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import attrs

from eventstore.memory import MemoryStore
from eventstore.protocol import EventReader
from eventstore.records import ANY_VERSION, Batch, NewEvent, StreamWrite
from lrm_actors.domain.behavior import (
    START,
    Command,
    Context,
    Decision,
    Effect,
    Next,
    RecoveryContext,
    Spec,
    StartTimer,
)
from lrm_actors.domain.contract import check_decision, check_state
from lrm_actors.errors import OutcomeUnknown, StorageUnavailable
from lrm_actors.runtime.clock import ManualClock
from lrm_actors.runtime.envelope import Envelope
from lrm_actors.runtime.recovery import recover_state
from lrm_actors.runtime.turn import Turn
from lrm_actors.testing.checks import CheckFailed
from lrm_actors.testing.folds import check_actor
from lrm_actors.testing.kit_timers import KitTimers
from lrm_actors.testing.storable import (
    check_reply_storable,
    check_state_storable,
    command_through_codec,
    copy_of,
    event_through_codec,
)
from lrm_actors.testing.twice import twice

S = TypeVar("S")
T = TypeVar("T")

FailedAppend: TypeAlias = Literal["nothing stored", "unknown, stored", "unknown, lost"]
"""What comes of an append that fails: certainly nothing, or an unknown outcome that turns out either way."""


@attrs.frozen
class Result(Generic[S]):
    """What a command came to."""

    events: tuple[object, ...]
    state: S
    """After the events."""
    reply: Any
    effects: tuple[Effect, ...]
    """What would be carried out now, timers left out: those are in ``BehaviorKit.timers``."""
    stashed: bool = False
    """The actor has put the command off."""
    unstashes: bool = False
    """What was put off is handled next. Here it is not: run it again."""
    stopped: str | None = None
    """Why the actor ends now, if it does."""
    repeated: bool = False
    """The command had been carried out before: this is the reply that was kept, and nothing happened."""


@attrs.frozen
class Restarted(Generic[S]):
    """What a recovery came to."""

    state: S
    events: tuple[object, ...]
    """What ``recover`` decided on, beside its effects."""
    effects: tuple[Effect, ...]


class BehaviorKit(Generic[S]):
    """Runs the commands of one actor and checks, each time, what every actor must keep.

    Checked are: ``decide`` and ``evolve`` reach no clock, chance, file or socket; they come to the same when they are
    run again; they change neither their arguments nor what is around them; events, reply and state come back from the
    log as they went in, and commands too where they can be stored at all; the state is the fold of the events, with
    each snapshot and without.

    Args:
        spec: the actor.
        clock: the time that decisions see; one that stands still at first where none is given.
        seed: of the chance that decisions draw on.
        store_commands: whether each command must be storable, as dead letters need it to be.
        timers_survive: whether each timer that is not due yet must be pending again after a restart.

    Raises:
        CheckFailed: from every method that runs the actor.
    """

    def __init__(
        self,
        spec: Spec[S],
        *,
        clock: ManualClock | None = None,
        seed: int = 0,
        store_commands: bool = False,
        timers_survive: bool = True,
    ) -> None:
        self.spec = spec
        self.clock = clock if clock is not None else ManualClock()
        self._seed = seed
        self._store_commands = store_commands
        self._timers_survive = timers_survive
        self.clear()

    # --- looking ----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> S:
        """The committed state."""
        return self._state

    @property
    def version(self) -> int:
        """How many events there are."""
        return self._version

    @property
    def events(self) -> tuple[object, ...]:
        """All events, from the first."""
        return tuple(fact for record in self._store.read_stream(self.spec.name) for fact in record.events)

    @property
    def log(self) -> EventReader:
        """The log, with positions, causes, snapshots and replies."""
        return self._store

    @property
    def timers(self) -> dict[str, Command]:
        """The pending timers by key, and the command that each will send."""
        return self._timers.commands()

    def state_at(self, version: int) -> S:
        """The state after the first ``version`` events.

        Raises:
            ValueError: there never was such a version.
        """
        if not 0 <= version <= self._version:
            raise ValueError(f"version {version} is not within 0 and {self._version}")
        state = self.spec.initial
        for fact in self.events[:version]:
            state = self.spec.evolve(state, fact)
        return state

    # --- acting -----------------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Begin anew, with an empty log and no timers. The clock goes on."""
        self._store = MemoryStore(self.clock.now)
        self._epoch = self._store.acquire(self.spec.name).epoch
        self._state: S = self.spec.initial
        self._version = 0
        self._timers = KitTimers(self.clock, self._fire)
        self._fired: list[Result[S]] = []
        self._errors: list[BaseException] = []
        self._failing: FailedAppend | None = None
        self._commands = 0
        self._answered: set[str] = set()
        check_state_storable(self.spec.name, self._state)

    def initialize(self, *events: object) -> S:
        """Begin with a history: append these events as if they had been decided on. Returns the state after them."""
        if events:
            new = tuple([NewEvent(fact) for fact in events])
            self._store.append(Batch((StreamWrite(self.spec.name, new, ANY_VERSION, self._epoch),)))
        for fact in events:
            self._state = self._evolved(self._state, fact)
            self._version += 1
        check_state_storable(self.spec.name, self._state)
        return self._state

    def run(self, command: Command, *, command_id: str | None = None) -> Result[S]:
        """Decide on a command, store what was decided, and adopt it.

        Args:
            command: what the actor shall do.
            command_id: the same id again is a retry, and gets the reply of the first time.

        Raises:
            CommandRefused, CommandUnhandled: the actor refused it, or does not take it now.
            StorageUnavailable, OutcomeUnknown: ``fail_next_append`` was called.
            CheckFailed: the actor breaks a rule.
        """
        receipt = self._store.receipt(command_id) if command_id is not None else None
        if receipt is not None:
            return Result((), self._state, receipt.reply, (), repeated=True)
        self._commands += 1
        taken = command_through_codec(self.spec.name, command, needed=self._store_commands)
        context, again = self._context(command_id), self._context(command_id)
        decision = self._decide_twice(command, taken, context, again)
        result = self._store_and_adopt(decision, context, given_id=command_id is not None, command=command)
        if command_id is not None:
            if command_id in self._answered and (result.events or result.effects):
                found = f"{command!r} led to {[*result.events, *result.effects]} again with the same id"
                raise CheckFailed("retry-repeats", self.spec.name, found)
            self._answered.add(command_id)
        return result

    def restart(self) -> Restarted[S]:
        """Recover from the log as the next process would, and compare.

        Timers are forgotten, unless ``recover`` starts them again.

        Raises:
            CheckFailed: ``recovery-differs``, ``state-is-not-the-fold`` or ``timer-forgotten``, among others.
        """
        pending = self._timers.forget()
        self._check_folds()
        before = self._state
        self._state, self._version = recover_state(self._store, self.spec)
        if self._state != before:
            found = f"recovered {self._state!r}, it was {before!r}"
            raise CheckFailed("recovery-differs", self.spec.name, found)
        recover = self.spec.recover
        restarted = Restarted(self._state, (), ())
        if recover is not None:
            self._commands += 1
            context, again = self._recovery_context(), self._recovery_context()
            decision = twice(self.spec.name, "decide", recover, (self._state, context), (copy_of(self._state), again))
            done = self._store_and_adopt(decision, context, given_id=False)
            restarted = Restarted(done.state, done.events, done.effects)
        forgotten = pending - set(self._timers.commands())
        if forgotten and self._timers_survive:
            found = f"{', '.join(sorted(forgotten))} was pending and is not after a restart"
            raise CheckFailed("timer-forgotten", self.spec.name, found)
        return restarted

    def advance(self, seconds: float) -> tuple[Result[S], ...]:
        """Let time pass. Timers that become due send their commands, each at its own moment; returns their results."""
        self._fired = []
        self.clock.advance(seconds)
        if self._errors:
            errors, self._errors = self._errors, []
            raise errors[0]
        return tuple(self._fired)

    def fail_next_append(self, outcome: FailedAppend = "nothing stored") -> None:
        """Let the next append fail. After an unknown outcome the actor recovers from the log, as the runtime has it."""
        self._failing = outcome

    # --- deciding ---------------------------------------------------------------------------------------------------

    def _context(self, command_id: str | None) -> Context:
        """The same for the same number of commands, with chance and ids of its own."""
        chance = random.Random(f"{self._seed}:{self._commands}")  # noqa: S311 - repeatable on purpose
        ids = iter(range(1, 10**9))
        prefix = f"id-{self._commands}"
        own_id = command_id if command_id is not None else f"command-{self._commands}"

        def draw() -> float:
            return chance.random()

        return Context(
            now=self.clock.now(),
            command_id=own_id,
            correlation_id=own_id,
            random=draw,
            new_id=lambda: f"{prefix}-{next(ids)}",
        )

    def _recovery_context(self) -> RecoveryContext:
        given = self._context(None)
        return RecoveryContext(
            now=given.now,
            command_id=given.command_id,
            correlation_id=given.correlation_id,
            random=given.random,
            new_id=given.new_id,
            why=START,
        )

    def _decide_twice(self, command: Command, taken: Command, context: Context, again: Context) -> Decision:
        state, name = self._state, self.spec.name
        told = repr(command)
        decision = twice(
            self.spec.name, "decide", self.spec.decide, (state, command, context), (copy_of(state), taken, again)
        )
        if repr(command) != told:
            raise CheckFailed("argument-changed", name, f"decide changed its command from {told} to {command!r}")
        return decision

    def _evolved(self, state: S, fact: object) -> S:
        """Fold one event, with every check."""
        told = repr(fact)
        copy = event_through_codec(self.spec.name, fact)
        after = twice(self.spec.name, "evolve", self.spec.evolve, (state, fact), (copy_of(state), copy))
        check_state(self.spec, after, fact)
        if repr(fact) != told:
            raise CheckFailed("argument-changed", self.spec.name, f"evolve changed its event {told}")
        check_state_storable(self.spec.name, after)
        return after

    # --- storing ----------------------------------------------------------------------------------------------------

    def _store_and_adopt(
        self, decision: Decision, context: Context, *, given_id: bool, command: Command | None = None
    ) -> Result[S]:
        check_decision(decision)
        state = self._state
        for fact in decision.events:
            state = self._evolved(state, fact)
        if decision.events:
            check_reply_storable(self.spec.name, decision.reply)
        if repr(self._state) != repr(copy_of(self._state)):
            raise CheckFailed("argument-changed", self.spec.name, f"the state is {self._state!r} now")
        envelope = Envelope(command, command_id=context.command_id)
        envelope.given_id = given_id or bool(decision.events)
        turn = Turn(
            self.spec,
            self._state,
            self._version,
            now=context.now,
            new_id=context.new_id,
            random=context.random,
        )
        turn.add(decision, envelope, context)
        self._append(turn, context.command_id)
        self._state, self._version = turn.state, turn.version
        self._check_folds()
        effects = tuple([effect for effect in decision.effects if not self._is_timer(effect)])
        (outcome,) = turn.outcomes
        if outcome.refused is not None:
            raise outcome.refused
        following = decision.next or Next()
        return Result(
            decision.events,
            self._state,
            decision.reply,
            effects,
            stashed=following.stash,
            unstashes=following.unstash,
            stopped=following.stop,
        )

    def _append(self, turn: Turn, command_id: str) -> None:
        batch = turn.batch(self._epoch, 0, 1)
        if batch is None:
            return
        failing, self._failing = self._failing, None
        if failing not in ("unknown, lost", "nothing stored"):
            self._store.append(batch)
        if failing == "nothing stored":
            raise StorageUnavailable("the append failed, nothing was stored", actor=self.spec.name)
        if failing is not None:
            self._state, self._version = recover_state(self._store, self.spec)
            raise OutcomeUnknown("the append failed", actor=self.spec.name, command_id=command_id)

    def _is_timer(self, effect: Effect) -> bool:
        if isinstance(effect, StartTimer):
            command_through_codec(self.spec.name, effect.command, needed=self._store_commands)
        return self._timers.take(effect)

    def _fire(self, command: Command) -> None:
        try:
            self._fired.append(self.run(command))
        except BaseException as error:  # noqa: BLE001 - the clock would only log it; ``advance`` raises it
            self._errors.append(error)

    # --- checking ---------------------------------------------------------------------------------------------------

    def _check_folds(self) -> None:
        start, states = check_actor(self._store, self.spec)
        if states and states[-1] != self._state:
            found = f"it is {self._state!r}, the fold of {start + len(states) - 1} events is {states[-1]!r}"
            raise CheckFailed("state-is-not-the-fold", self.spec.name, found)
