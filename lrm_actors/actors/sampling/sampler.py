"""One full sample: everything of ``Metrics``, each read on its own, so that one that fails takes no other with it.

Talks to the kernel through the modules beside it. What cannot be read becomes None and a reason, never zero.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lrm_actors.actors.sampling.cgroups import PROC, Groups
from lrm_actors.actors.sampling.figures import Used, machine_percent, quota_percent, stalled, tree_percent, vanished
from lrm_actors.actors.sampling.machine import PortableMachine, best_machine, disk_of
from lrm_actors.actors.sampling.memory import MemoryReader
from lrm_actors.actors.sampling.memory import readers as memory_readers
from lrm_actors.actors.sampling.owned import DescriptorLimits, ShareReader
from lrm_actors.actors.sampling.pressure import RESOURCES, Stall
from lrm_actors.actors.sampling.readings import NotHere, known, or_error, percent, reason
from lrm_actors.actors.sampling.tree import Key, LinuxTree, PortableTree, Tree, best_tree
from lrm_actors.domain.metrics import Metrics, nothing_known

SETTLE_S = 0.2
"""Least time between two readings of the CPU times: the kernel counts in steps of 10 ms, and a few say little."""

Reader = Callable[[], float | None]


def nothing() -> None:
    """What nobody measures."""


class Sampler:
    """Takes samples. Safe from any thread, one sample at a time.

    Args:
        checkpoint_dir: whose disk must not run full. May not exist yet; may be assigned while running.
        memory_budget_mb: MiB that this process and its children should get by with. May be assigned while running.
        monotonic, sleep: the time.
        groups: the control groups.
        machine: the machine.
        processes: the process tree.
        proc: where the kernel tells of stalls.
    """

    def __init__(
        self,
        checkpoint_dir: Path,
        *,
        memory_budget_mb: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        groups: Groups | None = None,
        machine: PortableMachine | None = None,
        processes: LinuxTree | PortableTree | None = None,
        proc: Path = PROC,
    ) -> None:
        self.checkpoint_dir = checkpoint_dir
        self.memory_budget_mb = memory_budget_mb
        self.unsupported: dict[str, str] = {}
        """Metrics that this platform does not have, and why. Decided with the first sample."""
        self.loop_lag: Callable[[], float | None] = nothing
        """How late the host's event loop was since this was last asked, in seconds. Assigned by whoever has a loop."""
        self.mailbox_depth: Callable[[], int | None] = nothing
        """Messages in the fullest mailbox. Assigned by whoever has actors."""
        self._monotonic, self._sleep, self._proc = monotonic, sleep, proc
        self._groups = Groups() if groups is None else groups
        self._given = machine, processes
        self._keys: tuple[Key, ...] = ()
        self._limits = DescriptorLimits()
        self._stalls: dict[str, Stall | Exception] = {}
        self._one = threading.Lock()
        self._before: Used | None = None
        self._first = True

    # Chosen with the first sample, for that looks at files: whoever makes a sampler may be on an event loop.

    @functools.cached_property
    def _machine(self) -> PortableMachine:
        return self._given[0] or best_machine(self._proc)

    @functools.cached_property
    def _processes(self) -> LinuxTree | PortableTree:
        return self._given[1] or best_tree(self._proc)

    @functools.cached_property
    def _shares(self) -> ShareReader:
        return ShareReader(self._processes, self._monotonic)

    def sample(self) -> Metrics | None:
        """Read everything. May block for a moment and never raises; None while another thread is at it."""
        if not self._one.acquire(blocking=False):
            return None  # a reading that hangs must not take one thread after the other with it
        try:
            return self._sample()
        except Exception as error:  # noqa: BLE001 - a sample that fails as a whole leaves nothing known
            return nothing_known(reason(error))
        finally:
            self._one.release()

    def memory_reader(self) -> MemoryReader:
        """For looks at memory between samples, from another thread; the tree is the one that the last sample saw."""
        return MemoryReader(
            Groups() if self._proc == PROC else Groups(self._proc),
            best_machine(self._proc),
            lambda: self.memory_budget_mb,
            lambda: self._processes.anonymous_bytes(self._keys),
        )

    def memory_stall(self) -> Stall | None:
        """How much this process's group, or else the machine, waits for memory, for another thread; None: not told."""
        groups = Groups() if self._proc == PROC else Groups(self._proc)
        try:
            return Stall("memory", groups.unified(), self._proc)
        except (OSError, ValueError):
            return None
        finally:
            groups.close()

    def close(self) -> None:
        """Let go of the kernel's files; the next sample opens them again."""
        with self._one:
            self._groups.close()
            self._machine.close()
            for stall in self._stalls.values():
                if isinstance(stall, Stall):
                    stall.close()

    def _sample(self) -> Metrics:
        before = self._before or self._used()
        wait_s = before.at_s + SETTLE_S - self._monotonic()
        if wait_s > 0:
            self._sleep(wait_s)
        now = self._before = self._used()
        if not isinstance(now.tree, Exception):
            self._keys = tuple(now.tree.keys())
        memory = MemoryReader(
            self._groups, self._machine, lambda: self.memory_budget_mb, lambda: known(now.tree).anonymous_bytes()
        ).read()
        readers: dict[str, Reader] = {
            **self._machine_readers(before, now),
            **memory_readers(memory, self._groups, self._machine),
            **self._tree_readers(before, now),
            **self._stall_readers(),
            **self._disk_readers(),
            "process_cpu_percent": lambda: tree_percent(before, now, self._machine.cpus()),
            "loop_lag_s": self.loop_lag,
            "mailbox_depth": self.mailbox_depth,
        }
        values, unknown = self._read(readers)
        limited_by = "" if "memory_percent" in unknown else memory.tightest().limited_by
        return Metrics(**values, unknown=unknown, limited_by=limited_by)

    def _read(self, readers: Mapping[str, Reader]) -> tuple[dict[str, Any], dict[str, str]]:
        """What each metric is, and why it is not known."""
        values: dict[str, Any] = {}
        unknown: dict[str, str] = {}
        for name, read in readers.items():
            if name in self.unsupported:
                continue
            try:
                values[name] = read()
            except NotHere as error:
                # What was there before and is not any more is not known; what never was there is not missed.
                (self.unsupported if self._first else unknown)[name] = reason(error)
            except Exception as error:  # noqa: BLE001 - whatever went wrong, this one is not known
                unknown[name] = reason(error)
        self._first = False
        return values, unknown

    def _stall(self, name: str, folders: Sequence[str] | Exception) -> Stall | Exception:
        return or_error(lambda: Stall(name, known(folders), self._proc))

    def _used(self) -> Used:
        return Used(
            self._monotonic(),
            or_error(self._machine.cpu_times),
            or_error(self._processes.look),
            or_error(self._groups.cpu_quotas),
        )

    # --- how each metric is made --------------------------------------------------------------------------------

    def _machine_readers(self, before: Used, now: Used) -> dict[str, Reader]:
        machine = self._machine
        disks, network = or_error(machine.disk_io), or_error(machine.network)
        return {
            "cpu_percent": lambda: machine_percent(before, now),
            "cgroup_cpu_percent": lambda: quota_percent(before, now),
            "load_1m": machine.load_1m,
            "disk_read_bytes": lambda: known(disks)[0],
            "disk_write_bytes": lambda: known(disks)[1],
            "network_sent_bytes": lambda: known(network)[0],
            "network_received_bytes": lambda: known(network)[1],
            "pids_percent": lambda: _percent_or_none(self._groups.pids_percent()),
        }

    def _tree_readers(self, before: Used, now: Used) -> dict[str, Reader]:
        shares = self._shares

        def tree() -> Tree:
            return known(now.tree)

        return {
            "memory_rss_bytes": lambda: tree().resident_bytes(),
            "memory_anonymous_bytes": lambda: tree().anonymous_bytes(),
            "memory_virtual_bytes": lambda: sum(one.virtual_bytes for one in tree().alive),
            "memory_pss_bytes": lambda: shares.read(tree()),
            "memory_pss_age_s": shares.age_s,
            "process_count": lambda: len(tree().alive),
            "thread_count": lambda: sum(one.threads for one in tree().alive),
            "zombie_count": lambda: len(tree().zombies),
            "vanished_count": lambda: vanished(known(before.tree), tree())[0],
            "reused_pid_count": lambda: vanished(known(before.tree), tree())[1],
            "open_files": lambda: sum(tree().descriptors().values()),
            "open_files_limit": self._limits.own,
            "open_files_percent": lambda: percent(self._limits.fullest_percent(tree())),
        }

    def _stall_readers(self) -> dict[str, Reader]:
        readers: dict[str, Reader] = {}
        if not self._stalls or any(isinstance(stall, Exception) for stall in self._stalls.values()):
            folders = or_error(self._groups.unified)  # again, for what could not be found before
            self._stalls = {name: self._stall(name, folders) for name in RESOURCES}
        for name, stall in self._stalls.items():
            shares = or_error(lambda stall=stall: known(stall).percents())  # type: ignore[misc]  # bound at once
            for kind in ("some", "full"):
                readers[f"{name}_stall_{kind}_percent"] = functools.partial(stalled, shares, kind)
        return readers

    def _disk_readers(self) -> dict[str, Reader]:
        disk = or_error(lambda: disk_of(self.checkpoint_dir))
        return {
            "disk_free_bytes": lambda: known(disk).free_bytes,
            "disk_percent": lambda: percent(known(disk).percent),
            "disk_inodes_free": lambda: known(disk).inodes_free,
            "disk_inodes_percent": lambda: _percent_or_none(known(disk).inodes_percent),
        }


def _percent_or_none(value: float | None) -> float | None:
    return None if value is None else percent(value)
