"""Effects of async and of threaded hosts: on record before and after, done once, in doubt in between."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from eventstore.records import Instant
from lrm_actors.actors.retry import Retry as GuardRetry
from lrm_actors.domain import journal
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.journal import (
    DoubtEffect,
    FailEffect,
    FinishEffect,
    ForgetEffects,
    IntendEffect,
    SettleEffect,
)
from lrm_actors.effects import NOT_HAPPENED, UNKNOWN, Ask, Happened, Probe, Retry, Skip
from lrm_actors.errors import (
    AmbiguousEffect,
    EffectInDoubt,
    JournalMismatch,
    ResultNotKept,
    SettingsError,
    StepOrder,
    StorageUnavailable,
)
from lrm_actors.hosting.boundary import StepBoundary
from lrm_actors.hosting.effects import Effects, is_small
from lrm_actors.hosting.host import check_storable
from lrm_actors.hosting.step_scopes import AsyncStepScope, BlockingStepScope
from lrm_actors.hosting.stepping import Stepping
from lrm_actors.hosting.unlogged import UnloggedSystem
from tests.runtime.support import eventually


class Killed(BaseException):
    """The process ends here."""


class World:
    """A mode's steps and effects on a journal in memory, and the outside that they act on."""

    def __init__(self, log: Log | None = None) -> None:
        self.journal = log or Log()
        self.calls: list[str] = []
        self.keys: list[str] = []
        self.restart()

    def restart(self) -> None:
        """A new process: the journal is opened again."""
        self.stepping = Stepping(StepBoundary())
        self.effects = Effects(self.journal, self.stepping)
        self.journal.dead = False
        self.journal.ask_blocking("journal", journal.OpenJournal())
        self.journal.asked.clear()

    def step(self, name: str = "post") -> BlockingStepScope:
        return BlockingStepScope(self.journal, self.stepping, name)

    def async_step(self, name: str = "post") -> AsyncStepScope:
        return AsyncStepScope(self.journal, self.stepping, name)

    def effect(self, name: str, function: Callable[..., Any], policy: Any = Retry(), given: Any = None) -> Any:  # noqa: B008
        return self.effects.carry_out_blocking(name, function, policy, given)

    async def async_effect(self, name: str, function: Callable[..., Any], policy: Any = Retry()) -> Any:  # noqa: B008
        return await self.effects.carry_out(name, function, policy, None)

    def send(self, key: str) -> dict[str, int]:
        """Something outside."""
        self.keys.append(key)
        self.calls.append("send")
        return {"sent": len(self.calls)}

    def die(self) -> None:
        """The process is killed while the function runs."""
        self.calls.append("die")
        self.journal.dead = True
        raise Killed

    def killed_in(self, name: str = "send", policy: Any = Retry()) -> None:  # noqa: B008
        """A process that is killed in the middle of an effect of step ``post``."""
        with pytest.raises(StorageUnavailable), self.step():
            self.effect(name, self.die, policy)
        self.restart()

    @property
    def state(self) -> journal.JournalState:
        state: journal.JournalState = self.journal.state("journal")
        return state


class Log(UnloggedSystem):
    """A journal in memory that remembers what it was asked and decided."""

    def __init__(self) -> None:
        super().__init__([journal.spec()], now=lambda: Instant(0.0, 0.0, "boot"))
        self.asked: list[Command] = []
        self.failing: type[Command] | None = None
        self.dead = False

    def ask_blocking(self, to: str, command: Command, *, timeout_s: float = 5.0, keep_reply: bool = True) -> Any:
        self.asked.append(command)
        if self.dead or (self.failing is not None and isinstance(command, self.failing)):
            raise StorageUnavailable("no space left")
        return super().ask_blocking(to, command)

    def kinds(self) -> list[str]:
        """The commands it was asked, by class."""
        return [type(command).__name__ for command in self.asked]


def test_an_effect_is_on_record_before_its_function_is_called_and_after() -> None:
    """Whenever the process ends, the log says that it may have happened."""
    world = World()
    with world.step():
        seen: list[str] = []

        def act() -> int:
            seen.extend(world.journal.kinds())
            return 5

        assert 5 == world.effect("act", act)
    assert ["BeginStep", "IntendEffect"] == seen
    assert ["BeginStep", "IntendEffect", "FinishEffect", "CommitStep"] == world.journal.kinds()


