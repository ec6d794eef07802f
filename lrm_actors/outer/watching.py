"""The watchdog itself: one thread, one loop, and everything that it waits for in it.

Talks to its actor, to the process, to signals, pipes and clocks. What is to be done about what it sees is decided by
the actor alone; here it is only seen and done.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from eventstore.frozen import frozen
from lrm_actors.domain import outer
from lrm_actors.domain.behavior import Effect
from lrm_actors.domain.outliving import environment as names
from lrm_actors.outer.acting import Actor
from lrm_actors.outer.clearing import Clearing
from lrm_actors.outer.family import Member, adopt_orphans, family_of, is_alive
from lrm_actors.outer.heartbeats import HeartbeatPipe
from lrm_actors.outer.last_words import SlowWriter, StderrPipe
from lrm_actors.outer.memory import LOOK_EVERY_S, MemoryWatch
from lrm_actors.outer.notifying import Notifier
from lrm_actors.outer.recording import RETRY_S, Recorder
from lrm_actors.outer.signalling import Signals
from lrm_actors.outer.starting import CannotStart, Child, reap_others, variables_for
from lrm_actors.outer.telling import line_of, report_of, status_of

LONGEST_WAIT_S = 3_600.0
LAST_READS = 32
"""Reads of standard error after the end of the process: more than a pipe holds."""
FINISH_S = 1.0
"""Seconds that standard error has to take the last lines."""


@frozen
class Options:
    """What ``lrm run`` was asked for."""

    command: tuple[str, ...]
    """What is executed."""
    log: Path
    """The watchdog's own."""
    policy: outer.Policy = outer.Policy()
    stderr_lines: int = 20
    """Lines of standard error that are kept of each process; 0: it is passed through, and none is."""
    fresh_env: bool = False
    settings: dict[str, str] = {}  # noqa: RUF012 - an attrs field; nobody changes it
    """Variables for the process that come from the command line."""
    shown: tuple[str, ...] = ()
    """The command as it was given, where that is another."""


