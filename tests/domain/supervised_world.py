"""A supervisor and a world around it in which children fail, end, hang and come back, all of it chosen by a test.

The world carries out effects one by one, in any order and with any end, and checks at each step what must hold of every
strategy: whom a failure takes down, that they stop last to first and start first to last, one at a time, that delays
keep to their cap and restarts to their intensity, and that a backoff begins anew only after time and work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from lrm_actors.domain import supervisor as s
from lrm_actors.domain.behavior import CancelTimer, Command, Spec, StartTimer
from tests.domain.kit import Run

CHILDREN = tuple(f"actor:{name}" for name in "abcd")
POLICY = s.RestartPolicy(
    backoff_initial_s=1.0, backoff_max_s=5.0, jitter=0.5, intensity=3, period_s=30.0, reset_after_s=20.0
)
WAITS = (0.0, 0.5, 3.0, 15.0, 25.0)

Step = tuple[str, int]
"""What is tried, and which of those it can be done with."""
KINDS = (
    *("fail", "settle", "settle", "settle", "spoil", "due", "due", "wait", "end", "work", "fail early", "end early"),
    *("restart supervisor", "crash", "add", "remove", "terminate", "start", "hold all", "start all", "warned"),
)


def declared(strategy: str, children: Sequence[s.ChildSpec] | None = None, **options: Any) -> s.SupervisorSpec:
    """A supervisor of four children, or of these."""
    specs = tuple(s.ChildSpec(child) for child in CHILDREN) if children is None else tuple(children)
    supervision = s.Supervision(strategy, specs, **options)
    return s.spec(POLICY, name="supervisor/tested", supervision=supervision)


@attrs.define
class Real:
    """What a child really does, which its supervisor can only hear of."""

    up: bool = True
    worked: int = 0
    """Messages since it was last started."""
    up_since_s: float = 0.0
    attempt: int = 0
    """Of its last scheduled restart."""
    failed: bool = False
    """Since then, and not while it was being stopped anyway."""
    early: bool = False
    """It ran and is down again, and its supervisor has not heard yet that it ran."""


class SupervisedWorld:
    """Lives through steps, and raises ``AssertionError`` as soon as something is not as it must be."""

    def __init__(self, spec: Spec[s.SupervisorState]) -> None:
        self.run = Run.of(spec)
        self.real: dict[str, Real] = {}
        self.jobs: list[tuple[str, str]] = []
        """Effects that are being carried out: ``restart`` or ``hold``, and the child."""
        self.timers: dict[str, tuple[float, Command]] = {}
        self.restarts_s: list[float] = []
        self.told: list[s.NotifyParent] = []
        self.checks = 0
        self._in_doubt = False
        """It was restarted in place, so it does not know what is being carried out, and may have it done again."""
        self._declared = [child.id for child in getattr(spec, "supervision").children]  # noqa: B009 - a SupervisorSpec
        self._begin()

    def _begin(self) -> None:
        self.jobs.clear()
        self.timers.clear()
        self.real = {child: Real(up_since_s=self.run.seconds) for child in self._declared}
        self.tell(s.StartSupervising(tuple(self._declared), 1))

    # --- steps --------------------------------------------------------------------------------------------------

    def take(self, step: Step) -> None:
        """Try one step; nothing happens when it makes no sense just now."""
        kind, number = step
        steps: dict[str, Callable[[int], None]] = {
            "fail": lambda n: self._with(self._ups(), n, self.fail),
            "end": lambda n: self._with(self._ups(), n, self.end),
            "fail early": lambda n: self._with(self._restarts(), n, lambda job: self.early(job, self.fail)),
            "end early": lambda n: self._with(self._restarts(), n, lambda job: self.early(job, self.end)),
            "settle": lambda n: self._with(self.jobs, n, self.settle),
            "spoil": lambda n: self._with(self._restarts(), n, self.spoil),
            "due": lambda n: self._with(sorted(self.timers), n, self.due),
            "wait": lambda n: self._pass(WAITS[n % len(WAITS)]),
            "work": lambda n: self._with(self._ups(), n, self._work),
            "restart supervisor": lambda _: self.restart_supervisor(),
            "crash": lambda _: self.crash(),
            "add": lambda n: self._add(f"actor:{'abcdxy'[n % 6]}"),
            "remove": lambda n: self._with(sorted(self.run.state.children), n, self._remove),
            "terminate": lambda n: self._with(sorted(self.run.state.children), n, self._terminate),
            "start": lambda n: self._with(sorted(self.run.state.children), n, lambda one: self.tell(s.StartChild(one))),
            "hold all": lambda _: self.tell(s.HoldAll()),
            "start all": lambda _: self.tell(s.StartAll()),
            "warned": lambda _: self.tell(s.HostWarned()),
        }
        steps[kind](number)

    def fail(self, child: str) -> None:
        """A child that runs fails, and its guardian says so."""
        real = self.real[child]
        real.up, real.failed = False, real.failed or not self._is_going_down(child)
        self.tell(s.ReportFailure(child, "KeyError", "'x'", "Look", handled=real.worked))

    def end(self, child: str) -> None:
        """A child that runs is done."""
        real = self.real[child]
        real.up, real.failed = False, real.failed or not self._is_going_down(child)
        self.tell(s.ReportEnd(child, real.worked))

    def settle(self, job: tuple[str, str]) -> None:
        """What is being carried out comes to its end."""
        self.jobs.remove(job)
        kind, child = job
        real = self.real.setdefault(child, Real())
        if kind == "hold":
            real.up = False
            self.tell(s.HoldDone(child))
        else:
            real.worked, real.up_since_s = 0, self.run.seconds
            real.up, real.early = not real.early, False
            self.tell(s.RestartDone(child, 0.1))

    def early(self, job: tuple[str, str], goes_down: Callable[[str], None]) -> None:
        """A child that is being restarted runs and goes down again, and that is heard of before the restart's end."""
        real = self.real.setdefault(job[1], Real())
        if not real.early:
            real.early = True
            goes_down(job[1])

    def spoil(self, job: tuple[str, str]) -> None:
        """A restart fails."""
        self.jobs.remove(job)
        real = self.real.setdefault(job[1], Real(up=False))
        real.failed, real.early = True, False
        self.tell(s.RestartFailed(job[1], "OSError", "no display"))

    def due(self, key: str) -> None:
        """Time passes until a timer fires."""
        at_s, command = self.timers.pop(key)
        self.run.seconds = max(self.run.seconds, at_s)
        self.tell(command)

    def restart_supervisor(self) -> None:
        """It is restarted in place: its timers are gone, what it has done by others goes on."""
        self.timers.clear()
        self._in_doubt = True
        self.run.recover()
        self._look(())

    def crash(self) -> None:
        """The process dies, and the next one runs every child anew."""
        self.timers.clear()
        self._in_doubt = False
        self.run.recover()
        self._begin()

    def calm(self, rounds: int = 400) -> None:
        """Let everything that is under way succeed; then nothing is left to do, and nobody was forgotten."""
        for _ in range(rounds):
            if self.jobs:
                self.settle(self.jobs[0])
            elif self.timers:
                self.due(min(self.timers, key=lambda key: self.timers[key][0]))
            else:
                break
        else:
            msg = f"it does not come to rest: {self.jobs} {self.timers}"
            raise AssertionError(msg)
        state = self.run.state
        assert state.outage is None, f"{state.outage} is never over"
        rest = {"held", "stopped", "given_up", "absent"} if state.down else {"running", "stopped", "given_up", "absent"}
        for name, child in state.children.items():
            assert child.status in rest, f"{name} is forgotten: {child.status}, {state.down}"
            if child.status == "running" and name in self.real:
                assert self.real[name].up, f"{name} is down and said to run"

    # --- what follows -------------------------------------------------------------------------------------------

    def tell(self, command: Command) -> None:
        """Have the supervisor decide, and look at what it led to."""
        before = self.run.state
        events = self.run.tell(command, chance=0.99)
        self._look(events, before)

    def _look(self, events: Iterable[object], before: s.SupervisorState | None = None) -> None:
        for fact in events:
            self.checks += 1
            match fact:
                case s.RestartScheduled():
                    self._look_at_schedule(fact)
                case s.StoppingStarted(purpose="restart"):
                    self._look_at_members(fact, before or self.run.state)
                case s.ChildrenStarting():
                    self.restarts_s.clear()
        for effect in self.run.last.effects:
            match effect:
                case s.RestartChild(child):
                    self._look_at_start(child)
                    self._begin_job("restart", child)
                case s.HoldChild(child):
                    self._look_at_stop(child)
                    self._begin_job("hold", child)
                case s.StopChild(child):
                    self.real.pop(child, None)
                case s.ResumeChild(child):
                    self.real[child].up = True
                case StartTimer(key, delay_s, command):
                    self.timers[key] = (self.run.seconds + delay_s, command)
                case CancelTimer(key):
                    self.timers.pop(key, None)
                case s.NotifyParent():
                    self.told.append(effect)

    def _begin_job(self, kind: str, child: str) -> None:
        if (kind, child) not in self.jobs:
            self.jobs.append((kind, child))

    def _look_at_schedule(self, fact: s.RestartScheduled) -> None:
        assert 0.0 <= fact.delay_s <= POLICY.backoff_max_s, f"waits {fact.delay_s} s"
        now_s = self.run.seconds
        self.restarts_s = [*(at for at in self.restarts_s if now_s - at < POLICY.period_s), now_s]
        assert len(self.restarts_s) <= POLICY.intensity, f"{len(self.restarts_s)} restarts in one period"
        real = self.real.setdefault(fact.child, Real(up=False))
        stands_in = not real.failed  # for a sibling that failed and was removed since: the others still wait
        if fact.attempt < real.attempt or (fact.attempt == real.attempt and not stands_in):
            quiet_s = self.run.state.children[fact.child].last_failure_s - 1000.0 - real.up_since_s
            assert quiet_s >= POLICY.reset_after_s, f"the backoff began anew after {quiet_s} s"
            assert real.worked >= POLICY.reset_after_handled, "the backoff began anew without work"
        real.attempt, real.failed = fact.attempt, False

    def _look_at_members(self, fact: s.StoppingStarted, before: s.SupervisorState) -> None:
        order = self.run.state.order()
        up = [name for name in order if name in before.up()]  # a temporary one may be stopped in the same decision
        strategy = self.run.state.supervision.strategy
        assert list(fact.members) == [name for name in order if name in fact.members], "not in start order"
        if strategy == "one_for_all":
            assert list(fact.members) == up, f"{fact.members} of {up} for one_for_all"
        else:
            assert strategy == "rest_for_one", f"{strategy} takes siblings down"
            first = up.index(fact.members[0])
            assert list(fact.members) == up[first:], f"{fact.members} of {up} for rest_for_one"
            leftmost = fact.members[0]
            assert leftmost == fact.child or before.status(leftmost) != "running", "takes down who came before"

    def _look_at_stop(self, child: str) -> None:
        outage = self.run.state.outage
        assert outage is not None, f"{child} is stopped for nothing"
        if ("hold", child) in self.jobs and self._in_doubt:
            return  # the same once more
        assert not [job for job in self.jobs if job[1] != child and job[1] in outage.members], "two steps at once"
        later = outage.members[outage.members.index(child) + 1 :]
        running = [name for name in later if name in self.real and self.real[name].up and self._is_child(name)]
        assert not running, f"{child} is stopped before {running}"

    def _look_at_start(self, child: str) -> None:
        again = ("restart", child) in self.jobs
        assert not again or self._in_doubt, f"two restarts of {child}"
        outage = self.run.state.outage
        if outage is None or child not in outage.members or again:
            return
        others = [one for _, one in self.jobs if one != child and one in outage.members]
        others = [one for one in others if self.run.state.status(one) != "leaving"]  # it was removed meanwhile
        assert not others or self.run.state.supervision.strategy == "one_for_one", "two steps at once"
        earlier = outage.members[: outage.members.index(child)]
        waiting = [name for name in earlier if self.run.state.status(name) in {"held", "restarting", "holding"}]
        assert not waiting, f"{child} is started before {waiting}"

    # --- helpers ------------------------------------------------------------------------------------------------

    def _is_going_down(self, child: str) -> bool:
        outage = self.run.state.outage
        return outage is not None and outage.phase in {"warning", "stopping"} and child in outage.members

    def _is_child(self, name: str) -> bool:
        return self.run.state.status(name) not in {None, "absent", "leaving", "stopped", "given_up"}

    def _restarts(self) -> list[tuple[str, str]]:
        return [job for job in self.jobs if job[0] == "restart"]

    def _ups(self) -> list[str]:
        return [name for name, real in self.real.items() if real.up and self._is_child(name)]

    def _with(self, these: Sequence[Any], number: int, function: Callable[[Any], object]) -> None:
        if these:
            function(these[number % len(these)])

    def _pass(self, seconds: float) -> None:
        """Time passes, but no timer that is due is passed over."""
        due_s = min((at_s for at_s, _ in self.timers.values()), default=self.run.seconds + seconds)
        self.run.seconds = max(self.run.seconds, min(self.run.seconds + seconds, due_s))

    def _work(self, child: str) -> None:
        self.real[child].worked += 1

    def _add(self, child: str) -> None:
        before = self.run.state.status(child)
        self.tell(s.AddChild(child, s.ChildSpec(child)))
        if self.run.state.status(child) == "running" and before != "running":
            attempt = self.real[child].attempt if child in self.real else 0
            self.real[child] = Real(up_since_s=self.run.seconds, attempt=attempt)

    def _remove(self, child: str) -> None:
        self.tell(s.RemoveChild(child))

    def _terminate(self, child: str) -> None:
        self.tell(s.TerminateChild(child))
