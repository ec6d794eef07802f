"""This process and all its descendants, as one: what they hold together, from one look at the processes there are.

On Linux the kernel's files are read, one per process of the machine and two more per process of the tree: the plain way
through psutil takes several times as long. It is the way everywhere else. A process that ends while it is looked at, or
that is a zombie, holds nothing any more; any other trouble is raised, because a part is not the whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import attrs

from eventstore.frozen import frozen
from lrm_actors.actors.sampling.readings import NotHere

Key = tuple[int, float]
"""A process by its pid and the time it began: pids come back."""
UTIME, STIME, CUTIME, CSTIME, THREADS, STARTED, VSIZE, RSS = 11, 12, 13, 14, 17, 19, 20, 21
"""Where /proc/<pid>/stat has what, counted from the state, which is the first after the name; see proc(5)."""
ENDED = (b"Z", b"X", b"x")
"""States of a process that has ended."""


@frozen
class One:
    """A living process of the tree."""

    key: Key
    cpu_s: float
    """CPU time of its own."""
    reaped_s: float
    """CPU time of its children that ended and that it waited for, with theirs."""
    threads: int
    virtual_bytes: int
    rss_bytes: int


@attrs.define
class Tree:
    """One look at the tree. A column that could not be read is an error instead."""

    alive: list[One]
    zombies: dict[Key, float]
    """CPU time of those that ended and that nobody waited for."""
    shared_bytes: dict[Key, int] | Exception
    """Resident pages of each that stand for a file or are shared."""
    open_files: dict[Key, int] | Exception
    """Descriptors of each that lets them be counted."""

    def keys(self) -> set[Key]:
        """Those alive."""
        return {one.key for one in self.alive}

    def cpu_s(self) -> dict[Key, float]:
        """CPU time of each, zombies too."""
        return {one.key: one.cpu_s for one in self.alive} | self.zombies

    def reaped_s(self) -> float:
        """CPU time of all that ended and were waited for."""
        return sum(one.reaped_s for one in self.alive)

    def anonymous_bytes(self) -> int:
        """Memory that no file stands behind and nobody shares.

        Summing resident memory counts what is shared once for each process: 4 times too much for a browser. Without the
        shared pages the sum is within a third of the truth (PSS), at a hundredth of its price.
        """
        shared = self._shared()
        return sum(max(one.rss_bytes - shared.get(one.key, 0), 0) for one in self.alive)

    def resident_bytes(self) -> int:
        """The same, and what is shared once, as much as the largest shares."""
        return self.anonymous_bytes() + max(self._shared().values(), default=0)

    def descriptors(self) -> dict[Key, int]:
        """Descriptors in use by each.

        Raises:
            Exception: why they are not known.
        """
        if isinstance(self.open_files, Exception):
            raise self.open_files
        return self.open_files

    def _shared(self) -> dict[Key, int]:
        if isinstance(self.shared_bytes, Exception):
            raise self.shared_bytes
        return self.shared_bytes


class LinuxTree:
    """Looks at the tree through the kernel's files.

    Args:
        proc: where they are.
        pid: the process on top; this one by default.

    Raises:
        OSError: there are none.
    """

    def __init__(self, proc: Path = Path("/proc"), pid: int | None = None) -> None:
        self._proc, self._slash, self._pid = str(proc), f"{proc}/", pid
        self._page, self._tick = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
        own = proc / "self"
        (own / "stat").stat()
        # Since Linux 6.2 the size of the folder is how many descriptors there are.
        self._sized = (own / "fd").stat().st_size > 0

    def look(self) -> Tree:
        """The tree as it is now.

        Raises:
            OSError, ValueError: it cannot be seen whole.
        """
        top = os.getpid() if self._pid is None else self._pid
        children: dict[bytes, list[bytes]] = {}
        stats: dict[bytes, bytes] = {}
        for name in os.listdir(self._proc.encode()):  # noqa: PTH208 - names are all that is needed
            if b"0" <= name[:1] <= b"9":
                data = self._read(name.decode("ascii") + "/stat")
                if data is None:
                    continue
                # The name of a program may have blanks and brackets of its own; behind it are the state and the parent.
                data = stats[name] = data[data.rindex(b")") + 2 :]
                parent = data[2 : data.index(b" ", 2)]
                children.setdefault(parent, []).append(name)
        names = [b"%d" % top]
        if names[0] not in stats:
            msg = f"process {top} is not among those that {self._proc} shows"
            raise ProcessLookupError(msg)
        for name in names:  # grows while it is gone through
            names += children.get(name, ())
        return self._tree({int(name): stats[name].split(b" ", STARTED + 4) for name in names})

    def _tree(self, stats: Mapping[int, list[bytes]]) -> Tree:
        alive: list[One] = []
        zombies: dict[Key, float] = {}
        tick, page = self._tick, self._page
        for pid, fields in stats.items():
            key = (pid, float(fields[STARTED]))
            cpu_s = (int(fields[UTIME]) + int(fields[STIME])) / tick
            if fields[0] in ENDED:
                zombies[key] = cpu_s
                continue
            reaped_s = (int(fields[CUTIME]) + int(fields[CSTIME])) / tick
            alive.append(One(key, cpu_s, reaped_s, int(fields[THREADS]), int(fields[VSIZE]), int(fields[RSS]) * page))
        return Tree(alive, zombies, self._of_each(alive, self._shared_bytes), self._of_each(alive, self._descriptors))

    def _of_each(self, alive: list[One], read: Callable[[int], int | None]) -> dict[Key, int] | Exception:
        found = {}
        try:
            for one in alive:
                value = read(one.key[0])
                if value is not None:
                    found[one.key] = value
        except (OSError, ValueError) as error:
            return error
        return found

    def _shared_bytes(self, pid: int) -> int | None:
        data = self._read(f"{pid}/statm")
        return None if data is None else int(data.split(b" ", 3)[2]) * self._page

    def _descriptors(self, pid: int) -> int | None:
        try:
            if self._sized:
                return os.stat(f"{self._proc}/{pid}/fd").st_size  # noqa: PTH116 - a third of the time
            return len(os.listdir(f"{self._proc}/{pid}/fd"))  # noqa: PTH208 - the same
        except (FileNotFoundError, ProcessLookupError):
            return None
        except PermissionError:
            return None  # a browser's own guard against being looked into; for good, and no reason to warn for ever

    def _read(self, name: str) -> bytes | None:
        """A file of a process; None if it has ended, or is another user's that we are not shown."""
        try:
            fd = os.open(self._slash + name, os.O_RDONLY)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return None
        try:
            return os.read(fd, 1024)
        except ProcessLookupError:
            return None
        finally:
            os.close(fd)

    def anonymous_bytes(self, keys: Iterable[Key]) -> int:
        """Memory that these processes do not share; those that ended have none. Cheaper than a look."""
        total = 0
        for pid, _ in keys:
            data = self._read(f"{pid}/statm")
            if data is not None:
                _, resident, shared, _ = data.split(b" ", 3)
                total += max(int(resident) - int(shared), 0) * self._page
        return total

    def pss_bytes(self, keys: Iterable[Key]) -> int:
        """Resident memory of processes, each page divided among those who have it. Takes milliseconds for each.

        Raises:
            OSError: another user's process does not tell.
            NotHere: this kernel does not tell (before Linux 4.14).
        """
        total, found = 0, False
        for pid, _ in keys:
            try:
                with open(f"{self._proc}/{pid}/smaps_rollup", "rb") as file:  # noqa: PTH123 - a third of the time
                    lines = file.read().splitlines()
            except (FileNotFoundError, ProcessLookupError):
                continue
            found = True
            total += next((int(line.split()[1]) * 1024 for line in lines if line.startswith(b"Pss:")), 0)
        if not found:
            raise NotHere("the kernel does not tell how memory is shared")
        return total


