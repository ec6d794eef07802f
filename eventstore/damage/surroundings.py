"""Looks at where a log lies: the disk, its file system, who may touch the files, and what lies beside them."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from eventstore.copying.archive_names import is_archive
from eventstore.damage.findings import Finding, size_text
from eventstore.leftovers import leftovers, of_log
from eventstore.mark import mark_path
from eventstore.reserve import reserve_path
from eventstore.schema import WAL_SIZE_LIMIT

LEAST_FREE_BYTES = 16 * 1024 * 1024
"""Below this much free space appends may be refused any moment: a WAL of the usual length takes a quarter of it."""
LEAST_INODES = 64
MOUNTS = Path("/proc/self/mountinfo")
NETWORK = frozenset({
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "ocfs2",
    "gfs2", "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.glusterfs", "virtiofs",
})  # fmt: skip
"""File systems that several machines can share. A WAL needs memory that all who use the file share."""
IN_MEMORY = frozenset({"tmpfs", "ramfs"})


def look_around(log: Path) -> Iterator[Finding]:
    """Everything that is not in the log itself."""
    yield from _wal(log)
    yield from _space(log)
    yield from _file_system(log)
    yield from _permissions(log)
    yield _reserve(log)
    yield _leftovers(log)


def files_of(log: Path) -> list[Path]:
    """The files of a log that are there."""
    names = (log, *(log.with_name(log.name + suffix) for suffix in ("-wal", "-shm")), mark_path(log), reserve_path(log))
    return [path for path in names if path.exists()]


def _wal(log: Path) -> Iterator[Finding]:
    wal = log.with_name(f"{log.name}-wal")
    size = wal.stat().st_size if wal.exists() else 0
    if size > WAL_SIZE_LIMIT:
        yield Finding(
            "wal-size",
            "warning",
            f"the WAL has {size_text(size)}: it could not be copied into the file for long",
            "look for a program that keeps the log open inside one long read, and end it",
        )
    else:
        yield Finding("wal-size", "ok", f"the WAL has {size_text(size)}" if size else "there is no WAL")


def _space(log: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(log.parent).free
    size = sum(path.stat().st_size for path in files_of(log))
    what = f"{size_text(free)} are free, and the log takes {size_text(size)}"
    free_up = "free space, or remove old events: retention works on a full disk too"
    if free < LEAST_FREE_BYTES:
        yield Finding("disk-space", "problem", what, free_up)
    elif free < size:
        yield Finding("disk-space", "warning", f"{what}: there is no room for a copy of it", free_up)
    else:
        yield Finding("disk-space", "ok", what)
    if hasattr(os, "statvfs"):
        volume = os.statvfs(log.parent)
        if volume.f_files:  # some file systems make inodes as they need them, and count none
            few = volume.f_favail < LEAST_INODES
            advice = "delete files on this file system: the log needs a few of its own" if few else ""
            yield Finding("inodes", "problem" if few else "ok", f"{volume.f_favail} more files can be made", advice)


def _file_system(log: Path) -> Iterator[Finding]:
    kind = file_system_of(log)
    if kind is None:
        yield Finding("file-system", "ok", "of which kind the file system is, is not known on this platform")
    elif kind in NETWORK:
        yield Finding(
            "file-system",
            "problem",
            f"the file system is {kind}, which other machines can share: SQLite's WAL is not safe there",
            "keep the log on a local disk, and copy backups to the network",
        )
    elif kind in IN_MEMORY:
        yield Finding(
            "file-system",
            "warning",
            f"the file system is {kind}: it is gone after a reboot",
            "keep the log on a disk if it is to outlive one",
        )
    else:
        yield Finding("file-system", "ok", f"the file system is {kind}")


def file_system_of(path: Path) -> str | None:
    """The kind of the file system that a path lies in; None where that cannot be found out."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    found = (0, None)
    for line in lines:
        before, _, after = line.partition(" - ")
        words = before.split(" ")
        if len(words) < 5 or not after:
            continue
        place = words[4].encode("utf-8", "surrogateescape").decode("unicode_escape")  # spaces are written as \\040
        if path.is_relative_to(place) and len(place) >= found[0]:
            found = len(place), after.split(" ")[0]  # type: ignore[assignment]
    return found[1]


def _permissions(log: Path) -> Iterator[Finding]:
    bad: list[str] = []
    level = "ok"
    for path in (log.parent, *files_of(log)):
        status = path.stat()
        mode = stat.S_IMODE(status.st_mode)
        who = "change" if mode & 0o022 else "read" if mode & 0o055 else ""
        if who:
            bad.append(f"others may {who} {path.name} (mode {mode:04o})")
            level = "problem" if who == "change" else "warning" if level == "ok" else level
        if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
            bad.append(f"{path.name} belongs to user {status.st_uid}, and this is user {os.geteuid()}")
            level = "warning" if level == "ok" else level
    if bad:
        advice = f"chmod 0700 {log.parent}, and 0600 for the files in it; chown them to the agent's user"
        yield Finding("permissions", "problem" if level == "problem" else "warning", "; ".join(bad), advice)
    else:
        yield Finding("permissions", "ok", "only their owner may read or change the files")


def _reserve(log: Path) -> Finding:
    path = reserve_path(log)
    if path.exists():
        return Finding("reserve", "ok", f"{size_text(path.stat().st_size)} are held back for a full disk")
    return Finding(
        "reserve", "ok", "nothing is held back for a full disk: the disk is small, or nearly full, or it was turned off"
    )


def _leftovers(log: Path) -> Finding:
    """What killed copies left behind, of the log in its own directory and of archives also in those below it."""
    is_ours = of_log(log)
    found = [*leftovers(log.parent, lambda name: is_ours(name) or is_archive(name))]
    with contextlib.suppress(OSError):
        for below in sorted(log.parent.iterdir()):
            if below.is_dir() and not below.is_symlink():
                found += leftovers(below, is_archive)
    left = [one for one in found if one.is_old() and one.is_free()]
    if left:
        names = ", ".join(sorted(str(path.relative_to(log.parent)) for one in left for path in one.files))
        what = f"a copy that was killed left {size_text(sum(one.size_bytes for one in left))} behind: {names}"
        return Finding("leftovers", "warning", what, "give the same command again, or delete them")
    if found:
        names = ", ".join(str(one.path.relative_to(log.parent)) for one in found)
        return Finding("leftovers", "ok", f"a copy is being written, or was a short time ago: {names}")
    return Finding("leftovers", "ok", "no copy was left half done")
