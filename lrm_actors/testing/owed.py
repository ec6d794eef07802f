"""Which effects a life left behind that are not known to be done, and whether the next one took them up.

Reads what was noted of decisions and handlers. An effect is owed where its decision is on record, nothing else is since
in the stream of its actor, and it is of a kind that the actor keeps account of.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from eventstore.records import Record
from lrm_actors.domain.behavior import CancelTimer, Command, Context, Decision, Effect, Spec, StartTimer

TIMERS = (StartTimer, CancelTimer)


@attrs.frozen
class Decided:
    """A decision, and what was pending when it was made."""

    decision: Decision
    timers: frozenset[str]
    """Keys of the timers that the actor had, and of those that the decision starts."""


@attrs.define
class Account:
    """What is known of the effects of all lives until now."""

    decided: dict[tuple[str, str], Decided] = attrs.Factory(dict)
    """By actor and id of the command: the last decision with events."""
    kept: set[type[Effect]] = attrs.Factory(set)
    """Kinds of effects whose end somebody put on record: without that nobody can tell whether one is done."""
    _told: list[tuple[Command, type[Effect]]] = attrs.Factory(list)
    """What handlers gave back and nobody has decided on yet."""

    def note_end(self, effect: Effect, command: Command) -> None:
        """An effect was carried out, and this command says so."""
        self._told.append((command, type(effect)))

    def noted(self, spec: Spec[Any], timers: Callable[[], frozenset[str]]) -> Spec[Any]:
        """The same actor, whose decisions are noted.

        Args:
            spec: the actor.
            timers: gives the keys of its pending timers.
        """
        decide, recover = spec.decide, spec.recover

        @functools.wraps(decide)
        def noted_decide(state: Any, command: Command, ctx: Context) -> Decision:
            decision = decide(state, command, ctx)
            self._note(spec.name, ctx.command_id, decision, timers())
            self._note_account(command, decision)
            return decision

        def noted_recover(state: Any, ctx: Any) -> Decision:
            assert recover is not None
            decision = recover(state, ctx)
            self._note(spec.name, ctx.command_id, decision, timers())
            return decision

        return attrs.evolve(spec, decide=noted_decide, recover=noted_recover if recover is not None else None)

    def owed(self, name: str, records: Sequence[Record]) -> Decided | None:
        """The decision whose effects nobody can know to be done, as nothing has happened to the actor since.

        Args:
            name: of the actor.
            records: everything in the log.
        """
        newest = next((one for one in reversed(records) if one.stream == name), None)
        if newest is None or newest.command_id is None:
            return None
        made = self.decided.get((name, newest.command_id))
        if made is None or newest.events != made.decision.events[-1:]:
            return None
        following = made.decision.next
        return made if following is None or following.stop is None else None

    def forget_letters(self) -> None:
        """A new life begins: what handlers gave back in the last one reaches nobody."""
        self._told.clear()

    def _note(self, name: str, command_id: str, decision: Decision, timers: frozenset[str]) -> None:
        if decision.events:
            started = {one.key for one in decision.effects if isinstance(one, StartTimer)}
            self.decided[name, command_id] = Decided(decision, timers | started)

    def _note_account(self, command: Command, decision: Decision) -> None:
        kinds = [kind for told, kind in self._told if told is command]
        if kinds and decision.events:
            self.kept.update(kinds)


def forgotten(
    made: Decided, recovery: Decision | None, begun: Sequence[Effect], kept: set[type[Effect]]
) -> list[Effect]:
    """The effects of a decision that a recovery should have taken up and did not.

    Args:
        made: what is owed.
        recovery: what the actor's ``recover`` decided; None without one. Where it decided on events, it has put on
            record what it makes of the effect, and where it started another timer, it will.
        begun: what was carried out since.
        kept: see ``Account``.
    """
    if recovery is not None:
        if recovery.events:
            return []
        if {one.key for one in recovery.effects if isinstance(one, StartTimer)} - made.timers:
            return []
    return [
        one for one in made.decision.effects if type(one) in kept and not isinstance(one, TIMERS) and one not in begun
    ]


Owed = Mapping[str, Decided]
"""What is owed, by actor."""
