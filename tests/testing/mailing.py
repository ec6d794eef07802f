"""An actor with everything an actor may have: events, an effect that must not be lost, a timer, and what it refuses."""

from __future__ import annotations

from typing import Any

import attrs

from eventstore.events import event
from lrm_actors.domain.behavior import CancelTimer, Command, Context, Decision, Effect, Spec, StartTimer, then
from lrm_actors.errors import CommandRefused

REMIND_AFTER_S = 60.0


@event("mailing.planned", 1)
class Planned:
    number: int
    text: str
    remind_at_s: float


@event("mailing.sent", 1)
class Sent:
    number: int


@event("mailing.reminded", 1)
class Reminded:
    """The oldest mail was still not sent."""


@attrs.frozen
class Mail:
    number: int
    text: str


@attrs.frozen
class Outbox:
    waiting: tuple[Mail, ...] = ()
    count: int = 0
    sent: int = 0
    reminders: int = 0
    remind_at_s: float | None = None


@attrs.frozen
class Plan(Command):
    """The reply is the number of the mail."""

    text: str


@attrs.frozen
class NoteSent(Command):
    number: int


@attrs.frozen
class Remind(Command):
    pass


@attrs.frozen
class Deliver(Effect):
    """Carried out by whoever can send mail, who answers with ``NoteSent``."""

    number: int
    text: str


def decide(state: Outbox, command: Plan | NoteSent | Remind, ctx: Context) -> Decision:
    """What shall happen."""
    match command:
        case Plan(text=""):
            raise CommandRefused("an empty mail is not sent", actor="mailing")
        case Plan(text=text):
            number = state.count + 1
            at_s = ctx.now.monotonic_s + REMIND_AFTER_S
            effects: list[Effect] = [Deliver(number, text)]
            if state.remind_at_s is None:
                effects.append(StartTimer("remind", REMIND_AFTER_S, Remind()))
            return then(Planned(number, text, at_s), effects=effects, reply=number)
        case NoteSent(number=number) if any(mail.number == number for mail in state.waiting):
            last = len(state.waiting) == 1
            return then(Sent(number), effects=[CancelTimer("remind")] if last else ())
        case Remind() if state.waiting:
            return then(Reminded(), effects=[CancelTimer("remind")])
    return then()


def evolve(state: Outbox, fact: Any) -> Outbox:
    """What an event changes."""
    match fact:
        case Planned(number=number, text=text, remind_at_s=at_s):
            due_s = at_s if state.remind_at_s is None else state.remind_at_s
            waiting = (*state.waiting, Mail(number, text))
            return attrs.evolve(state, waiting=waiting, count=number, remind_at_s=due_s)
        case Sent(number=number):
            waiting = tuple(mail for mail in state.waiting if mail.number != number)
            due = state.remind_at_s if waiting else None
            return attrs.evolve(state, waiting=waiting, sent=state.sent + 1, remind_at_s=due)
        case Reminded():
            return attrs.evolve(state, reminders=state.reminders + 1, remind_at_s=None)
    return state


def recover(state: Outbox, ctx: Context) -> Decision:
    """Take up what is not known to be sent, and the reminder."""
    effects: list[Effect] = [Deliver(mail.number, mail.text) for mail in state.waiting]
    if state.remind_at_s is not None:
        effects.append(StartTimer("remind", state.remind_at_s - ctx.now.monotonic_s, Remind()))
    return then(effects=effects)


def mailing(**changes: Any) -> Spec[Outbox]:
    """The actor, or one with a fault planted in it."""
    spec = Spec("mailing", Outbox(), decide, evolve, recover=recover, snapshot_every=4)
    return attrs.evolve(spec, **changes)
