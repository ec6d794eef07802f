"""Effects in doubt settled, or all of a step forgotten, for whoever asks over the socket. Talks to the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from eventstore.errors import EventRefused
from lrm_actors.domain.journal import NAME, ForgetEffects, SettleEffect
from lrm_actors.domain.journaling.book import DONE, NOT_HAPPENED, SKIPPED
from lrm_actors.hosting.host import check_storable
from lrm_actors.hosting.owner.arguments import check_names, text_in
from lrm_actors.hosting.owner.errors import RequestRefused
from lrm_actors.hosting.step_progress import MAX_STEPS

if TYPE_CHECKING:
    from lrm_actors.runtime.system import ActorSystem

MAX_TEXT = 1_000
"""Characters of an effect's name or a reason."""
OUTCOMES = (DONE, NOT_HAPPENED, SKIPPED)
WAIT_S = 8.0
"""How long the journal has to answer: whoever asks over the socket waits ten seconds."""


def settle_effect(system: ActorSystem, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Settle an effect in doubt: which one, of which step, and how it is on record now.

    Raises:
        RequestRefused: an argument is none.
        NoSuchEffect: there is none of this name, or it is in no doubt.
        AskError: it cannot be put on record.
    """
    told: dict[str, Any] = system.ask_blocking(NAME, settle_of(arguments), timeout_s=WAIT_S)
    return told


def forget_effects(system: ActorSystem, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Forget what is on record of a step's effects; which step, and how many there were.

    Raises:
        RequestRefused: an argument is none.
        StepOrder: the step is open, or has no effects on record; or no such task is set aside.
        AskError: it cannot be put on record.
    """
    told: dict[str, Any] = system.ask_blocking(NAME, forget_of(arguments), timeout_s=WAIT_S)
    return told


def settle_of(arguments: Mapping[str, Any]) -> SettleEffect:
    """The command that a request stands for.

    Raises:
        RequestRefused: an argument is none.
    """
    check_names(arguments, "settle_effect", ("effect", "outcome", "result", "how"))
    outcome, result = arguments.get("outcome"), arguments.get("result")
    if outcome not in OUTCOMES:
        raise RequestRefused(f"the outcome is none of {', '.join(OUTCOMES)}")
    try:
        check_storable("journal.effect_settled", "result", result)
    except EventRefused as error:
        raise RequestRefused(f"the result cannot be stored: {error}") from error
    return SettleEffect(text_in(arguments, "effect", MAX_TEXT), outcome, result, text_in(arguments, "how", MAX_TEXT))


def forget_of(arguments: Mapping[str, Any]) -> ForgetEffects:
    """The command that a request stands for.

    Raises:
        RequestRefused: an argument is none.
    """
    check_names(arguments, "forget_effects", ("step", "task", "why"))
    if "task" in arguments:
        return ForgetEffects(0, text_in(arguments, "why", MAX_TEXT), text_in(arguments, "task", MAX_TEXT))
    step = arguments.get("step")
    if isinstance(step, bool) or not isinstance(step, int) or not 1 <= step <= MAX_STEPS:
        raise RequestRefused(f"the step is no number from 1 to {MAX_STEPS:,}")
    return ForgetEffects(step, text_in(arguments, "why", MAX_TEXT))
