"""The files of the watchdog's own log: looked at now and then, and put back where somebody removed them.

Talks to the file system and to the event store. An agent's process does the same for its log.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from eventstore import rescuing, whereabouts
from eventstore.errors import EventStoreError, LogNotWritable
from eventstore.records import Batch, NewEvent, StreamWrite
from eventstore.whereabouts import REMOVED, REPLACED, UNMOUNTED
from lrm_actors.domain import trimming

if TYPE_CHECKING:
    from eventstore.protocol import EventStore


class LogFiles:
    """Where the files of one log are.

    Args:
        path: of the log.
        trouble: told in words what is wrong with them, once, and when that has an end.
    """

    def __init__(self, path: Path, trouble: Callable[[str], object]) -> None:
        self._path = path
        self._trouble = trouble
        self._files: whereabouts.Whereabouts | None = None
        self._pause_s = whereabouts.LOOK_EVERY_S
        self._told = ""
        self._copy: Path | None = None
        """What is to have the name of the log, or lies beside a file that has it."""
        self._fact: trimming.LogPutBack | None = None
        """What is to be put on record once the log is open again."""
        self.next_look_s = 0.0
        """On the monotonic clock."""

    def place(self) -> None:
        """Before the log is opened: put the copy in its place, if there is one.

        Raises:
            LogExists: another file is there; the copy stays where it is.
            LogNotWritable: it cannot be put there.
        """
        if self._fact is None or self._copy is None or self._files is None:
            return
        try:
            rescuing.settle(self._copy, self._path, self._files)
        except EventStoreError:
            raise
        except OSError as error:
            raise LogNotWritable(str(self._path), f"{self._copy} cannot be put back: {error}") from error
        self._copy = None

    def opened(self, store: EventStore) -> None:
        """The log is open: remember its files, and put on record that they were put back.

        Raises:
            EventStoreError: that cannot be stored.
        """
        self._files = whereabouts.Whereabouts(self._path)
        self._look_again("")
        if self._fact is not None:
            store.append(Batch((StreamWrite(trimming.STREAM, (NewEvent(self._fact),)),)))
            self._fact = None
            self._trouble(f"{self._path} is put back")
        self._told = ""

    def are_to_be_put_back(self, store: EventStore) -> bool:
        """Look, if that is due. Whether the log has to be closed and opened again: then there is a copy, if needed.

        Args:
            store: the log, whatever its files are.
        """
        if self._files is None or time.monotonic() < self.next_look_s:
            return False
        trouble = self._files.look()
        self._look_again(trouble)
        if not trouble:
            self._all_well()
            return False
        if trouble != self._told:
            self._told = trouble
            self._trouble(f"{self._path} is not what is written to: {trouble}")
        if trouble == UNMOUNTED or (trouble == REPLACED and self._copy is not None):
            return False
        try:
            fact = trimming.LogPutBack(trouble, store.head)
            if trouble in {REMOVED, REPLACED}:
                self._copy = self._rescue(store)
        except (EventStoreError, OSError) as error:
            self._trouble(f"no copy of it can be made: {error}")
            return False
        if trouble == REPLACED:  # whose it is nobody can tell from here
            self._trouble(f"the log until now is kept in {self._copy}")
            return False
        self._fact = fact
        return True

    def keep(self, store: EventStore) -> None:
        """Before it is closed for good: keep a copy of all of it where its file is not in its place. Never raises."""
        trouble = self._files.look() if self._files is not None else ""
        if trouble not in {REMOVED, REPLACED}:
            return
        try:
            self._copy = self._rescue(store)
        except (EventStoreError, OSError) as error:
            self._trouble(f"{self._path} is lost: no copy of it can be made: {error}")
        else:
            self._trouble(f"the log is kept in {self._copy}")

    def _rescue(self, store: EventStore) -> Path:
        rescued = rescuing.rescue(store, self._path)
        if rescued.damage:
            self._trouble(f"{self._path} is damaged, and so is the copy of it: {rescued.damage}")
        return rescued.path

    def _all_well(self) -> None:
        if self._told:
            self._trouble(f"{self._path} is back")
            self._told = ""
        if self._copy is not None:
            with contextlib.suppress(OSError):
                rescuing.discard(self._copy)
            self._copy = None

    def _look_again(self, trouble: str) -> None:
        self._pause_s = whereabouts.pause_after(self._pause_s, trouble)
        self.next_look_s = time.monotonic() + self._pause_s
