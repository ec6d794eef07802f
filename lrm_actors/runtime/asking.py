"""Telling and asking: how a command gets into an actor's mailbox, from any thread or event loop, and its reply back.

Talks to mailboxes and to replies.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from eventstore.prepare import check_name
from eventstore.protocol import EventStore
from lrm_actors.domain.behavior import Command, Wire
from lrm_actors.domain.contract import check_command
from lrm_actors.errors import AskTimeout, StorageUnavailable
from lrm_actors.runtime.clock import Clock
from lrm_actors.runtime.control import NO_STORAGE
from lrm_actors.runtime.envelope import Envelope
from lrm_actors.runtime.ids import Ids
from lrm_actors.runtime.loops import Waiting
from lrm_actors.runtime.mailbox import Mailbox
from lrm_actors.runtime.overflow import BlockingMailbox
from lrm_actors.runtime.reply import AsyncReply, Reply
from lrm_actors.runtime.roster import Roster
from lrm_actors.runtime.silence import why_silent


class Asking(Roster):
    """The actors of a system, for whoever sends them commands. See ``Roster`` for the arguments."""

    def __init__(self, store: EventStore, name: str, clock: Clock | None, wires: Sequence[Wire]) -> None:
        super().__init__(store, name, clock, wires)
        self._ids = Ids()
        self.pending_asks: dict[Reply, tuple[str, float]] = {}
        """Asks without an answer yet, the oldest first: class of the command, and since when."""

    def tell(
        self,
        to: str,
        command: Command,
        *,
        command_id: str | None = None,
        cause: int | None = None,
        correlation_id: str | None = None,
    ) -> None:
        """Send a command and do not wait.

        Args:
            to: name of the actor.
            command: what it shall do.
            command_id: the same id sent twice is carried out once.
            cause: position of the event that led to it.
            correlation_id: shared by everything that follows from one trigger; its own by default.

        Raises:
            NoSuchActor, ActorStopped, MailboxFull: it was not accepted.
            MailboxWouldBlock: the actor has its senders wait for room, which this thread, an event loop's, must not.
            NotACommand: it is none.
            NotRunning: the system is not running, or this is a process forked from the one it runs in.
            BadRequest: an id is no text, or empty, or holds NUL or a lone surrogate.
            AskInsideDecide: an actor reaches others through the wiring alone.
        """
        check_command(command)
        given_id = command_id is not None
        if given_id:
            check_name("command_id", command_id)
        if correlation_id is not None:
            check_name("correlation_id", correlation_id)
        self._mailbox(to).put(Envelope(command, None, command_id, cause, correlation_id, given_id=given_id))

    def ask_blocking(
        self,
        to: str,
        command: Command,
        *,
        timeout_s: float = 5.0,
        command_id: str | None = None,
        keep_reply: bool = True,
    ) -> Any:
        """Send a command and wait, on this thread, for its reply. See ``ask``."""
        reply = self._machine.reply(to, command_id or self._ids.next())
        mailbox, envelope = self._to_ask(to, command, reply, timeout_s, command_id is not None, keep_reply=keep_reply)
        self.pending_asks[reply] = (type(command).__name__, self.clock.monotonic())
        try:
            if isinstance(mailbox, BlockingMailbox):
                until_s = self.clock.monotonic() + timeout_s
                mailbox.put(envelope, timeout_s)
                return reply.get(timeout=max(0.0, until_s - self.clock.monotonic()))
            mailbox.put(envelope)
            return reply.get(timeout=timeout_s)
        except AskTimeout as error:
            raise self._explained(error, reply) from None
        finally:
            self.pending_asks.pop(reply, None)

    async def ask(
        self,
        to: str,
        command: Command,
        *,
        timeout_s: float = 5.0,
        command_id: str | None = None,
        keep_reply: bool = True,
    ) -> Any:
        """Send a command and await its reply. The event loop is never blocked.

        When the awaiting task is cancelled, a command that the actor has not begun is not carried out, as with a
        cancelled call in a pool of threads; one that it has begun is. With the same ``command_id`` it can be asked
        again either way. A command whose ask timed out is carried out all the same when its turn comes.

        Args:
            to: name of the actor.
            command: what it shall do.
            timeout_s: more than 0 and finite.
            command_id: give the one of an earlier error to ask again safely: what was carried out is not done twice.
            keep_reply: store the reply with what the command led to, which is what makes asking again safe. Without, a
                command costs about half: for whoever will never ask again by its id.

        Raises:
            AskTimeout: no reply in time; it may still be carried out.
            OutcomeUnknown: no reply in time because the log cannot say yet whether it was stored.
            HandlerFailed: the actor failed on it and is restarted; nothing was stored.
            CommandRefused: the actor refused it.
            StorageUnavailable: the log cannot be written; nothing was stored.
            MessageDropped: its mailbox was full, and a newer message took its place.
            StashFull: the actor has put off as much as it may.
            NoSuchActor, ActorStopped, MailboxFull, NotACommand, NotRunning, AskInsideDecide: as for ``tell``.
        """
        loop = asyncio.get_running_loop()
        reply = AsyncReply(loop, to, command_id or self._ids.next())
        mailbox, envelope = self._to_ask(to, command, reply, timeout_s, command_id is not None, keep_reply=keep_reply)
        self.pending_asks[reply] = (type(command).__name__, self.clock.monotonic())
        until_s = loop.time() + timeout_s
        timer: Waiting | asyncio.TimerHandle | None = None
        try:
            if isinstance(mailbox, BlockingMailbox):
                await mailbox.put_when_room(envelope, timeout_s)
            else:
                mailbox.put(envelope)
            timer = reply.time_out_at(until_s, timeout_s)
            return await reply.future
        except AskTimeout as error:
            raise self._explained(error, reply) from None
        except asyncio.CancelledError:
            reply.withdraw()
            raise
        finally:
            if timer is not None:
                timer.cancel()
            self.pending_asks.pop(reply, None)

    def _explained(self, error: AskTimeout, reply: Reply) -> AskTimeout:
        """The same error, with what can be seen of why there was no answer."""
        shell = self._shells.get(error.actor)
        why = "" if shell is None else why_silent(shell, reply, self.clock.monotonic())
        return AskTimeout(f"{error}: {why}", actor=error.actor, command_id=error.command_id) if why else error

    def _to_ask(
        self, to: str, command: Command, reply: Reply, timeout_s: float, retry: bool, *, keep_reply: bool = True
    ) -> tuple[Mailbox, Envelope]:
        check_command(command)
        if not (0 < timeout_s < math.inf):
            msg = f"timeout_s must be more than 0 and finite, got {timeout_s!r}"
            raise ValueError(msg)
        if retry:
            check_name("command_id", reply.command_id)  # here, or the store would, and the actor be blamed for it
        mailbox = self._mailbox(to)
        shell = self._shells.get(to)
        if shell is not None and shell.phase == NO_STORAGE:
            msg = f"{to}: the log cannot be written at the moment"
            raise StorageUnavailable(msg, actor=to, command_id=reply.command_id)
        return mailbox, Envelope(command, reply, reply.command_id, given_id=retry, keep_reply=keep_reply)
