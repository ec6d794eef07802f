"""One run of a browser agent: from what the log says to browser-use's own agent, and to what became of it.

Talks to the mode, to the browser's keeper and to browser-use. A run may build several of browser-use's agents one after
the other: where a checkpoint is restored in the middle of it, or a setting assigned that browser-use takes only once.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from eventstore.errors import EventStoreError
from lrm_actors.adapters.browser_use import compat
from lrm_actors.adapters.browser_use.actions import guard_tools
from lrm_actors.adapters.browser_use.guarding import Calls, GuardedModel
from lrm_actors.adapters.browser_use.keeping import BrowserKeeper, HealStopped
from lrm_actors.adapters.browser_use.left import left_in_browser
from lrm_actors.adapters.browser_use.outage import OutageGate
from lrm_actors.adapters.browser_use.redacting import Redactor
from lrm_actors.adapters.browser_use.run_errors import BROWSER, ENDED, FAILURES, MAX_STEPS
from lrm_actors.adapters.browser_use.settings import AgentSettings
from lrm_actors.adapters.browser_use.steps import CannotGoOn, Hooks
from lrm_actors.adapters.browser_use.transcribing import agent_state, fill
from lrm_actors.errors import LrmError

PACES_S = {"degraded": 1.0, "minimal": 5.0}
"""Seconds between two steps in an operation mode that saves resources."""
ANEW = ("llm", "max_steps")
"""Settings of the adapter's that browser-use's agent is given when it is built."""
MODELS = ("page_extraction_llm", "fallback_llm", "judge_llm")

_log = logging.getLogger("lrm_actors.adapters.browser_use")


class BrowserRun:
    """A run under way.

    Args:
        settings: of the agent.
        mode: of the agent, running.
        keeper: of the browser, open.
        state: slim, to go on from.
        directory: for files and pictures.
        fresh: nothing is gone on with, whatever the log holds.
        forget: what is on record of a step that was cut off is not of this run.
        changed: told of each state that was committed, and of browser-use's agent.
    """

    def __init__(
        self,
        settings: AgentSettings,
        mode: Any,
        keeper: BrowserKeeper,
        state: dict[str, Any],
        directory: Path,
        *,
        fresh: bool,
        forget: bool,
        changed: Callable[[dict[str, Any], Any], object],
    ) -> None:
        self._changed = changed
        self.settings = settings
        self.mode = mode
        self.keeper = keeper
        self._state = state
        self.directory = directory
        self.task = task_of(settings, state)
        self.ended = asyncio.Event()
        self.stopping = False
        self.going = asyncio.Event()
        """Clear while the agent is paused."""
        self.going.set()
        self.anew: dict[str, Any] | None = None
        """The state to begin anew from, once the step under way has ended."""
        self.agent: Any = None
        self._first = False
        """Whether browser-use may be at its first actions, which come before its first step."""
        self._crashes = 0
        self._pictures_of: Any = None
        self.redactor = Redactor(settings.sensitive_data)
        self.calls = Calls()
        breaker = mode.get_circuit_breaker("llm")
        self.gate = OutageGate(lambda: breaker.retry_after_s, lambda: float(settings.llm_outage_limit_s))
        self.hooks = Hooks(
            mode, self, keeper, self.gate, self.calls,
            redactor=self.redactor, on_doubt=lambda: settings.on_doubt, fresh=fresh, forget=forget,
        )  # fmt: skip

    @property
    def state(self) -> dict[str, Any]:
        """Slim, as it was committed last."""
        return self._state

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._state = state
        self._changed(state, self.agent)

    def assigned(self, name: str, old: Any, new: Any) -> None:
        """A setting was assigned: at once where browser-use lets it, else with the next step."""
        if name == "sensitive_data":  # before anything can write one of the new values down
            self.redactor.learn(new)
        if self.agent is None or new == old:
            return
        if name == "max_history_items":
            self.agent.message_manager.max_history_items = new
        if name in type(self.agent.settings).model_fields and name not in MODELS:
            setattr(self.agent.settings, name, new)
        elif name in ANEW or name in self.settings.agent_arguments():
            self.begin_anew()

    async def go(self) -> Any:
        """Run to the end of the task, or to where it cannot go on. The history.

        Raises:
            CannotGoOn: with the reason.
        """
        try:
            self.hooks.left.update(await self._left())
            await self.keeper.open(self.redactor.show({**self.state["browser_state"], **self.hooks.left}))
        except HealStopped:
            self._build()  # for its history
            compat.free_name(self.agent)
            return self.agent.history
        except Exception as error:
            raise CannotGoOn(BROWSER, self.redactor.hide(f"{type(error).__name__}: {error}")) from error
        while True:
            self._build()
            self._first = True
            if self.stopping:  # before it began, or while its browser was lost
                self.agent.stop()
            history = await self._once()
            if history is None and self.stopping:  # browser-use would first ask for the browser that was lost
                return self.agent.history
            if history is not None and (self.stopping or (self.anew is None and history.is_done())):
                return history
            if history is not None and not self.ended.is_set():
                raise CannotGoOn(*self._why(history))
            await self._begin_anew()

    async def _left(self) -> dict[str, Any]:
        """What a step that was cut off left in the browser, if it is to be gone on with."""
        if self.hooks.forget:
            return {}
        reader = self.mode.reader()
        try:
            return await asyncio.to_thread(left_in_browser, reader)
        finally:
            reader.close()

    async def _once(self) -> Any:
        """browser-use's agent, to its end. The history; None: it lost its browser where that ends browser-use's run.

        Or where it was stopped while that was brought back.
        """
        try:
            return await self.agent.run(
                max_steps=self.settings.max_steps,
                on_step_start=self._on_step_start,
                on_step_end=self._on_step_end,
            )
        except HealStopped:
            return None
        except (CannotGoOn, LrmError, EventStoreError):
            raise
        except Exception as error:
            self._crashes += 1
            if self.keeper.lost and self._crashes <= self.settings.browser_attempts:
                return None
            raise CannotGoOn(ENDED, self.redactor.hide(f"{type(error).__name__}: {error}")) from error
        finally:
            await self.hooks.abandon(asyncio.CancelledError("the run ended in the middle of it"))

    async def _on_step_end(self, agent: Any) -> None:
        await self.hooks.on_step_end(agent)
        if self._pictures_of is not agent:  # those of earlier processes, too
            self._pictures_of = agent
            steps = range(agent.state.n_steps)
        else:
            steps = range(agent.state.n_steps - 1, agent.state.n_steps)
        for step in steps:
            if (old := step - self.settings.screenshots_kept) > 0:
                compat.picture_of(agent, old).unlink(missing_ok=True)

    async def _on_step_start(self, agent: Any) -> None:
        self._first = False
        await self.hooks.on_step_start(agent)

    def stop(self) -> None:
        """End the run at the next step, or in the middle of a wait: for the model, or for the browser."""
        self.stopping = True
        self.ended.set()
        self.keeper.halt()
        if self.agent is not None:
            self.agent.stop()

    def begin_anew(self, state: dict[str, Any] | None = None) -> None:
        """Build browser-use's agent anew at the next step: from another state, or from its own."""
        if state is not None:
            self.anew = state
        self.ended.set()

    async def pace(self) -> None:
        """Wait while the agent is paused, and as long as the operation mode asks for."""
        if not self.going.is_set() and not self.ended.is_set():
            waits = [asyncio.ensure_future(one.wait()) for one in (self.going, self.ended)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in waits:
                    one.cancel()
        wait_s = PACES_S.get(self.mode.operation_mode, 0.0)
        if wait_s:
            await self.gate.clock.wait(wait_s, self.ended)

    # --- inside -------------------------------------------------------------------------------------------------

    async def _begin_anew(self) -> None:
        self.ended.clear()
        if self.anew is not None:
            self.state, self.anew = self.anew, None
            self.keeper.rewind = True  # what is in the browser belongs to another time
            self.hooks.forget = True
            await self.mode.take_checkpoint("went back to an earlier checkpoint")

    def _why(self, history: Any) -> tuple[str, str]:
        state, settings = self.agent.state, self.agent.settings
        errors = [error for error in history.errors() if error]
        last = self.redactor.hide(errors[-1]) if errors else ""
        if state.consecutive_failures >= settings.max_failures:
            return FAILURES, last
        if state.n_steps > self.settings.max_steps:
            return MAX_STEPS, f"max_steps is {self.settings.max_steps}"
        return ENDED, last

    def _build(self) -> None:
        self.agent = self._built()
        self._changed(self._state, self.agent)

    def _built(self) -> Any:
        """browser-use's agent, with what it is to go on from."""
        resumed = bool(self.state["agent_state"])
        known = self.state["agent_state"]
        given = self.settings.agent_arguments()
        files = self.directory / "files"
        arguments: dict[str, Any] = {
            "enable_signal_handler": False,
            **given,
            "task": self.task,
            "llm": self._guarded(self.settings.llm, "llm"),
            "browser_session": self.keeper.session,
            "tools": guard_tools(self._tools(given), self._turn),
            "register_new_step_callback": self._on_decided(given.get("register_new_step_callback")),
        }
        for name in ("browser", "browser_profile", "controller"):
            arguments.pop(name, None)
        for name in MODELS:
            if given.get(name) is not None:
                arguments[name] = self._guarded(given[name], name)
        if resumed:
            place = None if given.get("file_system_path") else files
            arguments["injected_agent_state"] = agent_state(known, place, self.redactor)
            arguments |= {"directly_open_url": False, "initial_actions": None, "task_id": known["identity"]["task_id"]}
            arguments.pop("file_system_path", None)
        else:
            arguments.setdefault("file_system_path", str(files))
        agent = compat.load().Agent(**arguments)
        compat.keep_screenshots_in(agent, self.directory)
        if resumed:
            agent.task = self.task
            fill(agent, known)
            self.hooks.transcriber.begin_with(agent, self.state)
        return agent

    def _tools(self, given: Mapping[str, Any]) -> Any:
        tools = given.get("tools") or given.get("controller")
        if tools is not None:
            return tools
        exclude = [] if given.get("use_vision", True) == "auto" else ["screenshot"]
        shown = given.get("display_files_in_done_text", True)
        return compat.part("tools.service", "Tools")(exclude_actions=exclude, display_files_in_done_text=shown)

    def _guarded(self, model: Any, service: str) -> Any:
        return GuardedModel(
            model,
            self.mode.get_circuit_breaker(service),
            self.calls,
            timeout_s=lambda: None if self.agent is None else float(self.agent.settings.llm_timeout),
            answered=self.gate.answered,
        )

    async def _turn(self) -> Any:
        """The step under way. What comes before the first one is a step of its own."""
        if self.hooks.turn is None and self._first:
            await self.hooks.begin(self.agent)
        return self.hooks.turn

    def _on_decided(self, theirs: Callable[..., Any] | None) -> Callable[..., Awaitable[None]]:
        async def decided(summary: Any, output: Any, number: int) -> None:
            await self.hooks.on_decided(output, summary)
            if theirs is not None:
                said = theirs(summary, output, number)
                if inspect.isawaitable(said):
                    await said

        return decided


def task_of(settings: AgentSettings, state: Mapping[str, Any]) -> str:
    """What the agent is to do: as it is set, or, where nothing is set, as its log says."""
    return str(settings.task or state["agent_state"].get("task") or "")
