"""The outer watchdog's decisions, ``lrm run``: a process is started, watched, ended when it hangs, and started again.

It keeps a log of its own, beside the agent's, so that it can decide and tell whatever becomes of the process. The parts
stand in ``domain.outliving``; here is what others use.
"""

from __future__ import annotations

from lrm_actors.domain.behavior import Spec
from lrm_actors.domain.outliving import events
from lrm_actors.domain.outliving.commands import (
    BeginWatch,
    GraceOver,
    NoteCleared,
    NoteExit,
    NoteFirstHeartbeat,
    NoteHeartbeatMissed,
    NoteLate,
    NoteMemory,
    NoteQuiet,
    NoteSignal,
    NoteStarted,
    NoteStartFailed,
    RestartNow,
    StartTimedOut,
)
from lrm_actors.domain.outliving.deciding import EXIT_GIVEN_UP, EXIT_REPLACE, decide, exit_code, recover, told
from lrm_actors.domain.outliving.effects import ClearUp, EndWatch, KillProcess, SendSignal, StartProcess
from lrm_actors.domain.outliving.folding import evolve
from lrm_actors.domain.outliving.policy import ALWAYS, NEVER, ON_FAILURE, RESTARTS, Policy
from lrm_actors.domain.outliving.pulse import Pulse
from lrm_actors.domain.outliving.state import (
    BACKING_OFF,
    CLEARING,
    ENDING,
    GIVEN_UP,
    IDLE,
    OVER,
    STARTING,
    UP,
    End,
    OuterState,
    Process,
)

NAME = "outer"
"""Name of the actor and of its stream."""

__all__ = [
    "ALWAYS",
    "BACKING_OFF",
    "CLEARING",
    "ENDING",
    "EXIT_GIVEN_UP",
    "EXIT_REPLACE",
    "GIVEN_UP",
    "IDLE",
    "NAME",
    "NEVER",
    "ON_FAILURE",
    "OVER",
    "RESTARTS",
    "STARTING",
    "UP",
    "BeginWatch",
    "ClearUp",
    "End",
    "EndWatch",
    "GraceOver",
    "KillProcess",
    "NoteCleared",
    "NoteExit",
    "NoteFirstHeartbeat",
    "NoteHeartbeatMissed",
    "NoteLate",
    "NoteMemory",
    "NoteQuiet",
    "NoteSignal",
    "NoteStartFailed",
    "NoteStarted",
    "OuterState",
    "Policy",
    "Process",
    "Pulse",
    "RestartNow",
    "SendSignal",
    "StartProcess",
    "StartTimedOut",
    "decide",
    "events",
    "evolve",
    "exit_code",
    "recover",
    "spec",
    "told",
]


def spec() -> Spec[OuterState]:
    """The outer watchdog."""
    return Spec(NAME, OuterState(), decide, evolve, recover)
