"""How much tasks wait for CPU, memory and disk: the kernel's pressure stall information.

Reads a control group's own files where it has some, or else those of the whole machine. The kernel averages over ten
seconds; see Documentation/accounting/psi.rst of Linux.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lrm_actors.actors.sampling.readings import KernelFile, NotHere, percent

RESOURCES = ("cpu", "memory", "io")


class Stall:
    """The stalls for one resource.

    Args:
        resource: ``cpu``, ``memory`` or ``io``.
        folders: of the control group, the innermost first; the first that tells is read.
        proc: where the kernel tells of the machine.
    """

    def __init__(self, resource: str, folders: Sequence[str], proc: Path) -> None:
        self.resource = resource
        paths = [Path(folder) / f"{resource}.pressure" for folder in folders[:1]] + [proc / "pressure" / resource]
        self._file = next((KernelFile(path) for path in paths if path.exists()), None)

    def percents(self) -> dict[str, float]:
        """Share of the last ten seconds in which ``some`` task waited, or all of them, ``full``.

        Raises:
            NotHere: this kernel does not tell.
            OSError, ValueError: it does, and cannot be understood.
        """
        if self._file is None:
            raise NotHere("the kernel tells no pressure stall information")
        found = {}
        for line in self._file.read().splitlines():
            kind, average, *_ = line.split()
            name, _, value = average.partition(b"=")
            if name != b"avg10":
                msg = f"no ten-second average in {line[:40]!r}"
                raise ValueError(msg)
            found[kind.decode("ascii")] = percent(float(value))
        return found

    def percent(self, kind: str) -> float:
        """One of ``percents``.

        Raises:
            NotHere: this kernel does not tell it.
        """
        value = self.percents().get(kind)
        if value is None:
            raise NotHere(f"the kernel tells no {kind} stall of the {self.resource}")
        return value

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
