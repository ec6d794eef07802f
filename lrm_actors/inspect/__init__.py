"""Looking at a log: what happened, why, what each actor knew, and whether all is as it was written.

Everything here reads, through an ``EventReader``, from the owning process or any other, and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.lazy import lazy

if TYPE_CHECKING:
    from lrm_actors.inspect.chains import Chain, Link, resolve, why
    from lrm_actors.inspect.errors import BadTarget, LoadFailed, TargetNotFound
    from lrm_actors.inspect.folds import Folds, open_log
    from lrm_actors.inspect.health import LogHealth, health_of
    from lrm_actors.inspect.replay import Replayed, state_at, states_at
    from lrm_actors.inspect.sentences import sentence
    from lrm_actors.inspect.verify import verify_log

_HOME = {
    "chains": ("Chain", "Link", "resolve", "why"),
    "errors": ("BadTarget", "LoadFailed", "TargetNotFound"),
    "folds": ("Folds", "open_log"),
    "health": ("LogHealth", "health_of"),
    "replay": ("Replayed", "state_at", "states_at"),
    "sentences": ("sentence",),
    "verify": ("verify_log",),
}

__all__ = [
    "BadTarget",
    "Chain",
    "Folds",
    "Link",
    "LoadFailed",
    "LogHealth",
    "Replayed",
    "TargetNotFound",
    "health_of",
    "open_log",
    "resolve",
    "sentence",
    "state_at",
    "states_at",
    "verify_log",
    "why",
]


__getattr__, __dir__ = lazy(globals(), _HOME)
