"""Errors of checkpoints, and of what is restored from them: LRM-3002 and on."""

from __future__ import annotations

from eventstore.errors import EventStoreError, StorageFull
from lrm_actors.errors.base import LrmError


class CheckpointNotFound(LrmError, LookupError):
    """No checkpoint has this id, or more than one ends with what was given of it."""

    code = "LRM-3002"
    hint = "list_checkpoints() names those there are"

    def __init__(self, checkpoint_id: str, why: str = "", *, removed: str = "") -> None:
        said = f"no one checkpoint {checkpoint_id!r}: {why}" if why else f"no checkpoint {checkpoint_id!r}"
        super().__init__(f"{said}: {removed}" if removed else said)
        self.checkpoint_id = checkpoint_id


class CheckpointDamaged(LrmError, ValueError):
    """A checkpoint's bytes are not what was captured."""

    code = "LRM-3003"
    hint = "recover without an id: damaged ones are passed over"

    def __init__(self, checkpoint_id: str, reason: str) -> None:
        super().__init__(f"checkpoint {checkpoint_id!r} is damaged: {reason}")
        self.checkpoint_id, self.reason = checkpoint_id, reason


class NotCapturable(LrmError, TypeError):
    """The host's state holds something that cannot be stored."""

    code = "LRM-3004"
    hint = "give plain data: dict, list, str, numbers, bytes, bool, None, or objects of attrs, dataclasses or pydantic"


class CaptureTimedOut(NotCapturable, TimeoutError):
    """The host's state was not had in time: a step did not end, or the host's function did not."""

    code = "LRM-3019"
    hint = "let the open step end, or have the capture function answer sooner; an emergency one waits for no step"


class CheckpointNotStored(LrmError, StorageFull):
    """The disk had no room for a checkpoint. Nothing of it was stored; those before it are as they were."""

    code = "LRM-3018"
    hint = "free space on the disk of the log, or keep fewer checkpoints with max_checkpoints; then take it again"

    def __init__(self, checkpoint_id: str, reason: str) -> None:
        EventStoreError.__init__(self, f"{checkpoint_id} was not stored: {reason}")
        self.checkpoint_id, self.reason = checkpoint_id, reason


class StateNotUpcast(LrmError, ValueError):
    """A checkpoint's state cannot be made one of the host's version. The base of why; the checkpoint stays as it is."""

    code = "LRM-3012"
    hint = "the checkpoint is sound and stays: mend the host, and recover again"

    def __init__(self, checkpoint_id: str, version: int, host_version: int, what: str) -> None:
        super().__init__(
            f"the state in {checkpoint_id} is of version {version}, the host's is of version {host_version}: {what}"
        )
        self.checkpoint_id, self.version, self.host_version = checkpoint_id, version, host_version


class StateTooNew(StateNotUpcast):
    """A checkpoint's state is of a later version of its schema than the host knows."""

    code = "LRM-3013"
    hint = "start the release of the host that wrote it; or name an older checkpoint, and lose what came after it"

    def __init__(self, checkpoint_id: str, version: int, host_version: int) -> None:
        super().__init__(checkpoint_id, version, host_version, "a later release of the host wrote it")


class UpcasterMissing(StateNotUpcast):
    """No upcaster takes a checkpoint's state from one version of its schema to the next."""

    code = "LRM-3014"

    def __init__(self, checkpoint_id: str, version: int, host_version: int, missing: int) -> None:
        super().__init__(
            checkpoint_id, version, host_version, f"there is no upcaster from version {missing} to {missing + 1}"
        )
        self.hint = f"give restore_with(..., upcasters={{{missing}: function}}), and recover again"
        self.missing = missing
        """The version that it would have taken."""


class UpcasterFailed(StateNotUpcast):
    """An upcaster of the host failed. The error stands here as text, and as the cause."""

    code = "LRM-3015"

    def __init__(self, checkpoint_id: str, version: int, host_version: int, failed: int, why: str) -> None:
        super().__init__(
            checkpoint_id, version, host_version, f"the upcaster from version {failed} to {failed + 1} failed: {why}"
        )
        self.hint = f"mend the upcaster of version {failed}, and recover again: the checkpoint is as it was"
        self.failed, self.why = failed, why


class StateNotRestored(LrmError, ValueError):
    """The host could not take up the state of a checkpoint. The error is its cause; nothing was lost or changed."""

    code = "LRM-3017"
    hint = "mend the function given to restore_with(), or the host's restore, and recover again: do not begin anew"

    def __init__(self, checkpoint_id: str, why: str) -> None:
        super().__init__(f"the state in {checkpoint_id} could not be taken up: {why}")
        self.checkpoint_id, self.why = checkpoint_id, why


class StepNotReplayed(LrmError, ValueError):
    """The host could not take up a step that was committed after its checkpoint. The error is its cause."""

    code = "LRM-3016"
    hint = "mend the function given to replay_with(), or the host's replay, and recover again: the log is as it was"

    def __init__(self, step: int, name: str, why: str) -> None:
        super().__init__(f"step {step}, {name!r}, could not be taken up from the log: {why}")
        self.step, self.name, self.why = step, name, why
