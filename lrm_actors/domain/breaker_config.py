"""When a breaker opens, for how long, and what closes it again: plain numbers that stand in the log."""

from __future__ import annotations

from collections.abc import Callable

from eventstore.events import float_fields
from eventstore.frozen import frozen
from lrm_actors.domain.backoff import delay_s
from lrm_actors.domain.given import is_number, is_whole
from lrm_actors.errors import SettingsError

CONSECUTIVE, COUNT, TIME = "consecutive", "count", "time"
MAX_THRESHOLD = 1_000_000
MAX_WINDOW_CALLS = 100_000
NUMBERS = ("failure_rate", "slow_rate", "jitter", "window_s", "probe_lease_s", "slow_after_s", "recovery_timeout_s",
           "recovery_timeout_max_s", "retry_after_max_s")  # fmt: skip
"""Fields of a config that are numbers, whole or not."""


@frozen(field_transformer=float_fields)
class BreakerConfig:
    """Thresholds and times of one breaker. Whatever takes one from its host has it checked with ``check``."""

    failure_threshold: int = 5
    """Failures in a row that open it, at least 1, with the policy ``consecutive``."""
    recovery_timeout_s: float = 60.0
    """Seconds open before probes are let through; doubled by each failed probe up to the cap."""
    recovery_timeout_max_s: float = 600.0
    half_open_permits: int = 1
    """Probes at a time."""
    successes_to_close: int = 1
    """Successful probes in a row that close it."""
    probe_lease_s: float = 120.0
    """A probe that has not answered by then loses its permit."""
    policy: str = CONSECUTIVE
    """``consecutive``, or what share of the calls failed or was slow: of the last ``window_calls`` (``count``), in the
    last ``window_s`` (``time``). A share is looked at whenever a call fails or is slow."""
    window_calls: int = 100
    window_s: float = 60.0
    """Kept in ten parts, so up to a tenth longer."""
    minimum_calls: int = 20
    """Calls in the window before a share of them says anything."""
    failure_rate: float = 0.5
    """Share of failures in a window that opens it, above 0 and up to 1."""
    slow_after_s: float = 60.0
    """Seconds after which a call was slow, for ``slow_rate`` and ``cancelled_slow_counts``."""
    slow_rate: float = 1.0
    """Share of slow calls in a window that opens it, above 0 and up to 1."""
    cancelled_slow_counts: bool = False
    """Whether a call that was cancelled after ``slow_after_s`` is a failure. Hosts wrap calls in ``wait_for``, and a
    service that hangs then looks like a caller who has changed his mind."""
    jitter: float = 0.0
    """The share of the open time that is left to chance, 0 to 1. It only shortens, so the cap holds."""
    retry_after_max_s: float = 600.0
    """What a service says in Retry-After lengthens the open time up to this."""

    own: bool = False
    """It was given to this breaker by its host, so the settings for all breakers do not change it."""


def check(config: BreakerConfig) -> None:
    """Refuse what could only go wrong later. What stands in a log is taken as it is.

    Raises:
        SettingsError: a value that it cannot have; the error names the field and what is allowed.
    """
    if not isinstance(config, BreakerConfig):
        raise SettingsError("policy", config, "a BreakerConfig(...)")
    if config.policy not in (CONSECUTIVE, COUNT, TIME) or type(config.policy) is not str:
        raise SettingsError("policy", config.policy, "consecutive, count or time")
    for name in ("failure_threshold", "half_open_permits", "successes_to_close", "minimum_calls", "window_calls"):
        if not is_whole(getattr(config, name)) or getattr(config, name) < 1:
            raise SettingsError(name, getattr(config, name), "a whole number of at least 1")
        most = MAX_WINDOW_CALLS if name == "window_calls" else MAX_THRESHOLD
        if getattr(config, name) > most:
            raise SettingsError(name, getattr(config, name), f"at most {most}")
    for name in NUMBERS:
        if not is_number(getattr(config, name)):
            raise SettingsError(name, getattr(config, name), "a number")
    for name in ("cancelled_slow_counts", "own"):
        if not isinstance(getattr(config, name), bool):
            raise SettingsError(name, getattr(config, name), "True or False")
    if config.policy == COUNT and config.minimum_calls > config.window_calls:
        raise SettingsError("minimum_calls", config.minimum_calls, f"at most window_calls, {config.window_calls}")
    for name in ("failure_rate", "slow_rate"):
        if not 0.0 < getattr(config, name) <= 1.0:
            raise SettingsError(name, getattr(config, name), "above 0 and at most 1")
    for name in ("window_s", "probe_lease_s", "slow_after_s"):
        if not 0.0 < getattr(config, name) < float("inf"):
            raise SettingsError(name, getattr(config, name), "a finite number of seconds above 0")
    for name in ("recovery_timeout_s", "recovery_timeout_max_s", "retry_after_max_s"):
        if not 0.0 <= getattr(config, name) < float("inf"):
            raise SettingsError(name, getattr(config, name), "a finite number of seconds, at least 0")
    if not 0.0 <= config.jitter <= 1.0:
        raise SettingsError("jitter", config.jitter, "from 0 to 1")


def open_time_s(
    config: BreakerConfig,
    openings: int,
    *,
    random: Callable[[], float] | None = None,
    retry_after_s: float | None = None,
) -> float:
    """Seconds that the breaker stays open for the ``openings``-th time in a row, from 1.

    Args:
        config: the first time, the cap, the jitter.
        openings: in a row, without a closing between.
        random: gives a number in ``[0, 1)``; None for the longest that it can be.
        retry_after_s: what the service asked for; it lengthens only, up to its own cap.
    """
    jitter = 0.0 if random is None else config.jitter
    open_s = delay_s(
        openings, config.recovery_timeout_s, config.recovery_timeout_max_s, jitter, random or (lambda: 0.0)
    )
    return open_s if retry_after_s is None else max(open_s, min(retry_after_s, config.retry_after_max_s))
