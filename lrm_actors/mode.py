"""The long-running mode of one agent: what a host starts, asks and stops.

Talks to the engine, and through threads beside the loop only: no call of it holds the host's event loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from lrm_actors.blocking import BlockingMode
from lrm_actors.checkpoints import Checkpoints
from lrm_actors.domain.checkpointer import MANUAL
from lrm_actors.effects import Policy
from lrm_actors.hosting import operations, recovering
from lrm_actors.hosting.answer import ChosenStrategy
from lrm_actors.hosting.arguments import check_deadline, check_set_up
from lrm_actors.hosting.effects import RETRY
from lrm_actors.hosting.engine import Engine
from lrm_actors.hosting.host import Host, check_function
from lrm_actors.hosting.life import STOP_DEADLINE_S
from lrm_actors.hosting.offload import off_loop
from lrm_actors.hosting.step_scopes import AsyncStepScope
from lrm_actors.settings import LongRunningSettings
from lrm_actors.words import CommittedStep, Component, OpenStep, Recovery, Rule, Words

__all__ = ["CommittedStep", "Component", "LongRunningMode", "OpenStep", "Recovery", "Rule"]


P = ParamSpec("P")
T = TypeVar("T")


class LongRunningMode(Words):
    """Keeps one agent alive: supervises its components, watches its health, remembers its steps and its state.

    Use it as ``async with LongRunningMode(settings) as mode:``, or without an event loop as
    ``with LongRunningMode(settings) as mode:``, where the same words are plain calls. It can be started again after it
    was stopped. Switched off (``enable_long_running_mode=False``, the default), it does nothing: no file, no thread,
    every guard lets everything through, and the health report still has every key.

    Args:
        settings: the defaults when not given; the mode follows every assignment to them.
        host: an object with ``capture``, ``restore``, ``components`` and ``gate``. What it would give can also be given
            piece by piece, with ``capture_with``, ``restore_with`` and ``register_component``.
        predecessor_exit: exit status of the process before this one, if its parent knows; negative: ended by that
            signal.
        on_exhausted: called with the reason, on a thread of its own, when more handlers hang than one process can bear,
            after an emergency checkpoint: the process is to be replaced, and ``exit_code`` will be 75. By default the
            process sends itself SIGTERM, which ends it unless the host handles that. Where it is given, it is called
            as well when a failure leaves nothing else to try (``restart_process``), and when memory runs out.

    Raises:
        SettingsError: one of them is none.
    """

    def __init__(
        self,
        settings: LongRunningSettings | None = None,
        host: Host | None = None,
        *,
        predecessor_exit: int | None = None,
        on_exhausted: Callable[[str], object] | None = None,
    ) -> None:
        settings = LongRunningSettings() if settings is None else settings
        check_set_up(settings, host, predecessor_exit)
        super().__init__(Engine(settings, host, predecessor_exit))
        if on_exhausted is not None:
            check_function("on_exhausted", on_exhausted)
            self._engine.on_exhausted = on_exhausted
            self._engine.replaceable = True
        self.checkpointer = Checkpoints(self._engine)
        self.blocking = BlockingMode(self._engine)
        """The same mode as plain calls."""

    async def __aenter__(self) -> Self:
        await self.start_monitoring()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop(STOP_DEADLINE_S, "stop" if kind is None else f"stop after {kind.__name__}")

    def __enter__(self) -> BlockingMode:
        return self.blocking.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.blocking.__exit__(kind, error, trace)

    async def start_monitoring(self) -> None:
        """Own the log and start the actors. Nothing happens if they run already.

        Raises:
            OpenError: the log cannot be owned; its leaves say why and what to do.
            AskError: the actors did not come up.
        """
        loop = asyncio.get_running_loop()
        thread = threading.get_ident()
        await self._beside(self._engine.prepare_signal)
        self._engine.show_on_signal()  # here: a signal is taken over on the main thread only
        try:
            await self._beside(lambda: self._engine.start(loop, thread), abandoned=self._engine.stop)
        except BaseException:
            self._engine.show_no_more()
            raise

    async def stop_monitoring(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """Take a last checkpoint if there is time, stop the actors and let go of the log.

        Idempotent. Afterwards ``exit_code`` says whether everything ended in order; what hangs is left behind.

        Args:
            deadline_s: seconds for all of it, up to a day.

        Raises:
            SettingsError: the deadline is none. Nothing is stopped.
        """
        check_deadline(deadline_s)
        await self._stop(deadline_s, "stop")

    async def _stop(self, deadline_s: float, reason: str) -> None:
        try:
            await self._beside(lambda: self._engine.stop(deadline_s, reason=reason))
        finally:
            self._engine.show_no_more()

    async def _beside(self, function: Callable[[], T], *, abandoned: Callable[[], object] | None = None) -> T:
        """Run a blocking call beside the loop. Switched off, there is nothing to wait for, and no thread to start."""
        if self._engine.is_off:
            return function()
        return await off_loop(function, abandoned=abandoned)

    async def handle_failure(self, error: BaseException, context: Mapping[str, Any] | None = None) -> ChosenStrategy:
        """Put a failure on record, and have it recovered from, unless ``enable_auto_recovery`` is off.

        Args:
            error: what was raised.
            context: ``component``: what of the host failed; ``step``: in which step, the open one by default. What is
                of another type there is told as text, or left out: a failure is put on record all the same.

        Returns: the strategy that suits it, one of ``lrm_actors.domain.analyzer.STRATEGIES``: a string that has
            ``delay_s``, the seconds to wait before the next try, ``reason``, ``category`` and ``severity`` besides.

        Raises:
            SettingsError: the context is no mapping.
        """
        return await self._beside(lambda: operations.handle_failure(self._engine, error, context))

    async def recover_from_checkpoint(self, checkpoint_id: str | None = None) -> bool:
        """Give the host the state of a checkpoint back; ``last_recovery`` says what it was and which steps follow.

        Call it after the start and before the first step. The steps that follow are given to the function of
        ``replay_with``; without one, take them up yourself. With False and ``last_recovery`` there is none, but
        there may be steps from the beginning; with False and no ``last_recovery`` the checkpoint that was asked for is
        not there or is damaged, and the log says so. Cancelled before the host was given anything, it gives it nothing.

        Args:
            checkpoint_id: this one and no other; None: the best there is, past damaged ones.

        Raises:
            SettingsError: the id is no text.
            NotRunning: the mode was not started.
            StepOrder: called inside a step.
            StateNotUpcast: the state cannot be made one of the host's version.
            StateNotRestored, StepNotReplayed: the function of ``restore_with``, or of ``replay_with``, failed.
        """
        given_up = threading.Event()
        try:
            return await self._beside(lambda: recovering.recover(self._engine, checkpoint_id, given_up=given_up.is_set))
        except asyncio.CancelledError:
            given_up.set()
            raise

    async def take_checkpoint(self, reason: str = "by hand", *, kind: str = MANUAL) -> str:
        """Take a checkpoint now and wait until it is in the log.

        Until then no task of the host may change what of its state is not declared ``shared``, but inside a step.

        Args:
            reason: kept with it.
            kind: ``manual``, or ``emergency``, which may be taken inside a step.

        Returns: its id; "" while the mode is switched off.

        Raises:
            SettingsError: the reason is no text, or there is no such kind.
            NotCapturable: the host's state could not be captured. ``CaptureTimedOut``, which is a ``TimeoutError`` too:
                the host did not come to the end of a step, or its function to an end, in time.
            CheckpointNotStored: the disk had no room for it. It is a ``StorageFull``.
            StepOrder: called inside a step.
            TimeoutError: it was not taken in time, and may still be.
            NotRunning, AskError: the log cannot be written now.
        """
        return await self._beside(lambda: operations.take_checkpoint(self._engine, reason, kind=kind))

    async def get_health_report(self) -> dict[str, Any]:
        """How the agent is, as JSON data with every key always present. Reading it changes nothing."""
        return await self._beside(lambda: operations.health_report(self._engine))

    def step(
        self, name: str, *, key: str | None = None, at: int | None = None, of: int | None = None
    ) -> AsyncStepScope:
        """One step of the agent: ``async with mode.step("fetch") as step: ...; step.result = {...}``.

        Its begin is in the log before the body runs, its result before the block is left. An exception abandons it.
        Change the host's state inside the body: a checkpoint is taken between two steps.

        Args:
            name: what it does.
            key: what tells it from others of its name, as the number of an order. When it is abandoned and another step
                begins, what its effects had finished waits until the step of this name and key begins again, and is
                not done again then. Without a key it is forgotten, with a warning: a name alone may come back.
            at: which of ``of`` it is, for the health report; its number by default.
            of: how many steps there will be, if that is known.

        Raises:
            SettingsError: the name or the key is no text, or ``at`` or ``of`` no such number.
        """
        return AsyncStepScope(self._engine, self._engine.stepping, name, key=key, at=at, of=of)

    async def effect(
        self, name: str, function: Callable[..., Any], *, policy: Policy | Callable[..., Any] = RETRY, given: Any = None
    ) -> Any:
        """Do something outside, once: ``receipt = await mode.effect("send mail", send)``, inside a step.

        That it is about to happen is in the log before ``function`` is called, and its result before this returns. When
        the step is repeated, after a crash or an exception, an effect that was finished gives its recorded result, and
        the function is not called. One that has no end on record is *in doubt*, and goes by its policy.

        Args:
            name: what it is, within the step. Used again in a step, one after the other, each is told apart by its
                order; what runs at the same time needs names of its own.
            function: plain, then it runs on a thread, or async. One that has an argument which must be given is handed
                the idempotency key: the same text at each attempt, in each process.
            policy: what is done in doubt: ``Retry()``, ``Skip(result)``, ``Ask()`` or ``Probe(look)``, of
                ``lrm_actors.effects``; a function alone is a probe.
            given: a JSON value; a digest of it is recorded, and another one when the step is repeated is refused.

        Returns: a JSON value: what the function gave, now or when it was first done.

        Raises:
            StepOrder: outside of a step.
            AmbiguousEffect: another effect of this name is under way in the step.
            EffectInDoubt: it is in doubt, and its policy leaves it to a human.
            JournalMismatch: something else is ``given`` than is on record.
            ResultNotKept: it happened, and gave what is no JSON value.
            TooManyEffects: the step has 100,000.
            StorageUnavailable, OutcomeUnknown, AskTimeout: the log cannot be written. Before the function was called,
                or, as a note on the error says, after.
        """
        return await self._engine.effects.carry_out(name, function, policy, given)

    async def sleep(self, seconds: float, key: str) -> None:
        """Sleep, and go on in the next process if this one ends meanwhile: ``await mode.sleep(3600, "pause")``.

        It is in the log when it begins. Called again after a crash it waits for what is left only, and not at all if it
        is over by then. Inside a step or a task, which is repeated from its beginning, the sleeps of a key are told
        apart by their order; between two steps the first one of a process goes on with the newest of its key.

        No checkpoint is taken while a step is open: sleep long between two steps.

        Args:
            seconds: from 0 to a year.
            key: what it is for; those at the same time need keys of their own.

        Raises:
            SettingsError: the seconds or the key are none.
            AmbiguousEffect: another sleep of this key is under way.
            NotRunning: the mode was stopped meanwhile.
            StorageUnavailable, OutcomeUnknown, AskTimeout: the log cannot be written.
        """
        await self._engine.sleeping.sleep(seconds, key)

    def task(
        self, name: str, *, key: str | Callable[..., str] | None = None
    ) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, Coroutine[Any, Any, T]]]:
        """A decorator that makes an async function durable: ``@mode.task("report")``.

        Each call is one step, in which the effects and sleeps of the function are on record. Called again after a crash
        or an exception, it goes on where it was. Once it is done, calling it again gives its recorded result, without
        calling the function; the newest 1,000 results are kept, of up to 1 MB together.

        Args:
            name: of the task, and of its step.
            key: tells one run from another: a text, or a function of the arguments. Without one there is one run.

        Returns: what wraps a function, whose calls raise ``TaskConflict`` with other arguments than those on record, as
            far as they are JSON values, besides what a step raises.

        Raises:
            SettingsError: the name or the key can name nothing, or the function is not async.
        """
        return lambda function: self._engine.tasks.durable(name, key, function)
