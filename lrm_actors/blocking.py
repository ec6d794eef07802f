"""The mode for hosts without an event loop: the same words, as plain calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from lrm_actors.checkpoints import BlockingCheckpoints
from lrm_actors.domain.checkpointer import MANUAL
from lrm_actors.effects import Policy
from lrm_actors.errors import LoopWouldWait
from lrm_actors.hosting import operations, recovering
from lrm_actors.hosting.answer import ChosenStrategy
from lrm_actors.hosting.effects import RETRY
from lrm_actors.hosting.engine import Engine
from lrm_actors.hosting.life import STOP_DEADLINE_S
from lrm_actors.hosting.step_scopes import BlockingStepScope
from lrm_actors.words import Words

P = ParamSpec("P")
T = TypeVar("T")


class BlockingMode(Words):
    """What ``with mode as blocking:`` gives. Each word means what it means in ``LongRunningMode``."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.checkpointer = BlockingCheckpoints(engine)

    def __enter__(self) -> Self:
        self.start_monitoring()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.stop(reason="stop" if kind is None else f"stop after {kind.__name__}")

    def start_monitoring(self) -> None:
        """See ``LongRunningMode.start_monitoring``."""
        self._engine.start()

    def stop_monitoring(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """See ``LongRunningMode.stop_monitoring``.

        On the event loop of the host it holds that for all of it. Where the function that captures its state awaits
        anything there, no last checkpoint is taken, and that is logged.
        """
        self._engine.stop(deadline_s)

    def handle_failure(self, error: BaseException, context: Mapping[str, Any] | None = None) -> ChosenStrategy:
        """See ``LongRunningMode.handle_failure``."""
        return operations.handle_failure(self._engine, error, context)

    def recover_from_checkpoint(self, checkpoint_id: str | None = None) -> bool:
        """See ``LongRunningMode.recover_from_checkpoint``.

        Raises:
            LoopWouldWait: called on the host's event loop.
        """
        self._check_elsewhere("recover_from_checkpoint")
        return recovering.recover(self._engine, checkpoint_id)

    def take_checkpoint(self, reason: str = "by hand", *, kind: str = MANUAL) -> str:
        """See ``LongRunningMode.take_checkpoint``.

        Raises:
            LoopWouldWait: called on the host's event loop.
        """
        self._check_elsewhere("take_checkpoint")
        return operations.take_checkpoint(self._engine, reason, kind=kind)

    def get_health_report(self) -> dict[str, Any]:
        """See ``LongRunningMode.get_health_report``."""
        return operations.health_report(self._engine)

    def step(
        self, name: str, *, key: str | None = None, at: int | None = None, of: int | None = None
    ) -> BlockingStepScope:
        """See ``LongRunningMode.step``."""
        return BlockingStepScope(self._engine, self._engine.stepping, name, key=key, at=at, of=of)

    def effect(
        self, name: str, function: Callable[..., Any], *, policy: Policy | Callable[..., Any] = RETRY, given: Any = None
    ) -> Any:
        """See ``LongRunningMode.effect``. The function is called on this thread."""
        return self._engine.effects.carry_out_blocking(name, function, policy, given)

    def sleep(self, seconds: float, key: str) -> None:
        """See ``LongRunningMode.sleep``.

        Raises:
            LoopWouldWait: called on the host's event loop.
        """
        self._check_elsewhere("sleep")
        self._engine.sleeping.sleep_blocking(seconds, key)

    def task(
        self, name: str, *, key: str | Callable[..., str] | None = None
    ) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """See ``LongRunningMode.task``. It takes a plain function."""
        return lambda function: self._engine.tasks.durable_blocking(name, key, function)

    def _check_elsewhere(self, word: str) -> None:
        """Refuse to hold the loop on which the host's functions are to be called meanwhile."""
        if self._engine.bridge.is_here:
            raise LoopWouldWait(word)
