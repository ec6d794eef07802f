"""What becomes of an agent that is paused, stopped, changed and set back, and of what it does, on a real Chromium."""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from lrm_actors.adapters.browser_use import Agent, AgentGaveUp, OwnedChromium
from lrm_actors.adapters.browser_use.run_errors import AlreadyRunning, NothingToResume
from lrm_actors.effects import NOT_HAPPENED, Happened
from tests.hosts.browser_use import hosting, judging
from tests.hosts.browser_use.lives import browsers_below
from tests.hosts.browser_use.scripted import ScriptedModel
from tests.hosts.browser_use.site import Site

STEPS = 4


def notes(step: int, url: str, prompt: str) -> list[dict[str, Any]]:
    """Steps that need no page, and an end."""
    if step < STEPS:
        return [{"write_file": {"file_name": "notes.md", "content": f"note-{step}\n", "append": step > 1}}]
    return [{"done": {"text": "all is noted", "success": True}}]


def rings(step: int, url: str, prompt: str) -> list[dict[str, Any]]:
    """A step with an action of the user's own, and an end."""
    return [{"ring": {"bell": "big"}}] if step == 1 else [{"done": {"text": "it rang", "success": True}}]


def at(phase: str, do: dict[int, Callable[[], Any]]) -> Callable[[str, int], Awaitable[None]]:
    """Tells a scripted model to do something at a phase of some steps, once each."""

    async def tell(reached: str, step: int) -> None:
        if reached == phase and step in do:
            done = do.pop(step)()
            if asyncio.iscoroutine(done):
                await done

    return tell


def steps_of(directory: Path) -> list[Any]:
    """The results of the steps that were committed."""
    log = directory / "checkpoints/default/lrm.db"
    return [event.result for record in judging.events_of(log, "journal.step_committed") for event in record.events]


def run(work: Awaitable[Any]) -> Any:
    """Await it on a loop of its own."""

    async def working() -> Any:
        return await work

    return asyncio.run(working())


RANG, LOOKED = "rang for big", {"result": {"extracted_content": "found it ringing"}}


@pytest.mark.parametrize(
    ("on_doubt", "rung", "remembered"),
    [
        ("retry", 2, RANG),
        ("skip", 1, "it was not repeated"),
        (lambda name, parameters: True, 1, "was found to have been done"),
        (lambda name, parameters: False, 2, RANG),
        (lambda name, parameters: NOT_HAPPENED, 2, RANG),
        (lambda name, parameters: Happened(LOOKED), 1, "found it ringing"),
        (lambda name, parameters: None, 1, None),
        ("ask", 1, None),
    ],
    ids=["retry", "skip", "done", "not-done", "not-happened", "happened", "nobody-knows", "ask"],
)
def test_an_action_in_doubt_goes_by_what_is_set(
    tmp_path: Path, on_doubt: Any, rung: int, remembered: str | None
) -> None:
    """The browser is killed in the middle of one: it may have been done or not, and the model is told so."""

    async def main() -> None:
        hosting.offline(tmp_path)
        tools = importlib.import_module("browser_use").Tools()
        rang = []

        async def ring(bell: str) -> str:
            rang.append(bell)
            if len(rang) == 1:
                os.kill(agent.browser_pid, signal.SIGKILL)
                while agent.browser_session.is_cdp_connected:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
                raise ConnectionError("the browser is gone")
            return f"rang for {bell}"

        tools.action("Ring a bell")(ring)
        model = ScriptedModel("", script=rings, steps=2)
        agent = hosting.lasting_agent(tmp_path, model, on_doubt=on_doubt, tools=tools)
        if remembered is None:
            with pytest.raises(AgentGaveUp, match="in doubt") as gave_up:
                await agent.run()
            assert "lrm effects settle" in gave_up.value.hint
        else:
            history = await agent.run()
            assert history.is_done()
            memory = "\n".join(hosting.memory_of(agent))
            assert remembered in memory
            assert "in doubt" in memory or rung == 1
            assert len(agent.heals_s) == 1
        assert len(rang) == rung

    asyncio.run(main())
    log = tmp_path / "checkpoints/default/lrm.db"
    assert len(judging.events_of(log, "journal.effect_in_doubt")) == 1


