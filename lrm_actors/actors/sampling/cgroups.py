"""The control groups around this process, in either version, and how near each is to its limits.

Reads files of the kernel only. A limit counts wherever in the ancestry it is set; on a hybrid machine the controllers
may be in the first version, and the second be empty. See Documentation/admin-guide/cgroup-v1 and cgroup-v2 of Linux.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from eventstore.frozen import frozen
from lrm_actors.actors.sampling.readings import KernelFile, number_after

UNLIMITED_BYTES = 2**60
"""A limit at or above this is none: version 1 says so with a number near 2**63."""
PROC, ROOT = Path("/proc"), Path("/sys/fs/cgroup")
V1, V2 = 1, 2
CONTROLLERS = ("memory", "cpu", "cpuacct", "pids")
"""Those of version 1 that are read."""


@frozen
class MemoryUse:
    """Memory in use against a limit."""

    used_bytes: int
    """Working set: without file pages that the kernel would give back first."""
    limit_bytes: int
    folder: str = attrs.field(default="", eq=False)
    """Of the group whose limit it is."""

    @property
    def percent(self) -> float:
        """Share of the limit in use."""
        return 100.0 * self.used_bytes / self.limit_bytes if self.limit_bytes else 100.0


@frozen
class _Names:
    """What the files of one version are called."""

    limit: str
    used: str
    inactive: bytes


_MEMORY = {
    V1: _Names("memory.limit_in_bytes", "memory.usage_in_bytes", b"total_inactive_file "),
    V2: _Names("memory.max", "memory.current", b"inactive_file "),
}


# Where the groups are


@frozen
class Place:
    """The folders of one hierarchy: the process's own group first, then its ancestors."""

    version: int
    folders: tuple[str, ...]


def places(proc: Path = PROC, root: Path = ROOT) -> dict[str, Place]:
    """The groups of this process by controller of version 1, and of version 2 by ``""``; none where this is not Linux.

    Raises:
        OSError: there are control groups, and they cannot be read.
    """
    try:
        text = (proc / "self" / "cgroup").read_text()
    except FileNotFoundError:
        return {}
    return _places(text, _mounts(proc, root))


def _places(text: str, mounts: dict[str, list[tuple[str, Path]]]) -> dict[str, Place]:
    found: dict[str, Place] = {}
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        names = [""] if number == "0" and not controllers else [one for one in controllers.split(",") if one]
        for name in names:
            if name == "" or name in CONTROLLERS:
                folders = tuple(dict.fromkeys(_folders(group, mounts.get(name, []))))
                found[name] = Place(V2 if name == "" else V1, folders)
    return found


def _folders(group: str, mounts: list[tuple[str, Path]]) -> Iterator[str]:
    """The folders of a group and its ancestors that are there.

    Inside a container the path may be one of the host that is not visible here: what is mounted is then a part of the
    hierarchy, at or above this group.
    """
    for top, mount in mounts:
        inside = top not in {"", "/"} and (group == top or group.startswith(f"{top}/"))
        path = group[len(top) :] if inside else group
        parts = [part for part in path.split("/") if part not in {"", ".."}]
        for depth in range(len(parts), -1, -1):
            folder = mount.joinpath(*parts[:depth])
            if folder.is_dir():
                yield str(folder)


