"""The agent's steps: durable when begun, durable with their result when they end.

Talks to the journal actor and to the step boundary. What a step does is written once, as generators that yield what
they wait for; the two scopes of ``step_scopes`` only differ in how they wait.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Protocol, TypeAlias, TypeVar

import attrs

from eventstore.errors import EventRefused
from lrm_actors.actors.analyzer import text_of
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.journal import AbandonStep, BeginStep, CommitStep, JournalState
from lrm_actors.domain.journaling.book import FINISHED, IN_DOUBT, Recorded
from lrm_actors.domain.tasks import TaskCall
from lrm_actors.errors import CommandRefused, JournalMismatch
from lrm_actors.hosting.boundary import StepBoundary
from lrm_actors.hosting.offload import beside
from lrm_actors.hosting.step_effects import StepEffects
from lrm_actors.hosting.step_progress import shown

T = TypeVar("T")

Waits: TypeAlias = "Generator[Future[None] | Command, Any, T]"
"""A story told once: it yields a future to wait for or a command for the journal, and is sent what came of it."""

JOURNAL = "journal"

ANSWERED = FINISHED | {IN_DOUBT}
"""What a repeated step has to ask for: else it would be lost without a word."""
MANY = 1_000
"""Effects on record that take about a millisecond to look through: more are, while the event loop turns."""

FORGOTTEN = (
    "%d finished effects of an abandoned step are forgotten: its number %d begins as %r. When that step is begun again "
    "later, they are done again, under other idempotency keys. A step with a key of its own would keep them: "
    "mode.step(name, key=...), or mode.task."
)

_log = logging.getLogger("lrm_actors.mode")
_current: ContextVar[Step | None] = ContextVar("lrm_current_step", default=None)


@attrs.define
class Step:
    """One step of the agent while it is open. Change the host's state inside it, and set ``result``."""

    number: int
    """From 1, without gaps between committed steps."""
    name: str
    """With its key after it, where it was given one."""
    attempt: int
    """1 for the first time."""
    repeated: bool
    """An earlier process had begun it: what it does outside may happen twice."""
    result: Any = None
    """A JSON value, stored when the step ends without an exception."""
    progress: str = attrs.field(default="", eq=False)
    """How far it is, in your words: shown by the health report of this process, and stored when the step ends."""
    at: int | None = attrs.field(default=None, eq=False)
    """Which of ``of`` it is, as it was given; None: its number."""
    of: int | None = attrs.field(default=None, eq=False)
    """How many steps there will be, as it was given."""
    keyed: int = attrs.field(init=False, eq=False, repr=False)
    """Number of the step that the idempotency keys of its effects are made from: its own, but for one that was set
    aside."""
    by_name: bool = attrs.field(default=False, init=False, eq=False, repr=False)
    """People know it by its name and not by its number, which may be another when it begins again: it has a key."""
    effects: StepEffects = attrs.field(init=False, eq=False, repr=False)
    """What it knows of its effects."""
    _committed: bool = attrs.field(default=False, init=False, eq=False, repr=False)
    _stepping: Stepping | None = attrs.field(default=None, eq=False, repr=False, alias="stepping")
    _around: Step | None = attrs.field(default=None, init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.keyed = self.number
        self.effects = StepEffects(self.number)

    @property
    def committed(self) -> bool:
        """Whether its commit is in the log: it is done, even where its end was cancelled or timed out. Any thread.

        False while it is open, when it was abandoned, and when its commit was not answered: then nobody knows.
        """
        return self._committed

    def forget_effects(self) -> None:
        """Have what is on record of this step's effects count no more: each is carried out anew. Returns at once.

        For code that was changed, so that the effects on record are not those it would ask for. Call it first thing in
        the step. It is put on record with the first effect, or with the end of the step.

        Raises:
            StepOrder: an effect is under way.
        """
        on_record = [] if self._stepping is None else [one.key for one in self._stepping.on_record(self.number)]
        self.effects.forget_all(on_record)


class Asking(Protocol):
    """What steps need of a system."""

    def state(self, name: str) -> Any:
        """The published state of an actor."""

    def ask_blocking(self, to: str, command: Command, *, timeout_s: float = 5.0) -> Any:
        """Send a command and wait for its reply on this thread."""

    async def ask(self, to: str, command: Command, *, timeout_s: float = 5.0) -> Any:
        """Send a command and await its reply."""

    def note(self, to: str, command: Command) -> None:
        """Send a command and do not wait."""


def current_step(of: Stepping | None = None) -> Step | None:
    """The step that the calling task or thread is inside of, if any; of one mode, or the innermost of any."""
    step = _current.get()
    while of is not None and step is not None and step._stepping is not of:  # noqa: SLF001 - a step's own module
        step = step._around  # noqa: SLF001
    return step


def go_inside(step: Step) -> None:
    """The calling task or thread is inside of this step from now on."""
    step._around = _current.get()  # noqa: SLF001 - a step's own module
    _current.set(step)


def go_outside(step: Step) -> None:
    """The calling task or thread is where it was before that."""
    _current.set(step._around)  # noqa: SLF001 - a step's own module


class Stepping:
    """What the steps of one mode share.

    Args:
        boundary: lets a capture in between two steps.
        on_begin: called when a step is about to begin.
        check: raises ``EventRefused`` when a value cannot be stored in an event's field. An actor that was handed one
            would have to be restarted, and given up in the end, for what is the host's mistake.
        run_async: runs a coroutine to its end.
        is_in_loop: whether the caller is on the host's event loop, which no step may hold.
        timeout_s: how long the journal may take to store the begin or the end of a step.
    """

    def __init__(
        self,
        boundary: StepBoundary,
        *,
        on_begin: Callable[[], object] = lambda: None,
        check: Callable[[str, str, Any], object] = lambda event, field, value: None,
        run_async: Callable[[Any], Any] = asyncio.run,
        is_in_loop: Callable[[], bool] = lambda: False,
        timeout_s: float = 30.0,
    ) -> None:
        self.boundary = boundary
        self.is_in_loop = is_in_loop
        self.run_async = run_async
        """Runs a coroutine to its end, for a host without an event loop."""
        self.timeout_s = timeout_s
        self._on_begin = on_begin
        self._check = check
        self._lock = threading.Lock()
        self._inside = 0
        self._open: Step | None = None
        self._asking: Asking | None = None

    def progress(self) -> str:
        """What the open step says of how far it is."""
        step = self._open
        return "" if step is None else shown(step.progress)

    def open_here(self) -> Step | None:
        """The open step, where the calling task or thread is inside of it."""
        step = self._open
        return step if step is not None and current_step(self) is step else None

    def on_record(self, step: int) -> list[Recorded]:
        """The effects on record of a step that is not over."""
        if self._asking is None:
            return []
        state: JournalState = self._asking.state(JOURNAL)
        if state.unfinished is None or state.unfinished.step != step:
            return []
        return list(state.effects)

    def begin(
        self, asking: Asking, name: str, at: int | None = None, of: int | None = None, task: TaskCall | None = None
    ) -> Waits[Step]:
        """Begin a step; whoever waited for ``boundary.enter()`` calls this next.

        A step that this process began and could not end, because the log failed just then, is abandoned first: its
        scope is gone, so nobody will ever end it.
        """
        try:
            self._check("journal.step_begun", "name", name)
            if task is not None:  # set aside, it is named by both
                self._check("journal.task_set_aside", "name", f"{name}{task.task}{task.key}")
            self._on_begin()
            journal = asking.state(JOURNAL)
            left = journal.open if journal.open is not None and journal.open.begun_in_start == journal.start else None
            if left is not None and not self._inside:
                with suppress(CommandRefused):  # it ended after all, and that was not known yet
                    yield AbandonStep(left.step, "its end could not be stored")
            self._asking = asking
            reply = yield BeginStep(name, at, of, task)
            number, attempt = int(reply["step"]), int(reply["attempt"])
            step = Step(number, name, attempt, bool(reply["repeated"]), at=at, of=of, stepping=self)
            step.keyed, step.by_name = reply.get("origin", number), task is not None
            if reply.get("forgotten"):
                _log.warning(FORGOTTEN, reply["forgotten"], number, name)
            if attempt > 1 and len(asking.state(JOURNAL).effects) > MANY:
                yield beside(lambda: self._take_up(step))
            elif attempt > 1:
                self._take_up(step)
        except BaseException:
            self.boundary.leave()
            raise
        with self._lock:
            self._inside += 1
        self._open = step
        return step

    def _commit(self, step: Step) -> Waits[None]:
        asking = self._asking
        try:
            yield CommitStep(step.number, step.result, step.effects.forget, shown(step.progress))
        except BaseException:
            # Nobody else can have begun meanwhile. An interrupt may have come between the commit and its answer.
            with suppress(Exception):
                step._committed = asking is not None and asking.state(JOURNAL).committed >= step.number  # noqa: SLF001
            raise
        step._committed = True  # noqa: SLF001 - a step's own module

    def _take_up(self, step: Step) -> None:
        """Note what a repeated step has to ask for."""
        needed = (one for one in self.on_record(step.number) if one.status in ANSWERED and not one.stray)
        step.effects.before.update(one.key for one in needed)

    def end(self, step: Step, error: BaseException | None) -> Waits[None]:
        """Commit a step with its result, or abandon it because of an error. Afterwards nobody is inside it."""
        try:
            yield self.boundary.before_end()
            if error is None:
                try:
                    self._check("journal.step_committed", "result", step.result)
                    step.effects.check_end()
                    yield from self._commit(step)
                except (EventRefused, CommandRefused) as refused:
                    yield AbandonStep(step.number, _said(refused), isinstance(refused, JournalMismatch))
                    raise
            else:
                yield AbandonStep(step.number, _said(error), isinstance(error, JournalMismatch))
        finally:
            self._open = None
            with self._lock:
                self._inside -= 1
            self.boundary.leave()


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {text_of(error)}"
