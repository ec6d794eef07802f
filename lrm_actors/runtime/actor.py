"""What every actor of ours changes about pykka's: daemon thread, our mailbox and reply, one funnel for every death.

``Actor`` is the plain one, without a log; ``shell.Shell`` is the event-sourced one. Neither is entered in pykka's
registry, because one ``SystemExit`` in any pykka actor of the process stops everything that stands there.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any, ClassVar, Self, TypeVar

import pykka
from msgspec import Struct
from pykka import messages

from lrm_actors.errors import HandlerFailed
from lrm_actors.runtime.machine import here
from lrm_actors.runtime.mailbox import WAKE, Mailbox
from lrm_actors.runtime.reply import AsyncReply, Reply

logger = logging.getLogger(__name__)

MESSAGE_LIMIT = 500
"""Characters of an error's text that are kept."""
TAKEN = 64
"""Messages that a plain actor takes out of its mailbox at once."""


def describe(error: BaseException) -> tuple[str, str]:
    """Class name and shortened text of an error; never raises, whatever its ``__str__`` does."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - the text of a failure must not be the next failure
        text = "<no text: its __str__ failed>"
    return type(error).__name__, text.encode("utf-8", "replace").decode()[:MESSAGE_LIMIT]


A = TypeVar("A", bound=pykka.Actor)


class Told(Struct, eq=False):
    """A message on its way, with the attributes of pykka's envelope; made in a third of the time."""

    message: Any
    reply_to: Reply | None = None


class Ref(pykka.ActorRef[A]):
    """Pykka's reference to an actor, with a short way for what is told."""

    def tell(self, message: Any) -> None:
        """Send a message and do not wait.

        Raises:
            ActorDeadError: the actor has stopped.
            MailboxFull: its mailbox has no room.
        """
        if self.actor_stopped.is_set():
            msg = f"{self} not found"
            raise pykka.ActorDeadError(msg)
        self.actor_inbox.put(Told(message))  # type: ignore[arg-type]  # an envelope by its attributes

    async def ask_async(self, message: Any, *, timeout_s: float) -> Any:
        """Send a message and await the answer. The event loop is never blocked.

        Raises:
            ActorDeadError: the actor has stopped.
            MailboxFull: its mailbox has no room.
            AskTimeout: no answer in time.
            HandlerFailed: its handler failed.
        """
        if self.actor_stopped.is_set():
            msg = f"{self} not found"
            raise pykka.ActorDeadError(msg)
        loop = asyncio.get_running_loop()
        reply = AsyncReply(loop, self.actor_class.__name__)
        self.actor_inbox.put(Told(message, reply))  # type: ignore[arg-type]  # as above
        waiting = reply.time_out_at(loop.time() + timeout_s, timeout_s)
        try:
            return await reply.future
        finally:
            waiting.cancel()


class UnregisteredActor(pykka.ThreadingActor):
    """The base of both kinds of actor."""

    use_daemon_thread: ClassVar[bool] = True

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> Ref[Self]:
        """Start an actor. Unlike pykka's, it is not entered in the process-wide registry."""
        actor = cls(*args, **kwargs)
        actor.launch(cls.__name__)
        return Ref(actor)

    def launch(self, thread_name: str) -> None:
        """Begin the actor's life on a daemon thread of this name."""
        here().start(self._actor_loop, thread_name, daemon=self.use_daemon_thread)

    @staticmethod
    def _create_actor_inbox() -> Any:
        return None  # pykka asks for one before it can be known which; ``use_mailbox`` gives it

    @staticmethod
    def _create_future() -> Reply:
        return here().reply()

    thread_id: int | None = None
    """The thread that its life is on, while it lasts."""

    def _actor_loop(self) -> None:
        death: BaseException | None = None
        self.thread_id = threading.get_ident()
        try:
            self.run()
        except BaseException as error:  # noqa: BLE001 - every kind of death ends here, and is told once
            death = error
        finally:
            self.actor_stopped.set()
            self.on_thread_end(death)
            self.thread_id = None

    def use_mailbox(self, mailbox: Mailbox) -> None:
        """Read from this mailbox. Pykka's ref copied the one before when it was made, so it is made anew."""
        self.actor_inbox = mailbox
        self._actor_ref = Ref(self)

    def run(self) -> None:
        """The actor's life, on its own thread."""
        raise NotImplementedError

    def on_thread_end(self, death: BaseException | None) -> None:
        """Called exactly once, last, on the actor's thread, with what ended it: None when it was asked to stop."""


class Actor(UnregisteredActor):
    """A plain actor: subclass it and write ``on_receive``.

    An error in a handler goes to the asker or to ``on_error``, and the actor goes on; it has no state worth a restart.
    """

    mailbox_capacity: ClassVar[int] = 10_000
    """Messages that may wait; one more is refused with ``MailboxFull``."""

    def __init__(self) -> None:
        super().__init__()
        self.use_mailbox(Mailbox(type(self).__name__, self.mailbox_capacity))

    def run(self) -> None:
        """Handle messages until told to stop."""
        mailbox: Any = self.actor_inbox
        self.on_start()
        take, receive, stopped = mailbox.take, self._receive, self.actor_stopped.is_set
        try:
            while not stopped():
                items = take(TAKEN)
                for number, envelope in enumerate(items, 1):
                    if envelope is WAKE:
                        continue
                    if isinstance(envelope.message, messages._ActorStop):  # noqa: SLF001 - what ActorRef.stop() sends
                        self.actor_stopped.set()
                        mailbox.put_back(items[number:])
                        if envelope.reply_to is not None:
                            envelope.reply_to.set(None)
                        break
                    receive(envelope)
        finally:
            mailbox.close("stopped")
        self.on_stop()

    def on_error(self, error: BaseException, message: Any) -> None:
        """A told message failed. Logs it; override to do more."""
        logger.error("%s failed on %s", type(self).__name__, type(message).__name__, exc_info=error)

    def _receive(self, envelope: Any) -> None:
        reply = envelope.reply_to
        try:
            answer = self.on_receive(envelope.message)
        except BaseException as error:  # noqa: BLE001 - SystemExit in a handler is this message's failure, no more
            if reply is None:
                self.on_error(error, envelope.message)
                return
            reply.set_exception((HandlerFailed, self._wrapped(error, envelope.message), None))
        else:
            if reply is not None:
                reply.set(answer)

    def _wrapped(self, error: BaseException, message: Any) -> HandlerFailed:
        return HandlerFailed(type(self).__name__, type(message).__name__, *describe(error))
