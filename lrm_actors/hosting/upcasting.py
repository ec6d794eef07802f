"""A checkpoint's state of an older schema, made into one of the host's version by the host's own functions."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from lrm_actors.actors.analyzer import text_of
from lrm_actors.errors import StateTooNew, UpcasterFailed, UpcasterMissing
from lrm_actors.hosting.capture_options import Upcaster


def wanted_version(stored: int, host_version: int | None, upcasters: Mapping[int, Upcaster]) -> int:
    """The version that a state is to have for the host.

    Args:
        stored: of the state.
        host_version: as ``capture_with`` was told; None where the host captures nothing, as one that only looks.
        upcasters: by the version that each takes: without ``host_version``, the last of them leads to the host's.
    """
    if host_version is not None:
        return host_version
    return max(upcasters) + 1 if upcasters else stored


def upcast(
    state: Any, stored: int, host_version: int | None, upcasters: Mapping[int, Upcaster], *, checkpoint_id: str
) -> Any:
    """The state in the host's version. Calls the host's functions, one for each version; keeps nothing.

    Args:
        state: as the checkpoint has it. The first upcaster may change it.
        stored: its version.
        host_version: see ``wanted_version``.
        upcasters: by the version that each takes.
        checkpoint_id: for the errors.

    Raises:
        StateTooNew: the host is of an older version.
        UpcasterMissing: a step of the way has no function. None was called.
        UpcasterFailed: one of them raised, or gave something to be awaited, or nothing.
    """
    wanted = wanted_version(stored, host_version, upcasters)
    if stored > wanted:
        raise StateTooNew(checkpoint_id, stored, wanted)
    for version in range(stored, wanted):
        if version not in upcasters:
            raise UpcasterMissing(checkpoint_id, stored, wanted, version)
    for version in range(stored, wanted):
        before = state
        try:
            state = upcasters[version](before)
        except Exception as error:
            raise UpcasterFailed(checkpoint_id, stored, wanted, version, _said(error)) from error
        if state is None and before is not None:  # it changed what it was given, most likely, and does not give it
            raise UpcasterFailed(checkpoint_id, stored, wanted, version, "it gives None, and must give the state")
        if inspect.isawaitable(state):
            if inspect.iscoroutine(state):
                state.close()  # or it would complain that nobody began it
            raise UpcasterFailed(checkpoint_id, stored, wanted, version, "it is async, and must be a plain function")
    return state


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {text_of(error)}"
