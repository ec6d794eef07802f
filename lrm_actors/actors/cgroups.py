"""How close this process is to the memory limit of its control groups, at which the kernel kills it.

Reads files of the kernel only. The limit that counts is the tightest among the group and all its ancestors, in either
version of control groups; on a hybrid machine the memory controller may be in the first, and the second be empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs

UNLIMITED_BYTES = 2**60
"""A limit at or above this is none: version 1 says so with a number near 2**63."""


@attrs.frozen
class MemoryUse:
    """Memory in use against a limit."""

    used_bytes: int
    """Working set: without file pages that the kernel would give back first."""
    limit_bytes: int

    @property
    def percent(self) -> float:
        """Share of the limit in use."""
        return 100.0 * self.used_bytes / self.limit_bytes if self.limit_bytes else 100.0


@attrs.frozen
class _Version:
    """Where one version of control groups keeps its files."""

    mounts: tuple[str, ...]
    limit: str
    used: str
    inactive: str


_V1 = _Version(("memory",), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Version(("", "unified"), "memory.max", "memory.current", "inactive_file")


def tightest_limit(proc: Path = Path("/proc"), root: Path = Path("/sys/fs/cgroup")) -> MemoryUse | None:
    """The limit that would be hit first, or None where there is none.

    Raises:
        OSError, ValueError: there are control groups, and they cannot be read.
    """
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except FileNotFoundError:
        return None  # not Linux
    uses = [use for line in lines for folder, version in _folders(line, root) if (use := _use(folder, version))]
    return max(uses, key=lambda use: use.percent, default=None)


def _folders(line: str, root: Path) -> Iterator[tuple[Path, _Version]]:
    """The folders of the group that a line of ``/proc/self/cgroup`` names, and of its ancestors.

    Inside a container the line may name a path of the host that is not visible here; the mount's own root is then ours.
    """
    number, _, rest = line.partition(":")
    controllers, _, group = rest.partition(":")
    if number == "0" and not controllers:
        version = _V2
    elif "memory" in controllers.split(","):
        version = _V1
    else:
        return
    parts = [part for part in group.split("/") if part not in {"", ".."}]
    for mount in version.mounts:
        for depth in range(len(parts), -1, -1):
            yield root.joinpath(mount, *parts[:depth]), version


def _use(folder: Path, version: _Version) -> MemoryUse | None:
    try:
        text = (folder / version.limit).read_text().strip()
        if text == "max" or int(text) >= UNLIMITED_BYTES:
            return None
        used = int((folder / version.used).read_text())
        statistics = (folder / "memory.stat").read_text().splitlines()
    except FileNotFoundError:
        return None
    inactive = next((int(line.split()[1]) for line in statistics if line.startswith(f"{version.inactive} ")), 0)
    return MemoryUse(max(used - inactive, 0), int(text))
