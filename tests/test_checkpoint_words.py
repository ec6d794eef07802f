"""What a mode can be asked about its checkpoints, in both of its forms, and while it is switched off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lrm_actors.errors import CheckpointDamaged, CheckpointNotFound, NotRunning, SettingsError
from lrm_actors.mode import LongRunningMode
from lrm_actors.settings import LongRunningSettings
from tests.mode_kit import records, settings


async def agent_of(mode: LongRunningMode, state: dict[str, Any], steps: int) -> list[str]:
    """Steps with a checkpoint after each; their ids, oldest first."""
    taken = []
    for number in range(1, steps + 1):
        async with mode.step(f"step {number}"):
            state["n_steps"] = number
            state["history"].append({"page": number})
        taken.append(await mode.take_checkpoint(f"after {number}"))
    return taken


@pytest.mark.usefixtures("sampled")
def test_one_is_described_previewed_and_compared_without_touching_the_host(tmp_path: Path) -> None:
    """The document is what a recovery would give; nothing is restored, and nothing put on record."""

    async def main() -> None:
        state: dict[str, Any] = {"n_steps": 0, "history": []}
        restored: list[Any] = []
        mode = LongRunningMode(settings(tmp_path))
        mode.capture_with(lambda: {"agent_state": state, "browser_state": {"tabs": max(1, state["n_steps"] - 1)}})
        mode.restore_with(restored.append)
        async with mode:
            first, second, third = await agent_of(mode, state, 3)
            info = await mode.checkpointer.describe(second)
            assert ("manual", "after 2", False) == (info.kind, info.reason, info.pinned)
            document = await mode.checkpointer.preview(second)
            assert {
                "checkpoint_id": second,
                "timestamp": document["timestamp"],
                "agent_state": {"n_steps": 2, "history": [{"page": 1}, {"page": 2}]},
                "browser_state": {"tabs": 1},
                "recovery_hints": ["Created during normal operation"],
            } == document
            changes = await mode.checkpointer.diff(first, third)
            assert [
                ("changed", "agent_state.n_steps", 1, 3),
                ("added", "agent_state.history[1]", None, {"page": 2}),
                ("added", "agent_state.history[2]", None, {"page": 3}),
                ("changed", "browser_state.tabs", 1, 2),
            ] == [(change.kind, change.where, change.before, change.after) for change in changes]
            assert 1 == len(await mode.checkpointer.diff(first, third, limit=1))
            for unknown in (
                mode.checkpointer.describe("nobody"),
                mode.checkpointer.preview("nobody"),
                mode.checkpointer.diff(first, "nobody"),
                mode.checkpointer.pin("nobody"),
            ):
                with pytest.raises(CheckpointNotFound):
                    await unknown
        assert [] == restored
        assert [] == records(mode, "checkpointer.restored")

    asyncio.run(main())


@pytest.mark.usefixtures("sampled")
def test_pinned_ones_stay_and_pruning_is_tried_first(tmp_path: Path) -> None:
    """A pin outlives the rules; a dry run removes nothing; what a recovery would take stays."""
    state: dict[str, Any] = {"n_steps": 0, "history": []}
    mode = LongRunningMode(settings(tmp_path))
    mode.capture_with(lambda: state)
    with mode as blocking:
        keeper = blocking.checkpointer
        taken = []
        for number in range(4):
            with blocking.step(f"step {number}"):
                state["n_steps"] = number
            taken.append(blocking.take_checkpoint())
        keeper.pin(taken[0], "for the audit")
        keeper.pin(taken[0])
        assert keeper.describe(taken[0]).pinned
        assert taken[1:3] == keeper.prune(max_checkpoints=1)
        assert taken[::-1] == keeper.list_checkpoints()
        assert taken[1:3] == keeper.prune(dry_run=False, max_checkpoints=1, reason="room is needed")
        assert [taken[3], taken[0]] == keeper.list_checkpoints()
        assert 0 == keeper.preview(taken[0])["agent_state"]["n_steps"]
        keeper.unpin(taken[0], "the audit is over")
        assert [] == keeper.prune()
        assert [taken[0]] == keeper.prune(max_checkpoints=1)
        mode.capture_with(object)
    (pruned,) = records(mode, "checkpointer.pruned")
    assert "room is needed" == pruned.event.reason
    assert [True, False] == [record.event.pinned for record in records(mode, "checkpointer.pinned")]


def test_a_rule_that_cannot_be_is_refused() -> None:
    """By its name, before anything is asked."""
    wrong: list[dict[str, Any]] = [
        {"max_checkpoints": 0},
        {"max_age_s": -1.0},
        {"keep_daily_days": 1.5},
        {"max_emergency": True},
        {"reason": ""},
    ]
    for rules in wrong:
        with pytest.raises(SettingsError, match=next(iter(rules))):
            LongRunningMode(LongRunningSettings()).blocking.checkpointer.prune(**rules)


@pytest.mark.usefixtures("sampled")
def test_a_damaged_one_is_told_and_no_other_is_shown_for_it(tmp_path: Path) -> None:
    """A preview is of the one that was asked for."""
    from eventstore.records import Attachment, Batch
    from lrm_actors.domain.checkpointer import attachment_key

    state = {"n_steps": 1}
    with LongRunningMode(settings(tmp_path)) as blocking:
        blocking.capture_with(lambda: state)
        taken = blocking.take_checkpoint()
        store = blocking._engine.store()
        store.append(Batch(attachments=(Attachment(attachment_key(taken), b"others"),)))
        with pytest.raises(CheckpointDamaged):
            blocking.checkpointer.preview(taken)
        with pytest.raises(CheckpointDamaged):
            blocking.checkpointer.diff(taken, taken)


def test_switched_off_there_is_none() -> None:
    """And no file, and no thread."""

    async def main() -> None:
        keeper = LongRunningMode(LongRunningSettings()).checkpointer
        assert [] == await keeper.list_checkpoints()
        assert [] == await keeper.prune()
        assert [] == await keeper.prune(dry_run=False)
        for asked in (keeper.describe("a"), keeper.preview("a"), keeper.diff("a", "b"), keeper.pin("a")):
            with pytest.raises(CheckpointNotFound):
                await asked

    asyncio.run(main())


def test_before_the_start_that_is_said(tmp_path: Path) -> None:
    """There may be checkpoints, and nobody who knows them."""
    keeper = LongRunningMode(settings(tmp_path)).blocking.checkpointer
    asked: tuple[Callable[[], object], ...] = (keeper.list_checkpoints, lambda: keeper.preview("a"), keeper.prune)
    for ask in asked:
        with pytest.raises(NotRunning):
            ask()
