"""What can be wrong with a question put to a log."""

from __future__ import annotations

from lrm_actors.errors import LrmError


class TargetNotFound(LrmError, LookupError):
    """The log holds nothing of what was asked about."""

    code = "LRM-4001"

    def __init__(self, target: str, what: str) -> None:
        super().__init__(f"{target}: {what}", hint="'lrm log' shows what there is")
        self.target = target


class BadTarget(LrmError, ValueError):
    """The question itself is not understood."""

    code = "LRM-4002"

    def __init__(self, target: str, allowed: str) -> None:
        super().__init__(f"{target!r} is nothing that can be asked about", hint=f"give {allowed}")
        self.target, self.allowed = target, allowed


class LoadFailed(LrmError, ImportError):
    """A module that describes actors could not be loaded, or describes none."""

    code = "LRM-4003"
    hint = "name an importable module that holds Spec instances, or a sequence SPECS of them"

    def __init__(self, module: str, reason: str) -> None:
        super().__init__(f"{module}: {reason}")
        self.module, self.reason = module, reason


class FoldFailed(LrmError, ValueError):
    """An actor's own ``evolve`` failed on one of its events."""

    code = "LRM-4004"
    hint = "the log is as it was written; the function that folds it is not the one it was written with"

    def __init__(self, stream: str, position: int, reason: str) -> None:
        super().__init__(f"{stream} cannot be folded past #{position}: {reason}")
        self.stream, self.position, self.reason = stream, position, reason
