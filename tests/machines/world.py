"""The whole system as a test can hold it: every actor on a real log, with fake hands for the effects, and one witness.

The witness, ``tally``, is wired to everything that anybody is wired to and puts each delivery on record, so that the
log itself says whether a wired event was lost or came twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from eventstore.codec import decode_state
from eventstore.events import event, name_of
from eventstore.opening import open_store
from eventstore.protocol import EventReader
from eventstore.store import SqliteStore
from lrm_actors.domain import analyzer, breaker, checkpointer, journal, modes, monitor, supervisor
from lrm_actors.domain.behavior import Command, Context, Decision, Spec, Wire, then
from lrm_actors.errors import CommandRefused
from lrm_actors.runtime.clock import Clock, ManualClock
from lrm_actors.runtime.recovery import recover_state
from lrm_actors.runtime.shell import Shell
from lrm_actors.runtime.system import ActorSystem
from lrm_actors.wiring import WIRES

PATIENCE_S = 30.0
"""How long a test waits for what must happen; only a failing test waits this long."""
SETTLING_ROUNDS = 2000
"""Looks at a system after which it is said never to come to rest."""
SERVICE = "breaker/llm"
BROWSER = "supervisor/browser"
TABS = tuple(f"component:tab-{name}" for name in "abc")


# --- the witness --------------------------------------------------------------------------------------------------


@event("tallying.delivered", 1)
class Delivered:
    position: int


@attrs.frozen
class Tally:
    count: int = 0
    last: int = 0


@attrs.frozen
class Deliver(Command):
    position: int


@attrs.frozen
class Fall(Command):
    """Fail while deciding."""


@attrs.frozen
class Nothing(Command):
    """Goes through a mailbox and changes nothing: once it is answered, everything before it was handled."""


def _decide(state: Tally, command: Any, _ctx: Context) -> Decision:
    match command:
        case Deliver(position=position):
            return then(Delivered(position), reply=state.count + 1)
        case Fall():
            msg = "it fell"
            raise ValueError(msg)
    return then()


def _evolve(state: Tally, fact: Any) -> Tally:
    return Tally(state.count + 1, fact.position)


def tally() -> Spec[Tally]:
    """The witness."""
    return Spec("tally", Tally(), _decide, _evolve)


WITNESSED = tuple(dict.fromkeys((*(wire.event for wire in WIRES), journal.StepCommitted, journal.StepBegun)))
"""Every event that is wired to anybody, and two that are wired to nobody else."""
ALL_WIRES: tuple[Wire, ...] = (
    *WIRES,
    *(Wire(kind, to="tally", make=lambda _fact, record: Deliver(record.position)) for kind in WITNESSED),
)


def specs(snapshot_every: int = 3) -> list[Spec[Any]]:
    """Every actor there is, with snapshots after so many events, 0 for none."""
    ours: list[Spec[Any]] = [module.spec() for module in (supervisor, monitor, analyzer, checkpointer, modes, journal)]
    others = (breaker.spec("llm"), browser(), tally())
    when = [spec.snapshot_when if snapshot_every else None for spec in (*ours, *others)]
    return [
        attrs.evolve(spec, snapshot_every=snapshot_every, snapshot_when=also)
        for spec, also in zip((*ours, *others), when, strict=True)
    ]


def browser() -> Spec[Any]:
    """A supervisor below the root, of components that fail together."""
    children = [supervisor.ChildSpec(child) for child in TABS]
    children[2] = supervisor.ChildSpec(TABS[2], "temporary", significant=True)
    declared = supervisor.Supervision("one_for_all", tuple(children), auto_shutdown="all_significant")
    return supervisor.spec(name=BROWSER, supervision=declared)


NAMES = tuple(spec.name for spec in specs())


# --- the hands ----------------------------------------------------------------------------------------------------


@attrs.define
class Hands:
    """Carries out effects without touching the world: what each comes to is set by the test."""

    metrics: monitor.Metrics = attrs.Factory(lambda: monitor.Metrics(cpu_percent=10.0, memory_percent=20.0))
    restarts_work: bool = True
    captures_work: bool = True
    done: list[Any] = attrs.Factory(list)
    """Every effect that was carried out."""

    def handlers(self) -> dict[Any, Callable[[Any], Command | None]]:
        """By effect type; actors are restarted by their system, so ``bind`` comes first for those."""
        return {
            monitor.TakeSample: lambda _: monitor.RecordSample(self.metrics),
            monitor.CheckHeartbeats: lambda _: monitor.RecordObservations(()),
            checkpointer.CaptureState: self._capture,
            supervisor.ClearChildCaches: lambda effect: supervisor.CachesDone(effect.child),
            breaker.PublishBreaker: lambda _: None,
        }

    def restart(self, effect: supervisor.RestartChild) -> Command:
        """A component is back at once, or cannot be brought back."""
        if self.restarts_work:
            return supervisor.RestartDone(effect.child, 0.25)
        return supervisor.RestartFailed(effect.child, "OSError", "cannot start")

    def _capture(self, effect: checkpointer.CaptureState) -> Command:
        if not self.captures_work:
            return checkpointer.CaptureFailed(effect.checkpoint_id, "OSError", "cannot capture")
        data = effect.checkpoint_id.encode()
        return checkpointer.StoreCheckpoint(
            effect.checkpoint_id, effect.kind, effect.reason, data, "digest", len(data), 0, effect.hints
        )


class World:
    """One life of a process: a store, a system over it, and the hands.

    Args:
        directory: where the log is.
        clock: owned by the test, or the machine's.
        snapshot_every: events between snapshots.
        actors: these instead of all of them.
        wires: this table instead of ours with the witness in it.
        start: begin at once.
        questions: what may be asked of an actor without changing anything, where it does not take ``Nothing``.
        options: for ``open_store``.
    """

    def __init__(
        self,
        directory: Path,
        clock: Clock | None = None,
        *,
        snapshot_every: int = 3,
        actors: Sequence[Spec[Any]] | None = None,
        wires: Sequence[Wire] = ALL_WIRES,
        start: bool = True,
        questions: Mapping[str, Command] | None = None,
        **options: Any,
    ) -> None:
        self.directory = directory
        self.clock: Clock = clock if clock is not None else ManualClock()
        self.hands = Hands()
        self._questions = questions or {}
        self.specs = list(specs(snapshot_every) if actors is None else actors)
        self.store: SqliteStore = open_store(directory / "lrm.db", clock=self.clock.now, **options)
        self.system = ActorSystem(
            self.store, self.specs, wires=wires, handlers=self._handlers(), clock=self.clock, name="world"
        )
        # Chance is the test's as well, so that a run can be had again.
        self.system._services = attrs.evolve(self.system._services, random=lambda: 0.5)
        self._in_flight = 0
        self._counting = threading.Lock()
        self._count_effects()
        if start:
            self.begin()

    def begin(self) -> None:
        """Start the system, and announce the process as a host does."""
        self.system.start()
        if any(spec.name == supervisor.NAME for spec in self.specs):
            children = tuple(f"actor:{spec.name}" for spec in self.specs)
            self.ask(supervisor.NAME, supervisor.StartSupervising((*children, "component:browser"), 1))

    def ask(self, name: str, command: Command, **options: Any) -> Any:
        """Ask an actor, with patience."""
        return self.system.ask_blocking(name, command, timeout_s=PATIENCE_S, **options)

    def try_to(self, name: str, command: Command) -> bool:
        """Ask an actor for something that it may refuse; whether it did not."""
        try:
            self.ask(name, command)
        except CommandRefused:
            return False
        return True

    def close(self) -> None:
        """Stop in order and let go of the log."""
        self.system.stop(deadline_s=PATIENCE_S)
        self.store.close()

    # --- coming to rest -------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Wait until nothing is under way: no message, no effect, no wired event, no actor that waits for a restart."""
        pause = threading.Event()
        calm_at: int | None = None
        for _ in range(SETTLING_ROUNDS):
            self._go_through_all()
            head = self.store.head
            if self._calm() and calm_at == head:
                return
            calm_at = head if self._calm() else None
            if calm_at is None:
                if any(shell.phase == "failed" for shell in self._shells()) and isinstance(self.clock, ManualClock):
                    self.clock.advance(1.0)
                pause.wait(0.0005)
        msg = f"the system does not come to rest: {self.system.statistics()}"
        raise AssertionError(msg)

    def _go_through_all(self) -> None:
        self.system._guardian.ask(object(), timeout=PATIENCE_S)
        for shell in self._shells():
            name = shell.spec.name
            if shell.phase == "running":
                try:
                    self.system.ask_blocking(name, self._questions.get(name, Nothing()), timeout_s=0.5)
                except Exception:
                    continue  # refused, or it failed meanwhile: the next look tells

    def _calm(self) -> bool:
        return self._in_flight == 0 and all(_is_calm(shell) for shell in self._shells())

    def _shells(self) -> list[Shell]:
        return list(self.system._shells.values())

    def _count_effects(self) -> None:
        submit = self.system._workers.submit

        def counted(job: Callable[[], object]) -> None:
            with self._counting:
                self._in_flight += 1

            def run() -> None:
                try:
                    job()
                finally:
                    with self._counting:
                        self._in_flight -= 1

            submit(run)

        self.system._workers.submit = counted  # type: ignore[method-assign]  # one instance, in a test

    def _handlers(self) -> dict[Any, Callable[[Any], Command | None]]:
        def restart(effect: supervisor.RestartChild) -> Command | None:
            if effect.child.startswith("actor:"):
                return self.system.tree.handlers()[supervisor.RestartChild](effect)
            return self.hands.restart(effect)

        def remembered(handle: Callable[[Any], Command | None]) -> Callable[[Any], Command | None]:
            def carry_out(effect: Any) -> Command | None:
                self.hands.done.append(effect)
                return handle(effect)

            return carry_out

        table = {**self.hands.handlers(), supervisor.RestartChild: restart}
        return {kind: remembered(handle) for kind, handle in table.items()}


