"""Which log a command is about: the one that was named, or the one that is most likely meant, and then it is said."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from eventstore.errors import NOT_ALLOWED, LogNotFound, LogNotReadable
from lrm_actors.settings import DEFAULT_DIRECTORY, LOG_NAME, LongRunningSettings

VARIABLE = "LRM_LOG"
OUTER = ("outer/outer.db", "outer.db")
"""Where the log of ``lrm run`` is, of a process that is no agent."""


def find_log(given: str | None) -> tuple[Path, str]:
    """The log, and how it was chosen; the second is empty when it was named, and no other could have been meant.

    Args:
        given: a log, the directory of one, or a directory of agents' directories.

    Raises:
        LogNotFound: there is none.
        LogNotReadable: this user may not look there.
        SettingsError, UnknownSetting: no log was named, and the settings that would name it are wrong.
    """
    if given is not None:
        return _at(Path(given))
    named = os.environ.get(VARIABLE)
    if named:
        path, which = _at(Path(named))
        return path, f"from {VARIABLE}, {which}" if which else f"from {VARIABLE}"
    wanted = LongRunningSettings.load().log_path
    if wanted.is_file():
        return wanted, "from the settings"
    for name in OUTER:
        if (wanted.parent / name).is_file():
            return wanted.parent / name, "from the settings"
    newest = max(_below({wanted.parent.parent, Path(DEFAULT_DIRECTORY)}), key=_written_at, default=None)
    if newest is None:
        raise LogNotFound(
            str(wanted),
            f"there is no log at {wanted}, and none below {wanted.parent.parent}",
            hint=f"name one with --log PATH or {VARIABLE}; a log is <checkpoint_dir>/<agent_id>/{LOG_NAME}",
        )
    return newest, "the one written last"


def looks_like_log(text: str) -> bool:
    """Whether a word on the command line names a log rather than anything else."""
    return os.sep in text or text.endswith(".db") or Path(text, LOG_NAME).is_file()


def _at(path: Path) -> tuple[Path, str]:
    """The log at a place, and which of several it is; the second is empty where there is just one."""
    try:
        if not path.is_dir():
            return path, ""
        for name in (LOG_NAME, *OUTER):
            if (path / name).exists():
                return path / name, ""
    except OSError as error:  # it is in the directory of another user
        hint = NOT_ALLOWED if isinstance(error, PermissionError) else "check the path"
        raise LogNotReadable(str(path), f"{path}: {error.strerror}", hint=hint) from error
    found = _below({path})
    if not found:
        raise LogNotFound(str(path), f"there is no {LOG_NAME} in {path}")
    return max(found, key=_written_at), f"the one written last of {len(found)}" if len(found) > 1 else ""


def _below(directories: Iterable[Path]) -> set[Path]:
    """The logs one or two directories further down."""
    return {
        log for directory in directories for deeper in ("*", "*/*") for log in directory.glob(f"{deeper}/{LOG_NAME}")
    }


def _written_at(log: Path) -> float:
    """When a log was last written; while it is open, its newest events are beside it."""
    times = [path.stat().st_mtime for path in (log, log.with_name(log.name + "-wal")) if path.exists()]
    return max(times, default=0.0)
