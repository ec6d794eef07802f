"""What a step says of how far the agent is: looked at before it is shown or stored. Talks to nobody."""

from __future__ import annotations

from lrm_actors.actors.analyzer import text_of
from lrm_actors.errors import SettingsError

MAX_STEPS = 10**9


def shown(progress: object) -> str:
    """What a step says of how far it is, safe to store: whatever that is, no step fails because of it."""
    return "" if progress is None else text_of(progress)


def check_progress(at: int | None, of: int | None) -> None:
    """See that a step can be shown as one of several.

    Raises:
        SettingsError: it cannot.
    """
    for field, value in (("at", at), ("of", of)):
        if value is not None and (type(value) is not int or not 1 <= value <= MAX_STEPS):
            raise SettingsError(field, value, f"a whole number from 1 to {MAX_STEPS:,}, or None")
    if at is not None and (of is None or at > of):
        raise SettingsError("at", at, "at most of, which says how many steps there will be")
