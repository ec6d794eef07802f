"""What is done about a log whose files are removed or replaced while it is in use: told, kept, and written anew.

Talks to the engine, and to the life of the mode for a run that ends and another that begins in the same place.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from eventstore import rescuing
from eventstore.errors import CorruptLog, EventStoreError
from eventstore.records import Batch, NewEvent, StreamWrite
from eventstore.whereabouts import REMOVED, REPLACED, UNMOUNTED
from lrm_actors.domain import trimming
from lrm_actors.errors import LrmError
from lrm_actors.hosting.presence import Presence
from lrm_actors.hosting.running import Running
from lrm_actors.runtime.recovery import recover_state

if TYPE_CHECKING:
    from lrm_actors.hosting.engine import Engine

Step: TypeAlias = Callable[[], None]
RunAgain: TypeAlias = Callable[[Running, Step, Step], Running]
"""Ends a run and begins the next in its place; does the first step when nobody writes any more, the second when the log
is closed."""

_log = logging.getLogger("lrm_actors.mode")


class PuttingBack:
    """Looks after the files of the log of each run.

    Args:
        engine: of the mode.
        lock: held while a run is ended and begun.
        run_again: see ``RunAgain``.
        wait_s: how long the open step is waited for before it is held where it is.
    """

    def __init__(self, engine: Engine, lock: threading.Lock, run_again: RunAgain, *, wait_s: float) -> None:
        self._engine = engine
        self._lock = lock
        self._run_again = run_again
        self._wait_s = wait_s
        self._presence: Presence | None = None
        self._kept: Path | None = None
        """A copy of the log, while another file is in its place."""

    def begin(self, running: Running) -> None:
        """Look after the log of this run."""
        self._engine.misplaced, self._kept = "", None
        self._presence = Presence(running.path, running.system.clock, lambda trouble: self._found(running, trouble))
        self._presence.begin()

    def end(self) -> None:
        """Look after nothing any more."""
        if self._presence is not None:
            self._presence.end()

    def _found(self, running: Running, trouble: str) -> None:
        """A file of the log is not where it was: write it anew from what is still open, and go on with that.

        What cannot be put back is told again and again, and the health is failing until then. Nothing that is open is
        closed before there is a copy.
        """
        with self._lock:
            if self._engine.running is not running:
                return
            if not trouble:
                self._engine.misplaced = ""
                if self._kept is not None:
                    rescuing.discard(self._kept)
                self._kept = None
                return
            said = not self._engine.misplaced
            self._engine.misplaced = f"{running.path} is not what is written to: {trouble}"
            if said:
                _log.error("%s", self._engine.misplaced, extra=self._engine.context.extra())
            if trouble == REPLACED:
                self._keep(running)
            if trouble in {REPLACED, UNMOUNTED}:
                return  # whose it is, and whether it comes back, nobody can tell from here
            try:
                through = running.store.head
                rescued = self._rescued(running, said=said) if trouble == REMOVED else None
                self._engine.moved.clear()
                with self._engine.boundary.hold(wait_s=self._wait_s, even_inside=True):
                    following = self._go_on(running, rescued)
                fact = trimming.LogPutBack(trouble, through)
                following.store.append(Batch((StreamWrite(trimming.STREAM, (NewEvent(fact),)),)))
            except (LrmError, EventStoreError, OSError) as error:
                _log.log(
                    logging.ERROR if said or self._engine.running is None else logging.DEBUG,
                    "the log cannot be put back: %s",
                    error,
                    extra=self._engine.context.extra(),
                )
            else:
                _log.warning("%s is put back", running.path, extra=self._engine.context.extra())
            finally:
                self._engine.moved.set()

    def _rescued(self, running: Running, *, said: bool) -> Path:
        """A copy of the log that the next run can begin on.

        Of a damaged one no actor recovers over an event that cannot be read: then each keeps its state first.

        Raises:
            CorruptLog: one of them could not recover from it all the same, and this run goes on.
        """
        rescued = rescuing.rescue(running.store, running.path)
        if not rescued.damage:
            return rescued.path
        level = logging.ERROR if said else logging.DEBUG
        about = "the log is damaged, and so is the copy of it: %s"
        _log.log(level, about, rescued.damage, extra=self._engine.context.extra())
        running.system.take_snapshots()
        rescued = rescuing.rescue(running.store, running.path)
        from eventstore.opening import open_reader

        with open_reader(rescued.path, unknown="placeholder") as reader:
            for spec in running.system.specs:
                try:
                    recover_state(reader, spec)
                except EventStoreError as error:
                    msg = (
                        f"{spec.name} cannot be recovered from {rescued.path}, which has all there is ({error}); "
                        "once the agent has ended, 'lrm salvage' makes a new log of what is whole in it"
                    )
                    raise CorruptLog(msg) from error
        return rescued.path

    def _keep(self, running: Running) -> None:
        """Copy the log, once, beside the file that is in its place: nobody else has what that one lacks."""
        if self._kept is not None:
            return
        try:
            self._kept = rescuing.rescue(running.store, running.path).path
        except (EventStoreError, OSError) as error:
            _log.error("no copy of the log can be kept: %s", error, extra=self._engine.context.extra())
        else:
            _log.error("the log until now is kept in %s", self._kept, extra=self._engine.context.extra())

    def _go_on(self, running: Running, rescued: Path | None) -> Running:
        """End one run and begin the next in the same place, on the copy if there is one."""
        if rescued is None:
            return self._run_again(running, lambda: None, lambda: None)
        assert self._presence is not None
        files = self._presence.files

        def complete() -> None:
            """With what was written since the copy was begun; without that where it cannot be had any more."""
            try:
                rescuing.rescue(running.store, running.path)
            except (EventStoreError, OSError) as error:
                _log.error("the newest events are lost: %s", error, extra=self._engine.context.extra())

        try:
            return self._run_again(running, complete, lambda: rescuing.settle(rescued, running.path, files))
        except BaseException:
            if rescued.exists():
                _log.error("the log of this process is kept in %s", rescued, extra=self._engine.context.extra())
            raise
