"""The hooks of a run: what happens before each step of the agent, when it has decided, and after it.

Talks to the mode's steps and to browser-use's agent. A step that failed for the model's or the browser's sake is
undone, in the agent as in the journal, and taken again: it costs none of the agent's steps, and leaves nothing in its
memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from lrm_actors.adapters.browser_use import slim
from lrm_actors.adapters.browser_use.guarding import Calls
from lrm_actors.adapters.browser_use.keeping import BrowserKeeper, HealStopped
from lrm_actors.adapters.browser_use.outage import OutageGate
from lrm_actors.adapters.browser_use.redacting import Redactor
from lrm_actors.adapters.browser_use.run_errors import BROWSER, DOUBT, OUTAGE
from lrm_actors.adapters.browser_use.transcribing import Transcriber
from lrm_actors.adapters.browser_use.turns import Turn

_log = logging.getLogger("lrm_actors.adapters.browser_use")

STEP = "browser step"
"""Name of each step of the mode."""
MAX_UNASKED = 3
"""Times in a row that a step which was cut off may fail before it comes to where it was; then it is let go of."""


class Undone(Exception):
    """A step that is not to count: abandoned in the journal because of it. Never leaves this module."""


class CannotGoOn(Exception):
    """The run is to end, and its caller to be told. Raised through browser-use's loop."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class Run(Protocol):
    """What the hooks know of the run that they belong to."""

    state: dict[str, Any]
    """The slim state, as it was committed last."""
    ended: asyncio.Event
    """Set when the run is to end, or to begin anew, at the next step."""
    task: str

    async def pace(self) -> None:
        """Wait as long as the operation mode asks for."""


