"""The agent's steps: durable when begun, durable with their result when they end, for asyncio and for threads alike.

Talks to the journal actor and to the step boundary. What a step does is written once, as generators that yield what
they wait for; the two scopes only differ in how they wait.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeAlias, TypeVar

import attrs

from eventstore.errors import EventRefused
from lrm_actors.actors.analyzer import text_of
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.journal import AbandonStep, BeginStep, CommitStep
from lrm_actors.errors import CommandRefused, WrongWith
from lrm_actors.hosting.boundary import StepBoundary
from lrm_actors.hosting.offload import unbroken

T = TypeVar("T")

Waits: TypeAlias = "Generator[Future[None] | Command, Any, T]"
"""A story told once: it yields a future to wait for or a command for the journal, and is sent what came of it."""

JOURNAL = "journal"

IN_A_LOOP = (
    "write 'async with mode.step(...)'; without an event loop, 'with mode as blocking:' has 'blocking.step(...)'"
)
WITHOUT_A_LOOP = "write 'with blocking.step(...)'; in an event loop, 'async with mode:' has 'async with mode.step(...)'"

_current: ContextVar[Step | None] = ContextVar("lrm_current_step", default=None)


@attrs.define
class Step:
    """One step of the agent while it is open. Change the host's state inside it, and set ``result``."""

    number: int
    """From 1, without gaps between committed steps."""
    name: str
    attempt: int
    """1 for the first time."""
    repeated: bool
    """An earlier process had begun it: what it does outside may happen twice."""
    result: Any = None
    """A JSON value, stored when the step ends without an exception."""


class Asking(Protocol):
    """What steps need of a system."""

    def state(self, name: str) -> Any:
        """The published state of an actor."""

    def ask_blocking(self, to: str, command: Command, *, timeout_s: float = 5.0) -> Any:
        """Send a command and wait for its reply on this thread."""

    async def ask(self, to: str, command: Command, *, timeout_s: float = 5.0) -> Any:
        """Send a command and await its reply."""


def current_step() -> Step | None:
    """The step that the calling task or thread is inside of, if any."""
    return _current.get()


class Stepping:
    """What the steps of one mode share.

    Args:
        boundary: lets a capture in between two steps.
        on_begin: called when a step is about to begin.
        check: raises ``EventRefused`` when a value cannot be stored in an event's field. An actor that was handed one
            would have to be restarted, and given up in the end, for what is the host's mistake.
        timeout_s: how long the journal may take to store the begin or the end of a step.
    """

    def __init__(
        self,
        boundary: StepBoundary,
        *,
        on_begin: Callable[[], object] = lambda: None,
        check: Callable[[str, str, Any], object] = lambda event, field, value: None,
        timeout_s: float = 30.0,
    ) -> None:
        self.boundary = boundary
        self.timeout_s = timeout_s
        self._on_begin = on_begin
        self._check = check
        self._lock = threading.Lock()
        self._inside = 0

    def begin(self, asking: Asking, name: str) -> Waits[Step]:
        """Begin a step; whoever waited for ``boundary.enter()`` calls this next.

        A step that this process began and could not end, because the log failed just then, is abandoned first: its
        scope is gone, so nobody will ever end it.
        """
        try:
            self._check("journal.step_begun", "name", name)
            self._on_begin()
            journal = asking.state(JOURNAL)
            left = journal.open if journal.open is not None and journal.open.begun_in_start == journal.start else None
            if left is not None and not self._inside:
                with suppress(CommandRefused):  # it ended after all, and that was not known yet
                    yield AbandonStep(left.step, "its end could not be stored")
            reply = yield BeginStep(name)
        except BaseException:
            self.boundary.leave()
            raise
        with self._lock:
            self._inside += 1
        return Step(int(reply["step"]), name, int(reply["attempt"]), bool(reply["repeated"]))

    def end(self, step: Step, error: BaseException | None) -> Waits[None]:
        """Commit a step with its result, or abandon it because of an error. Afterwards nobody is inside it."""
        try:
            yield self.boundary.before_end()
            if error is None:
                try:
                    self._check("journal.step_committed", "result", step.result)
                except EventRefused as refused:
                    yield AbandonStep(step.number, _said(refused))
                    raise
                yield CommitStep(step.number, step.result)
            else:
                yield AbandonStep(step.number, _said(error))
        finally:
            with self._lock:
                self._inside -= 1
            self.boundary.leave()


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {text_of(error)}"


