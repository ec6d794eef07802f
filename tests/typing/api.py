"""Uses of the public words, to be type-checked and never run: what passes here has to keep passing."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import attrs

from eventstore import (
    Appended,
    Batch,
    EventReader,
    EventStore,
    Instant,
    MemoryStore,
    NewEvent,
    Record,
    StreamWrite,
    event,
    open_reader,
    open_store,
)
from lrm_actors import (
    NOT_HAPPENED,
    UNKNOWN,
    ActorSystem,
    Ask,
    CircuitBreaker,
    CircuitOpen,
    Command,
    Context,
    Decision,
    Happened,
    Host,
    LongRunningIntegration,
    LongRunningMode,
    LongRunningSettings,
    LrmError,
    Probe,
    Skip,
    Spec,
    StartTimer,
    Wire,
    then,
)
from lrm_actors.hosting.host import Component

# The store


@event("typing.noted", 1)
class Noted:
    text: str
    count: int = 1


noted = Noted("a", count=2)
text: str = noted.text


def keep(store: EventStore) -> int:
    done: Appended = store.append(Batch(writes=(StreamWrite("notes", (NewEvent(noted, cause=None),)),)))
    return done.last_position


def look(reader: EventReader) -> list[str]:
    return [record.type for record in reader.read(after=0, types=["typing.noted"])]


def stores(path: Path) -> None:
    with open_store(path, clock=lambda: Instant(0.0, 0.0, "boot")) as store:
        keep(store)
    with open_reader(path, unknown="placeholder") as reader:
        look(reader)
    keep(MemoryStore())


# Actors


@attrs.frozen
class State:
    notes: tuple[str, ...] = ()


@attrs.frozen
class Note(Command):
    text: str


def decide(state: State, command: Command, ctx: Context) -> Decision:
    match command:
        case Note(words):
            return then(Noted(words), effects=[StartTimer("again", 1.5, Note(words))], reply=len(state.notes))
    return Decision()


def evolve(state: State, event: object) -> State:
    return State((*state.notes, event.text)) if isinstance(event, Noted) else state


def from_noted(event: Noted, record: Record) -> Command | None:
    return Note(event.text) if record.depth < 3 else None


async def actors(store: EventStore) -> int:
    spec: Spec[State] = Spec("notes", State(), decide, evolve, snapshot_every=100)
    system = ActorSystem(store, [spec], wires=[Wire(Noted, to="notes", make=from_noted)])
    system.start()
    system.tell("notes", Note("a"), command_id="once")
    system.ask_blocking("notes", Note("b"), timeout_s=2.0)
    await system.ask("notes", Note("c"))
    return system.stop(deadline_s=1.0).exit_code


# The mode


def settings() -> LongRunningSettings:
    made = LongRunningSettings(enable_long_running_mode=True, checkpoint_dir=Path("here"), memory_budget_mb=None)
    made.cpu_threshold_warning = 70.0
    made.update(max_checkpoints=5, enable_modes=False)
    stop = made.observe(lambda field, old, new: None)
    stop()
    path: Path = made.log_path
    return LongRunningSettings.load(agent_id=path.name)


class Agent:
    async def capture(self) -> Any:
        return {"n": 1}

    def restore(self, state: Any) -> None: ...

    def components(self) -> Iterable[Component]:
        return [Component("browser", restart=lambda: None, heartbeat_timeout_s=5.0)]

    async def gate(self, mode: str) -> None: ...


host: Host = Agent()


async def asynchronous() -> int | None:
    async with LongRunningMode(settings(), host, predecessor_exit=-9) as mode:
        mode.register_component("browser", restart=lambda: None, exit_status=lambda: None)
        mode.heartbeat("browser")
        mode.capture_with(dict, version=2, shared=["inbox"], redact=dict, changes="marks")
        mode.restore_with(print, upcasters={1: dict})
        mode.changed("history", 12)
        restored: bool = await mode.recover_from_checkpoint()
        if restored and mode.last_recovery is not None and mode.last_recovery.in_doubt is not None:
            number: int = mode.last_recovery.in_doubt.step
            print(number, [step.result for step in mode.last_recovery.steps])
        async with mode.step("work") as step:
            step.result = {"step": step.number, "again": step.repeated, "attempt": step.attempt}
        strategy: str = await mode.handle_failure(LrmError("no"), {"component": "browser"})
        checkpoint: str = await mode.take_checkpoint(reason=strategy)
        ids: list[str] = await mode.checkpointer.list_checkpoints()
        document: dict[str, Any] = await mode.checkpointer.preview(checkpoint)
        paths: list[str] = [change.where for change in await mode.checkpointer.diff(ids[-1], ids[0], limit=10)]
        pinned: bool = (await mode.checkpointer.describe(checkpoint)).pinned
        await mode.checkpointer.pin(checkpoint, "why")
        await mode.checkpointer.unpin(checkpoint)
        gone: list[str] = await mode.checkpointer.prune(dry_run=False, max_checkpoints=3, max_age_s=3600.0)
        print(document, paths, pinned, gone)
        report: dict[str, Any] = await mode.get_health_report()
        runs: bool = mode.should_run("thumbnails", "sheddable")
        later: Future[Any] = mode.defer("thumbnails", len, "abc", criticality="sheddable_plus")
        async with mode.work("look", "critical", wait_s=1.0):
            shot: bytes = mode.sheddable("shot", instead=b"")(bytes)()
        mode.free_memory_with("caches", print)
        mode.pin_mode("minimal", for_s=60.0, reason="the site is moved")
        mode.unpin_mode()
        print(checkpoint, ids, report, runs, mode.operation_mode, mode.circuit_breakers, later, shot)
    return mode.exit_code


async def once() -> None:
    async with LongRunningMode(settings()) as mode:

        @mode.task("report", key=lambda city, *, days: f"{city} {days}")
        async def report(city: str, *, days: int) -> list[str]:
            async with mode.step("report", at=1, of=2) as step:
                step.progress = "half"
                step.forget_effects()
            await mode.sleep(1.5, "pause")
            sent: Any = await mode.effect("send", lambda: city, policy=Ask(), given={"city": city})
            await mode.effect("look", lambda key: key, policy=Probe(lambda: Happened(sent), otherwise=Skip(days)))
            await mode.effect("look again", report, policy=lambda key: NOT_HAPPENED if key else UNKNOWN)
            return [sent]

        lines: list[str] = await report("Oslo", days=2)
        print(lines)


def once_blocking() -> None:
    with LongRunningMode(settings()) as mode:

        @mode.task("report", key="first")
        def report(city: str) -> list[str]:
            mode.sleep(1.5, "pause")
            return [str(mode.effect("send", lambda: city))]

        lines: list[str] = report("Oslo")
        print(lines)


def blocking() -> None:
    with LongRunningMode(settings()) as mode:
        restored: bool = mode.recover_from_checkpoint()
        found: dict[str, Any] | None = mode.last_recovery.document if mode.last_recovery is not None else None
        print(found, mode.checkpointer.prune(), mode.checkpointer.describe("a").parent)
        with mode.step("work") as step:
            step.result = restored
        report: dict[str, Any] = mode.get_health_report()
        strategy: str = mode.handle_failure(ValueError("no"), {})
        print(report, strategy, mode.take_checkpoint())


async def integration() -> None:
    served = LongRunningIntegration(settings(), host)
    ready: bool = await served.initialize()
    await served.start_monitoring()
    strategy: str = await served.handle_component_failure("browser", ValueError("no"))
    checkpoint: str | None = await served.create_emergency_checkpoint("by hand")
    recovered: bool = await served.attempt_recovery(checkpoint)
    report: dict[str, Any] = await served.get_health_status()
    await served.stop_monitoring()
    print(ready, strategy, recovered, report)


# The guard


async def guarded(breaker: CircuitBreaker) -> float:
    async def fetch(url: str) -> bytes:
        return url.encode()

    def read(url: str) -> str:
        return url

    @breaker
    async def decorated(n: int) -> str:
        return str(n)

    try:
        body: bytes = await breaker.call(fetch, "https://example.org")
        page: str = breaker.call_blocking(read, "https://example.org")
        word: str = await decorated(1)
        async with breaker:
            print(body, page, word)
        with breaker:
            print(breaker.state, breaker.failure_count, breaker.generation)
    except CircuitOpen as rejected:
        return rejected.retry_after_s
    return 0.0
