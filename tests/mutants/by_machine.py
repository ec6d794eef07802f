"""Actors in a ``RecoveryStateMachine``: whole lives, the same each time, among crashes, power cuts, failing disks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from hypothesis.stateful import invariant

from lrm_actors.testing import RecoveryStateMachine, check_log
from tests.testing import machines, mailing

LIVES, STEPS = 30, 20


class Delivering(machines.Wired):
    """Besides what the kit sees by itself: at rest, everything that was sent has been counted."""

    @invariant()
    def everything_wired_has_come(self) -> None:
        """Nobody asks for this but who knows what the wiring means."""
        assert self.life.system.state("mailing").sent == self.life.system.state("counted").total


class Checked(machines.Mailing):
    """At its end the log is put to today's actors once more, as that of an earlier release would be."""

    def teardown(self) -> None:
        """By ``check_log``."""
        try:
            if sys.exc_info()[1] is None:
                check_log(self.life.store, *self.life.specs)
        finally:
            super().teardown()


def lives_of(machine: type[RecoveryStateMachine], lives: int = LIVES) -> Callable[[], None]:
    """So many lives of a machine."""

    def check() -> None:
        machines.live(machine, lives, STEPS)

    check.__name__ = f"lives_of_{machine.__name__.lower()}"
    check.__doc__ = (machine.__doc__ or "").partition("\n")[0]
    return check


class Lingering(machines.Never):
    """Nothing is ever known to be sent, so that intents and timers stay."""


CHECKS: tuple[Any, ...] = (lives_of(Delivering), lives_of(Checked), lives_of(Lingering, 15))
assert mailing.mailing().snapshot_every < STEPS, "or no snapshot is taken"
