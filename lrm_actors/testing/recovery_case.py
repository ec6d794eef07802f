"""The test that a recovery machine is run as: with the counts of the profile, from a seed that its failure tells."""

from __future__ import annotations

import secrets
import unittest
from functools import cache
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from lrm_actors.testing import options

SEEDS = 2**32


class RecoveryTestCase(unittest.TestCase):
    """Base of what ``RecoveryStateMachine.TestCase`` gives."""

    machine: ClassVar[type[RuleBasedStateMachine]]
    settings: ClassVar[settings]
    """May be assigned, as of any state machine of hypothesis."""

    def runTest(self) -> None:  # noqa: N802 - the name that unittest looks for
        """Run the machine."""
        run_machine(self.machine, self.settings)


def run_machine(machine: type[RuleBasedStateMachine], how: settings | None = None) -> None:
    """Run a machine. What it raises tells, in its last note, the line that runs it again."""
    how = how or settings_of_profile()
    given = options.current().seed
    chosen = given if given is not None or how.derandomize else secrets.randbelow(SEEDS)
    before = getattr(machine, "_hypothesis_internal_use_seed", None)
    try:
        if chosen is not None:
            seed(chosen)(machine)
            how = settings(how, derandomize=False)
        run_state_machine_as_test(machine, settings=how)
    except Exception as error:
        error.add_note(f"Again: {options.replay_line(chosen)}")
        raise
    finally:
        machine._hypothesis_internal_use_seed = before  # noqa: SLF001 - what ``seed`` sets


def settings_of_profile() -> settings:
    """As many lives and steps as the profile says, and else what is set for all of hypothesis."""
    profile = options.PROFILES[options.current().profile]
    return settings(
        max_examples=profile.lives,
        stateful_step_count=profile.steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
        phases=[
            phase for phase in Phase if phase is not Phase.explain
        ],  # which traces every line, at a tenth the speed
    )


class TestCaseOf:
    """Gives each machine its test case, which pytest and unittest find and run."""

    def __get__(self, machine: object, owner: type[RuleBasedStateMachine]) -> type[RecoveryTestCase]:
        return _case(owner)


@cache
def _case(owner: type[RuleBasedStateMachine]) -> type[RecoveryTestCase]:
    members: dict[str, Any] = {
        "__module__": owner.__module__,
        "__doc__": owner.__doc__,
        "machine": owner,
        "settings": settings_of_profile(),
    }
    return type(f"{owner.__name__}.TestCase", (RecoveryTestCase,), members)
