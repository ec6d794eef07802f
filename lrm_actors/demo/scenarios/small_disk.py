"""A disk that is small enough to be filled: a file system in memory, or the share of a limit that a folder's files are.

Talks to ``mount`` and to the files. As root the kernel says how full it is; for other users their files are counted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil

BALLAST = "somebody-elses"
MIB = 1024 * 1024
DISK_BYTES = 224 * MIB
"""Of the small file system: large enough for the log to hold something back on it."""
NEEDED_BYTES = 4 * DISK_BYTES
"""Free memory without which none is made: it is kept in memory."""


@contextlib.contextmanager
def small_disk(directory: Path, name: str) -> Iterator[Path | None]:
    """A file system of its own in memory; None where this user may not mount one, or there is no memory for it.

    Args:
        directory: where what the log came to is kept.
        name: of the agent whose log it is.
    """
    disk = directory / "disk"
    disk.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", str(disk)]
    allowed = os.geteuid() == 0 and Path("/bin/mount").exists() and psutil.virtual_memory().available > NEEDED_BYTES
    mounted = allowed and not subprocess.run(["/bin/mount", *options], capture_output=True, check=False).returncode
    try:
        yield disk if mounted else None
    finally:
        if mounted:
            if (disk / name).exists():  # however it went: a log of what went wrong is wanted most
                left = shutil.ignore_patterns("*-reserve", "*.sock", "*.lock")
                shutil.copytree(disk / name, directory / name, ignore=left)
            subprocess.run(["/bin/umount", "--lazy", str(disk)], check=False)
        with contextlib.suppress(OSError):
            disk.rmdir()


class Space:
    """How much of a small disk is used, and a file of somebody else's that takes as much of it as is wanted.

    Args:
        folder: on the disk.
        limit_bytes: what the files of the folder may take together; None: it is a disk of its own, and the kernel says.
    """

    def __init__(self, folder: Path, limit_bytes: int | None) -> None:
        self._folder, self._limit_bytes = folder, limit_bytes

    def used(self) -> tuple[float, int]:
        """Percent in use, and bytes that are free."""
        if self._limit_bytes is None:
            status = os.statvfs(self._folder)
            size, free = status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize
        else:
            size = self._limit_bytes
            free = max(0, size - sum(_taken(file) for file in self._folder.rglob("*")))
        return 100.0 * (size - free) / size, free

    def take(self, percent: float) -> int:
        """Have the other file take so much, or give so much back, that this share is used; how many bytes that is."""
        with (self._folder / BALLAST).open("ab") as file:
            used, free = self.used()
            more = int((percent - used) / 100.0 * self._size(used, free))
            size = max(0, os.fstat(file.fileno()).st_size + more)
            if more > 0 and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            elif more > 0:
                for _ in range(0, more, MIB):
                    file.write(bytes(MIB))
            else:
                os.ftruncate(file.fileno(), size)
            return os.fstat(file.fileno()).st_size

    def _size(self, used: float, free: int) -> int:
        return self._limit_bytes if self._limit_bytes is not None else int(free / (1.0 - used / 100.0))

    def close(self) -> None:
        """Remove the other file."""
        (self._folder / BALLAST).unlink(missing_ok=True)


def _taken(file: Path) -> int:
    try:
        status = file.lstat()
    except OSError:  # removed meanwhile
        return 0
    return int(getattr(status, "st_blocks", 0)) * 512
