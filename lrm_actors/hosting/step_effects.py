"""What an open step knows of its effects: which names are under way, how often each was asked for, what it forgets.

Talks to nobody. Each attempt of a step counts anew, so that the same code asks for the same effects by the same
numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from lrm_actors.errors import AmbiguousEffect, JournalMismatch, StepOrder

NAMED = 5
"""Effects that an error names, at most."""


class StepEffects:
    """The effects of one attempt of a step. Safe from any thread.

    Args:
        step: its number, for errors.
    """

    def __init__(self, step: int) -> None:
        self.step = step
        self.before: set[str] = set()
        """Keys on record when the attempt began, that it has to ask for: finished, or in doubt."""
        self.asked: set[str] = set()
        """Keys of those on record that were asked for."""
        self.forget = False
        """What is on record is to be forgotten with the next word to the journal."""
        self._forgotten: set[str] = set()
        self._counts: dict[str, int] = {}
        self._under_way: set[str] = set()
        self._lock = threading.Lock()

    @property
    def under_way(self) -> list[str]:
        """Names of those that have not ended."""
        with self._lock:
            return sorted(self._under_way)

    def enter(self, name: str) -> int:
        """An effect of this name begins; which of them it is, from 1.

        Raises:
            AmbiguousEffect: another one is under way.
        """
        with self._lock:
            if name in self._under_way:
                raise AmbiguousEffect(name, self.step)
            self._under_way.add(name)
            self._counts[name] = occurrence = self._counts.get(name, 0) + 1
        return occurrence

    def leave(self, name: str) -> None:
        """It has ended, in whatever way."""
        with self._lock:
            self._under_way.discard(name)

    def forget_all(self, on_record: Iterable[str]) -> None:
        """Take what is on record for nothing from now on.

        Raises:
            StepOrder: an effect is under way.
        """
        on_record = set(on_record)
        with self._lock:
            if self._under_way:
                about = (
                    f"the effects of step {self.step} cannot be forgotten while {sorted(self._under_way)} are under way"
                )
                raise StepOrder(about, actor="journal", hint="forget them first thing in the step")
            self.forget = bool(on_record)
            self._forgotten = on_record
            self.before = set()

    def check_end(self) -> None:
        """See that the step may be committed.

        Raises:
            StepOrder: an effect is under way.
            JournalMismatch: one on record from before was not asked for, so the code is not the one that it is of.
        """
        under_way = self.under_way
        if under_way:
            about = f"step {self.step} ends while {', '.join(map(repr, under_way))} is under way"
            raise StepOrder(about, actor="journal", hint="await every effect before the step ends")
        left = sorted(self.before - self.asked)
        if left:
            ids = tuple(f"{self.step}/{key}" for key in left)
            more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
            about = f"step {self.step} did not ask for what is on record of it: {', '.join(ids[:NAMED])}{more}"
            raise JournalMismatch(about, self.step, ids)

    def take_forget(self) -> bool:
        """Whether the journal is still to be told to forget; whoever asks tells it."""
        with self._lock:
            forget, self.forget = self.forget, False
        return forget

    def is_forgotten(self, key: str) -> bool:
        """Whether what is on record of a key is from before it was forgotten."""
        return key in self._forgotten

    def remember(self, key: str) -> None:
        """A key is on record anew."""
        if self._forgotten:
            self._forgotten.discard(key)
