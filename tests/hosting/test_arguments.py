"""Whatever a host hands over, or asks over the socket: a typed error or an answer, and no actor fails on it."""

from __future__ import annotations

import asyncio
import enum
import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.errors import EventStoreError
from lrm_actors.domain.breaker_config import BreakerConfig
from lrm_actors.domain.rules import Rule
from lrm_actors.errors import ActorStopped, AskTimeout, HandlerFailed, LrmError, SettingsError
from lrm_actors.hosting.owner.commands import FAILED_HINT
from lrm_actors.integration import LongRunningIntegration
from lrm_actors.mode import LongRunningMode
from tests.mode_kit import DEADLINE_S, records, settings
from tests.runtime.support import eventually


class Word(enum.StrEnum):
    """Texts that are more than that."""

    ONE = "one"


THROWN: dict[str, Any] = {
    "a number": 7,
    "nothing": None,
    "bytes": b"x",
    "a list": ["x"],
    "a lone surrogate": "\ud800",
    "a long text": "x" * 10_000,
    "not a number": math.nan,
    "below zero": -1,
    "true": True,
    "without end": math.inf,
    "beyond floats": 10**400,
    "a member": Word.ONE,
    "an object": object(),
}
NEVER = (HandlerFailed, ActorStopped, AskTimeout)
"""What no argument of the host's may lead to."""
STATE = {"page": 7}


class World:
    """A mode that runs, and a checkpoint in its log."""

    harmed = False
    """Until it was checked."""

    def __init__(self, directory: Path) -> None:
        self.mode = LongRunningMode(settings(directory, enable_auto_recovery=False, monitoring_interval=1.0))
        self.blocking = self.mode.blocking
        self.blocking.start_monitoring()
        self.calm()
        self.first = self.blocking.take_checkpoint("first")

    def calm(self) -> None:
        """As it was, whatever was accepted."""
        self.blocking.capture_with(lambda: STATE)
        self.blocking.restore_with(lambda state: None)
        self.blocking.classify_with([])
        self.blocking.go_on()

    def step(self, *args: Any, **kwargs: Any) -> None:
        """One step without an event loop."""
        with self.blocking.step(*args, **kwargs) as step:
            step.forget_effects()
            step.result = 1

    def step_in_a_loop(self, *args: Any, **kwargs: Any) -> None:
        """The same with one."""

        async def run() -> None:
            async with self.mode.step(*args, **kwargs) as step:
                step.forget_effects()
                step.result = 1

        asyncio.run(run())

    def effect(self, *args: Any, **kwargs: Any) -> Any:
        """One effect in a step of its own."""
        with self.blocking.step("effect") as step:
            step.forget_effects()
            step.result = None
            return self.blocking.effect(*args, **kwargs)

    def result(self, value: Any) -> None:
        """A step with this result, and with this to say of how far it is."""
        with self.blocking.step("result") as step:
            step.forget_effects()
            step.progress = step.result = value

    def asked(self, command: str, **arguments: Any) -> None:
        """What somebody asks over the socket. Raises what is answered."""
        try:
            request = json.dumps({"command": command, "arguments": arguments}).encode()
        except TypeError:
            return
        running = self.mode._engine.running
        assert running is not None
        reply = json.loads(running.commands.answer(request))
        if not reply["ok"]:
            error = reply["error"]
            assert error["hint"] != FAILED_HINT, error
            assert error["code"] not in {one.code for one in NEVER}, error
            raise SettingsError("arguments", arguments, error["message"])

    def is_at_rest(self, name: str) -> bool:
        """Whether an actor has done what it was told."""
        actor = self.blocking.inspection.get_status(name)
        return not actor.mailbox.depth and actor.in_hand is None

    def all_run(self) -> bool:
        """Whether none is only just starting, or does not run any more."""
        actors = self.blocking.get_health_report()["actors"]
        return {one["status"] for one in actors.values()} == {"running"}

    def check(self) -> None:
        """No actor has failed; a step, an effect and a checkpoint are taken as ever."""
        self.calm()
        look = self.blocking.inspection
        names = list(self.blocking.get_health_report()["actors"])
        for name in names:
            eventually(partial(self.is_at_rest, name), f"{name} at rest")
        self.step("a valid one")
        assert self.effect("a valid one", lambda: 5) == 5
        assert self.blocking.take_checkpoint("a valid one") in self.blocking.checkpointer.list_checkpoints()
        assert {name: look.statistics(name).failures for name in names} == dict.fromkeys(names, 0)
        report = self.blocking.get_health_report()
        assert {name: one["restarts"] for name, one in report["actors"].items()} == dict.fromkeys(report["actors"], 0)
        eventually(self.all_run, "every actor that was added")
        assert records(self.blocking, "supervisor.child_failed") == []
        self.harmed = False