def test_a_finished_effect_gives_its_recorded_result_when_the_step_is_repeated() -> None:
    """What comes after it fails, and it is not done again; nor in another process."""
    world = World()
    for _ in range(3):
        with pytest.raises(ValueError, match="later"), world.step():
            assert {"sent": 1} == world.effect("send", world.send)
            raise ValueError("later")
    world.restart()
    with world.step() as step:
        assert {"sent": 1} == world.effect("send", world.send)
        assert 4 == step.attempt
    assert ["send"] == world.calls


def test_an_effect_without_an_end_is_in_doubt_and_by_default_done_again_under_the_same_key() -> None:
    """Its doubt is on record before anything is repeated."""
    world = World()
    world.killed_in()
    entry = world.state.effects.get("send#1")
    assert entry is not None
    assert "in_doubt" == entry.status
    with world.step():
        assert {"sent": 2} == world.effect("send", world.send)
    assert 1 == len(world.keys)


def test_skip_takes_it_for_done() -> None:
    """And gives what it was told to, again and again."""
    world = World()
    world.killed_in()
    for _ in range(2):
        with pytest.raises(ValueError, match="later"), world.step():
            assert {"sent": 0} == world.effect("send", world.send, Skip({"sent": 0}))
            raise ValueError("later")
    assert ["die"] == world.calls


def test_ask_leaves_it_to_a_human() -> None:
    """The step can be begun again once it is settled, in each of three ways."""
    for outcome, calls in (("done", ["die"]), ("skipped", ["die"]), ("not_happened", ["die", "send"])):
        world = World()
        world.killed_in()
        for _ in range(2):
            with pytest.raises(EffectInDoubt, match="1/send#1") as caught, world.step():
                world.effect("send", world.send, Ask())
            assert "lrm effects settle" in caught.value.hint
        world.journal.ask_blocking("journal", SettleEffect("1/send#1", outcome, {"sent": 9}))
        with world.step():
            assert {"sent": 2 if "send" in calls else 9} == world.effect("send", world.send, Ask())
        assert calls == world.calls


def test_a_probe_finds_out() -> None:
    """It happened, it did not, or nobody can tell: then another policy decides, a human by default."""
    for found, calls in ((Happened({"sent": 7}), ["die"]), (NOT_HAPPENED, ["die", "send"])):
        world = World()
        world.killed_in()
        with world.step():
            assert {"sent": 7 if calls == ["die"] else 2} == world.effect(
                "send", world.send, Probe(lambda found=found: found)
            )
        assert calls == world.calls
    world = World()
    world.killed_in()
    with pytest.raises(EffectInDoubt), world.step():
        world.effect("send", world.send, lambda: UNKNOWN)
    with world.step():
        assert 3 == world.effect("send", world.send, Probe(lambda: UNKNOWN, otherwise=Skip(3)))


def test_a_probe_is_handed_the_key_and_may_fail() -> None:
    """What it raises goes on, and the effect stays in doubt."""
    world = World()
    world.killed_in()
    asked: list[str] = []

    def look(key: str) -> Any:
        asked.append(key)
        if len(asked) == 1:
            raise ConnectionRefusedError("the server is down")
        return NOT_HAPPENED

    with pytest.raises(ConnectionRefusedError), world.step():
        world.effect("send", world.send, look)
    with world.step():
        world.effect("send", world.send, look)
    assert {world.keys[0]} == set(asked)


def test_keys_tell_every_effect_apart_and_are_the_same_at_every_attempt() -> None:
    """By step, name and occurrence; and they fit where a UUID is asked for."""
    world = World()
    for _ in range(2):
        with pytest.raises(ValueError, match="later"), world.step():
            for name in ("a", "a", "b"):
                world.effect(name, failing := world.send)
            raise ValueError("later")
    with world.step():
        for name in ("a", "a", "b"):
            world.effect(name, failing)
    with world.step():
        world.effect("a", world.send)
    assert 4 == len(world.keys) == len(set(world.keys))
    assert all(key.isascii() and 36 == len(key) and "8" == key[14] for key in world.keys)


def test_a_function_that_raises_is_called_again_when_the_step_is_repeated() -> None:
    """Its error goes on to the host, and is on record."""
    world = World()

    def fail() -> None:
        raise ValueError("no such page")

    with pytest.raises(ValueError, match="no such page"), world.step():
        world.effect("send", fail)
    entry = world.state.effects.get("send#1")
    assert entry is not None
    assert ("failed", "ValueError: no such page") == (entry.status, entry.error)
    with world.step():
        world.effect("send", world.send, Ask())
    assert ["send"] == world.calls