class Hooks:
    """The hooks of one run.

    Args:
        mode: of the agent.
        run: that they belong to.
        keeper: of the browser.
        gate: in front of the model.
        calls: of the model, in the step under way.
        redactor: takes secrets out of what is put on record.
        on_doubt: gives the setting.
        fresh: the run begins from nothing, whatever the log holds of another.
        forget: what is on record of a step that was cut off is not of this run.
    """

    def __init__(
        self,
        mode: Any,
        run: Run,
        keeper: BrowserKeeper,
        gate: OutageGate,
        calls: Calls,
        *,
        redactor: Redactor,
        on_doubt: Callable[[], Any],
        fresh: bool,
        forget: bool,
    ) -> None:
        self.mode = mode
        self.run = run
        self.keeper = keeper
        self.gate = gate
        self.calls = calls
        self.redactor = redactor
        self.transcriber = Transcriber(redactor)
        self.turn: Turn | None = None
        self.user_start: Callable[[Any], Awaitable[object]] | None = None
        self.user_end: Callable[[Any], Awaitable[object]] | None = None
        self._on_doubt = on_doubt
        self.forget = forget
        self._fresh = fresh
        self._scope: Any = None
        self._unasked = 0
        self.left: dict[str, Any] = {}
        """What the actions of a step that is not committed changed in the browser."""

    async def on_step_start(self, agent: Any) -> None:
        """Wait until there is a model and a browser, then begin the step."""
        if self.turn is not None:  # browser-use's own first actions, which have no step of theirs
            await self._commit(agent)
        await self.run.pace()
        if not await self.gate.pass_through(self.run.ended):
            raise CannotGoOn(OUTAGE, f"away for {self.gate.lasted_s:.0f} s")
        await self._heal(agent)
        await self.begin(agent)
        if self.user_start is not None:
            await self.user_start(agent)

    async def begin(self, agent: Any) -> Turn:
        """Begin a step, which holds what it did already if it was begun before."""
        # All have one name: what is on record of a step that was cut off is for the next one, or to be forgotten.
        self._scope = self.mode.step(STEP)
        step = await self._scope.__aenter__()
        if self.forget:
            step.forget_effects()
        self.forget = False
        self.turn = turn = Turn(
            self.mode,
            step,
            agent,
            self.keeper,
            redactor=self.redactor,
            on_doubt=self._on_doubt,
            task=self.run.task,
            known={} if self._fresh else self.run.state["browser_state"],
            left=self.left,
        )
        self.calls.begin(await turn.decision())
        return turn

    async def on_decided(self, output: Any, summary: Any) -> None:
        """The model has decided, on a page."""
        if self.turn is not None:
            await self.turn.decided(output, summary)

    async def on_step_end(self, agent: Any) -> None:
        """Commit the step with what it changed, or undo it."""
        turn = self.turn
        if turn is None:
            return
        if turn.failed is not None:
            await self.abandon(turn.failed)
            raise turn.failed
        if turn.asked is not None:
            await self.abandon(turn.asked)
            raise CannotGoOn(DOUBT, str(turn.asked)) from turn.asked
        why = self._why_not(agent, turn)
        if why:
            turn.undo.back(agent)
            await self.abandon(Undone(why))
            if self.calls.outage is not None and self.gate.failures == 1:  # the breaker tells of the others
                await self.mode.handle_failure(self.redactor.error(self.calls.outage), {"component": "llm"})
        else:
            await self._commit(agent)
        # browser-use stops by itself where it lost its browser, and nowhere else.
        agent.state.stopped = self.run.ended.is_set() or (agent.state.stopped and not self._lost())
        if self.user_end is not None and not why:
            await self.user_end(agent)

    def _why_not(self, agent: Any, turn: Turn) -> str:
        """Why a step is not to count; empty: it counts, whatever came of it."""
        if self.calls.outage is not None and not turn.done:
            self.gate.failed(_asked_for_s(self.calls.outage))
            return f"the model could not be reached: {type(self.calls.outage).__name__}"
        result, output = agent.state.last_result, agent.state.last_model_output
        decided = 0 if output is None else len(output.action)
        # A page that is gone is taken for one that changed: the rest of what was decided is left out without a word.
        if self._lost() and (result is None or len(result) < decided or any(one.error for one in result)):
            return "the browser was lost"
        if self.calls.decision is not None and self._unasked < MAX_UNASKED:
            self._unasked += 1
            return "it did not come to what was decided before"
        self._unasked = 0
        return "it was interrupted" if result is None else ""

    def _lost(self) -> bool:
        return self.keeper.lost or not self.keeper.session.is_cdp_connected

    async def _heal(self, agent: Any) -> None:
        try:
            await self.keeper.heal(self.redactor.show({**self.run.state["browser_state"], **self.left}))
        except HealStopped:
            raise
        except Exception as error:
            raise CannotGoOn(BROWSER, self.redactor.hide(f"{type(error).__name__}: {error}")) from error
        if agent.browser_session is not self.keeper.session:
            self.keeper.session.llm_screenshot_size = agent.browser_session.llm_screenshot_size
            agent.browser_session = self.keeper.session

    async def _commit(self, agent: Any) -> None:
        turn, scope, self.turn, self._scope = self.turn, self._scope, None, None
        assert turn is not None
        turn.finish()
        browser = turn.browser or await self.keeper.read()
        before = slim.empty() if self._fresh else self.run.state
        after = {
            "agent_state": self.transcriber.write(agent, self.run.task),
            "browser_state": self.redactor.hide({**before["browser_state"], **browser, "pid": self.keeper.pid}),
        }
        changes = slim.delta(before, after)
        turn.step.progress = (after["agent_state"]["current_goal"] or "")[:200]
        turn.step.result = {"fresh": True, **changes} if self._fresh else changes
        if turn.step.effects.before - turn.step.effects.asked:
            _log.warning("step %d ended otherwise than the one before it that was cut off", turn.number)
            turn.step.forget_effects()
        kept, self.run.state = self.run.state, slim.apply(before, changes)
        drop_prompts(agent)
        try:
            await scope.__aexit__(None, None, None)
        except BaseException:
            self.run.state = kept
            raise
        self._fresh = False
        self.left.clear()

    async def abandon(self, error: BaseException) -> None:
        """End the open step, if there is one, as one that did not happen."""
        scope, self.turn, self._scope = self._scope, None, None
        if scope is not None:
            await scope.__aexit__(type(error), error, None)


def drop_prompts(agent: Any) -> None:
    """Let go of the prompts of past steps: each holds the whole memory."""
    for item in reversed(agent.history.history):
        if item.state_message is None:
            return
        item.state_message = None


def _asked_for_s(error: BaseException) -> float:
    from lrm_actors.actors.retry_after import retry_after_s

    return retry_after_s(error) or 0.0