class Watch:
    """One life of the watchdog. It needs the main thread, and a process of its own: it reaps every child there is.

    Args:
        options: what is kept alive, and how.

    Raises:
        LogLocked: another watchdog keeps a process alive for this log.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._log = str(options.log.resolve())
        self._out = SlowWriter()
        self._recorder = Recorder(Path(self._log), outer.spec(), self._talk)
        self._actor = Actor(outer.spec(), self._recorder, self._carry_out)
        self._notifier = Notifier(os.environ)
        self._selector = selectors.DefaultSelector()
        self._child: Child | None = None
        self._begun_at_s = 0.0
        self._because = 0
        """Position of the event that the end of the process will have followed from; 0: it ends by itself."""
        self._pipe: HeartbeatPipe | None = None
        self._pulse = outer.Pulse(options.policy.heartbeat_timeout_s)
        self._stderr: StderrPipe | None = None
        self._streams: list[StderrPipe] = []
        self._memory: MemoryWatch | None = None
        self._memory_told = ""
        self._clearing: Clearing | None = None
        self._cleared_from = 0
        self._found: frozenset[Member] = frozenset()
        self._next_ping_s = self._next_memory_s = 0.0
        self._exit_code: int | None = None

    def run(self) -> int:
        """Keep the process alive until it is to live no more; gives what this process should exit with."""
        adopt_orphans()
        signals = Signals()
        try:
            self._selector.register(signals.reading, selectors.EVENT_READ, lambda: self._signalled(signals))
            self._begin()
            while self._exit_code is None:
                self._once()
            self._report()
            return self._exit_code
        finally:
            self._out.finish(FINISH_S)
            signals.close()
            self._close()

    # --- one turn after the other -----------------------------------------------------------------------------------

    def _begin(self) -> None:
        state = self._actor.state
        known = () if state.process is None else (Member(state.process.pid, state.process.created),)
        leader = next((one.pid for one in known if is_alive(one)), None)
        found = family_of(self._log, leader, known)
        self._found = found | {one for one in known if one.pid == leader}
        pids = tuple(sorted(one.pid for one in self._found))
        command = self._options.shown or self._options.command
        self._actor.tell(outer.BeginWatch(os.getpid(), self._options.policy, command, pids))
        self._turn()

    def _once(self) -> None:
        began_s = time.monotonic()
        wanted_s = self._wake_at_s(began_s)
        ready = self._selector.select(max(0.0, wanted_s - began_s))
        woke_s = time.monotonic()
        late_s = max(0.0, woke_s - max(wanted_s, began_s))
        for key, _ in ready:
            key.data()
        self._look(woke_s, late_s)
        self._turn()
        spent_s = time.monotonic() - woke_s
        self._pulse = self._pulse.held_up(spent_s, time.monotonic())

    def _turn(self) -> None:
        before = self._actor.state
        self._actor.turn()
        self._recorder.look()
        self._recorder.tend(self._actor.state)
        if self._actor.state is not before:
            self._notifier.status(status_of(self._actor.state))

    def _wake_at_s(self, now_s: float) -> float:
        moments = [now_s + LONGEST_WAIT_S, self._actor.next_timer_s(), self._pulse.due_s() if self._child else None]
        moments.append(self._recorder.next_look_s)
        if self._clearing is not None:
            moments.append(self._clearing.next_s)
        if self._memory is not None:
            moments.append(self._next_memory_s)
        if self._notifier.ping_every_s is not None:
            moments.append(self._next_ping_s)
        if self._recorder.problem:
            moments.append(now_s + RETRY_S)
        if self._out.waits:
            moments.append(now_s + 0.1)
        return max(now_s, min(moment for moment in moments if moment is not None))

    def _look(self, now_s: float, late_s: float) -> None:
        """Everything that is due."""
        self._out.go_on()
        self._pulse = self._pulse.held_up(late_s, now_s)
        self._look_for_end()
        if self._child is not None:
            missed_s = self._pulse.missed_s(now_s)
            if missed_s is not None:
                self._pulse = self._pulse.quiet()
                self._actor.tell(outer.NoteHeartbeatMissed(missed_s))
            self._look_at_memory(now_s)
        if self._clearing is not None and now_s >= self._clearing.next_s:
            self._clear()
        if self._notifier.ping_every_s is not None and now_s >= self._next_ping_s:
            self._notifier.ping()
            self._next_ping_s = now_s + self._notifier.ping_every_s
        late = self._recorder.retry(self._actor.state)
        if late is not None:
            self._actor.tell(outer.NoteLate(*late))

    def _look_at_memory(self, now_s: float) -> None:
        if self._memory is None or now_s < self._next_memory_s:
            return
        self._next_memory_s = now_s + LOOK_EVERY_S
        held = self._memory.look()
        if held is not None:
            self._memory = None
            self._actor.tell(outer.NoteMemory(held))
        elif self._memory.problem != self._memory_told:
            self._memory_told = self._memory.problem
            self._talk(f"what it holds in memory cannot be known: {self._memory_told or 'it can again'}")

    def _signalled(self, signals: Signals) -> None:
        for number in signals.came():
            if number != signal.SIGCHLD:
                self._actor.tell(outer.NoteSignal(number))

    # --- what is decided --------------------------------------------------------------------------------------------

    def _carry_out(self, effect: Effect, position: int) -> None:
        match effect:
            case outer.StartProcess(start, predecessor_exit):
                self._start(start, predecessor_exit, position)
            case outer.SendSignal(number) if self._child is not None:
                if self._actor.state.ending:
                    self._because = position
                    self._notifier_stops()
                self._child.send(number)
            case outer.KillProcess() if self._child is not None:
                self._because = position
                self._kill(self._child)
            case outer.ClearUp(grace_s, keep):
                self._clear_up(grace_s, position, keep=keep)
            case outer.EndWatch(exit_code):
                self._notifier.stopping()
                self._exit_code = exit_code

    def _notifier_stops(self) -> None:
        if self._actor.state.stop:
            self._notifier.stopping()

    def _start(self, start: int, predecessor_exit: int | None, position: int) -> None:
        pipe = HeartbeatPipe()
        stderr = StderrPipe() if self._options.stderr_lines else None
        policy = self._options.policy
        told = pipe.variables(policy.heartbeat_timeout_s, policy.step_timeout_s)
        told[names.OUTER_LOG] = names.outer_mark(self._log, position)
        if predecessor_exit is not None:
            told[names.PREDECESSOR_EXIT] = str(predecessor_exit)
        variables = variables_for(
            fresh=self._options.fresh_env, given=os.environ, settings=self._options.settings, told=told
        )
        try:
            child = Child(self._options.command, variables, pipe, stderr)
        except CannotStart as error:
            pipe.close()
            if stderr is not None:
                stderr.close()
            self._talk(f"cannot be started: {error}")
            self._actor.tell(outer.NoteStartFailed(start, error.error, str(error), error.exit_code), position)
            return
        pipe.handed_over()
        self._child, self._pipe, self._stderr, self._because = child, pipe, stderr, 0
        self._begun_at_s = time.monotonic()
        self._pulse = outer.Pulse(self._options.policy.heartbeat_timeout_s)
        self._selector.register(pipe.reading, selectors.EVENT_READ, self._beat)
        if stderr is not None:
            stderr.handed_over()
            self._streams.append(stderr)
            self._selector.register(stderr.reading, selectors.EVENT_READ, lambda: self._pass_on(stderr))
        limit = self._options.policy.memory_limit_bytes
        self._memory = MemoryWatch(child.pid, limit) if limit else None
        self._talk(f"process {child.pid} started ({start})")
        self._actor.tell(outer.NoteStarted(start, child.pid, child.me.started), position)
        if not self._options.policy.first_beat_within_s:
            self._notifier.ready()

    def _kill(self, child: Child) -> None:
        for one in family_of(self._log, child.pid):
            _kill_one(one)
        child.kill_group()

    def _clear_up(self, grace_s: float, position: int, *, keep: bool) -> None:
        if self._clearing is not None:
            self._clearing.hurry()
            return
        found, self._found = self._found, frozenset()

        def look(known: Iterable[Member]) -> frozenset[Member]:
            leader = self._child.pid if self._child is not None else None
            every = {*known, *found}
            return family_of(self._log, leader, every) | {one for one in every if is_alive(one)}

        if found:
            pids = ", ".join(str(one.pid) for one in found)
            self._talk(f"an earlier watchdog has left process {pids}, which is ended first")
        self._clearing = Clearing(look, grace_s, keep=keep)
        self._cleared_from = position
        self._clear()

    def _clear(self) -> None:
        clearing = self._clearing
        assert clearing is not None
        left = clearing.step()
        if left is None:
            return
        self._clearing = None
        if self._child is not None:
            self._child.reap()
            self._child = None
        reap_others(None)
        ended = clearing.met - len(left)
        self._actor.tell(outer.NoteCleared(ended, tuple(one.pid for one in left)), self._cleared_from)

    # --- what is seen -----------------------------------------------------------------------------------------------

    def _look_for_end(self) -> None:
        child = self._child
        reap_others(None if child is None else child.pid)
        if child is None or self._clearing is not None:
            return
        ended, status = child.ended()
        if not ended or self._actor.state.status not in {outer.UP, outer.ENDING}:
            return
        words = ""
        if self._stderr is not None:
            self._pass_on(self._stderr, LAST_READS)
            words = self._stderr.last_words(self._options.stderr_lines)
        self._memory = None
        if self._pipe is not None:
            self._selector.unregister(self._pipe.reading)
            self._pipe.close()
            self._pipe = None
        start = self._actor.state.start
        self._actor.tell(outer.NoteExit(start, status, words), self._because)
        self._turn()
        self._talk(line_of(self._actor.state))

    def _beat(self) -> None:
        data = self._pipe.came() if self._pipe is not None else b""
        if not data:
            if self._pipe is not None:  # the last end was closed: where the platform has no other kind of pipe
                self._selector.unregister(self._pipe.reading)
                self._pipe.close()
                self._pipe = None
            return
        now_s = time.monotonic()
        process = self._actor.state.process
        if data.strip(names.QUIET) and process is not None and not process.beats:
            self._actor.tell(outer.NoteFirstHeartbeat(now_s - self._begun_at_s))
            self._notifier.ready()
        self._pulse = self._pulse.beat(now_s)
        if data.endswith(names.QUIET):
            self._pulse = self._pulse.quiet()
            self._actor.tell(outer.NoteQuiet())

    def _pass_on(self, stream: StderrPipe, reads: int = 1) -> None:
        """Pass on what came; not all of it at once, as some programs never stop."""
        for _ in range(reads):
            data = stream.came() if stream in self._streams else b""
            if data is None:
                self._selector.unregister(stream.reading)
                self._streams.remove(stream)
                stream.close()
                return
            if not data:
                return
            self._out.write(data)

    def _talk(self, text: str) -> None:
        self._out.write(f"lrm run: {text}\n".encode("utf-8", "replace"))

    def _report(self) -> None:
        for line in report_of(self._actor.state, self._log, self._options.stderr_lines):
            self._talk(line)

    def _close(self) -> None:
        for stream in self._streams:
            stream.close()
        if self._pipe is not None:
            self._pipe.close()
        self._selector.close()
        self._recorder.close()


def _kill_one(one: Member) -> None:
    from lrm_actors.outer.family import send

    send(one, signal.SIGKILL)


def watch(options: Options) -> int:
    """Keep a process alive until it is to live no more.

    Returns: what this process should exit with.

    Raises:
        LogLocked: another watchdog does so for this log.
        BadKey, CryptographyMissing: there is a key in ``LRM_LOG_KEY``, and it cannot be used.
    """
    return Watch(options).run()


Carry = Callable[[Effect, int], Any]
