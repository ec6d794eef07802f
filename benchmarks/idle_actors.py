"""What actors cost that have nothing to do: memory and processor time of a process of their own.

Run as a program, it prints both for as many actors as it is told; ``measured`` runs it so.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time

import attrs
import psutil

from eventstore.memory import MemoryStore
from lrm_actors.domain.behavior import Command, Context, Decision, Spec, then
from lrm_actors.runtime.system import ActorSystem


@attrs.frozen
class Idle:
    """What one process of idle actors measured."""

    kib_per_actor: float
    cpu_percent: float


@attrs.frozen
class Nothing:
    """The state of an actor that keeps none."""


def decide(_state: Nothing, _command: Command, _ctx: Context) -> Decision:
    """Never called."""
    return then()


def started(actors: int, name: str) -> ActorSystem:
    """A running system of so many actors."""
    specs = [Spec(f"{name}/{number}", Nothing(), decide, lambda state, _fact: state) for number in range(actors)]
    system = ActorSystem(MemoryStore(), specs, name=name)
    system.start()
    return system


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def measure(actors: int, seconds: float) -> Idle:
    """Start a few actors, so that everything is loaded; then as many as are asked for, and leave them alone."""
    few = started(10, "few")
    before = resident_bytes()
    many = started(actors, "many")
    memory = resident_bytes() - before
    time.sleep(0.1)  # what a start leaves behind is done with
    began_s, worked_s = time.perf_counter(), time.process_time()
    time.sleep(seconds)
    cpu = (time.process_time() - worked_s) / (time.perf_counter() - began_s)
    few.stop()
    many.stop()
    return Idle(memory / actors / 1024, cpu * 100)


def measured(actors: int, seconds: float) -> Idle:
    """The same in a fresh interpreter."""
    command = [sys.executable, "-m", "benchmarks.idle_actors", str(actors), str(seconds)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return Idle(**json.loads(done.stdout))


def main() -> None:
    """Print one measurement as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("actors", type=int)
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    print(json.dumps(attrs.asdict(measure(options.actors, options.seconds))))


if __name__ == "__main__":
    main()