def _mounts(proc: Path, root: Path) -> dict[str, list[tuple[str, Path]]]:
    """By controller: what part of its hierarchy is mounted, and where. The usual places where nobody says."""
    found: dict[str, list[tuple[str, Path]]] = {}
    try:
        lines = (proc / "self" / "mountinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3 or kind[0] not in {"cgroup", "cgroup2"}:
            continue
        where = Path(fields[4])
        if where.is_relative_to(ROOT):
            where = root / where.relative_to(ROOT)
        for name in [""] if kind[0] == "cgroup2" else kind[2].split(","):
            found.setdefault(name, []).append((fields[3], where))
    if found:
        return found
    usual: dict[str, list[tuple[str, Path]]] = {"": [("/", root), ("/", root / "unified")]}
    return {**usual, **{name: [("/", root / name)] for name in CONTROLLERS}}


# What they say


class Groups:
    """The control groups of this process, read again and again. Not for several threads.

    Which groups there are is looked up when the kernel says that this process is in others; limits are read each time,
    for they may be set on a running process.

    Args:
        proc, root: where the kernel tells of processes and of groups.
    """

    def __init__(self, proc: Path = PROC, root: Path = ROOT) -> None:
        self._proc, self._root = proc, root
        self._membership = KernelFile(proc / "self" / "cgroup")
        self._seen: bytes | None = None
        self._places: dict[str, Place] = {}
        self._files: dict[str, KernelFile] = {}
        self._absent: set[str] = set()

    def close(self) -> None:
        """Let go of all files."""
        self._membership.close()
        self._forget()

    def memory(self) -> MemoryUse | None:
        """The memory limit that would be hit first, or None where there is none.

        Raises:
            OSError, ValueError: there are control groups, and they cannot be read.
        """
        uses = (self._use(place.version, folder) for place, folder in self._of("memory"))
        return max((use for use in uses if use is not None), key=lambda use: use.percent, default=None)

    def oom_kills(self) -> int | None:
        """Processes of this process's own group that were killed for memory, whosever limit it was; None: not told."""
        for _, folder in self._of("memory"):
            told = self._read(folder, "memory.events") or self._read(folder, "memory.oom_control")
            kills = None if told is None else number_after(told, b"oom_kill ")
            if kills is not None:
                return kills
        return None

    def limit_hits(self, use: MemoryUse) -> int | None:
        """Times that the group of a limit was at it and had to give pages back; None: not told."""
        if not use.folder:
            return None
        events = self._read(use.folder, "memory.events")
        if events is not None:
            return number_after(events, b"max ")
        hits = self._read(use.folder, "memory.failcnt")
        return None if hits is None else int(hits)

    def cpu_quotas(self) -> dict[str, tuple[float, float]]:
        """By group with a quota: how many CPUs it may use, and how many seconds of CPU it has used."""
        found = {}
        for place, folder in self._of("cpu"):
            if place.version == V2:
                quota, period = self._words(folder, "cpu.max") or ("max", "1")
                stat = self._read(folder, "cpu.stat")
                used_s = None if stat is None else (number_after(stat, b"usage_usec ") or 0) / 1e6
            else:
                quota = (self._words(folder, "cpu.cfs_quota_us") or ["-1"])[0]
                period = (self._words(folder, "cpu.cfs_period_us") or ["1"])[0]
                used_s = self._v1_cpu_s(folder)
            if quota in {"max", "-1"} or used_s is None:
                continue
            found[folder] = (int(quota) / int(period), used_s)
        return found

    def pids_percent(self) -> float | None:
        """Tasks against the smallest limit of tasks, None where there is none."""
        shares = []
        for _, folder in self._of("pids"):
            limit, now = self._words(folder, "pids.max"), self._read(folder, "pids.current")
            if limit and limit[0] != "max" and now is not None and int(limit[0]) > 0:
                shares.append(100.0 * int(now) / int(limit[0]))
        return max(shares, default=None)

    def unified(self) -> Sequence[str]:
        """The folders of version 2, where a group tells its own stalls."""
        self._look_up()
        place = self._places.get("")
        return () if place is None else place.folders

    # --- reading ------------------------------------------------------------------------------------------------

    def _use(self, version: int, folder: str) -> MemoryUse | None:
        names = _MEMORY[version]
        limit = self._read(folder, names.limit)
        if limit is None or limit.strip() == b"max" or int(limit) >= UNLIMITED_BYTES:
            return None
        used = self._must(folder, names.used)
        inactive = number_after(self._must(folder, "memory.stat"), names.inactive) or 0
        return MemoryUse(max(int(used) - inactive, 0), int(limit), folder)

    def _v1_cpu_s(self, folder: str) -> float | None:
        """CPU time of a group of version 1: counted by another controller, which may be mounted elsewhere."""
        own = self._read(folder, "cpuacct.usage")
        if own is None:
            cpu, counted = self._places["cpu"].folders, self._places.get("cpuacct")
            if counted is None or len(counted.folders) != len(cpu):
                return None
            own = self._read(counted.folders[cpu.index(folder)], "cpuacct.usage")
        return None if own is None else int(own) / 1e9

    def _of(self, controller: str) -> Iterator[tuple[Place, str]]:
        self._look_up()
        for name in (controller, ""):
            place = self._places.get(name)
            if place is not None:
                for folder in place.folders:
                    yield place, folder

    def _look_up(self) -> None:
        try:
            text = self._membership.read()
        except FileNotFoundError:
            text = b""
        if text != self._seen:
            self._forget()
            self._places = places(self._proc, self._root)
            self._seen = text

    def _forget(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._absent.clear()
        self._seen = None

    def _read(self, folder: str, name: str) -> bytes | None:
        """The contents of a file; None where there is none. A group does not get other files while it lives."""
        path = f"{folder}/{name}"
        if path in self._absent:
            return None
        file = self._files.get(path)
        try:
            if file is None:
                file = KernelFile(path)
                data = file.read()
                self._files[path] = file
                return data
            return file.read()
        except FileNotFoundError:
            self._absent.add(path)
            return None

    def _must(self, folder: str, name: str) -> bytes:
        data = self._read(folder, name)
        if data is None:
            raise FileNotFoundError(2, "a group with a limit does not tell its use", f"{folder}/{name}")
        return data

    def _words(self, folder: str, name: str) -> list[str] | None:
        data = self._read(folder, name)
        return None if data is None else data.decode("ascii").split()


def tightest_limit(proc: Path = PROC, root: Path = ROOT) -> MemoryUse | None:
    """``Groups.memory``, once."""
    groups = Groups(proc, root)
    try:
        return groups.memory()
    finally:
        groups.close()
