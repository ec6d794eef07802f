"""The agent as its user sees it: settings in, history out, and everything between them kept alive.

Talks to the long-running mode through its integration, and to one run at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Self, overload

from lrm_actors.actors.analyzer import text_of
from lrm_actors.adapters.browser_use import compat, slim
from lrm_actors.adapters.browser_use.chromium import OwnedChromium
from lrm_actors.adapters.browser_use.keeping import BrowserKeeper, BrowserLost, end_elsewhere, make_session
from lrm_actors.adapters.browser_use.outage import Clock
from lrm_actors.adapters.browser_use.remote import RemoteBrowser
from lrm_actors.adapters.browser_use.run import BrowserRun
from lrm_actors.adapters.browser_use.run_errors import AgentGaveUp, AlreadyRunning, NothingToResume
from lrm_actors.adapters.browser_use.settings import AgentSettings
from lrm_actors.adapters.browser_use.steps import CannotGoOn
from lrm_actors.adapters.browser_use.supervising import AgentIntegration, Supervisor
from lrm_actors.domain.checkpointer import EMERGENCY
from lrm_actors.errors import SettingsError

RUNNING, ENDED = "running", "ended"
"""What a state says of its run: ended means that the caller of ``run()`` was given the history."""
BROWSER = "browser"
"""Name of the component."""
SILENCE_S = 30.0
"""How long the browser may answer nothing before the supervisor restarts it."""
CLOSE_S = 10.0
"""How long a run may take to end when its agent is closed, before its browser is ended under it."""
Hook = Callable[[Any], Awaitable[object]]

_log = logging.getLogger("lrm_actors.adapters.browser_use")


class _Resume:
    """``resume``: of the class, the agent of a log; of an agent, the end of its pause."""

    @overload
    def __get__(self, agent: None, kind: type[Agent]) -> Callable[..., Agent]: ...

    @overload
    def __get__(self, agent: Agent, kind: type[Agent]) -> Callable[[], None]: ...

    def __get__(self, agent: Agent | None, kind: type[Agent]) -> Callable[..., Any]:
        """One or the other."""
        return kind.from_log if agent is None else agent.go_on


class Agent:
    """A browser-use agent that cannot be killed.

    Cheap to make: neither a browser nor browser-use's own agent is there before ``run()``.

    Args:
        settings: of the agent; assign to them at any time.
        more: in their place: the same as ``Agent(AgentSettings(**more))``.

    Raises:
        SettingsError, UnknownSetting: as of ``AgentSettings``.
        TypeError: both were given, or something else than settings.
    """

    def __init__(self, settings: AgentSettings | None = None, **more: Any) -> None:
        if settings is not None and (more or not isinstance(settings, AgentSettings)):
            given = ", ".join(more) or type(settings).__name__
            raise TypeError(f"Agent takes AgentSettings, or settings by name, and not {given} besides or instead")
        self.settings = AgentSettings(**more) if settings is None else settings
        self.slim_state: dict[str, Any] = slim.empty()
        """The state as plain data, as it was committed last."""
        self.supervisor = Supervisor(AgentIntegration(self))
        self.agent: Any = None
        """browser-use's own, once there is one."""
        self.heals_s: tuple[float, ...] = ()
        """Of the last run: seconds from each loss of the browser that was noticed to one that works."""
        self.clock: Clock | None = None
        """What waits for a model that is away; a test may own it."""
        self._run: BrowserRun | None = None
        self._stopping = False
        """Whether a run that has only just begun is to end before its first step."""
        self._over: asyncio.Event | None = None
        """Set when the run that was begun last is over."""
        self._task: asyncio.Task[Any] | None = None
        """What runs it: not to be waited for from within."""
        self._keeper: BrowserKeeper | None = None
        self._selected = False
        self._paused = False
        self._fresh = True
        self._forget = False

    resume = _Resume()
    """``Agent.resume(checkpoint_dir, llm)`` is ``from_log``; ``agent.resume()`` is ``go_on``."""

    @classmethod
    def from_log(cls, checkpoint_dir: str | Path | None = None, llm: Any = None, **settings: Any) -> Self:
        """The agent of a log, to go on with what it was doing: ``await Agent.resume("./checkpoints", llm=llm).run()``.

        Args:
            checkpoint_dir: as it was; None: as the settings say.
            llm: the model.
            settings: any other, ``agent_id`` among them.

        Raises:
            NothingToResume: there is no log.
        """
        place = {} if checkpoint_dir is None else {"checkpoint_dir": str(checkpoint_dir)}
        chosen = AgentSettings(llm=llm, **{"enable_long_running_mode": True, **place, **settings})
        path = chosen.long_running.log_path
        if not path.exists():
            raise NothingToResume(f"there is no log at {path}")
        return cls(chosen)

    @property
    def history(self) -> Any:
        """browser-use's history of all steps so far; None before the first run."""
        return None if self.agent is None else self.agent.history

    @property
    def state(self) -> Any:
        """browser-use's state of the agent; None before the first run."""
        return None if self.agent is None else self.agent.state

    @property
    def browser_session(self) -> Any:
        """browser-use's session; None before the first run."""
        return None if self.agent is None else self.agent.browser_session

    @property
    def browser_pid(self) -> int | None:
        """The process of the agent's own browser; None: there is none now, or it is not its own."""
        return None if self._keeper is None else self._keeper.browser.pid()

    async def run(
        self, max_steps: int | None = None, on_step_start: Hook | None = None, on_step_end: Hook | None = None
    ) -> Any:
        """Do the task, or go on with it where the log says that it was. browser-use's history of all its steps.

        Args:
            max_steps: in place of the setting.
            on_step_start: called before each step.
            on_step_end: called after each step that counts.

        Raises:
            AgentGaveUp: it cannot go on.
            AlreadyRunning: it is running.
            NothingToResume: no task was given, and none is in the log.
            OpenError: the log cannot be owned; its leaves say why and what to do.
        """
        if self._over is not None and not self._over.is_set():
            raise AlreadyRunning("the agent is running already")
        if max_steps is not None:
            self.settings.max_steps = max_steps
        integration = self.supervisor.long_running_integration
        begun_here = not integration.running
        over = self._over = asyncio.Event()
        self._stopping, self._task = False, asyncio.current_task()
        try:
            if not await integration.initialize():
                return await self._run_plainly(on_step_start, on_step_end)
            try:
                return await self._run_kept(on_step_start, on_step_end)
            finally:
                if begun_here:
                    await integration.stop_monitoring()
        finally:
            over.set()

    def pause(self) -> None:
        """Hold the agent before its next step, until ``go_on``. Returns at once."""
        if self._run is not None:
            self._run.going.clear()
        self._paused = True

    def go_on(self) -> None:
        """Let a paused agent go on. Returns at once."""
        self._paused = False
        if self._run is not None:
            self._run.going.set()

    def stop(self) -> None:
        """End the run at the next step. ``run()`` gives the history, and goes on from there when it is called again."""
        self._stopping = True
        if self._run is not None:
            self._run.stop()
        elif self.agent is not None:
            self.agent.stop()

    async def close(self) -> None:
        """Stop, end the browser if it is the agent's own, and let go of the log.

        A run under way, in another task, is waited for: its step ends, and its last checkpoint is taken.
        """
        self.stop()
        if self._over is not None and self._task is not asyncio.current_task():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._over.wait()
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            await keeper.close(end=not self.settings.keep_browser)
        await self.supervisor.long_running_integration.stop_monitoring()

    def restored(self, state: Any) -> None:
        """A checkpoint's state was given back."""
        self.slim_state = state
        self._fresh = False
        if self._run is not None:
            self._run.begin_anew(state)

    def select(self, recovery: Any, *, with_steps: bool) -> None:
        """Go on from a recovery, which was chosen before the run."""
        if recovery is not None and self._run is None:
            self._take(recovery, with_steps=with_steps)
            self._selected, self._forget = True, not with_steps

    # --- inside -------------------------------------------------------------------------------------------------

    def _take(self, recovery: Any, *, with_steps: bool) -> None:
        state, fresh = (self.slim_state, False) if recovery.checkpoint_id is not None else (slim.empty(), True)
        for step in recovery.steps if with_steps else ():
            if isinstance(step.result, dict):
                state = slim.apply(slim.empty() if step.result.get("fresh") else state, step.result)
                fresh = False
        self.slim_state, self._fresh = state, fresh

    async def _recover(self, mode: Any) -> None:
        if self._selected:
            self._selected = False
            return
        await mode.recover_from_checkpoint()
        if mode.last_recovery is not None:
            self._take(mode.last_recovery, with_steps=True)
        known = self.slim_state["agent_state"]
        other = known and self.settings.task and known.get("task") != self.settings.task
        if other and known.get("status") != ENDED:
            _log.warning("the log holds an unfinished run of another task, which is left where it is")
        if other or known.get("status") == ENDED:
            browser = {key: self.slim_state["browser_state"].get(key) for key in ("pid", "directory")}
            self.slim_state, self._fresh, self._forget = slim.empty() | {"browser_state": browser}, True, True

    async def _run_kept(self, on_step_start: Hook | None, on_step_end: Hook | None) -> Any:
        mode = self.supervisor.long_running_integration.long_running_mode
        assert mode is not None
        await asyncio.to_thread(compat.load)  # it takes most of a second, for which no loop should stand still
        await self._recover(mode)
        if self.settings.llm is None:
            raise SettingsError("llm", None, "a chat model of browser-use")
        if not (self.settings.task or self.slim_state["agent_state"].get("task")):
            found = "the run in the log is over" if self._forget else "there is none in the log"
            raise NothingToResume(f"no task was given, and {found}")
        directory = self.settings.long_running.log_path.absolute().parent / "browser"
        await end_elsewhere(self.slim_state["browser_state"], directory)
        keeper = self._keeper = self._new_keeper(mode, directory)
        self._look_after(mode, keeper)
        done = False
        try:
            run = self._run = BrowserRun(
                self.settings, mode, keeper, self.slim_state, directory,
                fresh=self._fresh, forget=self._forget, changed=self._changed,
            )  # fmt: skip
            if self.clock is not None:
                run.gate.clock = self.clock
            if self._paused:
                run.going.clear()
            run.hooks.user_start, run.hooks.user_end = on_step_start, on_step_end
            if self._forget and not self._fresh:
                await mode.take_checkpoint("went back to an earlier checkpoint")
            self._forget = False
            if self._stopping:
                run.stop()
            with self._following(run):
                history = await run.go()
            done = history.is_done()
            return history
        except CannotGoOn as error:
            taken = await self._emergency(mode, error)
            raise AgentGaveUp(
                error.reason, error.detail, history=self.history, checkpoint_id=taken
            ) from error.__cause__
        finally:
            self.heals_s = tuple(keeper.heals_s)
            self._run, self._keeper = None, None
            self._look_after(mode, None)
            await keeper.close(end=not self.settings.keep_browser)
            if done:
                await self._ended(mode)

    @contextlib.contextmanager
    def _following(self, run: BrowserRun) -> Iterator[None]:
        """Have a run hear of each assignment to the settings."""
        unobserve = self.settings.observe(run.assigned)
        try:
            yield
        finally:
            unobserve()

    def _look_after(self, mode: Any, keeper: BrowserKeeper | None) -> None:
        """Have the supervisor look after the browser, or after none."""

        async def restart() -> None:
            if keeper is not None and self._keeper is keeper:
                await keeper.bring_back()

        async def clear_caches() -> None:
            if keeper is not None and self._keeper is keeper:
                await keeper.clear_caches()

        mode.register_component(
            BROWSER,
            restart=restart,
            clear_caches=clear_caches,
            heartbeat_timeout_s=None if keeper is None else SILENCE_S,
        )
        mode.free_memory_with("caches of the browser", clear_caches)

    def _changed(self, state: dict[str, Any], agent: Any) -> None:
        self.slim_state, self.agent = state, agent

    async def _ended(self, mode: Any) -> None:
        """Remember that the caller was given the history: the next run is a new one."""
        self.slim_state = {
            **self.slim_state, "agent_state": {**self.slim_state["agent_state"], "status": ENDED}
        }  # fmt: skip
        await mode.take_checkpoint("the run ended")

    async def _emergency(self, mode: Any, error: Exception) -> str | None:
        with contextlib.suppress(Exception):
            taken: str = await mode.take_checkpoint(text_of(error), kind=EMERGENCY)
            return taken or None
        return None

    def _new_keeper(self, mode: Any, directory: Path) -> BrowserKeeper:
        settings = self.settings
        given = settings.browser_session or settings.browser
        profile = given.browser_profile if given is not None else settings.browser_profile
        address = settings.cdp_url or getattr(profile, "cdp_url", None)
        browser = RemoteBrowser(address) if address else _own_browser(settings, profile, directory)

        async def on_lost(error: BrowserLost) -> None:
            await mode.handle_failure(error, {"component": BROWSER})

        return BrowserKeeper(
            browser,
            make_session(profile, given, directory),
            breaker=mode.get_circuit_breaker(BROWSER),
            attempts=lambda: int(settings.browser_attempts),
            on_lost=on_lost,
            on_answer=lambda: mode.heartbeat(BROWSER),
        )

    async def _run_plainly(self, on_step_start: Hook | None, on_step_end: Hook | None) -> Any:
        """Switched off: browser-use's agent, as it comes."""
        given = self.settings.agent_arguments()
        if self.settings.cdp_url and not (given.get("browser_session") or given.get("browser")):
            given["browser_session"] = compat.load().BrowserSession(cdp_url=self.settings.cdp_url)
        self.agent = compat.load().Agent(task=self.settings.task or "", llm=self.settings.llm, **given)
        return await self.agent.run(self.settings.max_steps, on_step_start, on_step_end)


def _own_browser(settings: AgentSettings, profile: Any, directory: Path) -> OwnedChromium:
    path = settings.browser_path or getattr(profile, "executable_path", None)
    headless = settings.headless
    if profile is not None and profile.headless is not None:
        headless = bool(profile.headless)
    arguments = [*settings.browser_args, *(getattr(profile, "args", None) or ())]
    return OwnedChromium(directory, executable=path, headless=headless, args=tuple(arguments))
