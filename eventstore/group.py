"""Group commit: of the callers that wait, one commits for all, and hands over to the next when it is done.

There is no thread of its own. Whoever waits first leads: it takes what was handed in so far into one transaction, while
those behind it hand in more. The next of them leads the next transaction, so that no caller works longer for the others
than one transaction takes. (Gray and Reuter, *Transaction Processing*, 1993, on group commit.)

Only one thread of an interpreter runs at a time. So those who were answered are woken when the next leader begins to
wait: woken earlier, they would run while it has work to do, and be idle while it has none. And it wakes one of them,
who wakes the next: woken all at once, they would only stand in each other's way.

Most of those who were answered together come again at once. So the next leader waits for them first, as long at most as
the transaction took that answered them: else it would commit alone, and all of them would wait for that.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from eventstore.errors import AppendFailed, EventStoreError, OutcomeUnknown
from eventstore.forking import abandon_in_children
from eventstore.records import Appended

Item = TypeVar("Item")

MAX_WEIGHT = 4096
"""Weight of the items that one transaction takes: past it, it costs more to wait for the others than it saves."""
MAX_PENDING = 1024
"""Items handed in that nobody waits for yet. More are committed by who hands them in."""
MAX_GATHER_S = 0.01
"""A leader never waits longer than this for others to come."""
LOOK_AGAIN_S = 1.0
"""A caller looks again after this long, in case whoever was to wake it was hit by a signal's exception just then."""


class Entry(msgspec.Struct, Generic[Item], eq=False):
    """An item that was handed in, and what became of it: the ``Pending`` of whoever handed it in."""

    _group: GroupCommit[Item]
    item: Item
    weight: int
    appended: Appended | None = None
    error: BaseException | None = None
    repeated: bool = False
    """Whether it was stored before, so that its result is not new."""
    handed_in: bool = False
    """Whether its caller went on without waiting for it."""
    sleepers: dict[int, threading.Lock] | None = None
    """By thread: a lock, held, of each caller that sleeps until this is done or it leads."""

    @property
    def done(self) -> bool:
        """Whether its outcome is known."""
        return self.appended is not None or self.error is not None

    def result(self) -> Appended:
        """Wait until it is stored; raises what ``append`` would."""
        if self.appended is None and self.error is None:
            self._group.wait(self)
        if self.error is not None:
            raise self.error.with_traceback(None)  # several callers may share one
        assert self.appended is not None
        return self.appended

    def sleep(self, thread: int) -> threading.Lock:
        """A lock for a thread to sleep on. The group's lock is held."""
        sleeper = threading.Lock()
        sleeper.acquire()
        if self.sleepers is None:
            self.sleepers = {}
        self.sleepers[thread] = sleeper
        return sleeper

    def rise(self, thread: int) -> None:
        """This thread does not sleep any more. The group's lock is held."""
        if self.sleepers is not None:
            self.sleepers.pop(thread, None)


