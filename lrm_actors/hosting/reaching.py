"""How the actors of one mode are reached: while they run, while their log moves, and while the mode is switched off.

Talks to the running system, or to the same decisions without a log.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from lrm_actors.domain.behavior import Command
from lrm_actors.errors import ActorStopped, NotRunning
from lrm_actors.hosting.offload import off_loop
from lrm_actors.hosting.running import Running
from lrm_actors.hosting.unlogged import UnloggedSystem
from lrm_actors.settings import LongRunningSettings

if TYPE_CHECKING:
    from eventstore.protocol import EventStore

MOVE_WAIT_S = 60.0
"""How long a call waits for a move of the log under way."""


class Reaching:
    """Asks and tells the actors of one mode. Safe from any thread.

    Args:
        settings: say whether the mode is switched on.
        unlogged: what decides while it is not.
    """

    def __init__(self, settings: LongRunningSettings, unlogged: UnloggedSystem) -> None:
        self.settings = settings
        self.unlogged = unlogged
        self.running: Running | None = None
        """The actors that run, on the log that is owned."""
        self.moved = threading.Event()
        """No move of the log is under way."""
        self.moved.set()

    def state(self, name: str) -> Any:
        """The published state of an actor. Returns at once."""
        return self._system().state(name)

    def tell(self, to: str, command: Command) -> None:
        """Send a command and do not wait. Returns at once.

        Raises:
            NotRunning, ActorStopped, MailboxFull, NoSuchActor: it was not accepted.
        """
        if self.running is None:
            raise NotRunning("the mode is not running")
        self.running.system.tell(to, command)

    def ask_blocking(self, to: str, command: Command, *, timeout_s: float = 5.0) -> Any:
        """Send a command and wait for its reply; a move of the log under way is waited for.

        Whoever asks here does not know the command's id, and cannot ask again by it: the reply need not be kept.
        """
        try:
            return self._system().ask_blocking(to, command, timeout_s=timeout_s, keep_reply=False)
        except (NotRunning, ActorStopped):
            if self.moved.is_set() or not self.moved.wait(MOVE_WAIT_S):
                raise
            return self._system().ask_blocking(to, command, timeout_s=timeout_s, keep_reply=False)

    def store(self) -> EventStore:
        """The log that is owned.

        Raises:
            NotRunning: none is.
        """
        if self.running is None:
            raise NotRunning("the mode is not running")
        return self.running.store

    async def ask(self, to: str, command: Command, *, timeout_s: float = 5.0) -> Any:
        """Send a command and await its reply; a move of the log under way is awaited."""
        try:
            return await self._system().ask(to, command, timeout_s=timeout_s, keep_reply=False)
        except (NotRunning, ActorStopped):
            if self.moved.is_set() or not await off_loop(lambda: self.moved.wait(MOVE_WAIT_S)):
                raise
            return await self._system().ask(to, command, timeout_s=timeout_s, keep_reply=False)

    def note(self, to: str, command: Command) -> None:
        """Send a command and do not wait; decide on it at once while the mode is switched off.

        Raises:
            NotRunning, ActorStopped, MailboxFull: it was not accepted.
        """
        system = self._system()
        if system is self.unlogged:
            self.unlogged.note(to, command)
        else:
            system.tell(to, command)

    def _system(self) -> Any:
        """What answers: the running actors, or the same decisions without a log while the mode is switched off."""
        running = self.running
        if running is not None:
            return running.system
        if not self.settings.enable_long_running_mode:
            return self.unlogged
        raise NotRunning("the mode is not running")
