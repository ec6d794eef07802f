"""The names that a reader is asked for: several of them, never one text by itself."""

from __future__ import annotations

from collections.abc import Iterable

from eventstore.asked import check_text
from eventstore.errors import BadRequest


def check_names(field: str, names: Iterable[str] | None) -> None:
    """Refuse one text where several names are asked for: its characters would be taken for names, and nothing found.

    Raises:
        BadRequest: it is one, or nothing that names could be taken from.
    """
    if isinstance(names, str):
        raise BadRequest(field, names, "it is one text, and several names are asked for", hint=f"give [{names!r}]")
    if names is not None and not isinstance(names, Iterable):
        reason = f"it must be several names, and is a {type(names).__name__}"
        raise BadRequest(field, names, reason, hint="give a list of them")


def listed(field: str, names: Iterable[str] | None) -> list[str] | None:
    """The names, each of them text.

    Raises:
        BadRequest: as ``check_names``, or one of them is no text.
    """
    check_names(field, names)
    if names is None:
        return None
    wanted = list(names)
    for name in wanted:
        check_text(f"one of {field}", name)
    return wanted