def test_the_page_that_a_task_names_is_opened_in_a_step_of_its_own(tmp_path: Path, site: Site) -> None:
    """So it is on record like everything else, and a resumed agent does not open it again."""
    hosting.offline(tmp_path)
    task = f"Open {site.url}/login and take notes"

    def agent_for(model: ScriptedModel) -> Any:
        agent = hosting.lasting_agent(tmp_path, model)
        agent.settings.task = task
        return agent

    async def half() -> None:
        model = ScriptedModel(site.url, script=notes, steps=STEPS)
        agent = agent_for(model)
        model.tell = at("before-model", {2: agent.stop})
        history = await agent.run()
        assert not history.is_done()

    async def rest() -> None:
        agent = agent_for(ScriptedModel(site.url, script=notes, steps=STEPS))
        history = await agent.run()
        assert history.is_done()
        assert [item.metadata.step_number for item in history.history] == [0, 1, 2, 3, 4]

    run(half())
    run(rest())
    assert len(steps_of(tmp_path)) == STEPS + 1


def test_a_paused_agent_takes_no_step_and_a_stopped_one_goes_on_later(tmp_path: Path) -> None:
    """Both between two steps; what was under way is taken up."""

    async def main() -> None:
        hosting.offline(tmp_path)
        model = ScriptedModel("", script=notes, steps=STEPS)
        agent = hosting.lasting_agent(tmp_path, model)
        model.tell = at("after-model", {2: agent.pause})
        second = asyncio.Event()

        async def ended(theirs: Any) -> None:
            if theirs.state.n_steps == 3:
                second.set()

        running = asyncio.ensure_future(agent.run(on_step_end=ended))
        await second.wait()
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert model.calls == 2
        model.tell = at("after-model", {3: agent.stop})
        agent.resume()
        assert not (await running).is_done()
        history = await agent.run()
        assert (history.is_done(), len(history.history)) == (True, STEPS)
        await agent.close()

    asyncio.run(main())
    assert len(steps_of(tmp_path)) == STEPS


def test_an_agent_that_is_closed_while_it_runs_ends_its_step_first(tmp_path: Path) -> None:
    """Its last checkpoint is taken, a second run beside it is refused, and one that has only begun takes no step."""

    async def main() -> None:
        hosting.offline(tmp_path)
        model = ScriptedModel("", script=notes, steps=STEPS)
        agent = hosting.lasting_agent(tmp_path, model)
        closing: list[asyncio.Future[None]] = []

        async def close() -> None:
            with pytest.raises(AlreadyRunning):
                await agent.run()
            closing.append(asyncio.ensure_future(agent.close()))

        model.tell = at("before-model", {3: close})
        assert not (await agent.run()).is_done()
        await closing[0]
        assert browsers_below(tmp_path) == []
        running = asyncio.ensure_future(agent.run())
        await asyncio.sleep(0)
        agent.stop()
        assert not (await running).is_done()
        calls = model.calls
        assert (await agent.run()).is_done()
        assert model.calls - calls <= STEPS - 2
        await agent.close()

    asyncio.run(main())
    taken = judging.events_of(tmp_path / "checkpoints/default/lrm.db", "checkpointer.taken")
    assert len(taken) >= 3  # of each run that ended
    assert len(steps_of(tmp_path)) == STEPS


