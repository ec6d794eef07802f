"""What an earlier process left to be done never has a host captured that has not taken up where it was."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eventstore import open_reader
from eventstore.memory import MemoryStore
from lrm_actors.domain import checkpointer
from lrm_actors.domain.checkpointing.effects import CaptureState
from lrm_actors.hosting.boundary import Held, StepBoundary
from lrm_actors.hosting.capturing import Capturing, NoCapture
from lrm_actors.hosting.host import HostBridge
from lrm_actors.mode import LongRunningMode
from lrm_actors.runtime.system import ActorSystem
from tests.mode_kit import head, settings, wait_for

ENDED = "checkpointer.failed"

pytestmark = pytest.mark.usefixtures("sampled")


async def agent(mode: LongRunningMode, done: list[int], upto: int) -> None:
    """One process of an agent whose state is the numbers of its steps."""
    mode.capture_with(lambda: done)
    mode.restore_with(done.extend)
    async with mode:
        await mode.recover_from_checkpoint()
        done.extend(step.step for step in (mode.last_recovery.steps if mode.last_recovery else ()))
        while len(done) < upto:
            async with mode.step("count") as step:
                done.append(step.number)


def test_a_checkpoint_that_was_due_when_the_process_died_does_not_hold_an_empty_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its actors ask for it as soon as they start, before the host could recover: then none is taken."""
    asyncio.run(agent(LongRunningMode(settings(tmp_path)), [], 3))
    log = settings(tmp_path).log_path
    reading: Any = SimpleNamespace(reader=lambda: open_reader(log))
    before = head(reading)
    started = ActorSystem.start
    outcomes: list[str] = []

    def start(system: ActorSystem) -> None:
        started(system)
        asked = system.ask_blocking(checkpointer.NAME, checkpointer.TakeCheckpoint("periodic", "step 3"))
        ended = wait_for(reading, ENDED, lambda event: event.checkpoint_id == asked, after=before)
        outcomes.append(ended.event.error)

    monkeypatch.setattr(ActorSystem, "start", start)
    done: list[int] = []
    asyncio.run(agent(LongRunningMode(settings(tmp_path)), done, 4))

    assert ["NotTakenUp"] == outcomes
    assert [1, 2, 3, 4] == done


def test_a_capture_that_waited_for_a_recovery_sees_what_it_left() -> None:
    """A state that lacks the steps since the checkpoint it was restored from is not that of the log's end."""

    class Recovering(StepBoundary):
        """A recovery by hand holds the boundary just before the capture that waits for it."""

        @contextmanager
        def hold(
            self, *, wait_s: float, even_inside: bool = False, only_looks: bool = False, run: int | None = None
        ) -> Iterator[Held]:
            capturing.behind(steps=True)
            with super().hold(wait_s=wait_s, even_inside=even_inside, only_looks=only_looks, run=run) as held:
                yield held

    capturing = Capturing(Recovering(), HostBridge())
    capturing.capture_with(dict)
    capturing.check()
    with pytest.raises(NoCapture, match="steps were committed since"):
        capturing.capture(CaptureState("checkpoint_1", "manual", "test"), MemoryStore())
