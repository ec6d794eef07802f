"""What events say: the checkpointer's."""

from __future__ import annotations

from typing import Any

from lrm_actors.inspect.telling.words import says, tells, with_reason

says("checkpointer.damage_found", "checkpoint {checkpoint_id} is damaged: {reason}")
says("checkpointer.mode_noted", "checkpoints are taken as in mode {mode}")
says("checkpointer.failed", "checkpoint {checkpoint_id} failed: {error}: {message}")


@tells("checkpointer.configured")
def _(event: Any) -> str:
    config = event.config
    return f"a checkpoint is taken every {config.interval_s:g} s, the newest {config.max_checkpoints} are kept"


@tells("checkpointer.requested")
def _(event: Any) -> str:
    return with_reason(f"{_a(event.kind)} checkpoint was asked for ({event.reason})", event.error)


@tells("checkpointer.taken")
def _(event: Any) -> str:
    info = event.checkpoint
    stored = f" in {info.stored_bytes}" if info.stored_bytes else ""
    what = f"{_a(info.kind)} checkpoint {info.checkpoint_id} was stored"
    return f"{what}, {info.size_bytes} bytes{stored} as of #{info.position}"


@tells("checkpointer.pruned")
def _(event: Any) -> str:
    count = len(event.checkpoint_ids)
    return with_reason(f"{count} checkpoint{'' if count == 1 else 's'} deleted", event.reason)


@tells("checkpointer.change_missed")
def _(event: Any) -> str:
    return f"the way {event.way!r} of finding what changed was wrong at {', '.join(event.paths)}"


@tells("checkpointer.trouble_noted")
def _(event: Any) -> str:
    return f"checkpoints are in trouble: {event.reason}" if event.reason else "checkpoints are in order again"


@tells("checkpointer.pinned")
def _(event: Any) -> str:
    what = "stays whatever the rules say" if event.pinned else "is left to the rules again"
    return with_reason(f"checkpoint {event.checkpoint_id} {what}", event.reason)


@tells("checkpointer.rebased")
def _(event: Any) -> str:
    count = len(event.rows)
    return f"{count} checkpoint{'' if count == 1 else 's'} stored anew, without what nobody keeps any more"


@tells("checkpointer.restored")
def _(event: Any) -> str:
    count = len(event.passed_over)
    passed = f", {count} better one{'' if count == 1 else 's'} could not be used" if count else ""
    return f"the agent goes on from checkpoint {event.checkpoint_id}{passed}"


def _a(kind: str) -> str:
    return f"an {kind}" if kind[:1] in "aeiou" else f"a {kind}"
