"""What an actor's own code must give back: a decision, a state, effects, commands. Said at once and by name when not.

Called where the runtime and the testing kit take over what a function of the host's gave; talks to nobody.
"""

from __future__ import annotations

from typing import Any

from lrm_actors.domain.behavior import Command, Decision, Effect, Spec
from lrm_actors.errors import BadDecision, NotACommand

SHOWN = 80
"""Characters of a value that an error shows."""


def check_decision(decision: object) -> None:
    """See that ``decide`` or ``recover`` gave a decision, and that its effects are effects.

    Raises:
        BadDecision: they are not.
    """
    if not isinstance(decision, Decision):
        hint = "return then(...), stash() or unhandled(...) on every path"
        raise BadDecision(f"{shown(decision)} was decided, which is no Decision", hint=hint)
    for effect in decision.effects:
        if not isinstance(effect, Effect):
            hint = "give then(..., effects=[...]) instances of subclasses of Effect"
            raise BadDecision(f"the decision has {shown(effect)} among its effects, which is no Effect", hint=hint)


def check_state(spec: Spec[Any], state: object, fact: object) -> None:
    """See that ``evolve`` gave a state: the None of a forgotten ``return`` is none.

    Raises:
        BadDecision: it gave None, and the actor did not begin with None.
    """
    if state is None and spec.initial is not None:
        hint = "return a state on every path; for an event that changes nothing, the one that was given"
        raise BadDecision(f"evolve gave None for {shown(fact)}", hint=hint)


def check_command(command: object) -> None:
    """See that what is sent to an actor is a command.

    Raises:
        NotACommand: it is something else.
    """
    if not isinstance(command, Command):
        raise NotACommand(f"{shown(command)} is no Command")


def check_result(effect: Effect, result: object) -> None:
    """See that the handler of an effect gave what can be sent to the actor.

    Raises:
        BadDecision: it is neither a command nor None.
    """
    if result is not None and not isinstance(result, Command):
        about = f"the handler of {type(effect).__name__} gave {shown(result)}"
        raise BadDecision(f"{about}, which is no Command", hint="give a Command for the actor, or None")


def shown(value: object) -> str:
    """A value, shortened."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
