"""How much a simulator tries in how little time: schedules of a small system, and days of a whole one."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Sequence
from functools import partial

import attrs

from benchmarks.harness import QUICK_PAIRS, Figure
from benchmarks.simulated_days import live
from eventstore.events import event
from lrm_actors.domain.behavior import Command, Context, Decision, Spec, then
from lrm_actors.runtime.system import ActorSystem
from lrm_actors.testing import Simulation, explore

DAYS = 30
QUICK_DAYS = 1
ROUNDS = 11


@attrs.frozen
class _Add(Command):
    amount: int


@event("benchmark.simulated", 1)
class _Added:
    amount: int


def _decide(state: int, command: _Add, _: Context) -> Decision:
    return then(_Added(command.amount))


def _evolve(state: int, fact: _Added) -> int:
    return state + fact.amount


def run(quick: bool) -> Sequence[Figure]:
    """Measure."""
    logging.disable(logging.CRITICAL)
    try:
        return (
            Figure(
                "schedules_per_s",
                statistics.median(_schedules_per_s() for _ in range(QUICK_PAIRS if quick else ROUNDS)),
                what="schedules of two workers with two messages each, a system over a new store in memory every time",
            ),
            Figure(
                "days_30_s",
                _days_s(QUICK_DAYS if quick else DAYS) * DAYS / (QUICK_DAYS if quick else DAYS),
                better="lower",
                what=f"seconds for {DAYS} simulated days of every actor of an agent, a sample each 30 s, a fault a day"
                + (f": {QUICK_DAYS} day times {DAYS}" if quick else ""),
            ),
        )
    finally:
        logging.disable(logging.NOTSET)


def _two_workers(sim: Simulation) -> None:
    system = sim.system([Spec("a", 0, _decide, _evolve), Spec("b", 0, _decide, _evolve)])
    for name in ("a", "b"):
        sim.spawn(partial(_tell_twice, system, name))
    sim.run_until_idle()


def _tell_twice(system: ActorSystem, name: str) -> None:
    for amount in (1, 2):
        system.tell(name, _Add(amount))


def _schedules_per_s() -> float:
    begin_s = time.perf_counter()
    count = explore(_two_workers).expect_none().schedules
    return count / (time.perf_counter() - begin_s)


def _days_s(days: int) -> float:
    begin_s = time.perf_counter()
    found = live(days)
    assert not found.unexplained, found.unexplained
    return time.perf_counter() - begin_s
