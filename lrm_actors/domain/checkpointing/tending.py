"""The janitor: what goes by age or on a full disk, what is stored anew, and whether checkpoints are missed."""

from __future__ import annotations

import attrs

from lrm_actors.domain.behavior import NOTHING, Context, Decision, Effect, StartTimer, then
from lrm_actors.domain.checkpointing.commands import (
    CleanUp,
    LookAfter,
    NoteMissed,
    StoreRebased,
    TakeCheckpoint,
    TidyUp,
)
from lrm_actors.domain.checkpointing.events import CheckpointsPruned, TroubleNoted
from lrm_actors.domain.checkpointing.folding import CLEANED_UP, CheckpointerState, evolve
from lrm_actors.domain.checkpointing.keeping import NEARLY_FULL, cleaned_up, folded, pruned, settled, would_prune
from lrm_actors.domain.checkpointing.rebasing import most_wasteful, rebased
from lrm_actors.domain.checkpointing.requesting import interval_s, request
from lrm_actors.domain.deadlines import elapsed_s
from lrm_actors.domain.retention import EMERGENCY

JANITOR_TIMER, TIDY_TIMER, MISSED_TIMER = "janitor", "tidy", "missed"
LOOK_AFTER_S = 60.0
"""Seconds between two looks at what is kept: whether something is too old, or not worth its room."""
MISSED_INTERVALS, MISSED_AT_LEAST_S = 2.5, 60.0
"""Checkpoints are missed when they are asked for, and none was stored for so many intervals, and so many seconds."""


def clean_up(state: CheckpointerState, command: CleanUp, ctx: Context) -> Decision:
    """Keep only the best few. Then there may be room for an emergency one for which there was none."""
    half, reason = len(state.kept) // 2, NEARLY_FULL if command.gently else CLEANED_UP
    events: tuple[object, ...] = cleaned_up(state, max(command.keep, half) if command.gently else command.keep, reason)
    if not events:
        return then(reply=[])
    again = NOTHING
    if state.no_room_for:
        again = request(evolve(state, events[0]), TakeCheckpoint(EMERGENCY, state.no_room_for), ctx)
    gone = [one for event in events if isinstance(event, CheckpointsPruned) for one in event.checkpoint_ids]
    return settled(state, (*events, *again.events), effects=(*again.effects, tidy()), reply=gone)


def look_after(state: CheckpointerState, ctx: Context) -> Decision:
    """Only look, and have a message of its own tidy up: what goes is then not caused by what went before."""
    effects: list[Effect] = [StartTimer(JANITOR_TIMER, LOOK_AFTER_S, LookAfter())]
    if would_prune(state, state.config, ctx.now.wall_s) or most_wasteful(state) is not None:
        effects.append(tidy())
    if not state.trouble and _missed_s(state, ctx) is not None:
        effects.append(StartTimer(MISSED_TIMER, 0.0, NoteMissed()))
    return then(effects=effects)


def note_missed(state: CheckpointerState, ctx: Context) -> Decision:
    """Say that none was stored for too long although they are asked for."""
    missed_s = _missed_s(state, ctx)
    if state.trouble or missed_s is None:
        return NOTHING
    return then(TroubleNoted(f"no checkpoint was stored for {missed_s:.0f} s although they are asked for"))


def _missed_s(state: CheckpointerState, ctx: Context) -> float | None:
    """Seconds since the first request that was not served, if that is too long; never in a mode without periodic ones.

    Whether the host can give its state shows with each request: where it cannot, there is nothing to miss.
    """
    whole_s = interval_s(state.config, state.mode)
    if whole_s is None or state.unserved_since is None:
        return None
    since_s = elapsed_s(state.unserved_since, ctx.now)
    return since_s if since_s >= max(MISSED_INTERVALS * whole_s, MISSED_AT_LEAST_S) else None


def tidy_up(state: CheckpointerState, ctx: Context) -> Decision:
    """Remove what is to go by the settings, also by age, and have the most wasteful chain stored anew."""
    events = pruned(state, ctx.now.wall_s, "they are too old, or others of the same hour or day are kept")
    after = folded(state, events)
    wasteful = most_wasteful(after)
    return settled(state, events, after=after, effects=() if wasteful is None else (wasteful,))


def take_rebased(state: CheckpointerState, command: StoreRebased) -> Decision:
    """Take a chain that was stored anew, and look for the next one."""
    decision = rebased(state, command)
    return attrs.evolve(decision, effects=(tidy(),)) if decision.events else decision


def tidy() -> Effect:
    """Tidy up at once, in a message of its own."""
    return StartTimer(TIDY_TIMER, 0.0, TidyUp())
