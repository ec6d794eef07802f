"""What the outer watchdog allows the process that it keeps alive, and what it does when that is not kept to."""

from __future__ import annotations

from eventstore.events import float_fields
from eventstore.frozen import frozen

ALWAYS, ON_FAILURE, NEVER = "always", "on-failure", "never"
RESTARTS = (ALWAYS, ON_FAILURE, NEVER)


@frozen(field_transformer=float_fields)
class Policy:
    """How a process is kept alive."""

    restart: str = ON_FAILURE
    """``always``; ``on-failure``: whatever ends with another exit status than 0; ``never``."""
    heartbeat_timeout_s: float = 60.0
    """Seconds without a heartbeat after which the process hangs, once the first one came."""
    first_beat_within_s: float = 0.0
    """Seconds within which the first one must come; 0: a process may never send any."""
    step_timeout_s: float = 600.0
    """Seconds that a step of a host without an event loop may take without a word to the journal; then it sends no more
    heartbeats."""
    memory_limit_bytes: int = 0
    """What the process may hold, with everything below it; 0: that is not looked at."""
    max_restarts: int = 10
    """Restarts within ``within_s``; one more, and it is given up. 0: it is given up the first time."""
    within_s: float = 600.0
    backoff_initial_s: float = 1.0
    backoff_max_s: float = 60.0
    """Longest wait before a restart. A process that ran for so long has done well: the next wait is a short one."""
    stop_timeout_s: float = 20.0
    """Seconds from the request to end until it is killed with everything below it."""
    keep_orphans: bool = False
    """Leave processes that outlive the one that started them to the next one, instead of ending them."""
