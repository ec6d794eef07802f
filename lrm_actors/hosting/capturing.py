"""The host's state in and out: captured between two steps together with the position it belongs to, and given back.

Talks to the host over the bridge, and to the step boundary. Decides nothing: the checkpointer does.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eventstore.protocol import EventReader
from lrm_actors.actors.analyzer import text_of
from lrm_actors.actors.checkpointer import EMERGENCY_WAIT_S, Captured, checkpoint_handlers
from lrm_actors.actors.checkpoints.leaves import Node
from lrm_actors.domain.behavior import Command, Effect
from lrm_actors.domain.checkpointer import EMERGENCY, MANUAL, PERIODIC, CaptureState
from lrm_actors.errors import LrmError, NotCapturable, SettingsError, StepNotReplayed
from lrm_actors.hosting.boundary import StepBoundary
from lrm_actors.hosting.capture_options import CaptureOptions, Upcaster, checked_upcasters
from lrm_actors.hosting.host import HostBridge
from lrm_actors.hosting.recovery import CommittedStep
from lrm_actors.hosting.slicing import Change, Slicing

BOUNDARY_WAIT_S = 30.0
"""How long a capture waits for the open step to end, where somebody waits for the capture."""
PERIODIC_WAIT_S = 240.0
"""How long a periodic one does: less than what makes it overdue. An agent whose steps take minutes has few moments."""
REPLAYED_AT_ONCE, REPLAYED_FOR_S = 50, 1.0
"""Steps that the host takes up, and seconds it may take for them, before its loop may do something else. Each step has
the whole time of a call, however many there are."""
RESTORED_IN = 10
"""Times as long as other calls of the host's functions may its state take to be taken up: a browser may be started."""

_log = logging.getLogger("lrm_actors.mode")


class NoCapture(NotCapturable):
    """There is nothing to capture: the host did not say how, or is not there yet. That is no failure of anything."""

    code = "LRM-3005"
    hint = "give a function that does, with capture_with()"


class NotTakenUp(NoCapture):
    """The host goes on without what an earlier process left: while it does so, its state is not kept."""

    code = "LRM-3020"
    hint = "call recover_from_checkpoint() after the start, or begin a step"


