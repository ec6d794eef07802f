"""Two effects raise one balance. Under most schedules it works; the simulator finds one where an update is lost."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import attrs

from eventstore import event
from lrm_actors import Command, Context, Decision, Effect, Spec, then
from lrm_actors.testing import Simulation, explore


@attrs.frozen
class Look(Command):
    """Ask for the balance."""


@attrs.frozen
class SetTo(Command):
    """Make the balance this."""

    amount: int


@attrs.frozen
class RaiseBy(Command):
    """Make the balance so much more."""

    amount: int


@attrs.frozen
class Pay(Command):
    """Have something paid in."""

    amount: int


@attrs.frozen
class PayIn(Effect):
    """Raise the balance."""

    amount: int


@event("bank.balance_set", 1)
class BalanceSet:
    """The balance from here on."""

    amount: int


def decide(balance: int, command: Any, ctx: Context) -> Decision:
    """What the account decides."""
    match command:
        case SetTo(amount):
            return then(BalanceSet(amount))
        case RaiseBy(amount):
            return then(BalanceSet(balance + amount))
        case Pay(amount):
            return then(effects=[PayIn(amount)])
    return then(reply=balance)


def evolve(balance: int, fact: BalanceSet) -> int:
    """What an event changes."""
    return fact.amount


ACCOUNT = Spec("account", 0, decide, evolve)


def two_payments(sim: Simulation, *, careful: bool) -> None:
    """The test: 10 and 20 are paid in, so there must be 30."""

    def pay_in(effect: PayIn) -> None:
        if careful:
            sim.ask("account", RaiseBy(effect.amount))
        else:  # somebody else may pay in between the two
            sim.ask("account", SetTo(sim.ask("account", Look()) + effect.amount))

    system = sim.system([ACCOUNT], handlers={PayIn: pay_in})
    for amount in (10, 20):
        system.tell("account", Pay(amount))
    sim.run_until_idle()
    assert system.state("account") == 30, f"there are {system.state('account')}"


def main() -> None:
    """Try every schedule of the careless way, then of the careful one."""
    logging.disable(logging.CRITICAL)
    found = explore(partial(two_payments, careful=False))
    assert found.failure is not None
    print(f"schedule {found.failure.found_after}: {found.failure.error}")
    print(found.failure.how_to_replay)
    try:
        with Simulation(found.failure.seed, replay=found.failure.trace) as sim:
            two_payments(sim, careful=False)
    except AssertionError as error:
        print(f"replayed: {error}")
    found = explore(partial(two_payments, careful=True)).expect_none()
    print(f"the careful way holds under all {found.schedules} schedules")


if __name__ == "__main__":
    main()
