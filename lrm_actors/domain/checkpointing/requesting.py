"""When the host's state is asked for: the rhythm, on step, at once in an emergency; and what becomes of a failure."""

from __future__ import annotations

from bisect import bisect_left

from lrm_actors.domain.behavior import NOTHING, CancelTimer, Context, Decision, Effect, StartTimer, then
from lrm_actors.domain.checkpointing.chains import by_id, chain_of
from lrm_actors.domain.checkpointing.commands import CheckpointDue, GiveUpOverdue, IntervalOver, TakeCheckpoint
from lrm_actors.domain.checkpointing.effects import CaptureState
from lrm_actors.domain.checkpointing.events import CheckpointFailed, CheckpointRequested, TroubleNoted
from lrm_actors.domain.checkpointing.folding import NO_CAPTURE, Capture, CheckpointerState, evolve
from lrm_actors.domain.checkpointing.keeping import NAME
from lrm_actors.domain.deadlines import elapsed_s
from lrm_actors.domain.modes import PROFILES
from lrm_actors.domain.retention import EMERGENCY, MANUAL, PERIODIC, CheckpointerConfig, new_id
from lrm_actors.errors import CommandRefused

INTERVAL_TIMER, DUE_TIMER, OVERDUE_TIMER = "interval", "due", "overdue"
OVERDUE = "CaptureOverdue"
"""Error of a checkpoint whose capture never came back."""
OVERDUE_S = 300.0
"""Seconds after which a capture that has not come back holds up others no more. Should it come later, it is kept."""
MAX_CAPTURES = 4
"""Captures under way at a time; one more request is answered with the newest of its kind, or refused."""
ALONE_S = 3600.0
"""Seconds that half of what is kept, or more, may build on one base: what damages it damages all of that."""
SHARE_ON_ONE, FEWEST_ON_ONE = 0.75, 8
"""Share of ``max_checkpoints`` that may build on one base, however new, while the others go; so many in any case."""
FAILED_IN_A_ROW = 3
"""Checkpoints that fail one after the other until the health says so."""


def tick(state: CheckpointerState, ctx: Context) -> Decision:
    """Only messages to ourselves: were it the tick that stored the request, each would name the last as its cause."""
    whole_s = interval_s(state.config, state.mode)
    if whole_s is None:
        return NOTHING
    effects = [StartTimer(INTERVAL_TIMER, whole_s, IntervalOver()), StartTimer(DUE_TIMER, 0.0, CheckpointDue())]
    if overdue(state, ctx):
        effects.append(StartTimer(OVERDUE_TIMER, 0.0, GiveUpOverdue()))
    return then(effects=effects)


def request(state: CheckpointerState, command: TakeCheckpoint, ctx: Context) -> Decision:
    """Have the state captured, unless a capture under way will do, or the mode has emergency ones only."""
    if command.kind == PERIODIC and PROFILES[state.mode].checkpoint_factor is None:
        return NOTHING
    late = overdue(state, ctx)
    under_way = [one for one in state.under_way if one not in late]
    same = _will_do(under_way, command.kind)
    if same is not None:
        return then(reply=same)
    if command.kind != EMERGENCY and len(under_way) >= MAX_CAPTURES:
        raise CommandRefused(f"{MAX_CAPTURES} captures are under way", actor=NAME, hint="wait for one to end")
    checkpoint_id = new_id(ctx.now.wall_s, state.last_id_ms, ctx.new_id())
    hints = (*_hints(state, command), *command.hints)
    facts = (checkpoint_id, command.kind, command.reason, command.error, hints)
    return then(
        CheckpointRequested(*facts, ctx.now),
        effects=(CaptureState(*facts, whole=_wants_base(state, command.kind, ctx), careful=bool(state.distrusted)),),
        reply=checkpoint_id,
    )


def _wants_base(state: CheckpointerState, kind: str, ctx: Context) -> bool:
    """Whether too much of what is kept builds on one base for too long, or all of it does, or soon would.

    Not in an emergency, which has no time for another, nor where checkpoints fail or the disk has been full: a whole
    state may be what does not fit.
    """
    base = next(iter(chain_of(state, state.tip)), None)
    if base is None or kind == EMERGENCY or state.failures or state.fits is not None:
        return False
    most = state.config.max_checkpoints
    since = len(state.kept) - bisect_left(state.kept, base.checkpoint_id, key=by_id)
    if since >= FEWEST_ON_ONE and (
        since == len(state.kept) or (state.tally.ordinary >= most and since >= most * SHARE_ON_ONE)
    ):
        return True
    is_new = 0.0 <= ctx.now.wall_s - base.taken_at_s < ALONE_S  # the clock may have gone back
    return not is_new and since >= max(1, most // 2)


def _will_do(under_way: list[Capture], kind: str) -> str | None:
    """Id of a capture under way that serves a new request as well.

    A periodic request is served by whatever is under way. An emergency waits for no periodic one, but two emergencies
    at once are one. Whoever asks by hand wants the state of now, and gets a capture of it unless there are too many.
    """
    alike = [one.checkpoint_id for one in under_way if kind in (PERIODIC, one.kind)]
    if not alike or (kind == MANUAL and len(under_way) < MAX_CAPTURES):
        return None
    return alike[-1]


def overdue(state: CheckpointerState, ctx: Context) -> list[Capture]:
    """Captures that have not come back for too long, oldest first."""
    return [one for one in state.under_way if elapsed_s(one.requested_at, ctx.now) >= OVERDUE_S]


def note_step(state: CheckpointerState, step: int, ctx: Context) -> Decision:
    """A step is committed; after every so many of them the state is captured, unless a capture under way will do."""
    every = state.config.every_steps
    if not every or step % every:
        return NOTHING
    return request(state, TakeCheckpoint(PERIODIC, f"step {step}"), ctx)


def failed(state: CheckpointerState, checkpoint_id: str, error: str, message: str) -> Decision:
    """A checkpoint failed. Several in a row are the health's business, but not that the host gives no state."""
    after = evolve(state, CheckpointFailed(checkpoint_id, error, message))
    noted = CheckpointFailed(checkpoint_id, error, message, max(1, after.failures))
    if error == NO_CAPTURE and state.trouble:
        return then(noted, TroubleNoted(""))
    if error != NO_CAPTURE and after.failures >= FAILED_IN_A_ROW and not state.trouble:
        return then(noted, TroubleNoted(f"{after.failures} checkpoints in a row failed: {error}: {message[:200]}"))
    return then(noted)


def interval_s(config: CheckpointerConfig, mode: str) -> float | None:
    """Seconds between periodic checkpoints in a mode; None: there are none."""
    factor = PROFILES[mode].checkpoint_factor
    return None if factor is None else config.interval_s * factor


def _hints(state: CheckpointerState, command: TakeCheckpoint) -> tuple[str, ...]:
    """What the checkpoint should say of the moment it was taken in."""
    if command.kind != EMERGENCY:
        return (f"Created during {state.mode} operation",)
    return (f"Created in an emergency: {command.reason}", *((f"Error: {command.error}",) if command.error else ()))


def interval_timer(state: CheckpointerState, ctx: Context, *, at_least_s: float = 0.0) -> Effect:
    """What is left of the interval, or no timer in a mode without periodic checkpoints."""
    whole_s = interval_s(state.config, state.mode)
    if whole_s is None:
        return CancelTimer(INTERVAL_TIMER)
    gone_s = 0.0 if state.periodic_at is None else elapsed_s(state.periodic_at, ctx.now)
    return StartTimer(INTERVAL_TIMER, max(whole_s - gone_s, at_least_s), IntervalOver())
