"""Memory control groups that this machine really makes, for tests; skipped, and said so, where it makes none."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

ROOT = Path("/sys/fs/cgroup")
MB = 1_000_000
REMOVED_WITHIN_S = 10.0


@attrs.frozen
class RealGroup:
    """A group with a limit."""

    folder: Path
    version: int
    limit_bytes: int

    def command(self, *arguments: str) -> list[str]:
        """A Python program that runs in the group from its first instruction on."""
        program = shlex.join([sys.executable, *arguments])
        return ["sh", "-c", f"echo $$ > {shlex.quote(str(self.folder / 'cgroup.procs'))} && exec {program}"]

    def true_percent(self) -> float:
        """What the kernel would have to find memory for, against the limit: read in another way than the sampler's."""
        stat = dict(line.split() for line in (self.folder / "memory.stat").read_text().splitlines())
        names = ("total_rss", "total_active_file", "total_shmem") if self.version == 1 else ("anon", "active_file")
        known = sum(int(stat.get(name, "0")) for name in names)
        return 100.0 * known / self.limit_bytes


@contextlib.contextmanager
def memory_group(limit_bytes: int) -> Iterator[RealGroup]:
    """A group with this limit and no swap; its processes have to have ended in the end."""
    name = f"lrm-test-{os.getpid()}-{time.monotonic_ns()}"
    made = _made(ROOT / "memory" / name, 1, limit_bytes) or _made(ROOT / name, 2, limit_bytes)
    if made is None:
        pytest.skip("NOT SHOWN FOR REAL: this machine lets nobody make a memory control group here")
    try:
        yield made
    finally:
        end_s = time.monotonic() + REMOVED_WITHIN_S
        while True:
            try:
                made.folder.rmdir()
            except OSError:  # the last process is not quite gone
                if time.monotonic() > end_s:
                    raise
                os.sched_yield()
            else:
                break


def _made(folder: Path, version: int, limit_bytes: int) -> RealGroup | None:
    limits = {1: ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"), 2: ("memory.max", "memory.swap.max")}
    limit, swap = limits[version]
    try:
        folder.mkdir()
    except OSError:
        return None
    try:
        (folder / limit).write_text(str(limit_bytes))
        with contextlib.suppress(OSError):
            (folder / swap).write_text(str(limit_bytes if version == 1 else 0))
    except OSError:
        folder.rmdir()
        return None
    return RealGroup(folder, version, limit_bytes)
