"""The checkpoints of a mode: which there are, what is in one, what changed between two, which are to be kept.

Talks to the engine; the asynchronous form through threads beside the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from lrm_actors.hosting import keeping
from lrm_actors.hosting.offload import off_loop
from lrm_actors.inspect.differences import MAX_CHANGES, Change

if TYPE_CHECKING:
    from lrm_actors.domain.checkpointer import CheckpointInfo
    from lrm_actors.hosting.engine import Engine

__all__ = ["BlockingCheckpoints", "Change", "Checkpoints"]

T = TypeVar("T")


class Checkpoints:
    """The checkpoints there are."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def list_checkpoints(self) -> list[str]:
        """Ids of those that can be recovered from, newest first."""
        return keeping.list_checkpoints(self._engine)

    async def describe(self, checkpoint_id: str) -> CheckpointInfo:
        """What is on record of one: kind, reason, time, position, sizes, what it builds on, whether it is pinned.

        Raises:
            CheckpointNotFound: there is none of this id.
        """
        return keeping.describe(self._engine, checkpoint_id)

    async def preview(self, checkpoint_id: str) -> dict[str, Any]:
        """What a recovery from it would give, and the host is not touched.

        Returns: ``checkpoint_id``, ``timestamp`` (seconds since 1970), ``agent_state``, ``browser_state`` (None where
            the host gives none) and ``recovery_hints``. The state has the version in which it was captured.

        Raises:
            CheckpointNotFound: there is none of this id.
            CheckpointDamaged: its bytes are not what was captured.
        """
        return await self._beside(lambda: keeping.preview(self._engine, checkpoint_id))

    async def diff(self, before: str, after: str, *, limit: int = MAX_CHANGES) -> list[Change]:
        """What changed in the state from one checkpoint to another, each change with its ``path``, ``kind`` and values.

        Args:
            before: id of the one.
            after: id of the other.
            limit: changes at most. As many may mean that there are more.

        Raises:
            CheckpointNotFound: there is none of this id.
            CheckpointDamaged: its bytes are not what was captured.
        """
        return await self._beside(lambda: keeping.diff(self._engine, before, after, limit))

    async def _beside(self, function: Callable[[], T]) -> T:
        """Run a blocking call beside the loop. Switched off, there is nothing to wait for."""
        return function() if self._engine.is_off else await off_loop(function)


class BlockingCheckpoints:
    """The same as plain calls. Each word means what it means in ``Checkpoints``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_checkpoints(self) -> list[str]:
        """Ids of those that can be recovered from, newest first."""
        return keeping.list_checkpoints(self._engine)

    def describe(self, checkpoint_id: str) -> CheckpointInfo:
        """See ``Checkpoints.describe``."""
        return keeping.describe(self._engine, checkpoint_id)

    def preview(self, checkpoint_id: str) -> dict[str, Any]:
        """See ``Checkpoints.preview``."""
        return keeping.preview(self._engine, checkpoint_id)

    def diff(self, before: str, after: str, *, limit: int = MAX_CHANGES) -> list[Change]:
        """See ``Checkpoints.diff``."""
        return keeping.diff(self._engine, before, after, limit)