@pytest.fixture(scope="module")
def worlds() -> Iterator[list[World]]:
    """The one that is there."""
    there: list[World] = []
    yield there
    for one in there:
        one.blocking.stop_monitoring()


@pytest.fixture
def world(worlds: list[World], tmp_path: Path) -> World:
    """One for all, for what is given must do it no harm; another one where it did."""
    if worlds and worlds[0].harmed:
        worlds.pop().blocking.stop_monitoring()
    if not worlds:
        worlds.append(World(tmp_path))
    worlds[0].harmed = True
    return worlds[0]


def unstarted(directory: Path, **more: Any) -> LongRunningMode:
    """A mode that is not started."""
    return LongRunningMode(settings(directory), **more)


def suspended(world: World, name: Any, timeout_s: Any = 5.0) -> None:
    """Hold an actor, and let it go."""
    world.blocking.inspection.suspend(name, timeout_s=timeout_s)
    world.blocking.inspection.resume(name)


def traced(world: World, *args: Any, **kwargs: Any) -> None:
    """Trace, and end it."""
    world.blocking.inspection.trace(*args, **kwargs)
    world.blocking.inspection.stop_trace()


def kept(value: Any) -> Any:
    """A durable function's result, and its argument."""
    return value


def unpinned(world: World, reason: Any) -> None:
    """Hold a mode, and let go of it."""
    world.blocking.pin_mode("normal")
    world.blocking.unpin_mode(reason)


def pruned(rule: str, world: World, value: Any) -> None:
    """Prune by one rule."""
    world.blocking.checkpointer.prune(dry_run=False, **{rule: value})


def with_policy(field: str, world: World, value: Any) -> None:
    """A breaker whose policy has this in a field."""
    world.blocking.get_circuit_breaker("s", BreakerConfig(**{field: value}))


def asked_to_trace(world: World, actors: Any) -> None:
    """Have somebody traced, and end it."""
    world.asked("trace", do="start", actors=actors, bodies=True)
    world.asked("trace", do="stop")


Entry = Callable[[World, Any], Any]

