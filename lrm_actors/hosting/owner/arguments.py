"""Arguments of a request over the socket: looked at before they become a command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrm_actors.domain.given import is_encodable
from lrm_actors.hosting.owner.errors import RequestRefused


def check_names(arguments: Mapping[str, Any], command: str, names: tuple[str, ...]) -> None:
    """See that a request says nothing but what its command takes.

    Raises:
        RequestRefused: it does.
    """
    if arguments.keys() - set(names):
        raise RequestRefused(f"{command} takes {', '.join(names)}, and nothing else")


def text_in(arguments: Mapping[str, Any], name: str, most: int) -> str:
    """An argument that is a text, and not empty.

    Args:
        arguments: of the request.
        name: of the argument.
        most: characters it may have.

    Raises:
        RequestRefused: it is none.
    """
    value = arguments.get(name)
    if not isinstance(value, str) or not value or len(value) > most or not is_encodable(value):
        raise RequestRefused(f"{name} is no text of up to {most} characters")
    return value
