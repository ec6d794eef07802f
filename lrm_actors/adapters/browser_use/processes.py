"""Which processes are the browser that we started, and how to end them all. Never names one that is not ours.

Talks to the operating system through psutil and, on Linux, ``/proc``. Everything here blocks: call it on a thread.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

LAUNCH_SWITCH = "--lrm-launch="
"""On the command line of each browser that we start, before a word that no other launch has. Chromium ignores it."""
LAUNCH_VARIABLE = "LRM_BROWSER_LAUNCH"
"""The same word in the environment, which the browser's children have as well."""
PROFILE_SWITCH = "--user-data-dir="
BROWSERS = ("chrom", "edge", "brave")
"""Parts of the names of processes that are Chromium by whatever name."""
GONE_S = 5.0
"""How long ended processes may take to be gone; the kernel needs milliseconds."""
LOOK_EACH_S = 0.01


def started_at(pid: int) -> str:
    """When a process began, in words that no other process of the same pid shares; empty: there is none.

    On Linux the boot and the ticks since it, which do not move when the clock is set; elsewhere the time of day.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        ticks = int(stat[stat.rindex(b")") + 2 :].split()[19])  # proc(5): starttime, the 22nd field
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{ticks}"
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return ""
    except (OSError, ValueError):
        pass
    try:
        return f"{psutil.Process(pid).create_time():.3f}"
    except psutil.Error:
        return ""


def is_main(command: Sequence[str], profile: Path) -> bool:
    """Whether this is the command line of a browser that we started on this profile."""
    return f"{PROFILE_SWITCH}{profile}" in command and any(part.startswith(LAUNCH_SWITCH) for part in command)


def lives(pid: int, started: str, profile: Path) -> bool:
    """Whether the browser that was seen as this process is still there, and no other in its place."""
    if pid <= 1 or not started or started_at(pid) != started:
        return False
    try:
        process = psutil.Process(pid)
        return not _ended(process) and is_main(process.cmdline(), profile)
    except psutil.Error:
        return False


def is_stopped(pid: int) -> bool:
    """Whether a process does nothing until somebody lets it go on: it got SIGSTOP, or is being looked at."""
    try:
        return psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:
        return False


def stranger_on(profile: Path) -> int | None:
    """A browser on this profile that was not started by us, or not at this path, if there is one."""
    for process in _ours_alive():
        command = _command(process)
        if any(part.startswith("--type=") for part in command) or is_main(command, profile):
            continue
        given = [part.removeprefix(PROFILE_SWITCH) for part in command if part.startswith(PROFILE_SWITCH)]
        try:
            same = any(Path(path).is_absolute() and profile.samefile(path) for path in given)
            # A directory that was moved with its browser in it: ours run in it.
            moved = any(part.startswith(LAUNCH_SWITCH) for part in command) and profile.parent.samefile(process.cwd())
        except (OSError, psutil.Error):
            continue
        if (same or moved) and any(kind in _name(process) for kind in BROWSERS):
            return process.pid
    return None


def tree_of(main: int | None, launch: str, profile: Path, group: int = 0) -> list[psutil.Process]:
    """All processes of a browser, also of one whose main process is gone.

    Args:
        main: its main process, which is known to be ours, and leads a process group; None: it is gone.
        launch: the word of its launch; empty: not known.
        profile: that it runs on.
        group: its process group; 0: not known.
    """
    found: dict[int, psutil.Process] = {}
    if main is not None:
        try:
            process = psutil.Process(main)
            found = {one.pid: one for one in (process, *process.children(recursive=True))}
        except psutil.Error:
            found = {}
    for process in _ours_alive():
        if process.pid not in found and (
            (main is not None and _group(process.pid) == main) or _is_part(process, launch, profile, group)
        ):
            found[process.pid] = process
    return [process for process in found.values() if process.pid != os.getpid() and not _ended(process)]


def end(main: int | None, launch: str, profile: Path, group: int = 0) -> tuple[int, ...]:
    """Kill a browser with all its processes, and wait until they are gone.

    Args:
        main: as of ``tree_of``.
        launch: as of ``tree_of``.
        profile: as of ``tree_of``.
        group: as of ``tree_of``.

    Returns: the processes that were ended.

    Raises:
        TimeoutError: some are there still after 5 s: the kernel holds them.
    """
    ended: list[int] = []
    deadline = time.monotonic() + GONE_S
    while tree := tree_of(main, launch, profile, group):
        # The main process first: it would start its children anew.
        for process in sorted(tree, key=lambda one: one.pid != main):
            if process.pid not in ended:
                ended.append(process.pid)
            try:
                process.send_signal(signal.SIGKILL)  # psutil sees that it is the same process still
            except psutil.NoSuchProcess:
                continue
        _wait_for(tree, deadline)
        if time.monotonic() > deadline:
            left = [process.pid for process in tree if not _ended(process)]
            raise TimeoutError(f"processes {left} of the browser cannot be ended")
        main = None
    return tuple(ended)


def _wait_for(processes: Iterable[psutil.Process], deadline: float) -> None:
    for process in processes:
        while not _ended(process) and time.monotonic() < deadline:
            time.sleep(LOOK_EACH_S)


def _ours_alive() -> list[psutil.Process]:
    """Processes of the same user."""
    own = os.getuid()
    found = []
    for process in psutil.process_iter():
        try:
            if process.uids().real == own and not _ended(process):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _name(process: psutil.Process) -> str:
    try:
        return process.name().lower()
    except psutil.Error:
        return ""


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return -1


def _is_part(process: psutil.Process, launch: str, profile: Path, group: int) -> bool:
    """Whether it is a process of a browser of ours: main, by the environment, or by a child's command line."""
    command = _command(process)
    if is_main(command, profile):
        return True
    # A child of Chromium has its command line as one text. The profile alone does not tell: it may be given to a
    # program of the user's.
    line = " ".join(command)
    if f"{PROFILE_SWITCH}{profile} " in f"{line} " and "--type=" in line:
        return not group or _group(process.pid) == group
    try:
        return bool(launch) and process.environ().get(LAUNCH_VARIABLE) == launch
    except psutil.Error:
        return False