class _Scope:
    def __init__(self, asking: Asking, stepping: Stepping, name: str) -> None:
        self._asking = asking
        self._stepping = stepping
        self._name = name
        self._step: Step | None = None
        self._outer: Step | None = None

    def _inside(self, step: Step) -> Step:
        self._outer = _current.get()
        self._step = step
        _current.set(step)
        return step

    def _outside(self) -> Step:
        step, self._step = self._step, None
        if step is None:
            msg = f"step {self._name!r} is not open"
            raise CommandRefused(msg, actor=JOURNAL, hint="enter each step once, and leave it once")
        _current.set(self._outer)
        return step


class AsyncStepScope(_Scope):
    """``async with mode.step(name) as step``."""

    async def __aenter__(self) -> Step:
        """Begin: durable before the body runs. When cancelled meanwhile, the step is abandoned first.

        Raises:
            StepOrder: another step is open.
            StorageUnavailable, OutcomeUnknown, AskTimeout: it could not be stored, or not in time.
        """
        boundary = self._stepping.boundary
        passed = boundary.enter()
        try:
            await asyncio.wrap_future(passed)
        except asyncio.CancelledError:
            # It may have been let in at the same moment.
            passed.add_done_callback(lambda done: None if done.cancelled() else boundary.leave())
            raise
        begun = asyncio.ensure_future(self._run(self._stepping.begin(self._asking, self._name)))
        try:
            return self._inside(await unbroken(begun))
        except asyncio.CancelledError as error:
            if begun.done() and not begun.cancelled() and begun.exception() is None:
                await unbroken(self._run(self._stepping.end(begun.result(), error)))
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit the result, or abandon the step because of the body's exception, which goes on.

        Raises:
            EventRefused: the result is not a JSON value.
            StorageUnavailable, OutcomeUnknown, AskTimeout: the end could not be stored. The step counts as not done.
        """
        await unbroken(self._run(self._stepping.end(self._outside(), error)))

    async def _run(self, story: Waits[T]) -> T:
        outcome: Any = None
        failure: BaseException | None = None
        while True:
            try:
                wanted = story.send(outcome) if failure is None else story.throw(failure)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # StopIteration does not carry its type
            outcome = failure = None
            try:
                if isinstance(wanted, Future):
                    await asyncio.wrap_future(wanted)
                else:
                    outcome = await self._asking.ask(JOURNAL, wanted, timeout_s=self._stepping.timeout_s)
            except BaseException as error:  # noqa: BLE001 - the story decides what to do about it
                failure = error

    if not TYPE_CHECKING:  # a type checker tells by itself, as long as it knows of neither

        def __enter__(self) -> NoReturn:
            """Refuse.

            Raises:
                WrongWith: always; it says what to write.
            """
            raise WrongWith(self._name, "with", IN_A_LOOP)

        def __exit__(self, *_: object) -> None:
            """Never reached. Without it ``with`` itself would raise, and say less."""


class BlockingStepScope(_Scope):
    """``with mode.step(name) as step``, for a host without an event loop. The same story, waited for on this thread."""

    def __enter__(self) -> Step:
        """Begin: durable before the body runs. Raises as the asynchronous form does."""
        boundary = self._stepping.boundary
        passed = boundary.enter()
        try:
            passed.result()
        except BaseException:
            if not passed.cancel():
                passed.add_done_callback(lambda done: boundary.leave())
            raise
        return self._inside(self._run(self._stepping.begin(self._asking, self._name)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit the result, or abandon the step because of the body's exception, which goes on."""
        self._run(self._stepping.end(self._outside(), error))

    def _run(self, story: Waits[T]) -> T:
        outcome: Any = None
        failure: BaseException | None = None
        while True:
            try:
                wanted = story.send(outcome) if failure is None else story.throw(failure)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # StopIteration does not carry its type
            outcome = failure = None
            try:
                if isinstance(wanted, Future):
                    wanted.result()
                else:
                    outcome = self._asking.ask_blocking(JOURNAL, wanted, timeout_s=self._stepping.timeout_s)
            except BaseException as error:  # noqa: BLE001 - the story decides what to do about it
                failure = error

    if not TYPE_CHECKING:

        async def __aenter__(self) -> NoReturn:
            """Refuse.

            Raises:
                WrongWith: always; it says what to write.
            """
            raise WrongWith(self._name, "async with", WITHOUT_A_LOOP)

        async def __aexit__(self, *_: object) -> None:
            """Never reached."""
