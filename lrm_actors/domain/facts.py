"""What is known of a failure without its exception object: the facts that rules are matched with and the log keeps."""

from __future__ import annotations

from eventstore.frozen import frozen


@frozen
class FailureFacts:
    """What is known of a failure, without its exception object."""

    component: str
    class_names: tuple[str, ...] = ()
    """Class names along the MRO of the error and of its causes, outermost first, ``openai.RateLimitError``.

    Each MRO ends with ``BaseException``; builtins stand without a module.
    """
    message: str = ""
    status_code: int | None = None
    error_code: str = ""
    os_error: str = ""
    """``ENOSPC`` …"""
    exit_status: int | None = None
    observation: str = ""
    """``heartbeat_missed``, ``component_exited``, ``breaker_opened``; empty for an exception."""
    step: int | None = None
    retry_after_s: float | None = None
    """Seconds after which the service wants to be asked again, if it said so."""
    category: str = ""
    """What a rule of the host's made of it; empty: the built-in rules decide."""
