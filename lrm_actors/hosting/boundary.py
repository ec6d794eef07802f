"""The moment between two steps, at which the host's state is whole and belongs to one position of the log.

A checkpoint is a pair of state and position such that the state contains every step committed up to the position,
and none after it. The host changes its state inside its steps only, so the pair is right whenever the state is
captured while no step is open and none can begin: then the head of the log is such a position. ``StepBoundary`` finds
that moment and holds it. Steps that want to begin meanwhile wait; the hold is bounded, and so is their wait.

An emergency may not be able to wait for a step that hangs. It holds the boundary *inside* the step: the commit of that
step waits until the capture is done, so the head is still a right position for every committed step, and only the
open step may be contained in part. Who restores such a checkpoint must look whether that step was committed after all.
Nor can it wait for a capture that waits for that step, or whose host hangs: it comes before the one and holds beside
the other, for both only look.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from eventstore.frozen import frozen
from lrm_actors.errors import StepOrder


@frozen
class Held:
    """The boundary is held."""

    inside_step: bool
    """A step is open: it did not end in the time allowed, and the holder said it would not wait longer."""


@frozen
class BoundaryStatistics:
    """A moment's counts."""

    open_steps: int
    held: bool
    """Somebody holds it, or waits to."""
    waiting: int
    """Steps that wait to begin or to commit."""


class StepBoundary:
    """Lets steps through one way and captures the other. Safe from any thread; nothing in it blocks but ``hold``."""

    def __init__(self, *, other_holder_s: float = 120.0) -> None:
        self.other_holder_s = other_holder_s
        """How long one holder waits for another."""
        self._one = threading.Lock()
        """Of those who do more than look."""
        self._changed = threading.Condition()
        self._open = 0
        self._wanted = 0
        """Holders, and those who wait to be one."""
        self._held = 0
        """Holders."""
        self._alone = False
        """Whether the one that holds does more than look."""
        self._runs = 0
        """Runs that have ended."""
        self._threads: list[int] = []
        """Those of the holders, and of whom they wait for."""
        self._entering: deque[Future[None]] = deque()
        self._ending: deque[Future[None]] = deque()

    def enter(self) -> Future[None]:
        """A future that is done when the step may begin. Each one that was done needs a ``leave``.

        A hold that is only waiting keeps steps out already; a host that begins each step right after the last would
        otherwise never let a capture in.
        """
        passed: Future[None] = Future()
        with self._changed:
            if self._wanted:
                self._entering.append(passed)
                return passed
            self._open += 1
        passed.set_result(None)
        return passed

    def is_held_here(self) -> bool:
        """Whether this very thread holds it, or works for who does: a step that it begins now would wait for itself."""
        with self._changed:
            return threading.get_ident() in self._threads

    @contextmanager
    def held_here_too(self) -> Iterator[None]:
        """Have this thread do a part of what the boundary is held for, on which the holder waits."""
        thread = threading.get_ident()
        with self._changed:
            self._threads.append(thread)
        try:
            yield
        finally:
            with self._changed:
                self._threads.remove(thread)

    def before_end(self) -> Future[None]:
        """A future that is done when the open step may be committed or abandoned."""
        passed: Future[None] = Future()
        with self._changed:
            if self._held:
                self._ending.append(passed)
                return passed
        passed.set_result(None)
        return passed

    def leave(self) -> None:
        """The step is over."""
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    @contextmanager
    def hold(
        self, *, wait_s: float, even_inside: bool = False, only_looks: bool = False, run: int | None = None
    ) -> Iterator[Held]:
        """Hold the moment between two steps; block until it comes.

        Args:
            wait_s: how long the open step has to end, at least 0.
            even_inside: hold inside the step when it does not end in time.
            only_looks: the host is only looked at, not changed: while it waits for a step, nobody waits for it. With
                ``even_inside``, an emergency: it waits for nobody but one who does more than look, and holds beside the
                others.
            run: number of the run that it is for; None: the one of now.

        Raises:
            StepOrder: the step did not end in time, or the run has ended.
            TimeoutError: another holder did not let go.
        """
        if not only_looks and not self._one.acquire(timeout=self.other_holder_s):
            raise self._not_let_go()
        try:
            held = self._take(wait_s, even_inside=even_inside, only_looks=only_looks, run=run)
            try:
                yield held
            finally:
                self._give_back(was_held=True)
        finally:
            if not only_looks:
                self._one.release()

    def _take(self, wait_s: float, *, even_inside: bool, only_looks: bool, run: int | None) -> Held:
        with self._changed:
            self._wanted += 1
        try:
            with self._changed:
                self._wait(
                    wait_s, even_inside=even_inside, only_looks=only_looks, run=self._runs if run is None else run
                )
                self._held += 1
                self._threads.append(threading.get_ident())
                self._alone = not only_looks
                return Held(inside_step=self._open > 0)
        except BaseException:  # also where somebody interrupts it: steps would never begin again
            self._give_back(was_held=False)
            raise

    def _wait(self, wait_s: float, *, even_inside: bool, only_looks: bool, run: int) -> None:
        """Wait for the moment, with the lock. Raises what ``hold`` raises."""

        def is_free() -> bool:
            return not self._alone if even_inside and only_looks else not self._held

        self._changed.wait_for(lambda: self._runs != run or (not self._open and is_free()), timeout=wait_s)
        if self._runs != run:
            msg = "the run ended before the open step did"
            raise StepOrder(msg)
        if not self._open and is_free():
            return
        if self._open and not even_inside:
            msg = f"the open step did not end within {wait_s:g} s"
            raise StepOrder(msg, hint="do it between two steps, or let the step end")
        if not self._changed.wait_for(is_free, timeout=self.other_holder_s):
            raise self._not_let_go()

    @property
    def run(self) -> int:
        """Number of the run of now."""
        return self._runs

    def end_of_run(self) -> None:
        """Nobody waits any longer for a step of this run to end: it may hang, and the first of the next would wait."""
        with self._changed:
            self._runs += 1
            self._changed.notify_all()

    def _not_let_go(self) -> TimeoutError:
        return TimeoutError(f"the moment between two steps is held by another for more than {self.other_holder_s:g} s")

    def _give_back(self, *, was_held: bool) -> None:
        """Let everybody go on whom no other holds back."""
        entering: list[Future[None]] = []
        ending: list[Future[None]] = []
        with self._changed:
            self._wanted -= 1
            if was_held:
                self._held -= 1
                self._threads.remove(threading.get_ident())
                self._alone = False  # who is alone is the only one
            if not self._held:
                ending = [future for future in self._ending if future.set_running_or_notify_cancel()]
                self._ending.clear()
            if not self._wanted:
                entering = [future for future in self._entering if future.set_running_or_notify_cancel()]
                self._entering.clear()
                self._open += len(entering)
            self._changed.notify_all()
        # Outside the lock: a future's callbacks belong to whoever waits.
        for future in (*ending, *entering):
            future.set_result(None)

    def statistics(self) -> BoundaryStatistics:
        """This moment's counts."""
        with self._changed:
            waiting = sum(not one.cancelled() for one in (*self._entering, *self._ending))
            return BoundaryStatistics(self._open, self._wanted > 0, waiting)
