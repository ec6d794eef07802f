"""What a mode is made of and told by its host, looked at before anything is done with it. Talks to nobody."""

from __future__ import annotations

from lrm_actors.domain.given import is_exit_status, is_number
from lrm_actors.errors import SettingsError
from lrm_actors.settings import DAY_S, LongRunningSettings

METHODS = ("capture", "restore", "components", "gate")
"""What a host must have."""


def check_set_up(settings: object, host: object, predecessor_exit: object) -> None:
    """See that a mode can be made of these.

    Raises:
        SettingsError: one of them is none.
    """
    if not isinstance(settings, LongRunningSettings):
        raise SettingsError("settings", settings, "LongRunningSettings(...)")
    if predecessor_exit is not None and not is_exit_status(predecessor_exit):
        raise SettingsError("predecessor_exit", predecessor_exit, "an exit status, a whole number, or None")
    if host is None:
        return
    missing = [name for name in METHODS if not callable(getattr(host, name, None))]
    if missing:
        raise SettingsError("host", host, f"an object with {', '.join(METHODS)}; it lacks {', '.join(missing)}")


def check_deadline(deadline_s: object) -> None:
    """See that a stop may take so long.

    Raises:
        SettingsError: it is no number of seconds from 0 to a day.
    """
    if not is_number(deadline_s) or not 0.0 <= deadline_s <= DAY_S:
        raise SettingsError("deadline_s", deadline_s, f"a number of seconds from 0 to {DAY_S:,.0f}")
