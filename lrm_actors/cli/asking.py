"""Questions of the command line to the process that owns a log; the file is looked at when nobody answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def ask(path: Path, command: str, arguments: Mapping[str, Any] | None = None, **how: float) -> Any:
    """Ask the owner of a log.

    Args:
        path: the log.
        command: what is wanted.
        arguments: of that command.
        how: as ``ask_owner`` takes it.

    Raises:
        LogNotFound: there is no such file.
        NotALog: it is none, which is the better reason for that nobody answers.
        NoOwner, OwnerSilent, RequestFailed: nobody answers, or not what was asked for.
    """
    from eventstore.errors import LogNotFound, NotALog, OpenError
    from eventstore.opening import open_reader
    from lrm_actors.hosting.owner.asking import ask_owner
    from lrm_actors.hosting.owner.errors import NoOwner

    if not path.exists():
        raise LogNotFound(str(path), f"there is no log at {path}")
    try:
        return ask_owner(path, command, arguments, **how)
    except NoOwner as error:
        try:
            open_reader(path, unknown="placeholder").close()
        except NotALog as other:
            raise other from error
        except OpenError:
            raise error from None
        raise


def change(
    path: Path, command: str, arguments: Mapping[str, Any], alone: Callable[[], Mapping[str, Any]]
) -> Mapping[str, Any]:
    """Have the owner of a log change it; where there is none, become its owner and do it.

    Args:
        path: the log.
        command: what is wanted.
        arguments: of that command.
        alone: does it without an owner, and tells what one would.

    Raises:
        OwnerSilent, RequestFailed: the owner does not answer, or not what was asked for.
    """
    from lrm_actors.hosting.owner.asking import ask_owner
    from lrm_actors.hosting.owner.errors import NoOwner

    try:
        told: Mapping[str, Any] = ask_owner(path, command, arguments)
    except NoOwner:
        return alone()
    return told