@pytest.mark.parametrize("error", [TimeoutError("late"), ConnectionResetError("gone")], ids=["timeout", "reset"])
def test_a_call_without_an_answer_is_in_doubt(error: Exception) -> None:
    """It may have happened: a human is asked where the policy says so."""
    world = World()

    def fail() -> None:
        raise error

    with pytest.raises(type(error)), world.step():
        world.effect("send", fail)
    with pytest.raises(EffectInDoubt), world.step():
        world.effect("send", world.send, Ask())
    assert [] == world.calls


def test_the_same_name_at_the_same_time_is_ambiguous() -> None:
    """The error says how to name them; one after the other they are told apart by their order."""
    world = World()

    async def main() -> None:
        async with world.async_step():

            async def wait() -> None:
                await asyncio.sleep(0)

            results = await asyncio.gather(
                *(world.async_effect("fetch", wait) for _ in range(2)),
                *(world.async_effect(f"fetch {n}", wait) for n in range(2)),
                return_exceptions=True,
            )
        assert [type(one).__name__ for one in results].count("AmbiguousEffect") == 1
        assert isinstance(results[1], AmbiguousEffect)
        assert "put what differs into the name" in results[1].hint

    asyncio.run(main())


def test_a_cancelled_effect_is_in_doubt() -> None:
    """Its function was in the middle of it."""
    world = World()

    async def main() -> None:
        started = asyncio.Event()

        async def hang() -> None:
            started.set()
            await asyncio.Event().wait()

        async def run() -> None:
            async with world.async_step():
                await world.async_effect("hang", hang)

        task = asyncio.ensure_future(run())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    entry = world.state.effects.get("hang#1")
    assert entry is not None
    assert "in_doubt" == entry.status
    assert "DoubtEffect" in world.journal.kinds()


def test_a_plain_function_runs_beside_the_loop() -> None:
    """It may block."""
    world = World()

    async def main() -> None:
        async with world.async_step():
            where = await world.async_effect("where", threading.get_ident)
            assert where != threading.get_ident()

    asyncio.run(main())


def test_a_coroutine_of_a_host_without_a_loop_is_run_to_its_end() -> None:
    """The same functions serve both."""
    world = World()

    async def act() -> int:
        return 4

    with world.step():
        assert 4 == world.effect("act", act)


def test_what_is_not_asked_for_again_is_a_mismatch() -> None:
    """Code that was changed cannot drop an effect silently; it says so, or the old code is put back."""
    world = World()
    with pytest.raises(ValueError, match="later"), world.step():
        world.effect("send", world.send)
        raise ValueError("later")
    with pytest.raises(JournalMismatch, match="1/send#1") as caught, world.step():
        world.effect("mail", world.send)
    assert "forget" in caught.value.hint
    assert ("1/send#1",) == caught.value.effects
    with world.step() as step:
        step.forget_effects()
        world.effect("mail", world.send)
    assert 1 == world.state.committed


def test_the_old_code_put_back_goes_on_whatever_the_other_did() -> None:
    """What other code asked for before it was found not to fit is nothing that the right code would know of."""
    world = World()
    with pytest.raises(ValueError, match="later"), world.step():
        world.effect("send", world.send)
        raise ValueError("later")
    for _ in range(2):
        with pytest.raises(JournalMismatch), world.step():
            world.effect("mail", world.send)
    with world.step():
        assert {"sent": 1} == world.effect("send", world.send)
    assert 2 == len(world.calls)
    assert 1 == world.state.committed


def test_a_step_in_doubt_with_effects_cannot_begin_under_another_name() -> None:
    """They would be nobody's. The old name goes on; or they are forgotten by hand."""
    world = World()
    world.killed_in()
    with pytest.raises(JournalMismatch, match="1/send#1"), world.step("other"):
        pytest.fail("it began")
    world.journal.ask_blocking("journal", ForgetEffects(1))
    with world.step("other"):
        world.effect("send", world.send)


