"""What the kit says when an actor does not keep a rule: which rule, which actor, and what to try."""

from __future__ import annotations

RULES = {
    "decide-reaches-outside": "take time, chance and ids from the context; what touches the world is an effect",
    "evolve-reaches-outside": "put what it needs into the event: replay must come to the same state in any year",
    "decide-differs": "two runs on equal arguments decided otherwise: look for chance, sets, and what it remembers",
    "evolve-differs": "two folds of equal arguments differ: look for chance, sets, and what it remembers",
    "argument-changed": "state, command and event are not to be changed: make a new state, with attrs.evolve",
    "outside-changed": "what is outside the state is gone after a crash and doubled by replay: keep it in the state",
    "state-not-storable": "give each field of the state a type that comes back from JSON: no Any, no open class",
    "event-not-storable": "give each field of the event a type that comes back from JSON",
    "reply-not-storable": "a reply that comes with events is kept for retries, so it must be a JSON value",
    "command-not-storable": "a command that cannot be stored cannot be kept as a dead letter",
    "state-is-not-the-fold": "evolve alone may say what a state is: decide must not reach into it",
    "recovery-differs": "raise state_version when the state class or evolve changes: old snapshots are then ignored",
    "timer-forgotten": "start it again in recover, from what the state says is due; or cancel it when it is of no use",
    "effect-forgotten": "let recover take it up, or say in an event what becomes of it; or name it in expendable",
    "retry-repeats": "decide on an event, also an empty one: only then is the reply kept, and a retry gets it",
    "effect-repeated": "let recover take up only what is not known to be done, or name the effect in repeatable",
    "actor-failed": "refuse with CommandRefused what cannot be done; any other error restarts the actor",
    "delivery-skipped": "the actor fails on an event that is wired to it, and it was given up after some tries",
    "acknowledged-lost": "what was answered or seen is no longer there after a crash",
    "observed-differs": "what is observed is not what the events say",
    "applied-twice": "one command, or one wired event, was decided on more than once",
    "never-answered": "an ask got neither a reply nor an error",
    "never-at-rest": "the actors go on for ever by themselves: an effect or a timer of no delay leads to itself",
    "log-damaged": "the log itself does not verify",
}
"""Every rule that is checked, and what to try when it is broken."""


class CheckFailed(AssertionError):
    """An actor breaks a rule that every actor has to keep.

    Attributes:
        rule: which one, a key of ``RULES``.
        actor: its name; empty when it is not one actor's.
        found: what was seen.
        hint: what to try.
    """

    def __init__(self, rule: str, actor: str, found: str) -> None:
        self.rule = rule
        self.actor = actor
        self.found = found
        self.hint = RULES[rule]
        super().__init__(f"{rule}: {f'{actor}: ' if actor else ''}{found}\n  Try: {self.hint}")
