"""Keeps long-running agents alive: event-sourced actors, supervision and recovery that survive ``kill -9``.

Names are loaded when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.lazy import lazy

if TYPE_CHECKING:
    from lrm_actors.actors.breaker import CircuitBreaker
    from lrm_actors.domain.behavior import (
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
    from lrm_actors.domain.rules import Rule
    from lrm_actors.errors import CircuitOpen, LrmError
    from lrm_actors.integration import Host, LongRunningIntegration
    from lrm_actors.mode import LongRunningMode
    from lrm_actors.runtime.system import ActorSystem
    from lrm_actors.settings import LongRunningSettings

__version__ = "0.1.0"

_HOME = {
    "actors.breaker": ("CircuitBreaker",),
    "domain.behavior": (
        *("Command", "Context", "Decision", "Effect", "RecoveryContext", "Spec", "StartTimer", "Wire"),
        *("must_reply", "stash", "then", "unhandled"),
    ),
    "domain.rules": ("Rule",),
    "errors": ("CircuitOpen", "LrmError"),
    "integration": ("Host", "LongRunningIntegration"),
    "mode": ("LongRunningMode",),
    "runtime.system": ("ActorSystem",),
    "settings": ("LongRunningSettings",),
}

__all__ = [
    "ActorSystem",
    "CircuitBreaker",
    "CircuitOpen",
    "Command",
    "Context",
    "Decision",
    "Effect",
    "Host",
    "LongRunningIntegration",
    "LongRunningMode",
    "LongRunningSettings",
    "LrmError",
    "RecoveryContext",
    "Rule",
    "Spec",
    "StartTimer",
    "Wire",
    "must_reply",
    "stash",
    "then",
    "unhandled",
]


__getattr__, __dir__ = lazy(globals(), _HOME)
