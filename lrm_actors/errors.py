"""Everything this package raises. Each leaf has a stable code, what was wrong as attributes, and what to try."""

from __future__ import annotations

from typing import ClassVar

from eventstore.errors import EventStoreError, StorageFull
from eventstore.notes import Notes, Reduced, reduced

MAX_SHOWN = 300
"""Characters of a value that are shown in a message."""


class LrmError(Exception):
    """Base of every error of this package."""

    code: ClassVar[str] = "LRM-0000"
    """Stable code, for documentation and for programs."""
    hint: str = ""
    """What to try, a sentence."""
    __notes__ = Notes()  # the code and the hint, made when somebody looks

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint

    def __reduce__(self) -> Reduced:
        return reduced(self)


def _shown(value: object) -> str:
    """What was given, for the message: strangers' code may fail on that, and a page of it helps nobody."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - somebody else's __repr__
        text = f"(a {type(value).__name__} that cannot be shown)"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


# --- settings and set-up ------------------------------------------------------------------------------------------


class SettingsError(LrmError, ValueError):
    """A setting, or an argument, has a value it cannot have."""

    code = "LRM-1001"

    def __init__(self, field: str, value: object, allowed: str, *, source: str = "argument") -> None:
        super().__init__(
            f"{field} = {_shown(value)} (from {source}) is not allowed: it must be {allowed}",
            hint=f"set {field} to {allowed}",
        )
        self.field, self.value, self.allowed, self.source = field, value, allowed, source


class UnknownSetting(LrmError, AttributeError):
    """There is no setting of this name."""

    code = "LRM-1002"

    def __init__(self, field: str, suggestion: str | None = None, *, source: str = "argument") -> None:
        hint = f"did you mean {suggestion}?" if suggestion else "see the settings reference"
        super().__init__(f"there is no setting {field!r} (from {source})", hint=hint)
        self.field, self.suggestion, self.source = field, suggestion, source


class WiringError(LrmError, ValueError):
    """The actors or the wiring table cannot work together."""

    code = "LRM-1003"
    hint = "each actor needs a name of its own, and each (event, consumer) one row"


class NotRunning(LrmError, RuntimeError):
    """The mode or the system was used before it was started or after it was stopped."""

    code = "LRM-1004"
    hint = "use it inside 'async with mode:', between start_monitoring() and stop_monitoring(), or start() and stop()"


class AskInsideDecide(LrmError, RuntimeError):
    """An actor's pure code tried to ask or tell another actor."""

    code = "LRM-1005"
    hint = "decide on an event, and wire that event to the other actor"

    def __init__(self, to: str) -> None:
        super().__init__(f"{to!r} was addressed from inside decide or evolve")
        self.to = to


class BadSpec(LrmError, ValueError):
    """An actor's ``Spec`` has a value it cannot have."""

    code = "LRM-1006"

    def __init__(self, actor: str, field: str, value: object, allowed: str) -> None:
        super().__init__(
            f"{actor}: {field} = {value!r} is not allowed: it must be {allowed}", hint=f"set {field} to {allowed}"
        )
        self.actor, self.field, self.value, self.allowed = actor, field, value, allowed


class ReplyMissing(LrmError, TypeError):
    """A decision on a command that was to be answered has no reply. See ``must_reply``."""

    code = "LRM-1007"
    hint = "give then(..., reply=...), or take must_reply off the actor's decide"


class ChildSpecError(LrmError, ValueError):
    """A supervisor was declared with something that it cannot have. Nothing was started."""

    code = "LRM-1008"

    def __init__(self, child: str, field: str, value: object, allowed: str, *, supervisor: str = "") -> None:
        whose = f"{supervisor}: child {child!r}: " if child else f"{supervisor}: "
        super().__init__(
            f"{whose}{field} = {value!r} is not allowed: it must be {allowed}", hint=f"set {field} to {allowed}"
        )
        self.child, self.field, self.value, self.allowed, self.supervisor = child, field, value, allowed, supervisor


class BadDecision(LrmError, TypeError):
    """An actor's own code gave what it may not: no decision, no state, no effect, or a timer that cannot be."""

    code = "LRM-1009"
    hint = "decide gives then(...), stash() or unhandled(...); evolve gives a state"


