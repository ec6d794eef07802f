"""Cuts the host's state where it lives: on its loop, in slices between which others run, or in one go.

Talks to the host over the bridge. What other tasks may change meanwhile is copied in the first slice. A state that has
changed all the same is noticed where a container grew or shrank, and is cut again in one go.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import attrs

from lrm_actors.actors.checkpointer import Captured
from lrm_actors.actors.checkpoints.cutting import Cutter
from lrm_actors.actors.checkpoints.leaves import Cut, Node
from lrm_actors.actors.checkpoints.marking import COMPARE, MARKS, marks_of
from lrm_actors.actors.checkpoints.plain import OBJECT, Path, fields_of, kind_of, look_through, pack, unpack
from lrm_actors.errors import NotCapturable
from lrm_actors.hosting.capture_options import CaptureOptions
from lrm_actors.hosting.host import HostBridge

SHORT_S = 0.002
"""A cut that takes no longer is made in one go, whatever the host says."""
LETS_IN = 2
"""Rounds of the loop between two slices: in the first, a timer that is due stands behind us, and runs after us."""
MAX_MARKS = 10_000
"""Marks that are kept; with more of them everything is looked at."""

_log = logging.getLogger("lrm_actors.mode")


class Change:
    """What the host said of its changes, and whether that can still be believed."""

    def __init__(self, *, is_trusted: bool = True) -> None:
        self._lock = threading.Lock()
        self._marked: list[tuple[Any, ...]] = [()]
        self._in_a_cut: list[tuple[Any, ...]] = []
        """Marks that a cut has heeded which has not been taken over yet."""
        self._fast = 0
        self.took_ms = 0.0
        """What the last cut took; 0: there was none."""
        self.is_trusted = is_trusted
        """Whether the faster way was never found to have missed anything."""
        self.told_of_none = self.told_of_shared = False
        """Whether it was told that the host gives None, or shares what its state does not have."""

    def begin_anew(self) -> None:
        """What was said so far was of another state."""
        with self._lock:
            self._marked[:] = [()]
            self._in_a_cut.clear()
        self.is_trusted = True

    def mark(self, path: tuple[Any, ...]) -> None:
        """A value changed."""
        with self._lock:
            if len(self._marked) >= MAX_MARKS:
                self._marked[:] = [()]
            self._marked.append(path)

    def way(self, options: CaptureOptions) -> str:
        """How to find the change now."""
        return options.changes if self.is_trusted else COMPARE

    def marks(self, shared: Iterable[str] = ()) -> Any:
        """What is marked by now, and what is shared: that changes at any time, and is compared unasked."""
        with self._lock:
            self._in_a_cut += self._marked
            self._marked.clear()
            if len(self._in_a_cut) > MAX_MARKS:
                self._in_a_cut[:] = [()]
            return marks_of([*self._in_a_cut, *((key,) for key in shared)])

    def to_be_checked(self, options: CaptureOptions) -> bool:
        """Whether it is time to see if the faster way misses anything."""
        self._fast += 1
        return self._fast % options.verify_every == 0

    def settled(self) -> None:
        """What was cut has been taken over; what was marked before that is done with."""
        with self._lock:
            self._in_a_cut.clear()

    def missed(self, paths: tuple[str, ...], way: str) -> None:
        """The faster way was wrong. It is not used any more."""
        self.is_trusted = False
        _log.error("the way %r of finding changes missed %s; everything is compared from now on", way, ", ".join(paths))


class Slicing:
    """One cut.

    Args:
        options: the host's.
        change: what it said of its changes.
        previous: what was cut before.
        position: head of the log while the boundary is held.
        keeps_still: whether the host keeps from changing what is not shared until the cut is over.
        careful: compare everything, whatever the options say: they were wrong before.
    """

    def __init__(
        self,
        options: CaptureOptions,
        change: Change,
        previous: Node | None,
        position: int,
        *,
        keeps_still: bool,
        careful: bool = False,
    ) -> None:
        self._options = attrs.evolve(options, changes=COMPARE) if careful else options
        self._change = change
        self._previous = previous
        self._position = position
        self._keeps_still = keeps_still
        self._longest_ms = 0.0
        self._loose = False
        """Whether what is cut are the fields of an object."""

    def cut(
        self,
        function: Callable[[], Any],
        bridge: HostBridge,
        within: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> Captured:
        """Have the host give its state, and cut it; blocks until that is done.

        Args:
            function: that gives it.
            bridge: to the host.
            within: entered around the function where that is called on a thread of its own.

        Raises:
            NotCapturable: something in it is not plain data.
        """
        if bridge.has_loop:

            async def take() -> Captured:
                state = function()
                return await self._on_loop(await state if inspect.isawaitable(state) else state)

            take.__qualname__ = getattr(function, "__qualname__", take.__qualname__)  # what a timeout speaks of
            captured: Captured = bridge.call(take, also_while_held=True)
            return captured
        return self._here(bridge.call_beside(function, within))

    async def _on_loop(self, state: Any) -> Captured:
        state = self._prepared(state)
        cutter = self._cutter()
        if not self._keeps_still:
            return self._done(cutter.at_once(state))
        # What took longer the last time will not be done in one go: then its first slice is as short as the others.
        is_short = self._change.took_ms <= SHORT_S * 1000
        walk = cutter.in_slices(state, first_s=SHORT_S if is_short else 0.0)
        while True:
            try:
                next(walk)
            except StopIteration as done:
                return self._checked(state, done.value)
            for _ in range(LETS_IN):
                await asyncio.sleep(0)

    def _here(self, state: Any) -> Captured:
        """On this thread, with other threads let in between two slices."""
        state = self._prepared(state)
        if not self._keeps_still:
            state = _copy(state, [], loose=self._loose)  # no other thread can come between
        walk = self._cutter().in_slices(state)
        while True:
            try:
                next(walk)
            except StopIteration as done:
                return self._checked(state, done.value)
            time.sleep(0)

    def _checked(self, state: Any, cut: Cut) -> Captured:
        if not cut.changed_meanwhile:
            return self._done(cut)
        _log.warning(
            "the state changed while it was captured, outside of a step: it is captured again in one go. "
            "Change it inside steps, or declare what changes at other times as shared"
        )
        self._longest_ms = max(self._longest_ms, cut.longest_ms)
        return self._done(Cutter(self._previous, loose=self._loose).at_once(state))

    def _prepared(self, state: Any) -> Any:
        """The state to be kept, with private copies of what is shared."""
        began_s = time.perf_counter()
        if state is None and not self._change.told_of_none:
            self._change.told_of_none = True
            _log.warning(
                "the host gives None as its state, and that is kept: if it has one, have its function return it"
            )
        if self._options.redact is not None:
            state = _redacted(self._options.redact, state)
        if self._options.shared:
            if kind_of(state) == OBJECT:
                state, self._loose = fields_of(state, []), True
            self._tell_of_shared(state)
            if type(state) is dict:
                shared, loose = self._options.shared, self._loose
                copies = {key: _copy(state[key], [key], loose=loose) for key in shared if key in state}
                state = {key: copies.get(key, one) for key, one in state.items()}
        self._longest_ms = (time.perf_counter() - began_s) * 1000
        return state

    def _tell_of_shared(self, state: Any) -> None:
        """A key that is meant to be shared and has another name, or stands further down, protects nothing."""
        missing = [key for key in self._options.shared if type(state) is not dict or key not in state]
        if missing and not self._change.told_of_shared:
            self._change.told_of_shared = True
            names = ", ".join(map(repr, missing))
            _log.warning("not at the top of the state, so nothing is shared by it: %s", names)

    def _cutter(self) -> Cutter:
        way = self._change.way(self._options)
        if way == COMPARE or self._previous is None:
            self._change.marks()  # everything is looked at, so they are done with
            return Cutter(self._previous, loose=self._loose)
        marks = self._change.marks(self._options.shared) if way == MARKS else None
        check = self._change.to_be_checked(self._options)
        return Cutter(self._previous, way=way, marks=marks, check=check, loose=self._loose)

    def _done(self, cut: Cut) -> Captured:
        self._change.took_ms = cut.took_ms
        way = self._change.way(self._options)
        if cut.missed:
            self._change.missed(cut.missed, way)
        stall_ms = max(self._longest_ms, cut.longest_ms)
        return Captured(cut, self._position, stall_ms, way, self._options.version)


def _redacted(redact: Callable[[Any], Any], state: Any) -> Any:
    """What the host's function gives: one that forgets to would cost all of the state, found out at a restart."""
    kept = redact(state)
    if inspect.isawaitable(kept):
        if inspect.iscoroutine(kept):
            kept.close()  # or it would complain that nobody began it
        msg = "redact is async, and must be a plain function"
        raise NotCapturable(msg, hint="see the function given as redact")
    if kept is None and state is not None:
        msg = "redact gives None, and must give the state that is to be kept"
        raise NotCapturable(msg, hint="see the function given as redact")
    return kept


def _copy(value: Any, path: Path, *, loose: bool) -> Any:
    """A part of the state as it is at one moment: it is packed in a call that no other thread can interrupt."""
    look_through(value, path, loose=loose)
    return unpack(pack(value, path, loose=loose))