class Capturing:
    """The host's two functions, and how they are called."""

    def __init__(self, boundary: StepBoundary, bridge: HostBridge) -> None:
        self._boundary = boundary
        self._bridge = bridge
        self._capture: Callable[[], Any] | None = None
        self._restore: Callable[[Any], Any] | None = None
        self._replay: Callable[[Any], Any] | None = None
        self.options = CaptureOptions()
        """How the host wants its state captured."""
        self.upcasters: Mapping[int, Upcaster] = checked_upcasters(None)
        """From each version of the host's state to the next."""
        self._place: Path | None = None
        self._opening = False
        self._behind = self._restored = False
        self._has_steps = False
        self._change = Change()

    @property
    def can_capture(self) -> bool:
        """Whether the host said how, and its state is not behind the log."""
        return self._capture is not None and not self._opening and not self._behind

    @property
    def can_restore(self) -> bool:
        """Whether the host said how."""
        return self._restore is not None

    @property
    def state_version(self) -> int | None:
        """Of the host's state, as it says; None where it captures none."""
        return None if self._capture is None else self.options.version

    def opening(self, place: Path) -> None:
        """The actors of a log are about to start, and it is not known yet what is in it.

        They deal first with what an earlier process left them: a step, say, after which a checkpoint is due.
        """
        self._opening = place != self._place

    def begin(self, place: Path, *, has_history: bool) -> None:
        """A run begins on a log; with a history, a new process's state does not contain it yet.

        A capture before the host has taken up where it was would put an empty state on record as the newest one.
        """
        if place != self._place:
            self._behind, self._restored = has_history, False
            self._place = place
        self._opening = False

    def moved(self, place: Path) -> None:
        """The same log is in another place."""
        self._place = place

    def behind(self, *, steps: bool) -> None:
        """The host has been restored; with steps committed since, its state lacks them until it has taken them up."""
        self._behind = self._restored = steps

    def goes_on(self) -> None:
        """The host begins a step: its state is the agent's from here on, restored or not."""
        self._behind = self._restored = False
        self._has_steps = True

    def capture_with(self, function: Callable[[], Any], options: CaptureOptions | None = None) -> None:
        """Use this function, plain or async, to take the host's state."""
        self.options = options if options is not None else CaptureOptions()
        self._change.begin_anew()
        self._capture = function

    def restore_with(self, function: Callable[[Any], Any], upcasters: Mapping[int, Upcaster] | None = None) -> None:
        """Use this function, plain or async, to give a state back to the host, upcast to its version."""
        self.upcasters = checked_upcasters(upcasters)
        self._restore = function

    def replay_with(self, function: Callable[[Any], Any]) -> None:
        """Use this function, plain or async, to have the host take up a step that was committed after its state."""
        self._replay = function

    def changed(self, path: tuple[Any, ...]) -> None:
        """The host says that the value at this path of its state changed. Returns at once, on any thread.

        Args:
            path: keys and indexes, from the top; empty: anything may have changed.

        Raises:
            SettingsError: one of them can be no key.
        """
        try:
            hash(path)
        except TypeError:
            raise SettingsError("path", path, "keys and indexes") from None
        self._change.mark(path)

    def check(self) -> Callable[[], Any]:
        """The function to capture with.

        Raises:
            NoCapture: there is none, or its state would be behind the log.
        """
        if self._capture is None:
            msg = "the host did not say how its state is captured"
            raise NoCapture(msg)
        if self._restored:
            msg = "the host was restored, and steps were committed since that its state may lack"
            raise NoCapture(msg, hint="take up the results in last_recovery.steps, and begin a step")
        if not self.can_capture:
            msg = "the host has not taken up where it was"
            raise NotTakenUp(msg)
        return self._capture

    def handlers(self, reader: EventReader) -> Mapping[type[Effect], Callable[[Any], Command | None]]:
        """How checkpoints of this log are taken, from now on and no more of the log before it."""
        change, run = Change(is_trusted=self._change.is_trusted), self._boundary.run
        self._change = change

        def capture(effect: CaptureState, previous: Node | None) -> Captured:
            return self.capture(effect, reader, previous, change, run)

        return checkpoint_handlers(reader, capture, change.settled)

    def capture(
        self,
        effect: CaptureState,
        reader: EventReader,
        previous: Node | None = None,
        change: Change | None = None,
        run: int | None = None,
    ) -> Captured:
        """The state between two steps, and the head of the log there.

        The head is right whatever it is exactly: while the boundary is held no step can begin or end, so every step
        committed up to it is contained in the state, and none that is committed later.
        """
        self.check()  # before it waits
        emergency = effect.kind == EMERGENCY
        wait_s = EMERGENCY_WAIT_S if emergency else PERIODIC_WAIT_S if effect.kind == PERIODIC else BOUNDARY_WAIT_S
        with self._boundary.hold(wait_s=wait_s, even_inside=emergency, only_looks=True, run=run) as held:
            function, options = self.check(), self.options  # a recovery may have held the boundary before
            position = reader.head
            # Where nothing keeps the host from changing its state meanwhile, it is cut in one go.
            waits = self._has_steps or (effect.kind == MANUAL and previous is not None)
            keeps_still = waits and not held.inside_step
            # An emergency may be cut apart from the others, to which it leaves the marks.
            change = Change() if change is None or (emergency and previous is None) else change
            slicing = Slicing(options, change, previous, position, keeps_still=keeps_still, careful=effect.careful)
            with _told_where():
                return slicing.cut(function, self._bridge, self._boundary.held_here_too)

    def restore(self, state: Any) -> None:
        """Give a state to the host; nothing happens if it did not say how. Raises what the host raises."""
        if self._restore is not None:
            self._bridge.call(self._restore, state, timeout_s=self._bridge.timeout_s * RESTORED_IN)

    def _replay_on_loop(self, function: Callable[[Any], Any], steps: Sequence[CommittedStep]) -> None:
        first = 0
        while first < len(steps):
            some, begun = steps[first : first + REPLAYED_AT_ONCE], list[CommittedStep]()
            try:
                self._bridge.call(_replay_some, function, some, begun)
            except TimeoutError as error:  # of the bridge: the host's own is told with its step
                step = begun[-1] if begun else some[0]
                why = f"it took more than {self._bridge.timeout_s:g} s, or the host's loop has ended"
                raise StepNotReplayed(step.step, step.name, why) from error
            first += len(begun)

    def replay(self, steps: Sequence[CommittedStep]) -> bool:
        """Have the host take up these steps, in order; False, and nothing happens, where it did not say how.

        Raises:
            StepNotReplayed: it could not.
        """
        function = self._replay
        if function is None:
            return False
        if self._bridge.has_loop:
            self._replay_on_loop(function, steps)
        else:
            for step in steps:
                with _said_which(step):
                    self._bridge.call(function, step)
        return True


async def _replay_some(
    function: Callable[[Any], Any], steps: Sequence[CommittedStep], begun: list[CommittedStep]
) -> None:
    """Have the host take up some of these steps, as many as there is time for; each is noted as it begins."""
    began_s = time.monotonic()
    for step in steps:
        if begun and time.monotonic() - began_s >= REPLAYED_FOR_S:
            return
        begun.append(step)
        with _said_which(step):
            result = function(step)
            if inspect.isawaitable(result):
                await result


def _is_being_cancelled() -> bool:
    """Whether somebody cancelled the task we are in; the host's function may raise the same error by itself."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return False
    return task is not None and task.cancelling() > 0


@contextmanager
def _told_where() -> Iterator[None]:
    """The log keeps the error of a checkpoint that fails in a function of the host's, and not where it was raised."""
    try:
        yield
    except (LrmError, TimeoutError):  # these say all there is to say
        raise
    except Exception:
        _log.warning("the host's state could not be captured", exc_info=True)
        raise


@contextmanager
def _said_which(step: CommittedStep) -> Iterator[None]:
    try:
        yield
    except (Exception, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
            raise
        raise StepNotReplayed(step.step, step.name, f"{type(error).__name__}: {text_of(error)}") from error