def test_forgotten_effects_are_done_anew_even_at_the_same_time() -> None:
    """Each one that is asked for after it is forgotten, also before the journal has said so."""
    world = World()
    with pytest.raises(ValueError, match="later"), world.step():
        for name in "abc":
            world.effect(name, world.send)
        raise ValueError("later")

    async def main() -> None:
        async with world.async_step() as step:
            step.forget_effects()
            await asyncio.gather(*(world.async_effect(name, world.send) for name in "abc"))

    asyncio.run(main())
    assert 6 == len(world.calls)
    assert 1 == sum(command.forget for command in world.journal.asked if isinstance(command, IntendEffect))


def test_something_else_given_is_a_mismatch() -> None:
    """The record is of another call than the one that is asked for now."""
    world = World()
    with pytest.raises(ValueError, match="later"), world.step():
        world.effect("send", world.send, given={"to": "a", "n": 1})
        raise ValueError("later")
    with pytest.raises(JournalMismatch, match="something else given"), world.step():
        world.effect("send", world.send, given={"to": "b", "n": 1})
    with world.step():
        world.effect("send", world.send, given={"n": 1, "to": "a"})
    assert 1 == len(world.calls)


def test_a_result_that_cannot_be_kept_is_said_to_have_happened() -> None:
    """It is not done again; what it gave can be given by hand."""
    world = World()

    def act() -> object:
        world.calls.append("open")
        return object()

    for _ in range(2):
        with pytest.raises(ResultNotKept, match="happened"), world.step():
            world.effect("open", act)
    assert ["open"] == world.calls
    world.journal.ask_blocking("journal", SettleEffect("open", "done", {"handle": 1}))
    with world.step():
        assert {"handle": 1} == world.effect("open", act)


def test_an_effect_that_cannot_be_put_on_record_is_not_carried_out() -> None:
    """The log is full: nothing happens that it does not know of."""
    world = World()
    world.journal.failing = IntendEffect
    with pytest.raises(StorageUnavailable), world.step():
        world.effect("send", world.send)
    assert [] == world.calls


def test_an_end_that_cannot_be_put_on_record_is_told_again_and_said() -> None:
    """It has happened: the error says so, and the journal hears of it once it can."""
    world = World()
    world.journal.failing = FinishEffect
    with pytest.raises(StorageUnavailable) as caught, world.step():
        world.effect("send", world.send)
    assert "effect 1/send#1 has happened, and that may not be on record" == caught.value.__notes__[-1]
    world.journal.failing = None
    with world.step():
        world.effect("send", world.send)
    assert 2 == len(world.calls)
    assert 1 == len(set(world.keys))


def test_a_step_cannot_end_before_its_effects() -> None:
    """An effect that nobody awaits would end in no step."""
    world = World()

    async def main() -> None:
        release = asyncio.Event()
        with pytest.raises(StepOrder, match="under way"):
            async with world.async_step():
                task = asyncio.ensure_future(world.async_effect("slow", release.wait))
                await asyncio.sleep(0)
        release.set()
        await task

    asyncio.run(main())
    assert 0 == world.state.committed
    entry = world.state.effects.get("slow#1")
    assert entry is not None
    assert "done" == entry.status  # it ended after all, and that counts


def test_an_effect_belongs_into_a_step() -> None:
    """Outside of one it is refused, and so are functions that cannot be called."""
    world = World()
    with pytest.raises(StepOrder, match="outside"):
        world.effect("send", world.send)
    with world.step():
        for wrong in (5, lambda a, b: None):
            with pytest.raises(SettingsError):
                world.effect("send", wrong)  # type: ignore[arg-type]
        with pytest.raises(SettingsError):
            world.effect("send", world.send, policy="retry")
        with pytest.raises(SettingsError, match=r"Retry\(\) of lrm_actors.effects"):
            world.effect("send", world.send, policy=GuardRetry())
        with pytest.raises(SettingsError):
            world.effect(" ", world.send)
        world.effect("bound", lambda value=5: value)
    assert [] == world.calls


def test_steps_of_two_modes_are_told_apart() -> None:
    """An effect stands in the step of its own mode, however they are nested."""
    outer, inner = World(), World()
    with outer.step(), inner.step():
        outer.effect("send", outer.send)
        inner.effect("send", inner.send)
    assert "FinishEffect" in outer.journal.kinds()
    assert "FinishEffect" in inner.journal.kinds()


