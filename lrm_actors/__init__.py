"""Keeps long-running agents alive: event-sourced actors, supervision and recovery that survive ``kill -9``.

Names are loaded when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.lazy import lazy

if TYPE_CHECKING:
    from lrm_actors.actors.breaker import CircuitBreaker
    from lrm_actors.actors.bulkhead import Bulkhead
    from lrm_actors.actors.retry import Retry
    from lrm_actors.actors.retry_budget import RetryBudget
    from lrm_actors.actors.sdk_retries import explain
    from lrm_actors.actors.throttle import AdaptiveThrottle
    from lrm_actors.domain.behavior import (
        CancelTimer,
        Command,
        Context,
        Decision,
        Effect,
        RecoveryContext,
        Spec,
        StartTimer,
        Wire,
        must_reply,
        stash,
        then,
        unhandled,
    )
    from lrm_actors.domain.breaker_config import BreakerConfig
    from lrm_actors.domain.rules import Rule
    from lrm_actors.effects import NOT_HAPPENED, UNKNOWN, Ask, Happened, Probe, Skip
    from lrm_actors.errors import CircuitOpen, LrmError, Rejected
    from lrm_actors.hosting.host import Component
    from lrm_actors.hosting.recovery import CommittedStep
    from lrm_actors.integration import Host, LongRunningIntegration
    from lrm_actors.mode import LongRunningMode
    from lrm_actors.runtime.system import ActorSystem
    from lrm_actors.settings import LongRunningSettings

__version__ = "0.1.0"

_HOME = {
    "actors.breaker": ("CircuitBreaker",),
    "actors.bulkhead": ("Bulkhead",),
    "actors.retry": ("Retry",),
    "actors.retry_budget": ("RetryBudget",),
    "actors.sdk_retries": ("explain",),
    "actors.throttle": ("AdaptiveThrottle",),
    "domain.breaker_config": ("BreakerConfig",),
    "domain.behavior": (
        *("CancelTimer", "Command", "Context", "Decision", "Effect", "RecoveryContext", "Spec", "StartTimer", "Wire"),
        *("must_reply", "stash", "then", "unhandled"),
    ),
    "domain.rules": ("Rule",),
    "effects": ("NOT_HAPPENED", "UNKNOWN", "Ask", "Happened", "Probe", "Skip"),
    "errors": ("CircuitOpen", "LrmError", "Rejected"),
    "hosting.host": ("Component",),
    "hosting.recovery": ("CommittedStep",),
    "integration": ("Host", "LongRunningIntegration"),
    "mode": ("LongRunningMode",),
    "runtime.system": ("ActorSystem",),
    "settings": ("LongRunningSettings",),
}

__all__ = [
    "NOT_HAPPENED",
    "UNKNOWN",
    "ActorSystem",
    "AdaptiveThrottle",
    "Ask",
    "BreakerConfig",
    "Bulkhead",
    "CancelTimer",
    "CircuitBreaker",
    "CircuitOpen",
    "Command",
    "CommittedStep",
    "Component",
    "Context",
    "Decision",
    "Effect",
    "Happened",
    "Host",
    "LongRunningIntegration",
    "LongRunningMode",
    "LongRunningSettings",
    "LrmError",
    "Probe",
    "RecoveryContext",
    "Rejected",
    "Retry",
    "RetryBudget",
    "Rule",
    "Skip",
    "Spec",
    "StartTimer",
    "Wire",
    "explain",
    "must_reply",
    "stash",
    "then",
    "unhandled",
]


__getattr__, __dir__ = lazy(globals(), _HOME)
