"""The disk of the log runs full; old checkpoints are deleted, and new ones are taken in their place."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lrm_actors.demo.scenarios.account import Account
from lrm_actors.demo.scenarios.small_disk import BALLAST, MIB, small_disk
from lrm_actors.demo.scenarios.stage import Stage
from lrm_actors.domain.checkpointer import CLEANED_UP

NAME = "disk-full"
STATE_BYTES = 256 * 1024
CHECKPOINTS = 8
"""Taken before the fault."""
INTERVAL_S = 0.4
AGAIN = 3
"""After the recovery."""
PAGES_LEFT = 40
REST_BYTES = 2 * MIB


async def run(directory: Path, say: Callable[[str], None]) -> Account:
    """Fill the disk while the agent takes checkpoints."""
    with small_disk(directory, NAME) as disk:
        place = directory if disk is None else disk
        stage = Stage(NAME, place, say, checkpoint_interval=INTERVAL_S, enable_modes=False)
        stage.kept_at = directory / NAME / stage.kept_at.name
        mode = stage.mode
        mode.capture_with(lambda: {"seen": os.urandom(STATE_BYTES)})
        async with stage:
            for _ in range(CHECKPOINTS):
                await mode.take_checkpoint()
            kept = len(await mode.checkpointer.list_checkpoints())
            stage.breaking()
            if disk is None:
                limit_pages(mode)
                stage.broke(f"the log may not grow any more but for {PAGES_LEFT} pages, with {kept} checkpoints in it")
            else:
                taken = fill(disk)
                stage.broke(
                    f"another program filled the disk of the log ({taken / MIB:.0f} MiB), down to the last byte"
                )
            noticed = await stage.noticed("analyzer.failure_recorded", lambda event: event.category == "disk_full")
            await stage.chosen("clean_up_checkpoints", noticed.event.component)
            pruned = await stage.did("worked", "checkpointer.pruned", lambda event: event.reason == CLEANED_UP)
            read_to = pruned.position
            for _ in range(AGAIN):
                read_to = (await stage.seen("checkpointer.taken", after=read_to)).position
            stage.works(f"{AGAIN} checkpoints more were taken on the full disk")
            async with mode.step("go on") as step:
                step.result = {"goes": "on"}
            stage.told(pruned, of=noticed.position)
            return stage.account()


def fill(disk: Path) -> int:
    """Take all space that there is, but none of what the log gives up meanwhile; returns how many bytes.

    Nearly all of it first, for that takes a moment, and the rest at once.
    """
    with (disk / BALLAST).open("wb") as file:
        taken = max(0, _free_bytes(disk) - REST_BYTES)
        os.posix_fallocate(file.fileno(), 0, taken)
        while 0 < (left := _free_bytes(disk)) <= REST_BYTES:
            with contextlib.suppress(OSError):  # the log was faster
                os.posix_fallocate(file.fileno(), taken, left)
                taken += left
        return taken


def _free_bytes(disk: Path) -> int:
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize


def limit_pages(mode: Any) -> None:
    """Let the log grow by a few pages only: what SQLite then says is what it says on a full disk."""
    connection = mode._engine.store()._writer.transactions._connection  # noqa: SLF001 - nobody else may do this
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + PAGES_LEFT}")