def test_settings_take_effect_and_a_checkpoint_is_gone_back_to_while_the_agent_runs(tmp_path: Path) -> None:
    """From the next step on: those that browser-use takes once only, too."""

    async def main() -> None:
        hosting.offline(tmp_path)
        model = ScriptedModel("", script=notes, steps=STEPS)
        agent = hosting.lasting_agent(tmp_path, model)
        integration = agent.supervisor.long_running_integration
        taken: list[str] = []
        going_back: list[asyncio.Task[bool]] = []

        def assign() -> None:
            agent.settings.max_steps = 77
            agent.settings.max_history_items = 50
            agent.settings.max_failures = 4

        async def check() -> None:
            assert agent.agent.settings.max_failures == 4
            assert agent.agent.message_manager.max_history_items == 50
            taken.append(await integration.create_emergency_checkpoint("before it goes wrong"))

        def go_back() -> None:
            outside = contextvars.Context()  # as any other task is: not inside of the step
            loop = asyncio.get_running_loop()
            going_back.append(loop.create_task(integration.attempt_recovery(taken[0]), context=outside))

        model.tell = at("after-model", {1: assign, 2: check, 3: go_back})
        history = await agent.run()
        assert await going_back[0]
        assert (history.is_done(), len(history.history)) == (True, STEPS)
        assert model.calls > STEPS
        await agent.close()

    asyncio.run(main())
    assert len(steps_of(tmp_path)) > STEPS


def test_a_browser_that_is_not_the_agents_own_is_used_and_left_alone(tmp_path: Path, site: Site) -> None:
    """Its other tabs stay, and it stays."""

    async def main() -> None:
        hosting.offline(tmp_path)
        theirs = OwnedChromium(tmp_path / "theirs")
        attachment = await theirs.ensure()
        async with await theirs.connect() as connection:
            await connection.send_raw("Target.createTarget", {"url": f"{site.url}/login"})

        def script(step: int, url: str, prompt: str) -> list[dict[str, Any]]:
            return [{"navigate": {"url": f"{url}/shop", "new_tab": True}}] if step == 1 else notes(STEPS, url, prompt)

        model = ScriptedModel(site.url, script=script, steps=2)
        agent = hosting.lasting_agent(tmp_path, model, cdp_url=attachment.cdp_url)
        history = await agent.run()
        assert history.is_done()
        assert await theirs.responsive()
        async with await theirs.connect() as connection:
            answer = await connection.send_raw("Target.getTargets")
            assert any(one["url"].endswith("/login") for one in answer["targetInfos"])
        await agent.close()
        await theirs.end()

    asyncio.run(main())


def test_a_run_that_was_handed_over_is_not_handed_over_again(tmp_path: Path) -> None:
    """The next one begins anew, in the same log; without a task it is told that there is nothing to go on with."""

    async def main() -> None:
        hosting.offline(tmp_path)
        for _ in range(2):
            model = ScriptedModel("", script=notes, steps=STEPS)
            agent = hosting.lasting_agent(tmp_path, model)
            history = await agent.run()
            assert (model.calls, len(history.history)) == (STEPS, STEPS)
        with pytest.raises(NothingToResume, match="is over"):
            await Agent.resume(tmp_path / "checkpoints", llm=model).run()

    asyncio.run(main())
    assert len(steps_of(tmp_path)) == 2 * STEPS


def test_switched_off_it_is_the_agent_that_it_was(tmp_path: Path) -> None:
    """No log, no browser of our own, and the same history."""

    async def main() -> None:
        hosting.offline(tmp_path)
        browser_use = importlib.import_module("browser_use")
        profile = browser_use.BrowserProfile(
            headless=True, chromium_sandbox=False, enable_default_extensions=False, user_data_dir=tmp_path / "profile"
        )
        model = ScriptedModel("", script=notes, steps=STEPS)
        agent = hosting.lasting_agent(tmp_path, model, browser_profile=profile, directly_open_url=False)
        agent.settings.enable_long_running_mode = False
        history = await agent.run()
        assert (history.is_done(), len(history.history)) == (True, STEPS)

    asyncio.run(main())
    assert not (tmp_path / "checkpoints").exists()


