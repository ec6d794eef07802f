"""Does what the analyzer chose and no actor can do: hold a breaker open, restore the host, replace its process, call.

Talks to the engine, and reads what was chosen from the log, each once and in order, on a thread beside everything else.
What a dead process had still to do is not taken up: its failures are the next process's only if they come back.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from eventstore.errors import EventStoreError
from lrm_actors.domain import analyzer, breaker, checkpointer
from lrm_actors.errors import AskError, NotRunning, StateNotRestored, StateNotUpcast
from lrm_actors.hosting import recovering
from lrm_actors.hosting.exhaustion import replace
from lrm_actors.hosting.offload import beside
from lrm_actors.wiring import BEFORE

if TYPE_CHECKING:
    from eventstore.protocol import EventStore
    from lrm_actors.hosting.engine import Engine

CHOSEN = "analyzer.recovery_chosen"
CALL_AGAIN_S = 300.0
"""Seconds in which nobody is called twice for one reason."""

_log = logging.getLogger("lrm_actors.mode")


class CannotBeDone(Exception):
    """What was chosen is not possible in this host, and why."""


def carry_out(engine: Engine, store: EventStore) -> None:
    """Do from now on what is chosen, as long as the log is open, and report what became of it."""
    doing = threading.Lock()
    seen = store.head

    def do() -> None:
        nonlocal seen
        with doing:
            try:
                for record in store.read(after=seen, types=(CHOSEN,), removed="skip"):
                    seen = record.position
                    for event in record.events:
                        _do(engine, event)
            except EventStoreError as error:  # closed, or not to be read now: the next commit comes here again
                _log.debug("what was chosen cannot be read now: %s", error, extra=engine.context.extra())

    def on_commit(_: int, types: frozenset[str]) -> None:
        if CHOSEN in types:
            beside(do)

    store.subscribe(on_commit)


def _do(engine: Engine, event: Any) -> None:
    act = _ACTS.get(getattr(event, "strategy", ""))
    if act is None:
        return
    try:
        message, ok = act(engine, event), True
    except Exception as error:  # noqa: BLE001 - the host's own functions may raise anything
        message, ok = str(error) or type(error).__name__, False
        _log.warning("%s for %r: %s", event.strategy, event.component, message, extra=engine.context.extra())
    try:
        engine.tell(analyzer.NAME, analyzer.ReportCarriedOut(event.component, event.strategy, ok, message))
    except (AskError, NotRunning) as error:
        _log.error("what became of %s is not on record: %s", event.strategy, error, extra=engine.context.extra())


def _open_breaker(engine: Engine, event: Any) -> str:
    if event.component not in engine.guards.all():
        msg = f"there is no breaker for {event.component!r}"
        raise CannotBeDone(msg)
    engine.tell(f"{breaker.CATEGORY}/{event.component}", breaker.ForceState("open", event.reason, for_s=event.delay_s))
    return f"held open for {event.delay_s:g} s"


def _restore(engine: Engine, event: Any) -> str:
    if not engine.capturing.can_restore:
        msg = "the host gave no function to restore its state with"
        raise CannotBeDone(msg)
    # What was saved while recoveries failed holds what they could not mend, but it is better than nothing.
    earlier = _saved_before_the_trouble(engine)
    if (earlier is None or not _restored(engine, earlier)) and not recovering.recover(engine):
        msg = "there is no checkpoint that could be restored"
        raise CannotBeDone(msg)
    found = engine.last_recovery
    return "" if found is None else str(found.checkpoint_id)


def _restored(engine: Engine, checkpoint_id: str) -> bool:
    try:
        return recovering.recover(engine, checkpoint_id)
    except (StateNotRestored, StateNotUpcast):  # it is logged, and the best one may still do
        return False


def _saved_before_the_trouble(engine: Engine) -> str | None:
    """The best checkpoint that was not taken because a recovery was about to be tried."""
    state = engine.state(checkpointer.NAME)
    reasons = {info.checkpoint_id: info.reason for info in state.kept}
    order = checkpointer.restore_order(state)
    return next((one for one in order if not reasons[one].startswith(BEFORE)), None)


def _replace_process(engine: Engine, event: Any) -> str:
    if not engine.replaceable:
        msg = "the host did not say how its process is replaced (on_exhausted)"
        raise CannotBeDone(msg)
    replace(engine, event.reason, engine.on_exhausted)
    return "the host was told to replace its process"


def _call(engine: Engine, event: Any) -> str:
    if event.strategy == analyzer.PAUSE_AND_CALL:
        _log.critical("a human is needed: %s", event.reason, extra=engine.context.extra())
    now_s = engine.clock.monotonic()
    if now_s - engine.calls_s.get(event.reason, float("-inf")) < CALL_AGAIN_S:
        return "called lately for the same reason"
    lately = {why: at_s for why, at_s in engine.calls_s.items() if now_s - at_s < CALL_AGAIN_S}
    engine.calls_s = {**lately, event.reason: now_s}
    if engine.on_call is None:
        return "logged; the host gave no function to call somebody with"
    engine.bridge.call(engine.on_call, event.reason)
    return "called"


_ACTS: dict[str, Callable[[Engine, Any], str]] = {
    analyzer.OPEN_BREAKER: _open_breaker,
    analyzer.RESTORE_CHECKPOINT: _restore,
    analyzer.RESTART_PROCESS: _replace_process,
    analyzer.PAUSE_AND_CALL: _call,
    analyzer.STOP_AND_REPORT: _call,
}
