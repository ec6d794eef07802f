"""What an operation mode really changes: the work of an agent that is done or left out in it, and what the log says.

Talks to the mode, as any agent does, and to the log. Whatever is counted was done and not only planned.
"""

from __future__ import annotations

import asyncio
import statistics
from collections import Counter
from concurrent.futures import Future
from itertools import pairwise

import attrs

from eventstore.protocol import EventReader
from lrm_actors import LongRunningMode
from lrm_actors.demo.scenarios.account import Sheet
from lrm_actors.domain.checkpointer import EMERGENCY, PERIODIC
from lrm_actors.domain.modes import DEGRADED, MINIMAL, NORMAL, RECOVERY

TICK_S = 0.01
MODES = (NORMAL, DEGRADED, MINIMAL, RECOVERY)
KINDS = ("sheddable", "sheddable_plus", "critical", "critical_plus")
LEFT_OUT = {NORMAL: KINDS[:0], DEGRADED: KINDS[:1], MINIMAL: KINDS[:2], RECOVERY: KINDS[:2]}
"""The work that each mode leaves out."""
MOST_PUT_OFF = 100
COLUMNS = ("mode", "seconds", "a sample every", "checkpoints", "work done", "work left out")


class Work:
    """Work of every criticality, all the time; some of what is left out is put off, and counted when it is done.

    Args:
        mode: asked about each piece.
    """

    def __init__(self, mode: LongRunningMode) -> None:
        self._mode = mode
        self.put_off_until_later: list[Future[object]] = []
        """What becomes of each piece that was to be done later."""
        self._task: asyncio.Task[None] | None = None
        self.done: Counter[tuple[str, str]] = Counter()
        """By mode and criticality."""
        self.left_out: Counter[tuple[str, str]] = Counter()

    @property
    def put_off(self) -> int:
        """Pieces that were to be done later."""
        return len(self.put_off_until_later)

    @property
    def caught_up(self) -> int:
        """Those of them that were."""
        return sum(one.done() and not one.cancelled() and one.exception() is None for one in self.put_off_until_later)

    def start(self) -> None:
        """Begin to work."""
        self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Work no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            for kind in KINDS:
                self._do(kind)
            await asyncio.sleep(TICK_S)

    def _do(self, kind: str) -> None:
        before = self._mode.operation_mode
        may = self._mode.should_run(f"some {kind} work", criticality=kind)
        if before != self._mode.operation_mode:
            return  # nobody knows in which of them it was
        (self.done if may else self.left_out)[before, kind] += 1
        if not may and kind == KINDS[0] and len(self.put_off_until_later) < MOST_PUT_OFF:
            self.put_off_until_later.append(self._mode.defer("a picture", int, criticality=kind))


@attrs.frozen
class Stays:
    """What the log says of the time in each mode."""

    seconds: dict[str, float]
    samples_s: dict[str, list[float]]
    """Seconds between two samples of one stay."""
    checkpoints: dict[str, list[tuple[str, float]]]
    """Kind and second of each that was asked for, by the mode that the checkpointer was in."""


def stays(reader: EventReader) -> Stays:
    """Read them."""
    changes = [(record.recorded_at.monotonic_s, record.event.mode) for record in reader.read(types=("modes.changed",))]
    found = Stays({}, {mode: [] for mode in MODES}, {mode: [] for mode in MODES})
    for (since_s, mode), (until_s, _) in pairwise([*changes, (reader.get(reader.head).recorded_at.monotonic_s, "")]):
        found.seconds[mode] = found.seconds.get(mode, 0.0) + until_s - since_s
    mode, last_s = NORMAL, None
    for record in reader.read(types=("monitor.sampled", "monitor.mode_noted")):
        event = record.event
        if record.type == "monitor.mode_noted":
            mode, last_s = event.mode, None
            continue
        if last_s is not None:
            found.samples_s[mode].append(event.at_s - last_s)
        last_s = event.at_s
    mode = NORMAL
    for record in reader.read(types=("checkpointer.requested", "checkpointer.mode_noted")):
        if record.type == "checkpointer.mode_noted":
            mode = record.event.mode
        else:  # of a health that became critical it hears as soon as the modes do: that one belongs to what follows
            of = MINIMAL if record.event.reason.startswith("health critical") else mode
            found.checkpoints[of].append((record.event.kind, record.recorded_at.monotonic_s))
    return found


def sheet(found: Stays, work: Work) -> Sheet:
    """What was done in each mode."""
    rows = []
    for mode in MODES:
        samples_s = found.samples_s[mode]
        rows.append(
            (
                mode,
                f"{found.seconds.get(mode, 0.0):.1f}",
                f"{statistics.median(samples_s):.2f} s" if samples_s else "-",
                _counted([kind for kind, _ in found.checkpoints[mode]]),
                str(sum(count for (where, _), count in work.done.items() if where == mode)),
                ", ".join(f"{count} {kind}" for (where, kind), count in work.left_out.items() if where == mode) or "0",
            )
        )
    return Sheet("what each mode did", COLUMNS, tuple(rows))


def wrong(found: Stays, work: Work) -> list[str]:
    """What a mode did that it must not do, or did not do that it must."""
    told = []
    for mode in MODES:
        for kind in KINDS:
            done, left_out = work.done[mode, kind], work.left_out[mode, kind]
            good, bad = (left_out, done) if kind in LEFT_OUT[mode] else (done, left_out)
            if bad or not good:
                told.append(f"{mode}: of {kind} work {done} pieces were done and {left_out} left out")
    kinds = {mode: Counter(kind for kind, _ in found.checkpoints[mode]) for mode in MODES}
    if kinds[MINIMAL][PERIODIC]:
        told.append(f"{kinds[MINIMAL][PERIODIC]} periodic checkpoints in {MINIMAL} mode")
    if not kinds[MINIMAL][EMERGENCY]:
        told.append(f"no emergency checkpoint in {MINIMAL} mode")
    if not kinds[RECOVERY][PERIODIC]:
        told.append(f"no periodic checkpoint in {RECOVERY} mode")
    if not work.put_off or work.caught_up < work.put_off:
        told.append(f"of {work.put_off} pieces of work that were put off {work.caught_up} were done")
    return told


def _counted(kinds: list[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(kinds).items())) or "none"