def test_a_run_that_is_cancelled_leaves_nothing_behind_and_goes_on_later(tmp_path: Path) -> None:
    """No browser, no task, and a checkpoint: the step that was under way is taken up by the next run."""

    async def main() -> None:
        hosting.offline(tmp_path)
        model = ScriptedModel("", script=notes, steps=STEPS)
        agent = hosting.lasting_agent(tmp_path, model)
        waiting, going_on = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            waiting.set()
            await going_on.wait()

        model.tell = at("before-model", {3: wait})
        running = asyncio.ensure_future(agent.run())
        await waiting.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert browsers_below(tmp_path) == []
        again = ScriptedModel("", script=notes, steps=STEPS)
        history = await hosting.lasting_agent(tmp_path, again).run()
        assert (len(history.history), again.calls) == (STEPS, 2)

    asyncio.run(main())
    taken = judging.events_of(tmp_path / "checkpoints/default/lrm.db", "checkpointer.taken")
    assert len(taken) >= 3  # of the cancelled run, of the end, and of its being handed over


@pytest.mark.parametrize("given", ["browser_profile", "browser_session", "browser"])
def test_a_profile_or_a_session_of_the_users_own_is_used(tmp_path: Path, given: str) -> None:
    """With a browser of the agent's, which is brought back under it."""

    async def main() -> None:
        hosting.offline(tmp_path)
        browser_use = importlib.import_module("browser_use")
        made = {"browser_profile": "BrowserProfile", "browser_session": "BrowserSession", "browser": "Browser"}
        theirs = getattr(browser_use, made[given])(headless=True, allowed_domains=["127.0.0.1"])
        model = ScriptedModel("", script=notes, steps=STEPS)
        agent = hosting.lasting_agent(tmp_path, model, **{given: theirs})
        model.tell = at("before-model", {2: lambda: os.kill(agent.browser_pid, signal.SIGKILL)})
        history = await agent.run()
        assert (history.is_done(), len(history.history)) == (True, STEPS)
        assert agent.browser_session.browser_profile.allowed_domains == ["127.0.0.1"]
        assert len(agent.heals_s) == 1

    asyncio.run(main())


@pytest.mark.parametrize("what", ["model", "action"])
def test_what_hangs_is_not_waited_for(tmp_path: Path, what: str) -> None:
    """A model that does not answer was away; a step whose action takes too long has failed, as in browser-use."""

    async def main() -> None:
        hosting.offline(tmp_path)
        tools = importlib.import_module("browser_use").Tools()
        rang = []

        async def ring(bell: str) -> str:
            rang.append(bell)
            if what == "action" and len(rang) == 1:
                await asyncio.Event().wait()
            return f"rang for {bell}"

        tools.action("Ring a bell")(ring)
        model = ScriptedModel("", script=rings, steps=2)
        if what == "model":
            model.tell = at("before-model", {1: asyncio.Event().wait})
        limit = {"llm_timeout": 2} if what == "model" else {"step_timeout": 4}
        agent = hosting.lasting_agent(tmp_path, model, tools=tools, **limit)
        history = await agent.run()
        assert history.is_done()
        memory = hosting.memory_of(agent)
        assert any("timed out" in one for one in memory) == (what == "action")
        assert len(rang) == (1 if what == "model" else 2)
        assert agent.state.n_steps == (3 if what == "model" else 4)

    asyncio.run(main())


def test_a_log_that_moves_leaves_no_browser_where_it_was(tmp_path: Path) -> None:
    """One that was left open after the move is ended by the next run, from the new place."""

    async def main() -> None:
        hosting.offline(tmp_path)
        elsewhere = tmp_path / "elsewhere"
        model = ScriptedModel("", script=notes, steps=STEPS)
        agent = hosting.lasting_agent(tmp_path, model, keep_browser=True)

        async def move() -> None:
            agent.settings.long_running_checkpoint_dir = str(elsewhere)
            while not (elsewhere / "default/lrm.db").exists():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)

        model.tell = at("before-model", {2: move, 4: agent.stop})
        await agent.run()
        (kept,) = browsers_below(tmp_path)
        again = ScriptedModel("", script=notes, steps=STEPS)
        agent = hosting.lasting_agent(tmp_path, again)
        agent.settings.checkpoint_dir = str(elsewhere)
        history = await agent.run()
        assert (len(history.history), again.calls) == (STEPS, 1)
        assert not kept.is_running()
        assert browsers_below(tmp_path) == []

    asyncio.run(main())
