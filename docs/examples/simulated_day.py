"""Twenty-four hours of an agent in seconds: all actors of a running mode, on a clock that jumps to what is due next.

At 3:00 its model is down for an hour. From 7:00 on its browser leaks, and dies of it at 14:00. At 19:00 the process is
killed. All of that is a script; what is printed comes from the log, which ``lrm log``, ``lrm why`` and ``lrm health``
read as they read any other.
"""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import attrs

from lrm_actors import CircuitOpen, LongRunningSettings
from lrm_actors.inspect.sentences import sentence
from lrm_actors.testing import SimulatedAgent, Simulation
from lrm_actors.testing.simulation.agent import CALM

LOG = Path(".lrm/simulated/lrm.db")
HOUR_S = 3600.0
MEMORY_BYTES = 300_000_000
LEAK_MB_PER_HOUR = 400.0
TOLD = ("breaker.opened", "breaker.closed", "monitor.component_exited", "monitor.trend_", "supervisor.")
"""What is worth a line. Thousands of samples, steps and checkpoints are not."""


class Day:
    """An agent that asks its model every five minutes, and what becomes of it."""

    def __init__(self, sim: Simulation) -> None:
        settings = LongRunningSettings(monitoring_interval=60.0, checkpoint_interval=600.0, max_checkpoints=10)
        self.sim = sim
        self.agent = SimulatedAgent(sim, settings=settings, heartbeat_check_s=100.0)
        self.answers: Counter[str] = Counter()
        self.began_s = sim.clock.monotonic()

    @property
    def hour(self) -> float:
        """Hours since it began."""
        return (self.sim.clock.monotonic() - self.began_s) / HOUR_S

    def live(self) -> None:
        """From midnight to midnight."""
        browser = self.agent.components["browser"]
        self.agent.start()
        while self.hour < 24.0:
            self.answers[self.ask()] += 1
            leaked = LEAK_MB_PER_HOUR * max(0.0, self.hour - 7.0) * 1e6 if not browser.restarts else 0.0
            self.agent.sample = attrs.evolve(CALM, memory_anonymous_bytes=MEMORY_BYTES + int(leaked))
            if self.hour == 14.0:
                browser.exit_status = -9
            if self.hour == 19.0:
                self.sim.kill()
                self.agent.pid += 1
                self.agent.start(predecessor_exit=-9)
            self.sim.run(300.0)

    def ask(self) -> str:
        """One step, if the model answers."""
        try:
            with self.agent.guards.get("llm"):
                if 3.0 <= self.hour < 4.0:
                    raise ConnectionError("the model is down")
        except CircuitOpen:
            return "held back"
        except ConnectionError:
            return "failed"
        self.agent.step("answer")
        return "answered"

    def tell(self) -> None:
        """What the log says."""
        counts: Counter[str] = Counter()
        for record in self.sim.events():
            counts[record.type] += 1
            if record.type.startswith(TOLD):
                minutes = int(record.recorded_at.monotonic_s - self.began_s) // 60
                print(f"{minutes // 60:02}:{minutes % 60:02}  {sentence(record)}")
        system = self.sim.systems[-1]
        print(f"the model: {', '.join(f'{count} times {what}' for what, count in sorted(self.answers.items()))}")
        print(f"steps: {system.state('journal').committed} committed, in doubt: {system.state('journal').in_doubt}")
        kept = Counter(one.kind for one in system.state("checkpointer").kept)
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(kept.items()))
        print(f"checkpoints: {counts['checkpointer.taken']} taken, of which are kept {kinds}")
        print(f"log: {counts.total()} events, {LOG.stat().st_size // 1_000_000} MB")
        print(f"health: {system.state('monitor').status}, mode {system.state('modes').mode}")


def main() -> None:
    """Live a day, see that every actor is what its events say, and tell it."""
    logging.disable(logging.CRITICAL)
    with Simulation(seed=1, path=LOG) as sim:
        day = Day(sim)
        day.live()
        sim.check()
        day.tell()


if __name__ == "__main__":
    main()