STEPS: dict[str, Entry] = {
    "a step's name": lambda w, v: w.step(v),
    "a step's name in a loop": lambda w, v: w.step_in_a_loop(v),
    "a step's place": lambda w, v: w.step("s", at=v, of=10),
    "a step's count": lambda w, v: w.step("s", of=v),
    "a step's result": lambda w, v: w.result(v),
    "an effect's name": lambda w, v: w.effect(v, int),
    "an effect's function": lambda w, v: w.effect("e", v),
    "an effect's result": lambda w, v: w.effect("e", lambda: v),
    "an effect's policy": lambda w, v: w.effect("e", int, policy=v),
    "what an effect is given": lambda w, v: w.effect("e", int, given=v),
    "a sleep's key": lambda w, v: w.blocking.sleep(0.0, v),
    "a sleep's key in a loop": lambda w, v: asyncio.run(w.mode.sleep(0.0, v)),
    "a sleep's time": lambda w, v: w.blocking.sleep(0 if v == 7 else v, "k"),
    "a task's name": lambda w, v: w.blocking.task(v)(lambda: 1)(),
    "a task's key": lambda w, v: w.blocking.task("t", key=v)(lambda: 1)(),
    "what a task's key gives": lambda w, v: w.blocking.task("t", key=lambda: v)(lambda: 1)(),
    "a task's argument and result": lambda w, v: w.blocking.task("u", key=type(v).__name__)(kept)(v),
    "a task's function": lambda w, v: w.blocking.task("t")(v),
}
CHECKPOINTS: dict[str, Entry] = {
    "a checkpoint's reason": lambda w, v: w.blocking.take_checkpoint(v),
    "a checkpoint's kind": lambda w, v: w.blocking.take_checkpoint(kind=v),
    "an emergency's reason": lambda w, v: asyncio.run(w.mode.take_checkpoint(v, kind="emergency")),
    "what is recovered from": lambda w, v: w.blocking.recover_from_checkpoint(v),
    "what is described": lambda w, v: w.blocking.checkpointer.describe(v),
    "what is previewed": lambda w, v: w.blocking.checkpointer.preview(v),
    "what is compared": lambda w, v: w.blocking.checkpointer.diff(w.first, v),
    "how much is compared": lambda w, v: w.blocking.checkpointer.diff(w.first, w.first, limit=v),
    "what is pinned": lambda w, v: w.blocking.checkpointer.pin(v),
    "why it is pinned": lambda w, v: w.blocking.checkpointer.pin(w.first, v),
    "why it is unpinned": lambda w, v: w.blocking.checkpointer.unpin(w.first, v),
    "why is pruned": lambda w, v: w.blocking.checkpointer.prune(dry_run=False, max_checkpoints=40, reason=v),
    "whether it is pruned": lambda w, v: w.blocking.checkpointer.prune(dry_run=v),
    **{
        f"pruned by {rule}": partial(pruned, rule)
        for rule in ("max_checkpoints", "max_emergency", "max_age_s", "keep_hourly_h", "keep_daily_days")
    },
}  # fmt: skip
WORDS: dict[str, Entry] = {
    "a failure": lambda w, v: w.blocking.handle_failure(v),
    "a failure's context": lambda w, v: w.blocking.handle_failure(ValueError("x"), v),
    "a failure's component": lambda w, v: w.blocking.handle_failure(ValueError("x"), {"component": v}),
    "a failure's step": lambda w, v: w.blocking.handle_failure(ValueError("x"), {"step": v}),
    "a component's name": lambda w, v: w.blocking.register_component(v, restart=int),
    "a component's restart": lambda w, v: w.blocking.register_component("c", restart=v),
    "a component's caches": lambda w, v: w.blocking.register_component("c", restart=int, clear_caches=v),
    "a component's silence": lambda w, v: w.blocking.register_component("c", restart=int, heartbeat_timeout_s=v),
    "a component's exit status": lambda w, v: w.blocking.register_component("c", restart=int, exit_status=v),
    "a component's pid": lambda w, v: w.blocking.register_component("c", restart=int, pid=v),
    "whose heartbeat": lambda w, v: w.blocking.heartbeat(v),
    "how critical it is": lambda w, v: w.blocking.should_run("w", v),
    "a gate's name": lambda w, v: w.blocking.work(v),
    "a gate's criticality": lambda w, v: w.blocking.work("w", v),
    "a gate's wait": lambda w, v: w.blocking.work("w", wait_s=v),
    "what is left out": lambda w, v: w.blocking.sheddable(v)(int),
    "how critical what is left out is": lambda w, v: w.blocking.sheddable("w", v)(int),
    "what is put off": lambda w, v: w.blocking.defer(v, int, criticality="critical_plus").result(DEADLINE_S),
    "how it is done": lambda w, v: w.blocking.defer("w", v),
    "how critical what is put off is": lambda w, v: w.blocking.defer("w", int, criticality=v),
    "a mode": lambda w, v: w.blocking.pin_mode(v),
    "how long a mode is held": lambda w, v: w.blocking.pin_mode("normal", for_s=v),
    "why a mode is held": lambda w, v: w.blocking.pin_mode("normal", reason=v),
    "why it is let go of": unpinned,
    "why it goes on": lambda w, v: w.blocking.go_on(v),
    "who is called": lambda w, v: w.blocking.call_with(v),
    "what gives memory back": lambda w, v: w.blocking.free_memory_with(v, int),
    "how memory is given back": lambda w, v: w.blocking.free_memory_with("m", v),
    "how a state is captured": lambda w, v: w.blocking.capture_with(v),
    "a state's version": lambda w, v: w.blocking.capture_with(dict, version=v),
    "what is shared": lambda w, v: w.blocking.capture_with(dict, shared=v),
    "what is left out of it": lambda w, v: w.blocking.capture_with(dict, redact=v),
    "how changes are found": lambda w, v: w.blocking.capture_with(dict, changes=v),
    "what changed": lambda w, v: w.blocking.changed(v),
    "how a state is restored": lambda w, v: w.blocking.restore_with(v),
    "how it is upcast": lambda w, v: w.blocking.restore_with(print, upcasters=v),
    "from what it is upcast": lambda w, v: w.blocking.restore_with(print, upcasters={1: v}),
    "how steps are taken up": lambda w, v: w.blocking.replay_with(v) if v is not None else None,
    "rules": lambda w, v: w.blocking.classify_with(v),
    "a rule's category": lambda w, v: w.blocking.classify_with([Rule(category=v, names="X")]),
    "a rule's names": lambda w, v: w.blocking.classify_with([Rule(category="network", names=v)]),
    "a rule's statuses": lambda w, v: w.blocking.classify_with([Rule(category="network", statuses=v)]),
    "how long a stop may take": lambda w, v: unstarted(w.mode.settings.log_path.parent).blocking.stop_monitoring(v),
    "how long a stop may take in a loop": lambda w, v: asyncio.run(
        unstarted(w.mode.settings.log_path.parent).stop_monitoring(v)),
    "settings": lambda w, v: LongRunningMode(v),
    "settings of an integration": lambda w, v: LongRunningIntegration(v),
    "a host": lambda w, v: unstarted(w.mode.settings.log_path.parent, host=v),
    "how the process before ended": lambda w, v: unstarted(w.mode.settings.log_path.parent, predecessor_exit=v),
    "what is done when exhausted": lambda w, v: unstarted(w.mode.settings.log_path.parent, on_exhausted=v),
}  # fmt: skip
BREAKERS: dict[str, Entry] = {
    "a service": lambda w, v: w.blocking.get_circuit_breaker(v),
    "a policy": lambda w, v: w.blocking.get_circuit_breaker("s", v),
    "a family": lambda w, v: w.blocking.get_circuit_breakers(v),
    "a family's policy": lambda w, v: w.blocking.get_circuit_breakers("f", v)["k"],
    "a family's limit": lambda w, v: w.blocking.get_circuit_breakers(f"f {v!r}"[:50], limit=v),
    "a family's key": lambda w, v: w.blocking.get_circuit_breakers("f")[v],
    "what is forced": lambda w, v: w.blocking.get_circuit_breaker("s").force(v, "x"),
    "why it is forced": lambda w, v: w.blocking.get_circuit_breaker("s").force("closed", v),
    "how long it is forced": lambda w, v: w.blocking.get_circuit_breaker("s").force("disabled", "x", for_s=v),
    "how it is configured": lambda w, v: w.blocking.get_circuit_breaker("s").configure(v),
    "how long a call may take": lambda w, v: w.blocking.get_circuit_breaker("s").using(timeout_s=v),
    "what stands in for a call": lambda w, v: w.blocking.get_circuit_breaker("s").using(fallback=v),
    "what is no failure": lambda w, v: w.blocking.get_circuit_breaker("s").using(ignore=v),
    **{
        f"a policy's {field.name}": partial(with_policy, field.name)
        for field in attrs.fields(BreakerConfig)
    },
}  # fmt: skip
LOOKS: dict[str, Entry] = {
    "whose state": lambda w, v: w.blocking.inspection.get_state(v),
    "whose status": lambda w, v: w.blocking.inspection.get_status(v),
    "who is suspended": suspended,
    "how long suspending may take": lambda w, v: suspended(w, "modes", 5 if v == 7 else v),
    "who is resumed": lambda w, v: w.blocking.inspection.resume(v),
    "who is traced": traced,
    "how much is traced": lambda w, v: traced(w, keep=v),
    "how much of it is shown": lambda w, v: w.blocking.inspection.traced(v),
    "who is dumped": lambda w, v: w.blocking.inspection.dump(v),
}
ASKED: dict[str, Entry] = {
    "asked: whom to dump": lambda w, v: w.asked("dump", actor=v),
    "asked: whom to trace": asked_to_trace,
    "asked: what to trace": lambda w, v: w.asked("trace", do=v),
    "asked: after what": lambda w, v: w.asked("trace", do="read", after=v),
    "asked: what to send again": lambda w, v: w.asked("resend", letter=v),
    "asked: what to pin": lambda w, v: w.asked("pin_checkpoint", checkpoint_id=v, pinned=True, reason="x"),
    "asked: whether to pin": lambda w, v: w.asked("pin_checkpoint", checkpoint_id=w.first, pinned=v, reason="x"),
    "asked: why to pin": lambda w, v: w.asked("pin_checkpoint", checkpoint_id=w.first, pinned=True, reason=v),
    "asked: why to prune": lambda w, v: w.asked("prune_checkpoints", max_checkpoints=40, reason=v),
    "asked: how many to prune": lambda w, v: w.asked("prune_checkpoints", max_checkpoints=v, reason="x"),
    "asked: how old to prune": lambda w, v: w.asked("prune_checkpoints", max_age_s=v, reason="x"),
    "asked: what to settle": lambda w, v: w.asked("settle_effect", effect=v, outcome="done", how="x"),
    "asked: how to settle": lambda w, v: w.asked("settle_effect", effect="1/e", outcome=v, how="x"),
    "asked: with what result": lambda w, v: w.asked("settle_effect", effect="1/e", outcome="done", result=v, how="x"),
    "asked: how it is known": lambda w, v: w.asked("settle_effect", effect="1/e", outcome="done", how=v),
    "asked: what to forget": lambda w, v: w.asked("forget_effects", step=v, why="x"),
    "asked: why to forget": lambda w, v: w.asked("forget_effects", step=1, why=v),
    "asked: a mode": lambda w, v: w.asked("pin_mode", mode=v, for_s=1.0, reason="x"),
    "asked: how long a mode": lambda w, v: w.asked("pin_mode", mode="normal", for_s=v, reason="x"),
    "asked: why a mode": lambda w, v: w.asked("pin_mode", mode="normal", for_s=1.0, reason=v),
}  # fmt: skip
ENTRIES = {**STEPS, **CHECKPOINTS, **WORDS, **BREAKERS, **LOOKS, **ASKED}