def _is_calm(shell: Shell) -> bool:
    mailbox = shell.mailbox
    if shell.phase == "stopped":
        return True
    waiting = mailbox.depth() or mailbox._woken or mailbox._control.qsize() or mailbox.in_hand
    return shell.phase == "running" and not waiting and not shell._consumer.behind


# --- what must hold -----------------------------------------------------------------------------------------------


def folded(reader: EventReader, spec: Spec[Any]) -> list[Any]:
    """The state at each version, folded from the beginning."""
    states = [spec.initial]
    for record in reader.read_stream(spec.name):
        state = states[-1]
        for fact in record.events:
            state = spec.evolve(state, fact)
        states.append(state)
    return states


def check_folds(reader: EventReader, actors: Sequence[Spec[Any]]) -> None:
    """Recovery gives the folded state, and so does every kept snapshot with what came after it."""
    for spec in actors:
        states = folded(reader, spec)
        assert (states[-1], len(states) - 1) == recover_state(reader, spec), f"{spec.name}: recovered otherwise"
        version = len(states) - 1
        while (kept := reader.snapshot(spec.name, schema=spec.state_schema, up_to=version)) is not None:
            assert states[kept.version] == decode_state(kept.data, type(spec.initial)), (
                f"{spec.name}: the snapshot at version {kept.version} is not the fold of {kept.version} events"
            )
            version = kept.version - 1


