"""How a process ended, in words."""

from __future__ import annotations

from signal import Signals


def describe_exit(status: int | None) -> str:
    """An exit status in words: ``exit by signal 9 (SIGKILL)``, ``exit status 1``.

    Args:
        status: as a parent sees it: negative: ended by that signal; None: nobody saw it.
    """
    if status is None:
        return "exit status unknown"
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"exit by signal {-status} ({Signals(-status).name})"
    except ValueError:
        return f"exit by signal {-status}"
