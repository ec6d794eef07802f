"""What an earlier implementation of a long-running mode did, in models of a few lines written from descriptions of it.

Each has one defect, and nothing besides it: what asks our own mode for the behaviour that is wanted asks these as well,
and has to find them wanting.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DEFAULT_INTERVAL_S, RECOVERY_CHECKPOINT_S = 30.0, 60.0


class OldMode:
    """Its monitoring is started by nobody; its state is what one file holds.

    Args:
        directory: where the caller wants the files.
        agent_id: a new one in each process.
        clock: seconds since 1970.
        sleep: as ``time.sleep``.
    """

    def __init__(
        self,
        directory: Path,
        agent_id: str = "a1",
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = lambda _: None,
        max_checkpoints: int = 50,
    ) -> None:
        self.directory = directory.parent / f"browser_use_checkpoints_{agent_id}"
        self.directory.mkdir(exist_ok=True)
        self.clock, self.sleep, self.max_checkpoints = clock, sleep, max_checkpoints
        self.samples: list[float] = []
        self.checkpoints_taken = 0
        self.frequency: dict[str, int] = {}
        self.listeners: list[Callable[[], None]] = []

    def initialize(self) -> None:
        """Only listens for a signal, which nobody sends; the loop below is never begun."""
        self.listeners.append(self.monitor)

    def monitor(self) -> None:
        """One turn of the loop."""
        self.samples.append(0.0)
        self.take({})

    # --- checkpoints ----------------------------------------------------------------------------------------------

    def take(self, state: dict[str, Any]) -> str:
        """Rewrite everything in one file: no temporary one, no fsync, no checksum, and whole seconds in its name."""
        self.checkpoints_taken += 1
        text = json.dumps(state)
        digest = hashlib.md5(f"{self.checkpoints_taken}{text}".encode()).hexdigest()[:8]
        checkpoint_id = f"checkpoint_{int(self.clock())}_{digest}"
        (self.directory / f"{checkpoint_id}.json").write_text(text)
        for name in self.listed()[self.max_checkpoints :]:
            (self.directory / f"{name}.json").unlink()
        return checkpoint_id

    def listed(self) -> list[str]:
        """By name."""
        return sorted((path.stem for path in self.directory.glob("*.json")), reverse=True)

    def recover(self) -> dict[str, Any] | None:
        """The task and the goal of the newest, and of no other."""
        try:
            state = json.loads((self.directory / f"{self.listed()[0]}.json").read_text())
        except (IndexError, ValueError):
            return None
        fresh = {"n_steps": 1, "history": [], "browser": None, "output": None}
        return {**fresh, **{name: state[name] for name in ("task", "goal") if name in state}}

    def stored_bytes(self) -> list[int]:
        """Of each checkpoint, the oldest first."""
        return [(self.directory / f"{name}.json").stat().st_size for name in reversed(self.listed())]

    # --- failures -------------------------------------------------------------------------------------------------

    def handle_failure(self, error: Exception) -> str | None:
        """Recover here and now, and answer nothing. What was seen often is recovered from by a sentence."""
        pattern = type(error).__name__
        self.frequency[pattern] = self.frequency.get(pattern, 0) + 1
        for seen in range(self.frequency[pattern]):
            if seen:
                self.frequency[pattern] += 1  # each look at a known pattern counts it again
        self.strategy = "Increase timeout values and check network" if self.frequency[pattern] > 5 else "retry"
        self.sleep(2.0)
        return None

    def force_step_progression(self, history: list[dict[str, Any]]) -> None:
        """The cure for a step that hangs: say that it was done."""
        history.append({"action": [], "result": [{"success": True}]})

    def get_health_status(self, *, enabled: bool) -> dict[str, Any]:
        """Two keys when it is switched off."""
        return {} if enabled else {"enabled": False, "status": "disabled"}


class OldBreaker:
    """Counts every failure there ever was; lets anybody through to probe; goes by the wall clock."""

    def __init__(self, clock: Callable[[], float], threshold: int = 3, recovery_s: float = 60.0) -> None:
        self.clock, self.threshold, self.recovery_s = clock, threshold, recovery_s
        self.failures, self.state, self.opened_at = 0, "closed", 0.0

    def call(self, function: Callable[[], Any]) -> Any:
        """Call the service."""
        if self.state == "open":
            if self.clock() - self.opened_at < self.recovery_s:
                raise Exception("Circuit breaker is open")
            self.state = "half_open"
        try:
            result = function()
        except Exception:
            self.failures += 1
            if self.failures >= self.threshold:
                self.state, self.opened_at = "open", self.clock()
            raise
        if self.state == "half_open":
            self.state, self.failures = "closed", 0
        return result


class OldBreakers:
    """Two services have one; any other gets a new one with each question. What was set is not looked at."""

    def __init__(self, clock: Callable[[], float], **ignored: Any) -> None:
        self.clock = clock
        self.known = {"llm": OldBreaker(clock, 3, 60.0), "browser": OldBreaker(clock, 5, 30.0)}

    def get(self, service: str) -> OldBreaker:
        """The breaker of a service."""
        return self.known.get(service) or OldBreaker(self.clock)


def old_trends(memory_mb: list[float], cpu_percent: list[float]) -> list[str]:
    """Compares the last ten samples with the ten before them, and looks at the memory alone."""
    if len(memory_mb) < 20:
        return []
    before, last = sum(memory_mb[-20:-10]) / 10, sum(memory_mb[-10:]) / 10
    steps = [later - earlier for earlier, later in itertools.pairwise(memory_mb)]
    leaks = last - before > 50.0 or any(step >= 20.0 for step in steps[-200:])
    return ["memory_leak"] if leaks else []


class OldIntervals:
    """What the operation modes did to the two intervals."""

    def __init__(self, monitoring_s: float, checkpoint_s: float) -> None:
        self.monitoring_s, self.checkpoint_s = monitoring_s, checkpoint_s

    def enter(self, mode: str) -> None:
        """Degraded and minimal look less often; recovery saves more often; normal knows only the default."""
        match mode:
            case "normal":
                self.monitoring_s = DEFAULT_INTERVAL_S
            case "degraded":
                self.monitoring_s *= 1.5
            case "minimal":
                self.monitoring_s *= 3.0
            case "recovery":
                self.checkpoint_s = RECOVERY_CHECKPOINT_S

    def takes_periodic_checkpoints(self, mode: str) -> bool:
        """Whether the timer still takes them."""
        return True


class OldVitals:
    """Restarts one component after the other, asleep in the loop that also reads the heartbeats.

    Time is a number here: each heartbeat is due every second, and a component silent for three is restarted.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self.last_beat = {"browser": 0.0, "llm": 0.0, "bus": 0.0}
        self.attempts = dict.fromkeys(self.last_beat, 0)
        self.restarted: list[str] = []
        self.delays: list[float] = []
        self.escalated = 0

    def turn(self, silent: set[str], *, queue_busy: bool = False) -> None:
        """One second of its loop; everything that is not silent has sent a heartbeat when it began."""
        self.last_beat.update({name: self.now_s for name in self.last_beat if name not in silent})
        self.now_s += 1.0
        if queue_busy:
            return
        for name, seen in list(self.last_beat.items()):
            if self.now_s - seen <= 3.0:
                continue
            if self.attempts[name] >= 3:
                self.escalated += 1
                continue
            self.attempts[name] += 1
            delay = [2.0, 4.0, 8.0][min(self.attempts[name], 2)]
            self.delays.append(delay)
            self.restarted.append(name)
            self.now_s += delay  # asleep; what the others send in the meantime lies in the queue
