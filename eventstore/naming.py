"""The names that a reader is asked for: several of them, never one text by itself."""

from __future__ import annotations

from collections.abc import Iterable

from eventstore.errors import BadRequest


def check_names(field: str, names: Iterable[str] | None) -> None:
    """Refuse one text where several names are asked for: its characters would be taken for names, and nothing found.

    Raises:
        BadRequest: it is one.
    """
    if isinstance(names, str):
        raise BadRequest(field, names, "it is one text, and several names are asked for", hint=f"give [{names!r}]")