def check_deliveries(
    reader: EventReader, *, all_of_them: bool, kinds: Sequence[type] = WITNESSED, names: Sequence[str] = NAMES
) -> None:
    """The witness has each wired event once, in log order; all of them once the system has come to rest."""
    wired = [record.position for record in reader.read(types=[name_of(kind) for kind in kinds])]
    seen = [record.event.position for record in reader.read_stream("tally")]
    assert wired[: len(seen)] == seen, f"delivered {seen}, wired {wired}"
    if all_of_them:
        assert wired == seen, f"not delivered: {wired[len(seen) :]}"
    streams = ["", *(record.stream for record in reader.read())]
    for name in names:
        causes = [record.cause or 0 for record in reader.read_stream(name)]
        from_others = [cause for cause in causes if streams[cause] not in ("", name)]
        assert len(from_others) == len(set(from_others)), f"{name} acted twice on one of {from_others}"


def check_log(reader: EventReader, names: Sequence[str] = NAMES) -> None:
    """Nothing is damaged or missing, and no cursor is ahead of the log."""
    verification = reader.verify()
    assert verification.ok, verification.problems
    positions = [record.position for record in reader.read()]
    assert list(range(1, len(positions) + 1)) == positions
    for name in names:
        assert (reader.cursor(name) or 0) <= reader.head, f"the cursor of {name} is ahead of the log"
