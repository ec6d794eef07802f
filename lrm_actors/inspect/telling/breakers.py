"""What events say: the breakers'."""

from __future__ import annotations

from typing import Any

from lrm_actors.inspect.telling.words import says, short, tells

says("breaker.opened", "the breaker of {service} opened: {reason}")
says("breaker.half_opened", "the breaker of {service} lets a probe through")
says("breaker.probe_failed", "a probe of {service} failed: {failure}")
says("breaker.probe_succeeded", "a probe of {service} succeeded")
says("breaker.closed", "the breaker of {service} closed: {reason}")
says("breaker.forced", "the breaker of {service} is held {status}: {reason}")


@tells("breaker.configured")
def _(event: Any) -> str:
    config = event.config
    when = f"after {config.failure_threshold} failures in a row"
    if config.policy != "consecutive":
        window = f"{config.window_calls} calls" if config.policy == "count" else f"{config.window_s:g} s"
        when = f"when {config.failure_rate:.0%} of {window} fail"
    return f"opens {when}, for {config.recovery_timeout_s:g} s at first"


@tells("breaker.failures_observed")
def _(event: Any) -> str:
    told = short("; ".join(event.failures))
    if event.share:
        return f"{event.share} of {event.service}, the last of them: {told}"
    return f"{len(event.failures)} calls of {event.service} failed in a row: {told}"