def test_what_is_told_late_counts_once() -> None:
    """An end is told again when nobody knows whether it was heard."""
    world = World()
    with world.step():
        world.effect("send", world.send)
        before = world.state
        for command in (
            FinishEffect(1, "send", 1, 1, {"sent": 5}),
            FailEffect(1, "send", 1, 1, "late"),
            DoubtEffect(1, "send", 1, 1, "late"),
        ):
            world.journal.ask_blocking("journal", command)
        assert before == world.state


def test_an_agent_may_go_on_without_knowing_if_it_says_so() -> None:
    """The step forgets what is in doubt and ends: on record is that nobody knew."""
    world = World()
    world.killed_in()
    with world.step() as step:
        step.forget_effects()
        step.result = "left to a human"
    with world.step("other"):
        world.effect("send", world.send)
    assert 2 == world.state.committed


@pytest.mark.parametrize(
    ("value", "small"),
    [
        (None, True),
        ("a" * 100_000, True),
        ({"rows": [{"a": 1, "b": [1, 2]}] * 100}, True),
        ("a" * 10_000_000, False),
        (["a"] * 3_000, False),
        ([[[1]] * 100] * 100, False),
        ({"rows": [{"a": "b" * 1_000}] * 1_000}, False),
        ({f"key {number}": 1 for number in range(3_000)}, False),
    ],
    ids=["none", "text", "rows", "long text", "long list", "nested", "long rows", "wide"],
)
def test_large_values_are_looked_through_beside_the_loop(value: object, small: bool) -> None:
    """A result of megabytes holds no event loop, and is kept all the same."""
    assert small == is_small(value)
    world = World()
    threads: list[int] = []

    def checked(event: str, field: str, result: object) -> None:
        threads.append(threading.get_ident())
        check_storable(event, field, result)

    async def main() -> None:
        async with world.async_step():

            async def give() -> object:
                return value

            assert value == await world.async_effect("give", give)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lrm_actors.hosting.effects.check_storable", checked)
        asyncio.run(main())
    assert small == (not threads)
    assert threading.get_ident() not in threads


def test_a_coroutine_that_nobody_awaits_any_more_is_closed() -> None:
    """A plain function gave it, on its thread, as the effect was cancelled."""
    world = World()
    given, go = threading.Event(), threading.Event()
    made: list[Any] = []

    async def act() -> None:
        pytest.fail("it was awaited")

    def give() -> Any:
        given.set()
        go.wait(30.0)
        made.append(act())
        return made[0]

    async def run() -> None:
        async with world.async_step():
            await world.async_effect("give", give)

    async def main() -> None:
        task = asyncio.ensure_future(run())
        assert await asyncio.to_thread(given.wait, 30.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        eventually(lambda: bool(made) and inspect.getcoroutinestate(made[0]) == inspect.CORO_CLOSED)

    asyncio.run(main())


class Gated(Log):
    """Its asks take a turn of the loop before they are decided on, and another until the answer is there."""

    async def ask(self, to: str, command: Command, *, timeout_s: float = 5.0, keep_reply: bool = True) -> Any:
        await asyncio.sleep(0)  # cancelled here, it is not carried out
        reply = self.ask_blocking(to, command)
        await asyncio.sleep(0)  # and here it was
        return reply


def test_wherever_an_effect_is_cancelled_it_is_repeated_only_after_a_doubt() -> None:
    """At every single turn of the loop: nothing is missing, and nothing was done twice without being in doubt first."""
    doubts, repeats = 0, 0

    async def body(world: World) -> None:
        async def act(key: str) -> str:
            world.keys.append(key)
            await asyncio.sleep(0)
            return key

        async with world.async_step():
            for _ in range(2):
                await world.async_effect("act", act)
            await asyncio.gather(*(world.async_effect(name, act) for name in "pq"))

    async def life(turns: int) -> World:
        world = World(Gated())
        task = asyncio.ensure_future(body(world))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) if not task.done() else nullcontext():
            await task
        if not world.state.committed:
            await body(world)
        return world

    for turns in range(60):
        world = asyncio.run(life(turns))
        assert 1 == world.state.committed
        assert 4 == len(set(world.keys))
        doubted = sum(isinstance(command, DoubtEffect) for command in world.journal.asked)
        assert len(world.keys) - 4 <= doubted
        doubts, repeats = doubts + doubted, repeats + len(world.keys) - 4
    print(f"cancelled at 60 moments: {doubts} in doubt, {repeats} repeated")
    assert repeats