class GroupCommit(Generic[Item]):
    """Brings callers together in transactions.

    Args:
        commit: makes one transaction of some entries and sets ``appended`` or ``error`` of each. It runs in one thread
            at a time, and calls ``wake`` whenever it is about to wait. An exception that it raises is the outcome of
            every entry that has none yet.
        committed: called with the same entries after their callers were woken, for what may take a moment.
    """

    def __init__(
        self, commit: Callable[[list[Entry[Item]]], None], committed: Callable[[list[Entry[Item]]], None]
    ) -> None:
        self._commit = commit
        self._committed = committed
        self._lock = threading.Lock()
        self._queue: deque[Entry[Item]] = deque()
        self._leader: int | None = None
        """The thread that leads, or was chosen to lead and is waking up."""
        self._answered: list[threading.Lock] = []
        """Of callers whose items are done: they sleep until the leader waits."""
        self._waking: deque[threading.Lock] = deque()
        """Of those whom nobody has woken yet: each who wakes takes one."""
        self._coming = 0
        """Callers that the last transaction answered, beside who led it."""
        self._until_s = 0.0
        """Monotonic time until which the next leader waits for them."""
        self._gathering: threading.Lock | None = None
        """Held by a leader that waits for ``_coming`` others to hand in."""
        abandon_in_children(self)
        self._taken: list[Entry[Item]] | None = None
        """The entries of the transaction under way, if any was in the queue before."""
        self._most = MAX_PENDING

    def commit(self, item: Item, weight: int = 1) -> Appended:
        """Commit an item, together with whatever else waits; raises what became of it."""
        entry = Entry(self, item, weight)
        me = threading.get_ident()
        sleeper = None
        try:
            with self._lock:
                if self._leader is None and not self._queue:
                    self._leader = me
                else:
                    self._queue.append(entry)
                    if self._gathering is not None:
                        self._look_who_came()
                    if self._leader is not None:
                        sleeper = entry.sleep(me)
            if sleeper is not None:
                if not sleeper.acquire(timeout=LOOK_AGAIN_S):
                    self._let_go(sleeper)
                self._wake_next()
            elif self._leader == me:
                self._lead([entry])
        except BaseException:
            if sleeper is not None:
                self._let_go(sleeper)
            self._leave(entry, me)
            raise
        if entry.appended is not None and self._leader != me:
            return entry.appended
        if not entry.done or self._leader == me:
            self.wait(entry)
        return entry.result()

    def commit_alone(self, item: Item, commit: Callable[[Item], Appended]) -> Appended | None:
        """Commit an item by itself where nobody else is about to commit; returns None where somebody is.

        It spares what only a group needs.

        Args:
            item: what to commit.
            commit: makes one transaction of it, and returns or raises what became of it.
        """
        if self._queue:
            return None
        me = threading.get_ident()
        leads = False
        try:
            with self._lock:
                if self._leader is not None or self._queue or self._coming:
                    return None
                leads = True  # first, or an exception in between would keep the lead
                self._leader = me
            return commit(item)
        finally:
            if leads and self._leader == me:
                with self._lock:
                    if self._queue:
                        self._hand_over()
                    else:
                        self._leader = None

    def hand_in(self, item: Item, weight: int = 1) -> Entry[Item]:
        """Queue an item. Where too many wait, this call commits them."""
        entry = Entry(self, item, weight, handed_in=True)
        queue = self._queue
        with self._lock:
            queue.append(entry)
            if self._gathering is not None:
                self._look_who_came()
        if len(queue) >= self._most:
            self.wait(entry)
        return entry

    def wait(self, entry: Entry[Item]) -> None:
        """Return when an entry is done, having led a transaction or not."""
        me = threading.get_ident()
        try:
            while not self._sleep_or_lead(entry, me):
                self._lead([])
        except BaseException:
            self._leave(entry, me)
            raise

    def flush(self) -> None:
        """Return when everything handed in so far is done.

        Raises:
            AppendFailed, OutcomeUnknown: the storage refused some of it. What was refused for itself, its own caller is
                told.
        """
        with self._lock:
            entries = [*self._queue] if self._taken is None else [self._taken[-1], *self._queue]
        if entries:
            self.wait(entries[-1])
        for entry in entries:
            if isinstance(entry.error, AppendFailed | OutcomeUnknown):
                raise entry.error.with_traceback(None)

    def waiting(self) -> list[Entry[Item]]:
        """What was handed in by callers that went on, and is not stored yet, in order."""
        with self._lock:
            entries = (*(self._taken or ()), *self._queue)
        return [entry for entry in entries if entry.handed_in and not entry.done]

    def store_at_once(self) -> None:
        """From now on each caller that hands in commits, as where too many wait."""
        self._most = 0

    def abandon(self) -> None:
        """In a forked child: whoever led is not here, nor is anybody who would commit what was handed in."""
        self._lock = threading.Lock()
        self._queue.clear()
        self._waking.clear()
        self._leader = self._taken = self._gathering = None
        self._answered = []
        self._coming = 0

    def wake(self) -> None:
        """Wake the callers of the transaction before: whoever leads is about to wait."""
        if self._answered:
            answered, self._answered = self._answered, []
            self._waking += answered
            self._wake_next()

    def _wake_next(self) -> None:
        """Wake one of those who were answered: by each who wakes, whatever woke it."""
        while True:
            try:
                sleeper = self._waking.popleft()
            except IndexError:  # another may have taken the last one
                return
            try:
                sleeper.release()
            except RuntimeError:  # its caller let go of it and is up already: nobody would wake by this
                continue
            return

    @staticmethod
    def _let_go(sleeper: threading.Lock) -> None:
        """Release the lock of a caller that was not woken and looks again or leaves, or of one that is to lead.

        A lock is released once, so it is clear who woke whom: who comes later to wake this caller wakes another.
        """
        try:  # noqa: SIM105 - three times quicker than to suppress it, and the lead is handed over by this
            sleeper.release()
        except RuntimeError:
            pass

    def _sleep_or_lead(self, entry: Entry[Item], me: int) -> bool:
        """True when an entry is done, False when its caller leads."""
        while True:
            with self._lock:
                entry.rise(me)
                if entry.done:
                    if self._leader == me:
                        self._hand_over()
                    return True
                if self._leader in (None, me):
                    if entry not in self._queue:
                        # A signal's exception hit the leader that had just taken it, or the process was forked since.
                        entry.error = OutcomeUnknown("whoever was to store it was interrupted")
                        continue
                    self._leader = me
                    return False
                sleeper = entry.sleep(me)
            try:
                if not sleeper.acquire(timeout=LOOK_AGAIN_S):
                    self._let_go(sleeper)
            except BaseException:
                self._let_go(sleeper)
                raise
            self._wake_next()
            if entry.done and self._leader != me:  # most wake to this: their own sleeper is gone already
                return True

    def _leave(self, entry: Entry[Item], me: int) -> None:
        """A signal's exception ends this caller's wait: it takes neither the lead away nor anybody's waking."""
        self._wake_next()
        with self._lock:
            entry.rise(me)
            if self._leader == me:
                self._hand_over()

    def _look_who_came(self) -> None:
        """End a leader's wait for others once they are there. The lock is held."""
        if self._gathering is not None and len(self._queue) >= self._coming:
            self._gathering.release()
            self._gathering = None

    def _lead(self, group: list[Entry[Item]]) -> None:
        """Commit a group with what waits, one transaction; then let the next caller that waits lead."""
        began_s = None
        try:
            if self._coming:
                self._gather()
            if self._queue or not group:
                with self._lock:
                    self._take(group)
            if len(group) > 1:
                began_s = time.monotonic()
            if group:
                self._commit(group)
        except BaseException as error:
            for entry in group:
                if not entry.done:
                    entry.error = error if isinstance(error, EventStoreError) else OutcomeUnknown(f"{error!r}")
            if not isinstance(error, EventStoreError):
                raise
        finally:
            if self._answered:
                self.wake()  # where the transaction ended before it waited
            with self._lock:
                for entry in group:
                    if entry.sleepers is not None:
                        self._answered += entry.sleepers.values()
                        entry.sleepers = None
                if began_s is not None:
                    self._coming, ended_s = len(self._answered), time.monotonic()
                    self._until_s = ended_s + min(ended_s - began_s, MAX_GATHER_S)
                self._taken = None
                self._hand_over()
        self._committed(group)

    def _gather(self) -> None:
        """Wait for those who were answered a moment ago to come again, or until they had the time to."""
        with self._lock:
            left_s = self._until_s - time.monotonic()
            if left_s <= 0.0 or len(self._queue) >= self._coming:
                self._coming = 0
                return
            self._gathering = gathering = threading.Lock()
            gathering.acquire()
        self.wake()
        gathering.acquire(timeout=left_s)
        with self._lock:
            self._gathering = None
            self._coming = 0

    def _take(self, group: list[Entry[Item]]) -> None:
        """Move what waits into a group, as much as one transaction takes. The lock is held."""
        # Out of the queue first: what an exception in between leaves nowhere is told as unknown, and never stored. What
        # it left in both places would be told as unknown, settled as not stored, and stored after that.
        queue = self._queue
        weight = sum([entry.weight for entry in group])
        if weight + sum([entry.weight for entry in queue]) <= MAX_WEIGHT:
            taken = [*queue]
            queue.clear()
            group += taken
        while queue:
            entry = queue[0]
            weight += entry.weight
            if weight > MAX_WEIGHT and group:
                break
            group.append(queue.popleft())
        if group:
            self._taken = group

    def _hand_over(self) -> None:
        """Wake the first caller that waits to lead; where nobody does, the next to come leads. The lock is held."""
        for entry in self._queue:
            if entry.sleepers:
                self._leader, sleeper = entry.sleepers.popitem()
                self._let_go(sleeper)  # where its caller looks again just now, it finds that it leads
                return
        self._leader = None
        if self._answered:
            self.wake()
