"""The two ways to write a step: ``async with`` and ``with``. Each drives the same story of ``stepping``, and waits."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from lrm_actors.domain.behavior import Command
from lrm_actors.domain.given import plain_text
from lrm_actors.domain.tasks import TaskCall
from lrm_actors.errors import CommandRefused, StepOrder, WrongWith
from lrm_actors.hosting.host import check_name
from lrm_actors.hosting.offload import unbroken
from lrm_actors.hosting.step_progress import check_progress
from lrm_actors.hosting.stepping import JOURNAL, Asking, Step, Stepping, Waits, go_inside, go_outside
from lrm_actors.hosting.stories import awaited, waited_for

T = TypeVar("T")

IN_A_LOOP = (
    "write 'async with mode.step(...)'; without an event loop, 'with mode as blocking:' has 'blocking.step(...)'"
)
WITHOUT_A_LOOP = "write 'with blocking.step(...)'; in an event loop, 'async with mode:' has 'async with mode.step(...)'"


class _Scope:
    def __init__(
        self,
        asking: Asking,
        stepping: Stepping,
        name: str,
        *,
        key: str | None = None,
        at: int | None = None,
        of: int | None = None,
        task: TaskCall | None = None,
    ) -> None:
        self._asking = asking
        self._stepping = stepping
        name = plain_text("name", name)
        if key is not None:
            task = TaskCall(name, check_name("key", key), "", is_step=True)
        self._name = name if task is None else task.step_name
        self._at, self._of, self._task = at, of, task
        check_progress(at, of)
        self._step: Step | None = None

    def _begin(self) -> Waits[Step]:
        return self._stepping.begin(self._asking, self._name, self._at, self._of, self._task)

    def _check_outside(self, passed: Future[None]) -> None:
        """Refuse at once what would be refused once it is let in, and waits for who waits for the step around it.

        Raises:
            StepOrder: a checkpoint holds it up, and it is inside of another step.
        """
        around = self._stepping.open_here()
        if around is not None and passed.cancel():
            msg = f"step {around.number} ({around.name}) is still open, {self._name!r} cannot begin"
            raise StepOrder(msg, actor=JOURNAL)

    def _inside(self, step: Step) -> Step:
        self._step = step
        go_inside(step)
        return step

    def _outside(self) -> Step:
        step, self._step = self._step, None
        if step is None:
            msg = f"step {self._name!r} is not open"
            raise CommandRefused(msg, actor=JOURNAL, hint="enter each step once, and leave it once")
        go_outside(step)
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
        self._check_outside(passed)
        try:
            await asyncio.wrap_future(passed)
        except asyncio.CancelledError:
            # It may have been let in at the same moment.
            passed.add_done_callback(lambda done: None if done.cancelled() else boundary.leave())
            raise
        begun = asyncio.ensure_future(self._run(self._begin()))
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
        return await awaited(story, self._answer)

    async def _answer(self, wanted: Future[None] | Command) -> Any:
        if isinstance(wanted, Future):
            return await asyncio.wrap_future(wanted)
        return await self._asking.ask(JOURNAL, wanted, timeout_s=self._stepping.timeout_s)

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
        """Begin: durable before the body runs. Raises as the asynchronous form does.

        Raises:
            StepOrder: also inside a function of the host's that gives its state or takes it up.
            WrongWith: on the host's event loop: a checkpoint under way waits for the loop, and this for the checkpoint.
        """
        if self._stepping.is_in_loop():
            raise WrongWith(self._name, "with", IN_A_LOOP)
        boundary = self._stepping.boundary
        if boundary.is_held_here():
            msg = f"step {self._name!r} cannot begin inside a function that gives the host's state or takes it up"
            raise StepOrder(msg, actor=JOURNAL, hint="begin it after recover_from_checkpoint()")
        passed = boundary.enter()
        self._check_outside(passed)
        try:
            passed.result()
        except BaseException:
            if not passed.cancel():
                passed.add_done_callback(lambda done: boundary.leave())
            raise
        return self._inside(self._run(self._begin()))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit the result, or abandon the step because of the body's exception, which goes on."""
        self._run(self._stepping.end(self._outside(), error))

    def _run(self, story: Waits[T]) -> T:
        return waited_for(story, self._answer)

    def _answer(self, wanted: Future[None] | Command) -> Any:
        if isinstance(wanted, Future):
            return wanted.result()
        return self._asking.ask_blocking(JOURNAL, wanted, timeout_s=self._stepping.timeout_s)

    if not TYPE_CHECKING:

        async def __aenter__(self) -> NoReturn:
            """Refuse.

            Raises:
                WrongWith: always; it says what to write.
            """
            raise WrongWith(self._name, "async with", WITHOUT_A_LOOP)

        async def __aexit__(self, *_: object) -> None:
            """Never reached."""
