"""Which processes belong to the one that is kept alive, and signals to just these: by pid and the time they began.

Talks to the operating system. A pid alone names nobody: by the time a signal is sent, it may be another's.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from eventstore.frozen import frozen
from lrm_actors.actors.sampling.tree import sight
from lrm_actors.domain.outliving.environment import OUTER_LOG, read_mark

PR_SET_CHILD_SUBREAPER = 36
"""From Linux's ``prctl.h``."""


@frozen
class Member:
    """One process."""

    pid: int
    started: float
    """When it began, as the platform counts that."""


def member(pid: int) -> Member | None:
    """The process of this pid, as it is now; None where there is none, or it has ended."""
    with contextlib.suppress(OSError, ValueError):
        seen = sight(pid)
        if seen is not None and not seen.zombie:
            return Member(pid, seen.started)
    return None


def is_alive(one: Member) -> bool:
    """Whether this very process lives."""
    return member(one.pid) == one


def send(one: Member, number: int) -> bool:
    """Send a signal to this very process and to no other; whether it was sent."""
    try:
        descriptor = os.pidfd_open(one.pid) if hasattr(os, "pidfd_open") else None
    except OSError:
        descriptor = None
    try:
        if not is_alive(one):
            return False
        if descriptor is not None:
            signal.pidfd_send_signal(descriptor, number)  # type: ignore[attr-defined,unused-ignore]  # Linux only
        else:
            os.kill(one.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        if descriptor is not None:
            os.close(descriptor)
    return True


def adopt_orphans() -> bool:
    """Become the parent of every process below this one that loses its own; whether that is to be had (Linux)."""
    if not sys.platform.startswith("linux"):
        return False
    with contextlib.suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    return False


def family_of(log: str, pid: int | None, known: Iterable[Member] = ()) -> frozenset[Member]:
    """Every living process that belongs to the one that is kept alive, without itself.

    Below it, in its group, below one of these, or marked in its environment as started for this log. Never this
    process, nor one above it.

    Args:
        log: the watchdog's log.
        pid: the one that is kept alive; None: there is none now.
        known: members seen before.
    """
    looked = {one.pid: one for one in _look()}
    roots = {one.pid for one in known if one.pid in looked and looked[one.pid].started == one.started}
    if pid is not None:
        roots |= {one.pid for one in looked.values() if one.group == pid}
        roots.add(pid)
    roots |= {one.pid for one in looked.values() if _is_marked(one.pid, log)}
    above = set(_above(looked))
    found = roots - above
    grown = True
    while grown:
        below = {one.pid for one in looked.values() if one.parent in found} - found - above
        grown = bool(below)
        found |= below
    found.discard(pid if pid is not None else 0)
    return frozenset(Member(one, looked[one].started) for one in found if one in looked and not looked[one].zombie)


@frozen
class _Seen:
    pid: int
    parent: int
    group: int
    started: float
    zombie: bool


def _above(looked: dict[int, _Seen]) -> Iterator[int]:
    """This process and all above it."""
    pid = os.getpid()
    while pid in looked:
        yield pid
        above = looked[pid].parent
        if above == pid:
            return
        pid = above
    yield os.getpid()


def _look() -> Iterator[_Seen]:
    proc = Path("/proc")
    if not (proc / "self/stat").exists():
        yield from _look_portably()
        return
    for name in os.listdir(proc):  # noqa: PTH208 - names are all that is needed
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            data = (proc / name / "stat").read_bytes()
            fields = data[data.rindex(b")") + 2 :].split()
            yield _Seen(int(name), int(fields[1]), int(fields[2]), float(fields[19]), fields[0] in {b"Z", b"X", b"x"})


def _look_portably() -> Iterator[_Seen]:
    import psutil

    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            zombie = one.status() == psutil.STATUS_ZOMBIE
            yield _Seen(one.pid, one.ppid(), os.getpgid(one.pid), one.create_time(), zombie)


def _is_marked(pid: int, log: str) -> bool:
    """Whether a process was started, by whomever, below one that was started for this log."""
    wanted = f"{OUTER_LOG}="
    with contextlib.suppress(OSError, ValueError):
        for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            text = entry.decode("utf-8", "surrogateescape")
            if text.startswith(wanted):
                return read_mark(text.removeprefix(wanted))[0] == log
        return False
    if not Path("/proc/self/environ").exists():
        return _is_marked_portably(pid, log)
    return False


def _is_marked_portably(pid: int, log: str) -> bool:
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        return read_mark(psutil.Process(pid).environ().get(OUTER_LOG, ""))[0] == log
    return False
