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

    async def pin(self, checkpoint_id: str, reason: str = "by hand") -> None:
        """Keep one whatever the rules of retention say.

        Args:
            checkpoint_id: its id.
            reason: kept with it.

        Raises:
            CheckpointNotFound: there is none of this id.
            CommandRefused: as many as may be are pinned.
            NotRunning, AskError: it cannot be put on record now.
        """
        await self._beside(lambda: keeping.pin(self._engine, checkpoint_id, reason, pinned=True))

    async def unpin(self, checkpoint_id: str, reason: str = "by hand") -> None:
        """Leave one to the rules of retention again, which may be that it goes at once. Raises as ``pin``."""
        await self._beside(lambda: keeping.pin(self._engine, checkpoint_id, reason, pinned=False))

    async def prune(
        self,
        *,
        dry_run: bool = True,
        max_checkpoints: int | None = None,
        max_emergency: int | None = None,
        max_age_s: float | None = None,
        keep_hourly_h: int | None = None,
        keep_daily_days: int | None = None,
        reason: str = "pruned by hand",
    ) -> list[str]:
        """Say which checkpoints retention would remove now, and with ``dry_run=False`` remove them.

        By the settings; each rule that is given takes the place of one of them. What is pinned stays, and so does the
        one that a recovery would take.

        Args:
            dry_run: only say it.
            max_checkpoints: periodic and manual ones that stay, at least 1.
            max_emergency: emergency ones that stay.
            max_age_s: seconds after which one goes.
            keep_hourly_h: hours for which one an hour stays of those that are too many.
            keep_daily_days: days for which one a day does.
            reason: kept with it.

        Returns: their ids, oldest first.

        Raises:
            SettingsError: a rule that cannot be.
            NotRunning, AskError: it cannot be put on record now.
        """
        rules = {
            "max_checkpoints": max_checkpoints,
            "max_emergency": max_emergency,
            "max_age_s": max_age_s,
            "keep_hourly_h": keep_hourly_h,
            "keep_daily_days": keep_daily_days,
        }
        return await self._beside(lambda: keeping.prune(self._engine, dry_run=dry_run, reason=reason, rules=rules))

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

    def pin(self, checkpoint_id: str, reason: str = "by hand") -> None:
        """See ``Checkpoints.pin``."""
        keeping.pin(self._engine, checkpoint_id, reason, pinned=True)

    def unpin(self, checkpoint_id: str, reason: str = "by hand") -> None:
        """See ``Checkpoints.unpin``."""
        keeping.pin(self._engine, checkpoint_id, reason, pinned=False)

    def prune(
        self,
        *,
        dry_run: bool = True,
        max_checkpoints: int | None = None,
        max_emergency: int | None = None,
        max_age_s: float | None = None,
        keep_hourly_h: int | None = None,
        keep_daily_days: int | None = None,
        reason: str = "pruned by hand",
    ) -> list[str]:
        """See ``Checkpoints.prune``."""
        rules = {
            "max_checkpoints": max_checkpoints,
            "max_emergency": max_emergency,
            "max_age_s": max_age_s,
            "keep_hourly_h": keep_hourly_h,
            "keep_daily_days": keep_daily_days,
        }
        return keeping.prune(self._engine, dry_run=dry_run, reason=reason, rules=rules)
