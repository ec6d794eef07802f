"""Errors of asking an actor and telling it: LRM-2000 and on."""

from __future__ import annotations

from lrm_actors.errors.base import LrmError


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