class PortableTree:
    """Looks at the tree through psutil, which is imported when first needed."""

    def look(self) -> Tree:
        """The tree as it is now.

        Raises:
            psutil.Error: it cannot be seen whole.
        """
        import psutil

        own = psutil.Process()
        tree = Tree([], {}, {}, {})
        for process in (own, *own.children(recursive=True)):
            try:
                self._add(tree, process)
            except psutil.NoSuchProcess:  # a ZombieProcess is one
                continue
        return tree

    def _add(self, tree: Tree, process: object) -> None:
        import psutil

        assert isinstance(process, psutil.Process)
        key = (process.pid, process.create_time())
        times = process.cpu_times()
        if process.status() == psutil.STATUS_ZOMBIE:
            tree.zombies[key] = times.user + times.system
            return
        memory = process.memory_info()
        reaped_s = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        one = One(key, times.user + times.system, reaped_s, process.num_threads(), memory.vms, memory.rss)
        if isinstance(tree.shared_bytes, dict):
            tree.shared_bytes[key] = int(getattr(memory, "shared", 0))
        tree.alive.append(one)
        if isinstance(tree.open_files, dict):
            try:
                tree.open_files[key] = _descriptors(process)
            except psutil.AccessDenied:
                pass  # as in LinuxTree
            except NotHere as error:
                tree.open_files = error

    def anonymous_bytes(self, keys: Iterable[Key]) -> int:
        """Memory that the processes do not share."""
        return self.look().anonymous_bytes()

    def pss_bytes(self, keys: Iterable[Key]) -> int:
        """As ``LinuxTree.pss_bytes``; other systems do not tell."""
        raise NotHere("this system does not tell how memory is shared")


def _descriptors(process: object) -> int:
    count = getattr(process, "num_fds", None) or getattr(process, "num_handles", None)  # the latter on Windows
    if count is None:
        raise NotHere("open files are not counted here")
    return int(count())


def best_tree(proc: Path = Path("/proc")) -> LinuxTree | PortableTree:
    """The way that this platform has."""
    try:
        return LinuxTree(proc)
    except (OSError, ValueError, AttributeError):
        return PortableTree()


# One process


@frozen
class Sighting:
    """One process at one moment."""

    started: float
    """When it began; tells it from another of the same pid."""
    zombie: bool


def sight(pid: int, proc: Path = Path("/proc")) -> Sighting | None:
    """Look at one process; None if there is none of this pid.

    Raises:
        OSError, ValueError: it cannot be looked at.
    """
    try:
        data = (proc / str(pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        if (proc / "self" / "stat").exists():
            return None
        return _sight_portably(pid)
    fields = data[data.rindex(b")") + 2 :].split()
    return Sighting(float(fields[STARTED]), fields[0] in ENDED)


def _sight_portably(pid: int) -> Sighting | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return Sighting(process.create_time(), process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return None
