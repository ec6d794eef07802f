"""Made-up days of resource use, from a seed: kinds that leak nothing however much they move, leaks to add, CPU noise.

A detector is worth what it does on all of them together: finding leaks is easy, and so is staying calm. Every trace is
a list of numbers, one per sampling interval, in MB or percent.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

DAY_S = 86_400.0

Make = Callable[[random.Random, int, float], list[float]]
"""From a source of chance, the number of samples and their interval in seconds to a trace."""


def memory_trace(kind: str, seed: int, *, length_s: float = DAY_S, interval_s: float = 30.0) -> list[float]:
    """Memory in MB of a process that does not leak.

    Args:
        kind: one of ``MEMORY_KINDS``.
        seed: the same seed gives the same trace, in every process.
        length_s: seconds that it lasts.
        interval_s: seconds between samples.

    Raises:
        KeyError: there is no such kind.
    """
    return MEMORY_KINDS[kind](random.Random(f"{kind}/{seed}"), int(length_s / interval_s), interval_s)  # noqa: S311


def cpu_trace(kind: str, seed: int, *, length_s: float = DAY_S, interval_s: float = 30.0) -> list[float]:
    """CPU use in percent without saturation or a lasting shift; see ``memory_trace``. ``kind`` is one of ``CPU_KINDS``.

    Raises:
        KeyError: there is no such kind.
    """
    chance = random.Random(f"cpu/{kind}/{seed}")  # noqa: S311
    made = CPU_KINDS[kind](chance, int(length_s / interval_s), interval_s)
    return [min(max(value, 0.0), 100.0) for value in made]


def leaking(
    trace: Sequence[float], seed: int, *, mb_per_min: float, onset_s: float, interval_s: float = 30.0
) -> list[float]:
    """The same trace with a leak from ``onset_s`` on: even in odd seeds, in lumps of some minutes each in even ones."""
    chance = random.Random(f"leak/{seed}")  # noqa: S311
    per_sample = mb_per_min * interval_s / 60.0
    leaked = kept_back = 0.0
    lump = 0.0
    found = []
    for number, value in enumerate(trace):
        if number * interval_s > onset_s:
            kept_back += per_sample
            if seed % 2 or kept_back >= lump:
                leaked += kept_back
                kept_back = 0.0
                lump = mb_per_min * chance.uniform(1.0, 5.0)
        found.append(value + leaked)
    return found


# --- memory that does not leak ------------------------------------------------------------------------------------


def _noise(chance: random.Random, count: int, interval_s: float) -> list[float]:
    level, sd = chance.uniform(500.0, 1200.0), chance.uniform(8.0, 30.0)
    return [chance.gauss(level, sd) for _ in range(count)]


def _sawtooth(
    chance: random.Random, count: int, interval_s: float, minutes: tuple[float, float], mb: tuple[float, float]
) -> list[float]:
    """Garbage that is collected each time it has reached a size that varies a little."""
    level, size, period_s = chance.uniform(500.0, 1000.0), chance.uniform(*mb), 60.0 * chance.uniform(*minutes)
    found, garbage, limit = [], chance.uniform(0.0, size), size
    for _ in range(count):
        garbage += size / period_s * interval_s * chance.uniform(0.6, 1.4)
        if garbage >= limit:
            garbage = chance.uniform(0.0, 0.1) * size
            limit = size * chance.uniform(0.85, 1.15)
        found.append(level + garbage + chance.gauss(0.0, 6.0))
    return found


def _fast_collector(chance: random.Random, count: int, interval_s: float) -> list[float]:
    return _sawtooth(chance, count, interval_s, (2.0, 8.0), (60.0, 160.0))


def _slow_collector(chance: random.Random, count: int, interval_s: float) -> list[float]:
    minutes, slope = chance.uniform(40.0, 90.0), chance.uniform(4.0, 8.0)
    return _sawtooth(chance, count, interval_s, (minutes, minutes), (minutes * slope, minutes * slope))


def _drift(chance: random.Random, count: int, interval_s: float) -> list[float]:
    """Autoregressive of order one with a standard deviation of 40 MB."""
    level, memory_s = chance.uniform(700.0, 1200.0), chance.uniform(300.0, 3600.0)
    keep = math.exp(-interval_s / memory_s)
    step = 40.0 * math.sqrt(1.0 - keep * keep)
    found, away = [], chance.gauss(0.0, 40.0)
    for _ in range(count):
        away = keep * away + chance.gauss(0.0, step)
        found.append(level + away + chance.gauss(0.0, 3.0))
    return found


def _tabs(chance: random.Random, count: int, interval_s: float) -> list[float]:
    """Browser tabs that come and go by chance, each with some memory of its own."""
    every_s, stay_s = chance.uniform(180.0, 420.0), chance.uniform(300.0, 900.0)
    level = chance.uniform(400.0, 700.0)
    tabs: list[tuple[float, float]] = []
    found = []
    for number in range(-int(2 * stay_s / interval_s), count):
        now_s = number * interval_s
        tabs = [tab for tab in tabs if tab[0] > now_s]
        if chance.random() < interval_s / every_s:
            tabs.append((now_s + chance.expovariate(1.0 / stay_s), chance.uniform(40.0, 180.0)))
        if number >= 0:
            found.append(level + sum(size for _, size in tabs) + chance.gauss(0.0, 8.0))
    return found


def _warm_up(chance: random.Random, count: int, interval_s: float) -> list[float]:
    level, gain, within_s = chance.uniform(200.0, 400.0), chance.uniform(300.0, 900.0), chance.uniform(1200.0, 6000.0)
    return [
        level + gain * (1.0 - math.exp(-number * interval_s / within_s)) + chance.gauss(0.0, 12.0)
        for number in range(count)
    ]


def _daily_wave(chance: random.Random, count: int, interval_s: float) -> list[float]:
    level, size, phase = chance.uniform(700.0, 1200.0), chance.uniform(80.0, 200.0), chance.uniform(0.0, 2 * math.pi)
    return [
        level + size * math.sin(2 * math.pi * number * interval_s / DAY_S + phase) + chance.gauss(0.0, 15.0)
        for number in range(count)
    ]


def _task_cycles(chance: random.Random, count: int, interval_s: float) -> list[float]:
    """Tasks that gather memory until they are done, with pauses between them."""
    level = chance.uniform(500.0, 900.0)
    found: list[float] = []
    while len(found) < count:
        steps = max(2, int(60.0 * chance.uniform(10.0, 40.0) / interval_s))
        size = chance.uniform(100.0, 300.0)
        found += [level + size * step / steps + chance.gauss(0.0, 8.0) for step in range(steps)]
        pause = int(60.0 * chance.uniform(0.0, 10.0) / interval_s)
        found += [level + chance.gauss(0.0, 8.0) for _ in range(pause)]
    return found[:count]


def _steps(chance: random.Random, count: int, interval_s: float) -> list[float]:
    """Permanent steps, four of five of them up: a cache that is loaded, a second worker."""
    level = chance.uniform(500.0, 900.0)
    found = []
    for _ in range(count):
        if chance.random() < 5.0 * interval_s / DAY_S:
            level += chance.uniform(40.0, 200.0) if chance.random() < 0.8 else -chance.uniform(40.0, 150.0)
        found.append(max(level, 100.0) + chance.gauss(0.0, 10.0))
    return found


def _bursts(chance: random.Random, count: int, interval_s: float) -> list[float]:
    """Requests that come in bursts by chance, each with memory that it soon gives back."""
    level, every_s = chance.uniform(400.0, 900.0), chance.uniform(90.0, 400.0)
    found = []
    busy, size = 0, 0.0
    for _ in range(count):
        if busy == 0 and chance.random() < interval_s / every_s:
            busy, size = chance.randint(1, 6), chance.uniform(20.0, 250.0)
        found.append(level + (size if busy else 0.0) + chance.gauss(0.0, 4.0))
        busy = max(0, busy - 1)
    return found


MEMORY_KINDS: dict[str, Make] = {
    "noise": _noise,
    "fast_collector": _fast_collector,
    "slow_collector": _slow_collector,
    "drift": _drift,
    "tabs": _tabs,
    "warm_up": _warm_up,
    "daily_wave": _daily_wave,
    "task_cycles": _task_cycles,
    "steps": _steps,
    "bursts": _bursts,
}
"""Ways in which memory moves without leaking."""


# --- CPU that is neither saturated nor shifted --------------------------------------------------------------------


def _autoregressive(level: float, sd: float, memory_s: float) -> Make:
    def make(chance: random.Random, count: int, interval_s: float) -> list[float]:
        keep = math.exp(-interval_s / memory_s)
        step = sd * math.sqrt(1.0 - keep * keep)
        found, away = [], chance.gauss(0.0, sd)
        for _ in range(count):
            away = keep * away + chance.gauss(0.0, step)
            found.append(level + away)
        return found

    return make


def _white(level: float, sd: float) -> Make:
    return lambda chance, count, interval_s: [chance.gauss(level, sd) for _ in range(count)]


def _cpu_bursts(chance: random.Random, count: int, interval_s: float) -> list[float]:
    """Everything for 30 to 90 s, every ten minutes or so: what a sample says is the mean over its interval."""
    level = chance.uniform(10.0, 40.0)
    busy_s = [0.0] * (count + 1)
    begins_s = chance.expovariate(1 / 600.0)
    while begins_s < count * interval_s:
        ends_s = begins_s + chance.uniform(30.0, 90.0)
        for number in range(int(begins_s / interval_s), min(count, int(ends_s / interval_s) + 1)):
            within_s = min(ends_s, (number + 1) * interval_s) - max(begins_s, number * interval_s)
            busy_s[number] += within_s
        begins_s = ends_s + chance.expovariate(1 / 600.0)
    shares = (min(1.0, busy_s[number] / interval_s) for number in range(count))
    return [100.0 * share + (1.0 - share) * chance.gauss(level, 5.0) for share in shares]


def _cpu_daily(chance: random.Random, count: int, interval_s: float) -> list[float]:
    size, phase = chance.uniform(10.0, 25.0), chance.uniform(0.0, 2 * math.pi)
    return [
        40.0 + size * math.sin(2 * math.pi * number * interval_s / DAY_S + phase) + chance.gauss(0.0, 6.0)
        for number in range(count)
    ]


def _cpu_tasks(chance: random.Random, count: int, interval_s: float) -> list[float]:
    """Tasks of some minutes at their own loads, with pauses."""
    found: list[float] = []
    while len(found) < count:
        for load, minutes in ((chance.uniform(30.0, 75.0), chance.uniform(3.0, 20.0)), (5.0, chance.uniform(1.0, 8.0))):
            found += [chance.gauss(load, 5.0) for _ in range(max(1, int(60.0 * minutes / interval_s)))]
    return found[:count]


CPU_KINDS: dict[str, Make] = {
    "white_75": _white(75.0, 8.0),
    "white_20": _white(20.0, 6.0),
    "drift_78": _autoregressive(78.0, 6.0, 300.0),
    "drift_60": _autoregressive(60.0, 15.0, 300.0),
    "drift_25": _autoregressive(25.0, 8.0, 900.0),
    "bursts": _cpu_bursts,
    "daily": _cpu_daily,
    "tasks": _cpu_tasks,
}
"""Ways in which CPU use moves without a saturation that lasts or a level that shifted for good."""
