"""What the exit codes of ``lrm`` mean, and which error ends with which: the one table."""

from __future__ import annotations

from eventstore import errors as store
from lrm_actors import errors as ours

OK, FAILURE, USAGE, NOT_FOUND, BROKEN, LOCKED, TOO_NEW, NO_ACCESS, NO_KEY = range(9)
WARNING, CRITICAL, FAILING, STALE = 10, 11, 12, 13
GIVEN_UP, CANNOT_EXECUTE, NO_COMMAND = 69, 126, 127
INTERRUPTED = 130

MEANINGS = {
    OK: "ok; with `health`: healthy",
    FAILURE: "something else went wrong",
    USAGE: "wrong usage, or a setting or a module that cannot be used",
    NOT_FOUND: "there is no such log, position, actor, checkpoint, or anything that was asked about",
    BROKEN: "it is not a log, or not as it was written; with `why`: a link of the chain is wrong",
    LOCKED: "another process has locked it",
    TOO_NEW: "the log was written by a later release",
    NO_ACCESS: "a file or its directory cannot be read or written, or what is to be made is there already",
    NO_KEY: "the log is encrypted, and the key is missing, wrong or none",
    WARNING: "`health`: warning",
    CRITICAL: "`health`: critical",
    FAILING: "`health`: failing",
    STALE: "`health`, `dump`, `trace`: no process is alive, or it says nothing any more",
    GIVEN_UP: "`run`: the process was started again as often as it may be, and is given up",
    CANNOT_EXECUTE: "`run`: the command cannot be executed",
    NO_COMMAND: "`run`: there is no such command",
    INTERRUPTED: "interrupted by Ctrl-C",
}
"""Every exit code, and what it means."""

OF_HEALTH = {"healthy": OK, "warning": WARNING, "critical": CRITICAL, "failing": FAILING}

_OF_ERRORS: tuple[tuple[int, tuple[type[Exception], ...]], ...] = (
    (USAGE, (ours.SettingsError, ours.UnknownSetting, store.CryptographyMissing)),
    (NO_KEY, (store.WrongKey, store.KeyRequired, store.BadKey)),
    (NOT_FOUND, (store.LogNotFound, store.PositionNotFound, store.AttachmentNotFound, ours.CheckpointNotFound)),
    (NOT_FOUND, (ours.NoSuchEffect,)),
    (BROKEN, (store.NotALog, store.CorruptEvent, store.CorruptAttachment, store.CorruptLog, ours.CheckpointDamaged)),
    (BROKEN, (store.ExportDamaged, store.TailMissing)),
    (LOCKED, (store.LogLocked,)),
    (TOO_NEW, (store.LogTooNew,)),
    (NO_ACCESS, (store.LogNotWritable, store.LogNotReadable, store.ReadFailed, store.LogExists, store.CopyFailed)),
)
_OF_CODES = {
    "LRM-2014": NOT_FOUND,
    "LRM-4001": NOT_FOUND,
    "LRM-4002": USAGE,
    "LRM-4003": USAGE,
    "LRM-5001": STALE,
    "LRM-5002": STALE,
}
"""Errors of ``lrm_actors.inspect`` and of ``lrm_actors.hosting.owner``, which are not imported for a message."""

_HINTS = {
    "ES-6002": "give the key: --key-file FILE, or LRM_LOG_KEY",
    "ES-2001": "give a position that the log holds; `lrm log` prints them",
    "LRM-3002": "`lrm checkpoints` lists those there are",
}
"""What to try in the words of ``lrm``, where an error's own hint is for those who call the library."""


def hint_of(error: Exception) -> str:
    """What to try after an error of ours."""
    return _HINTS.get(getattr(error, "code", ""), getattr(error, "hint", ""))


def code_of(error: Exception) -> int:
    """The exit code for an error of ours."""
    for code, classes in _OF_ERRORS:
        if isinstance(error, classes):
            return code
    if getattr(error, "owner_code", "") in {ours.NoSuchActor.code, ours.NoSuchEffect.code}:
        return NOT_FOUND
    return _OF_CODES.get(getattr(error, "code", ""), FAILURE)