class NotACommand(LrmError, TypeError):
    """What was to be sent to an actor is no command."""

    code = "LRM-1010"
    hint = "send an instance of a subclass of Command"


class WrongWith(LrmError, TypeError):
    """A step was entered in the form of the other host: with an event loop, or without one. Nothing was begun."""

    code = "LRM-1011"

    def __init__(self, name: str, used: str, instead: str) -> None:
        super().__init__(f"step {name!r} cannot be entered by {used!r}", hint=instead)
        self.name, self.used = name, used


class LoopWouldWait(LrmError, RuntimeError):
    """A blocking word was called on the thread of the host's event loop, which would then wait for itself."""

    code = "LRM-1012"

    def __init__(self, word: str) -> None:
        hint = f"'await mode.{word}(...)' there; or call it on another thread: 'await asyncio.to_thread(...)'"
        super().__init__(f"blocking.{word} was called on the event loop that it has to wait for", hint=hint)
        self.word = word


# --- asking and telling -------------------------------------------------------------------------------------------


class AskError(LrmError):
    """An ask that ended without a reply. ``command_id`` lets the same command be sent again safely."""

    code = "LRM-2000"

    def __init__(self, message: str, *, actor: str = "", command_id: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.actor, self.command_id = actor, command_id


class AskTimeout(AskError, TimeoutError):
    """No reply in time. The command may still be carried out."""

    code = "LRM-2001"
    hint = "ask again with the same command_id: if it was carried out, the first reply comes back"


class ActorStopped(AskError):
    """The actor is gone: stopped, or given up by its supervisor."""

    code = "LRM-2002"
    hint = "see 'lrm why restart' for why it was given up"


class NoSuchActor(AskError, LookupError):
    """No actor has this name."""

    code = "LRM-2003"
    hint = "actors are named in the system's specs"


class MailboxFull(AskError):
    """Too many messages wait; this one was refused."""

    code = "LRM-2004"
    hint = "slow down, or give the actor a larger mailbox_capacity"


class HandlerFailed(AskError):
    """The actor failed on this command and is being restarted. The error stands here as text, never as itself."""

    code = "LRM-2005"
    hint = "the command changed nothing; see 'lrm why restart'"

    def __init__(
        self, actor: str, command: str, error: str, message: str, command_id: str = "", *, hint: str | None = None
    ) -> None:
        about = f"{actor} failed on {command}: {error}: {message}"
        super().__init__(about, actor=actor, command_id=command_id, hint=hint)
        self.command, self.error, self.message = command, error, message


class CommandRefused(AskError, ValueError):
    """The actor understood the command and refused it; nothing changed and nothing is restarted."""

    code = "LRM-2006"
    hint = "the message says why; send the actor a command that it takes"


class StorageUnavailable(AskError, OSError):
    """The log cannot be written; certainly nothing was stored."""

    code = "LRM-2007"
    hint = "free space or mend the disk; the system goes on by itself when the log can be written"


class OutcomeUnknown(AskError, OSError):
    """It is not known whether the command was stored."""

    code = "LRM-2008"
    hint = "ask again with the same command_id once the log can be written"


class StepOrder(CommandRefused):
    """A step was begun or committed out of order."""

    code = "LRM-2009"
    hint = "commit or abandon the open step first"


class AmbiguousEffect(CommandRefused):
    """An effect was asked for while another of its name is under way in the same step: which is which, nobody knows."""

    code = "LRM-2016"

    def __init__(self, name: str, step: int) -> None:
        super().__init__(
            f"effect {name!r} is under way in step {step}, and is asked for again",
            actor="journal",
            hint="put what differs into the name, as in mode.effect(f'fetch {url}', ...), or await one after the other",
        )
        self.name, self.step = name, step


class EffectInDoubt(CommandRefused):
    """Nobody knows whether an effect happened, and its policy leaves it to a human. It was not done again.

    The step is abandoned where this leaves it, and can be begun again once the effect is settled.
    """

    code = "LRM-2017"

    def __init__(self, effect: str, attempt: int, why: str, key: str) -> None:
        super().__init__(
            f"effect {effect} may have happened or not (attempt {attempt}): {why}",
            actor="journal",
            hint="find out, and begin the step again after: lrm effects settle"
            f" {effect!r} --happened RESULT (or --not-happened, or --skip)",
        )
        self.effect, self.attempt, self.why, self.key = effect, attempt, why, key
        """``key``: its idempotency key."""


class JournalMismatch(CommandRefused):
    """The code is not the one that what is on record of a step's effects belongs to. Nothing was done."""

    code = "LRM-2018"

    def __init__(self, message: str, step: int, effects: tuple[str, ...] = ()) -> None:
        super().__init__(
            message,
            actor="journal",
            hint="run the code that wrote it; or give up what is on record, with step.forget_effects() inside the step"
            f" or 'lrm effects forget {step}'",
        )
        self.step, self.effects = step, effects
        """``effects``: those on record that do not fit, ``STEP/NAME#OCCURRENCE``."""


class NoSuchEffect(CommandRefused):
    """No effect of this name can be settled."""

    code = "LRM-2019"
    hint = "'lrm effects' lists those in doubt"

    def __init__(self, effect: str, why: str) -> None:
        super().__init__(f"no effect {effect!r} can be settled: {why}", actor="journal")
        self.effect, self.why = effect, why


class TooManyEffects(CommandRefused):
    """A step has as many effects on record as it may."""

    code = "LRM-2020"
    hint = "do the work in several steps: the effects of a committed step are no longer carried along"

    def __init__(self, step: int, name: str, limit: int) -> None:
        super().__init__(f"step {step} ({name}) has {limit:,} effects on record", actor="journal")
        self.step, self.limit = step, limit


class ResultNotKept(CommandRefused):
    """An effect happened, and what it gave cannot be stored. It is on record as done, and is not done again."""

    code = "LRM-2021"

    def __init__(self, effect: str, why: str) -> None:
        super().__init__(
            f"effect {effect} happened, and its result cannot be kept: {why}",
            actor="journal",
            hint="have its function give a JSON value; for this one, give it by hand:"
            f" lrm effects settle {effect!r} --happened RESULT",
        )
        self.effect, self.why = effect, why


class TaskConflict(CommandRefused):
    """A durable function is called with something else than what is on record of it was called with."""

    code = "LRM-2022"

    def __init__(self, task: str, key: str, step: int) -> None:
        named = f"{task!r} with key {key!r}" if key else repr(task)
        super().__init__(
            f"task {named} is called with other arguments than in step {step}, which is on record",
            actor="journal",
            hint="give each run a key of its own, as in mode.task('report', key=lambda city: city)",
        )
        self.task, self.key, self.step = task, key, step


class MessageDropped(AskError):
    """The mailbox was full, and a newer message took this one's place; it was not carried out."""

    code = "LRM-2010"
    hint = "ask again, slow down, or give the actor another mailbox_policy"


class MailboxWouldBlock(MailboxFull):
    """The mailbox is full and its senders wait for room, which an event loop's thread must not."""

    code = "LRM-2011"
    hint = "await system.ask(...), which waits for room without blocking, or tell from another thread"


class StashFull(MailboxFull):
    """The actor wanted to keep this command for later, and keeps as many as it may; it was not carried out."""

    code = "LRM-2012"
    hint = "ask again later, or give the actor a larger stash_capacity"


class CommandUnhandled(CommandRefused):
    """The actor has no use for this command, at least in its present state; nothing changed."""

    code = "LRM-2013"
    hint = "send it to the actor it is for, or when the actor's state allows it"


class DeadLetterNotFound(LrmError, LookupError):
    """No dead letter has this id, or it is not kept any more."""

    code = "LRM-2014"
    hint = "'lrm dead-letters' lists those there are"

    def __init__(self, letter: str) -> None:
        super().__init__(f"no dead letter {letter!r}")
        self.letter = letter


class NotResendable(LrmError, ValueError):
    """A dead letter cannot be sent again."""

    code = "LRM-2015"
    hint = "'lrm dead-letters' shows what is known of it; send its actor a new command instead"

    def __init__(self, letter: str, reason: str) -> None:
        super().__init__(f"dead letter {letter!r} cannot be sent again: {reason}")
        self.letter, self.reason = letter, reason


# --- guarding and recovering --------------------------------------------------------------------------------------


class Rejected(LrmError):
    """Base of the rejections: nothing was called, and nothing is said about the service by them."""

    code = "LRM-3009"
    hint = "wait, or do other work"
    retry_after_s: float = 0.0
    """Seconds after which to try again; 0 where nobody knows."""


class CircuitOpen(Rejected):
    """A call was rejected because the service is failing. Try again in ``retry_after_s``."""

    __slots__ = ("retry_after_s", "service")
    code = "LRM-3001"
    hint = "wait, or do other work; 'lrm why breaker' says why it opened"

    # One is made for every call while a service is down, so its words are put together by whoever wants to read them.
    def __init__(self, service: str, retry_after_s: float) -> None:  # its base has both as ``args`` already
        self.service = service
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"circuit for {self.service!r} is open, retry in {self.retry_after_s:.1f} s"

    def __reduce__(self) -> Reduced:
        return type(self), (self.service, self.retry_after_s), self.__dict__.copy()


class CallTimedOut(LrmError, TimeoutError):
    """A guarded call took longer than it may, and was cancelled. A failure of the service."""

    code = "LRM-3006"
    hint = "raise timeout_s if the service is sound and merely slow"

    def __init__(self, service: str, timeout_s: float) -> None:
        super().__init__(f"a call of {service!r} took longer than {timeout_s:g} s")
        self.service, self.timeout_s = service, timeout_s


class BulkheadFull(Rejected):
    """A call was rejected because as many as may be are under way, and as many as may wait do."""

    code = "LRM-3007"
    hint = "wait, or do other work; raise the limit only if the service bears it"

    def __init__(self, name: str, limit: int, waited_s: float = 0.0) -> None:
        super().__init__(
            f"{limit} calls of {name!r} are under way" + (f", waited {waited_s:.1f} s" if waited_s else "")
        )
        self.name, self.limit, self.waited_s = name, limit, waited_s


class Throttled(Rejected):
    """A call was rejected because the service has been turning down too many of late."""

    code = "LRM-3008"
    hint = "send less, or later"

    def __init__(self, name: str, share: float) -> None:
        super().__init__(f"calls of {name!r} are held back: {share:.0%} of them")
        self.name, self.share = name, share
        """Of the calls, from 0 to 1: how many are rejected at the moment."""


class WorkShed(Rejected):
    """A piece of work was not done, because the operation mode saves resources for what matters more."""

    code = "LRM-3010"
    hint = "go on without it, or give it to defer()"

    def __init__(self, name: str, criticality: str, mode: str, waited_s: float = 0.0) -> None:
        waited = f", and did not within {waited_s:g} s" if waited_s else ""
        super().__init__(f"{name!r} ({criticality}) does not run in {mode} mode{waited}")
        self.name, self.criticality, self.mode, self.waited_s = name, criticality, mode, waited_s


class DeferralFull(Rejected):
    """A piece of work was not put off, because as much as may be waits already."""

    code = "LRM-3011"
    hint = "leave it, or raise max_deferred if it is small and worth doing late"

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(f"{name!r} is not put off: {limit} pieces of work wait already")
        self.name, self.limit = name, limit


class CheckpointNotFound(LrmError, LookupError):
    """No checkpoint has this id, or more than one ends with what was given of it."""

    code = "LRM-3002"
    hint = "list_checkpoints() names those there are"

    def __init__(self, checkpoint_id: str, why: str = "") -> None:
        super().__init__(f"no one checkpoint {checkpoint_id!r}: {why}" if why else f"no checkpoint {checkpoint_id!r}")
        self.checkpoint_id = checkpoint_id


class CheckpointDamaged(LrmError, ValueError):
    """A checkpoint's bytes are not what was captured."""

    code = "LRM-3003"
    hint = "recover without an id: damaged ones are passed over"

    def __init__(self, checkpoint_id: str, reason: str) -> None:
        super().__init__(f"checkpoint {checkpoint_id!r} is damaged: {reason}")
        self.checkpoint_id, self.reason = checkpoint_id, reason


class NotCapturable(LrmError, TypeError):
    """The host's state holds something that cannot be stored."""

    code = "LRM-3004"
    hint = "give plain data: dict, list, str, numbers, bytes, bool, None, or objects of attrs, dataclasses or pydantic"


class CaptureTimedOut(NotCapturable, TimeoutError):
    """The host's state was not had in time: a step did not end, or the host's function did not."""

    code = "LRM-3019"
    hint = "let the open step end, or have the capture function answer sooner; an emergency one waits for no step"


class CheckpointNotStored(LrmError, StorageFull):
    """The disk had no room for a checkpoint. Nothing of it was stored; those before it are as they were."""

    code = "LRM-3018"
    hint = "free space on the disk of the log, or keep fewer checkpoints with max_checkpoints; then take it again"

    def __init__(self, checkpoint_id: str, reason: str) -> None:
        EventStoreError.__init__(self, f"{checkpoint_id} was not stored: {reason}")
        self.checkpoint_id, self.reason = checkpoint_id, reason


class StateNotUpcast(LrmError, ValueError):
    """A checkpoint's state cannot be made one of the host's version. The base of why; the checkpoint stays as it is."""

    code = "LRM-3012"
    hint = "the checkpoint is sound and stays: mend the host, and recover again"

    def __init__(self, checkpoint_id: str, version: int, host_version: int, what: str) -> None:
        super().__init__(
            f"the state in {checkpoint_id} is of version {version}, the host's is of version {host_version}: {what}"
        )
        self.checkpoint_id, self.version, self.host_version = checkpoint_id, version, host_version


class StateTooNew(StateNotUpcast):
    """A checkpoint's state is of a later version of its schema than the host knows."""

    code = "LRM-3013"
    hint = "start the release of the host that wrote it; or name an older checkpoint, and lose what came after it"

    def __init__(self, checkpoint_id: str, version: int, host_version: int) -> None:
        super().__init__(checkpoint_id, version, host_version, "a later release of the host wrote it")


class UpcasterMissing(StateNotUpcast):
    """No upcaster takes a checkpoint's state from one version of its schema to the next."""

    code = "LRM-3014"

    def __init__(self, checkpoint_id: str, version: int, host_version: int, missing: int) -> None:
        super().__init__(
            checkpoint_id, version, host_version, f"there is no upcaster from version {missing} to {missing + 1}"
        )
        self.hint = f"give restore_with(..., upcasters={{{missing}: function}}), and recover again"
        self.missing = missing
        """The version that it would have taken."""


class UpcasterFailed(StateNotUpcast):
    """An upcaster of the host failed. The error stands here as text, and as the cause."""

    code = "LRM-3015"

    def __init__(self, checkpoint_id: str, version: int, host_version: int, failed: int, why: str) -> None:
        super().__init__(
            checkpoint_id, version, host_version, f"the upcaster from version {failed} to {failed + 1} failed: {why}"
        )
        self.hint = f"mend the upcaster of version {failed}, and recover again: the checkpoint is as it was"
        self.failed, self.why = failed, why


class StateNotRestored(LrmError, ValueError):
    """The host could not take up the state of a checkpoint. The error is its cause; nothing was lost or changed."""

    code = "LRM-3017"
    hint = "mend the function given to restore_with(), or the host's restore, and recover again: do not begin anew"

    def __init__(self, checkpoint_id: str, why: str) -> None:
        super().__init__(f"the state in {checkpoint_id} could not be taken up: {why}")
        self.checkpoint_id, self.why = checkpoint_id, why


class StepNotReplayed(LrmError, ValueError):
    """The host could not take up a step that was committed after its checkpoint. The error is its cause."""

    code = "LRM-3016"
    hint = "mend the function given to replay_with(), or the host's replay, and recover again: the log is as it was"

    def __init__(self, step: int, name: str, why: str) -> None:
        super().__init__(f"step {step}, {name!r}, could not be taken up from the log: {why}")
        self.step, self.name, self.why = step, name, why
