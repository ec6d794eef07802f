"""Looking for a schedule that fails: all of them, or many by chance; and making the one that was found short.

No schedule is kept in memory but the one under way: the next one is found from the choices that the last one made.
(Godefroid, *Model checking for programming languages using VeriSoft*, POPL 1997: stateless search.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from lrm_actors.testing.simulation.choices import as_before, by_seed, written
from lrm_actors.testing.simulation.simulated import Simulation

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

MAX_SCHEDULES = 100_000
SHRINK_RUNS = 1_000
"""Schedules tried at most to make one short."""

Run = Callable[[Simulation], object]
"""A test: uses the simulation it is given, and raises when something is wrong."""


@attrs.frozen
class FailingSchedule:
    """A schedule that makes a test fail."""

    seed: int
    choices: tuple[int, ...]
    error: BaseException = attrs.field(eq=False)
    found_after: int
    """Schedules that had been run when it was found, itself among them."""
    shrunk_from: int
    """Choices of it before it was made short."""

    @property
    def trace(self) -> str:
        """The choices as text."""
        return written(self.choices)

    @property
    def how_to_replay(self) -> str:
        """The line that runs it again."""
        return f"Simulation({self.seed}, replay={self.trace!r})"


@attrs.frozen
class Searched:
    """What came of a search."""

    schedules: int
    """How many were run; each is another one when all were asked for."""
    complete: bool
    """Whether there are no others."""
    failure: FailingSchedule | None

    def expect_none(self) -> Searched:
        """Raise the error of the schedule that was found, if one was."""
        if self.failure is not None:
            self.failure.error.add_note(f"after {self.failure.found_after} schedules; {self.failure.how_to_replay}")
            raise self.failure.error
        return self


def explore(run: Run, *, max_schedules: int = MAX_SCHEDULES, seed: int = 0, shrink: bool = True) -> Searched:
    """Run a test under every schedule there is, each one once, until one fails.

    Args:
        run: the test. It must do the same each time, but for the schedule.
        max_schedules: when to stop although there are others.
        seed: for what is left to chance besides the schedule.
        shrink: make the schedule that fails short.
    """
    choices: list[int] | None = []
    count = 0
    while choices is not None:
        if count == max_schedules:
            return Searched(count, complete=False, failure=None)
        count += 1
        error, made, options = _run(run, seed, choices)
        if error is not None:
            return Searched(count, complete=False, failure=_failure(run, seed, made, error, count, shrink=shrink))
        choices = _next(made, options)
    return Searched(count, complete=True, failure=None)


def search(run: Run, *, schedules: int = 1000, seed: int = 0, shrink: bool = True) -> Searched:
    """Run a test under schedules by chance, until one fails.

    Args:
        run: the test.
        schedules: how many.
        seed: of the first of them; each has its own.
        shrink: make the schedule that fails short.
    """
    for number in range(schedules):
        with_seed = seed + number
        error, made, _ = _run(run, with_seed, None)
        if error is not None:
            failure = _failure(run, with_seed, made, error, number + 1, shrink=shrink)
            return Searched(number + 1, complete=False, failure=failure)
    return Searched(schedules, complete=False, failure=None)


def schedules(max_choices: int = 100, max_options: int = 8) -> SearchStrategy[tuple[int, ...]]:
    """A strategy of hypothesis for ``Simulation(choose=…)``: shrinks to few and small choices.

    Args:
        max_choices: choices made at most; after them it is always 0.
        max_options: a choice is below this.
    """
    from hypothesis import strategies as st

    return st.lists(st.integers(0, max_options - 1), max_size=max_choices).map(tuple)


def _run(run: Run, seed: int, choices: Sequence[int] | None) -> tuple[BaseException | None, list[int], list[int]]:
    """The error, the choices that were made, and of how many each."""
    simulation = Simulation(seed, choose=by_seed(f"schedule {seed}") if choices is None else as_before(choices))
    error: BaseException | None = None
    try:
        with simulation:
            run(simulation)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as raised:  # noqa: BLE001 - also what pytest and hypothesis raise to fail a test
        error = raised
    return error, simulation.choices.made, simulation.choices.options


def _next(made: list[int], options: list[int]) -> list[int] | None:
    """The choices of the schedule after this one, in the order of a dictionary; None after the last."""
    for last in reversed(range(len(made))):
        if made[last] + 1 < options[last]:
            return [*made[:last], made[last] + 1]
    return None


def _failure(
    run: Run, seed: int, made: Sequence[int], error: BaseException, count: int, *, shrink: bool
) -> FailingSchedule:
    choices = list(made)
    if shrink:
        shorter = _Shrinking(run, seed, choices, error)
        choices, error = shorter.choices, shorter.error
    return FailingSchedule(seed, tuple(_without_zeros(choices)), error, count, len(made))


class _Shrinking:
    """Makes a failing schedule short: fewer choices, then smaller ones, as long as the same kind of error comes."""

    def __init__(self, run: Run, seed: int, choices: Sequence[int], error: BaseException) -> None:
        self._run, self._seed = run, seed
        self._left = SHRINK_RUNS
        self.choices = _without_zeros(choices)
        self.error = error
        while any(self._better(candidate) for candidate in self._candidates()):
            pass

    def _better(self, candidate: list[int]) -> bool:
        if self._left <= 0:
            return False
        self._left -= 1
        error, _, _ = _run(self._run, self._seed, candidate)
        if type(error) is not type(self.error) or error is None:
            return False
        self.choices, self.error = _without_zeros(candidate), error
        return True

    def _candidates(self) -> Iterator[list[int]]:
        """Each is smaller than what there is: shorter, or as long and before it in the dictionary."""
        choices = self.choices
        size = len(choices)
        while size:
            for start in range(0, len(choices), size):
                yield choices[:start] + choices[start + size :]
            size //= 2
        for index, choice in enumerate(choices):
            for lower in range(choice):
                yield [*choices[:index], lower, *choices[index + 1 :]]


def _without_zeros(choices: Sequence[int]) -> list[Any]:
    kept = list(choices)
    while kept and not kept[-1]:
        kept.pop()
    return kept
