"""What the whole machine says: CPU, memory, disks, network. Through psutil; on Linux from files that are kept open."""

from __future__ import annotations

import os
from pathlib import Path

from eventstore.frozen import frozen
from lrm_actors.actors.sampling.readings import KernelFile, NotHere, number_after

SECTOR_BYTES = 512
"""In which the kernel counts whatever a disk's own are."""


@frozen
class MachineMemory:
    """Memory of the machine."""

    total_bytes: int
    available_bytes: int
    """That can be had without swapping."""
    swap_percent: float | None
    """None without swap space."""


@frozen
class Disk:
    """The disk of a folder."""

    free_bytes: int
    """For an unprivileged user."""
    percent: float
    inodes_free: int | None
    """None where the file system has no limit of them."""
    inodes_percent: float | None


class PortableMachine:
    """Asks psutil, which is imported when first needed."""

    def cpu_times(self) -> tuple[float, float]:
        """Seconds idle and seconds in all, of all CPUs."""
        import psutil

        times = psutil.cpu_times()
        # The guests' times are contained in those of the users.
        whole = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        return times.idle + getattr(times, "iowait", 0.0), whole

    def memory(self) -> MachineMemory:
        """Memory and swap space."""
        import psutil

        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        return MachineMemory(int(memory.total), int(memory.available), float(swap.percent) if swap.total else None)

    def disk_io(self) -> tuple[int, int]:
        """Bytes read and written by all disks."""
        import psutil

        counters = psutil.disk_io_counters()
        if counters is None:
            raise NotHere("no disk is counted here")
        return int(counters.read_bytes), int(counters.write_bytes)

    def network(self) -> tuple[int, int]:
        """Bytes sent and received by all network interfaces."""
        import psutil

        counters = psutil.net_io_counters()
        if not counters:
            raise NotHere("no network interface is counted here")
        return int(counters.bytes_sent), int(counters.bytes_recv)

    def oom_kills(self) -> int:
        """Processes killed because memory ran out."""
        raise NotHere("this system does not count what it kills for memory")

    def load_1m(self) -> float:
        """Average count of tasks that run or wait to, over the last minute."""
        try:
            return round(os.getloadavg()[0], 2)
        except AttributeError:
            raise NotHere("this system has no load average") from None

    def cpus(self) -> int:
        """How many CPUs there are."""
        return os.cpu_count() or 1

    def close(self) -> None:
        """Let go of what is kept."""


class LinuxMachine(PortableMachine):
    """Reads the kernel's files where that is much cheaper.

    Args:
        proc: where they are.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        tick = os.sysconf("SC_CLK_TCK")
        self._tick_s = 1.0 / tick
        self._stat, self._meminfo = KernelFile(proc / "stat", 256), KernelFile(proc / "meminfo")
        self._disks, self._vmstat = KernelFile(proc / "diskstats"), KernelFile(proc / "vmstat")
        self._network = KernelFile(proc / "self" / "net" / "dev")
        self._stat.read()
        self._stat.close()

    def close(self) -> None:
        """Let go of all files."""
        for file in (self._stat, self._meminfo, self._disks, self._vmstat, self._network):
            file.close()

    def cpu_times(self) -> tuple[float, float]:
        """Seconds idle and seconds in all, of all CPUs."""
        name, *times = self._stat.read().split(b"\n", 1)[0].split()
        if name != b"cpu":
            msg = f"/proc/stat begins with {name!r}"
            raise ValueError(msg)
        # user nice system idle iowait irq softirq steal; what guests use is contained in the first two.
        ticks = [int(one) for one in times[:8]]
        return sum(ticks[3:5]) * self._tick_s, sum(ticks) * self._tick_s

    def memory(self) -> MachineMemory:
        """Memory and swap space."""
        data = self._meminfo.read()
        total, available = number_after(data, b"MemTotal:"), number_after(data, b"MemAvailable:")
        if total is None or available is None:
            return super().memory()
        swap, free = number_after(data, b"SwapTotal:"), number_after(data, b"SwapFree:")
        percent = 100.0 * (swap - free) / swap if swap and free is not None else None
        return MachineMemory(total * 1024, available * 1024, percent)

    def disk_io(self) -> tuple[int, int]:
        """Bytes read and written by all disks, their partitions left out."""
        read = written = 0
        found = False
        for line in self._disks.read().splitlines():
            fields = line.split()
            name = fields[2]
            if not name.startswith((b"loop", b"ram", b"dm-", b"md")) and self._is_disk(name):
                found = True
                read, written = read + int(fields[5]), written + int(fields[9])
        if not found:
            raise NotHere("no disk is counted here")
        return read * SECTOR_BYTES, written * SECTOR_BYTES

    def _is_disk(self, name: bytes) -> bool:
        return os.path.exists(b"/sys/block/" + name.replace(b"/", b"!"))  # noqa: PTH110 - cheaper, and they are bytes

    def network(self) -> tuple[int, int]:
        """Bytes sent and received by all network interfaces of this process's network."""
        sent = received = 0
        lines = self._network.read().splitlines()[2:]
        for line in lines:
            fields = line.partition(b":")[2].split()
            received, sent = received + int(fields[0]), sent + int(fields[8])
        if not lines:
            raise NotHere("no network interface is counted here")
        return sent, received

    def oom_kills(self) -> int:
        """Processes killed because memory ran out, anywhere on the machine."""
        kills = number_after(self._vmstat.read(), b"oom_kill ")
        if kills is None:
            raise NotHere("this kernel does not count what it kills for memory")
        return kills


def best_machine(proc: Path = Path("/proc")) -> PortableMachine:
    """The way that this platform has."""
    try:
        return LinuxMachine(proc)
    except (OSError, ValueError, AttributeError):
        return PortableMachine()


def disk_of(folder: Path) -> Disk:
    """The disk of a folder, or of the first above it that exists.

    Raises:
        OSError: it cannot be asked.
    """
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not hasattr(os, "statvfs"):
        import psutil

        usage = psutil.disk_usage(str(folder))
        return Disk(int(usage.free), float(usage.percent), None, None)
    found = os.statvfs(folder)
    # As df has it: what is kept for the superuser is not there for anybody else.
    used, free = found.f_blocks - found.f_bfree, found.f_bavail
    share = 100.0 * used / (used + free) if used + free else 100.0
    inodes = None if not found.f_files else 100.0 * (found.f_files - found.f_ffree) / found.f_files
    return Disk(free * found.f_frsize, share, found.f_favail if found.f_files else None, inodes)
