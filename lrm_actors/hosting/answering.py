"""Has a system of your own answer ``lrm dump``, ``lrm trace`` and ``lrm dead-letters resend``, as a running mode does.

Talks to the system's inspection, and to whoever asks at the socket beside its log.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from lrm_actors.hosting.dumping import dump_command
from lrm_actors.hosting.owner.commands import Commands
from lrm_actors.hosting.owner.serving import OwnerSocket
from lrm_actors.hosting.tracing import RemoteTrace
from lrm_actors.runtime.system import ActorSystem


class Answering:
    """Answers from ``with`` to its end. Begin before ``system.start()``, so that a hung start can be looked at.

    Args:
        system: whose actors are shown.
        log: the file that its store was opened with; this process must own it.

    Raises (on entering):
        OSError: there is no place for a socket, or what is there is none.
        RuntimeError: the machine has no thread to give.
    """

    def __init__(self, system: ActorSystem, log: str | os.PathLike[str]) -> None:
        self.system = system
        self.path = Path(log).absolute()
        self.agent_id = self.path.parent.name
        self._socket: OwnerSocket | None = None

    def __enter__(self) -> Self:
        """Open the socket."""
        commands = Commands(
            {
                "dump": lambda arguments: dump_command(self, arguments),
                "trace": RemoteTrace(lambda: self.system).command,
                "resend": lambda arguments: self.system.resend(str(arguments.get("letter", ""))),
            }
        )
        self._socket = OwnerSocket(self.path, commands)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close and remove it."""
        if self._socket is not None:
            self._socket.close()
