"""What memory would run out first: the machine's, a control group's, or the budget; for samples and for looks between.

Talks to the kernel through the modules beside it. Cheap: a few short files that are kept open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eventstore.frozen import frozen
from lrm_actors.actors.sampling.cgroups import Groups, MemoryUse
from lrm_actors.actors.sampling.machine import MachineMemory, PortableMachine
from lrm_actors.actors.sampling.readings import known, or_error, percent, reason
from lrm_actors.domain.metrics import BUDGET, CGROUP, MACHINE, Metrics

MIB = 1024 * 1024
LOOKED_AT = ("memory_percent", "memory_limit_bytes", "memory_headroom_bytes", "memory_available_bytes")
"""The metrics of a look between two samples."""


@frozen
class Share:
    """Memory in use against one limit."""

    limited_by: str
    """``machine``, ``cgroup`` or ``budget``."""
    used_bytes: int
    limit_bytes: int

    @property
    def percent(self) -> float:
        """Share in use."""
        return 100.0 * self.used_bytes / self.limit_bytes if self.limit_bytes else 100.0

    @property
    def headroom_bytes(self) -> int:
        """What is left."""
        return max(self.limit_bytes - self.used_bytes, 0)


@frozen
class Memory:
    """One reading of all that limits memory; what could not be read is the error."""

    machine: MachineMemory | Exception
    group: MemoryUse | Exception | None
    """The control group nearest to its limit; None where there is no limit."""
    own_bytes: int | Exception | None
    """What the tree holds and shares with nobody; None without a budget."""
    budget_bytes: int | None

    def tightest(self) -> Share:
        """What would run out first.

        Raises:
            Exception: one that could be it is not known.
        """
        machine = known(self.machine)
        if machine.total_bytes <= 0:
            msg = f"the machine says it has {machine.total_bytes} bytes of memory"
            raise ValueError(msg)
        shares = [Share(MACHINE, machine.total_bytes - machine.available_bytes, machine.total_bytes)]
        smallest = machine.total_bytes
        group = known(self.group)
        if group is not None:
            shares.append(Share(CGROUP, group.used_bytes, group.limit_bytes))
            smallest = min(smallest, group.limit_bytes)
        if self.budget_bytes is not None and self.budget_bytes < smallest and self.own_bytes is not None:
            shares.append(Share(BUDGET, known(self.own_bytes), self.budget_bytes))
        return max(shares, key=lambda share: share.percent)


class MemoryReader:
    """Reads memory, from one thread at a time.

    Args:
        groups: the control groups.
        machine: the machine.
        budget_mb: gives the MiB that the tree should get by with.
        own_bytes: gives what the tree holds and shares with nobody.
    """

    def __init__(
        self,
        groups: Groups,
        machine: PortableMachine,
        budget_mb: Callable[[], float | None],
        own_bytes: Callable[[], int],
    ) -> None:
        self._groups, self._machine = groups, machine
        self._budget_mb, self._own_bytes = budget_mb, own_bytes

    def read(self) -> Memory:
        """Read all of it."""
        budget_mb = self._budget_mb()
        return Memory(
            or_error(self._machine.memory),
            or_error(self._groups.memory),
            None if budget_mb is None else or_error(self._own_bytes),
            None if budget_mb is None else int(budget_mb * MIB),
        )

    def look(self) -> Metrics:
        """Memory alone, as metrics. Never raises."""
        memory = self.read()
        share = or_error(memory.tightest)
        if isinstance(share, Exception):
            return Metrics(unknown=dict.fromkeys(LOOKED_AT, reason(share)))
        return Metrics(
            memory_percent=percent(share.percent),
            memory_limit_bytes=share.limit_bytes,
            memory_headroom_bytes=share.headroom_bytes,
            memory_available_bytes=known(memory.machine).available_bytes,
            limited_by=share.limited_by,
        )

    def close(self) -> None:
        """Let go of the kernel's files; reading opens them again."""
        self._groups.close()
        self._machine.close()


def readers(memory: Memory, groups: Groups, machine: PortableMachine) -> dict[str, Callable[[], Any]]:
    """How each metric of memory is made of a reading. The tree's own are not among them."""
    share = or_error(memory.tightest)

    def group(figure: Callable[[MemoryUse], int | None]) -> int | None:
        use = known(memory.group)
        return None if use is None else figure(use)

    def oom_kills() -> int:
        kills = groups.oom_kills()
        return machine.oom_kills() if kills is None else kills

    return {
        "memory_percent": lambda: percent(known(share).percent),
        "memory_limit_bytes": lambda: known(share).limit_bytes,
        "memory_headroom_bytes": lambda: known(share).headroom_bytes,
        "memory_available_bytes": lambda: known(memory.machine).available_bytes,
        "swap_percent": lambda: _or_none(known(memory.machine).swap_percent),
        "cgroup_memory_bytes": lambda: group(lambda use: use.used_bytes),
        "cgroup_memory_limit_bytes": lambda: group(lambda use: use.limit_bytes),
        "memory_limit_hit_count": lambda: group(groups.limit_hits),
        "oom_kill_count": oom_kills,
    }


def _or_none(value: float | None) -> float | None:
    return None if value is None else percent(value)
