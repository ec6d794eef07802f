"""A forked child inherits handles that it must neither use nor close: here they learn of the fork."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Abandoned(Protocol):
    """What wants to know that this process is now a child."""

    def abandon(self) -> None:
        """Called in the child, once, before any of its own code runs. The parent goes on using the handle."""


_handles: weakref.WeakSet[Abandoned] = weakref.WeakSet()


def abandon_in_children(handle: Abandoned) -> None:
    """Have ``handle.abandon()`` called in every child that is forked while it lives."""
    _handles.add(handle)


def leak(thing: object) -> None:
    """Never finalise ``thing`` in this process.

    Closing an inherited SQLite connection could wait for ever for a mutex that some thread of the parent held.
    """
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _in_child() -> None:
    for handle in list(_handles):
        handle.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
