"""What is made of two readings: shares of CPU, and who came and went. Plain arithmetic; talks to nobody."""

from __future__ import annotations

from collections.abc import Mapping

from eventstore.frozen import frozen
from lrm_actors.actors.sampling.readings import NotHere, known, percent
from lrm_actors.actors.sampling.tree import Tree


@frozen
class Used:
    """One reading of what is judged by how much it grew; what could not be read is the error."""

    at_s: float
    machine: tuple[float, float] | Exception
    """Seconds idle and seconds in all, of all CPUs."""
    tree: Tree | Exception
    quotas: Mapping[str, tuple[float, float]] | Exception
    """By control group with a CPU quota: the CPUs it may use, and seconds used."""


def machine_percent(before: Used, now: Used) -> float:
    """The share of time that the CPUs were busy between two readings.

    Raises:
        Exception: it is not known.
    """
    (idle_before, whole_before), (idle, whole) = known(before.machine), known(now.machine)
    if whole <= whole_before:
        msg = "the CPU times did not advance"
        raise ValueError(msg)
    return percent(100.0 * (1.0 - (idle - idle_before) / (whole - whole_before)))


def tree_percent(before: Used, now: Used, cpus: int) -> float:
    """The share of all CPUs that the process tree used between two readings.

    What a process used that ended meanwhile is in the time that its parent has of children it waited for. Where that is
    lost, because nobody waited or a whole branch left the tree, those who stayed are counted alone.

    Raises:
        Exception: it is not known.
    """
    earlier, later = known(before.tree), known(now.tree)
    used_before, used = earlier.cpu_s(), later.cpu_s()
    stayed_s = sum(max(seconds - used_before.get(key, 0.0), 0.0) for key, seconds in used.items())
    grown_s = sum(used.values()) + later.reaped_s() - sum(used_before.values()) - earlier.reaped_s()
    available_s = (now.at_s - before.at_s) * cpus
    if available_s <= 0:
        msg = "no time went by between two readings"
        raise ValueError(msg)
    return percent(100.0 * max(stayed_s, grown_s) / available_s)


def quota_percent(before: Used, now: Used) -> float | None:
    """CPU time used between two readings against the smallest quota; None without a quota.

    Raises:
        Exception: it is not known.
    """
    earlier, elapsed_s = known(before.quotas), now.at_s - before.at_s
    shares = []
    for folder, (cpus, used_s) in known(now.quotas).items():
        if folder in earlier and cpus > 0 and elapsed_s > 0:
            shares.append(100.0 * (used_s - earlier[folder][1]) / (elapsed_s * cpus))
    return percent(max(shares)) if shares else None


def vanished(before: Tree, now: Tree) -> tuple[int, int]:
    """How many processes of the tree are gone, and how many pids are another process's."""
    keys = now.keys() | now.zombies.keys()
    pids = {pid for pid, _ in keys}
    gone = (before.keys() | before.zombies.keys()) - keys
    reused = sum(pid in pids for pid, _ in gone)
    return len(gone), reused


def stalled(shares: Mapping[str, float] | Exception, kind: str) -> float:
    """One kind of stall.

    Raises:
        NotHere: this kernel does not tell it.
        Exception: it is not known.
    """
    value = known(shares).get(kind)
    if value is None:
        raise NotHere(f"the kernel tells no {kind!r} of this stall")
    return value
