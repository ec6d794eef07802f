"""What can go wrong between somebody who asks and the process that owns a log."""

from __future__ import annotations

from lrm_actors.errors import LrmError


class NoOwner(LrmError, LookupError):
    """No process that owns the log answers at its socket."""

    code = "LRM-5001"
    hint = (
        "'lrm health' and 'lrm log' tell what a dead agent left behind; start it to ask it, "
        "a system of your own inside Answering"
    )

    def __init__(self, log: str, reason: str) -> None:
        super().__init__(f"nobody answers for {log}: {reason}")
        self.log, self.reason = log, reason


class OwnerSilent(LrmError, TimeoutError):
    """The process that owns the log is there, and gives no answer, or none that can be understood."""

    code = "LRM-5002"
    hint = "ask again; a process that is stopped or stuck in native code cannot answer"

    def __init__(self, log: str, reason: str) -> None:
        super().__init__(f"the owner of {log} gives no answer: {reason}")
        self.log, self.reason = log, reason


class RequestRefused(LrmError, ValueError):
    """The owner of a log was asked for something that it does not do, or not now."""

    code = "LRM-5003"
    hint = "ask with the same release of lrm that the owner runs"


class RequestFailed(LrmError):
    """The owner of a log understood a request and failed on it. ``owner_code`` is the code of its error."""

    code = "LRM-5004"

    def __init__(self, message: str, owner_code: str, hint: str) -> None:
        super().__init__(f"{owner_code}: {message}", hint=hint)
        self.message, self.owner_code = message, owner_code