def thrown_at(world: World, entry: Entry, value: Any) -> str:
    """What came of it: a typed error with a hint, or an answer. What else comes goes on."""
    try:
        entry(world, value)
    except NEVER:
        raise
    except (LrmError, EventStoreError) as error:
        assert error.hint  # noqa: PT017 - an answer will do as well
        return type(error).__name__
    return "accepted"


@pytest.mark.parametrize("entry", list(ENTRIES))
def test_whatever_is_handed_over_no_actor_fails_on_it(world: World, entry: str) -> None:
    """A typed error that says what is wanted, or an answer; and afterwards everything is as ever."""
    came = {name: thrown_at(world, ENTRIES[entry], value) for name, value in THROWN.items()}
    assert len(came) == len(THROWN)
    world.check()


UNCHECKED: dict[str, tuple[str, type[BaseException]]] = {
    "a step's name": ("lrm_actors.hosting.step_scopes.plain_text", HandlerFailed),
    "a checkpoint's reason": ("lrm_actors.hosting.operations.plain_text", HandlerFailed),
    "an effect's name": ("lrm_actors.hosting.effects.check_name", HandlerFailed),
    "a sleep's key": ("lrm_actors.hosting.sleeping.check_name", HandlerFailed),
    "why a mode is held": ("lrm_actors.words.storable_text", AssertionError),
}


@pytest.mark.parametrize("entry", list(UNCHECKED))
def test_where_a_check_is_missing_it_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    """The planted defect: what was given goes on to the actor as it is."""
    where, expected = UNCHECKED[entry]
    world = World(tmp_path)
    try:
        monkeypatch.setattr(where, lambda field, value: value)
        with pytest.raises(expected):
            harm(world, entry)
    finally:
        world.blocking.stop_monitoring()


def harm(world: World, entry: str) -> None:
    """Throw what is of another type, as the test above does."""
    for value in (7, None):
        thrown_at(world, ENTRIES[entry], value)
    world.check()
