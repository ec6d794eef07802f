"""One attempt of one step of the agent: what it decided, what it did, and how to undo what that did to its memory.

Talks to the mode's effects, to browser-use's agent and to the browser's keeper.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from lrm_actors.adapters.browser_use import compat
from lrm_actors.adapters.browser_use.actions import (
    FILES_ONLY,
    HARMLESS,
    SKIPPED,
    needs_element,
    policy_for,
    put_files,
    read_result,
    result_dict,
)
from lrm_actors.adapters.browser_use.keeping import BrowserKeeper, BrowserLost
from lrm_actors.adapters.browser_use.left import BROWSER
from lrm_actors.adapters.browser_use.redacting import Redactor
from lrm_actors.adapters.browser_use.transcribing import output_dict, page_dict, put_page, read_output
from lrm_actors.effects import Skip
from lrm_actors.errors import EffectInDoubt, JournalMismatch

DECISION = "decide"
"""The effect that has what the model decided."""
NOTE = (
    "<sys>The agent was interrupted while it did '{name}'. Whether it was done before is in doubt, and {now}. "
    "Look at the page before you build on it.</sys>"
)
"""What the model is told; 'in doubt' stands in each."""
CUT = (
    "<sys>The browser had to be started anew in the middle of the step. Of what was decided in it, {names} was not "
    "done: the page is a new one.</sys>"
)
PAGE = "page"
"""Key of a decision for the page that it was made on."""
AGAIN = "again"
"""Key of an action's result: it had been in doubt before."""
ANSWER_S = 1.0
"""How long the browser may take to answer when an action ended with an error, which may be the end of the browser."""

_log = logging.getLogger("lrm_actors.adapters.browser_use")


class Turn:
    """An attempt.

    Args:
        mode: carries out its effects.
        step: of the mode, open.
        agent: browser-use's.
        keeper: of the browser.
        redactor: takes secrets out of what is put on record.
        on_doubt: gives the setting.
        task: of the agent; what was decided for another is not taken up.
        known: what is known to be in the browser, as it is on record.
        left: what of that the actions of this step changed; kept up to date.
    """

    def __init__(
        self,
        mode: Any,
        step: Any,
        agent: Any,
        keeper: BrowserKeeper,
        *,
        redactor: Redactor,
        on_doubt: Callable[[], Any],
        task: str,
        known: Mapping[str, Any],
        left: dict[str, Any],
    ) -> None:
        self.mode = mode
        self.step = step
        self.agent = agent
        self.keeper = keeper
        self.redactor = redactor
        self._on_doubt = on_doubt
        self._task = task
        self._known = known
        self._left = left
        self.browser: dict[str, Any] = {}
        """What was in the browser after the last action; empty: nobody has looked."""
        self.number: int = agent.state.n_steps
        self.undo = Undo(agent)
        self.done: list[tuple[str, bool]] = []
        """Names of the actions of this attempt, and whether each came from the record."""
        self.asked: EffectInDoubt | None = None
        """An action that somebody has to say something about before the step can go on."""
        self.failed: BaseException | None = None
        """What of ours went wrong within the step, which browser-use would take for the agent's mistake."""
        self._recorded: frozenset[str] = frozenset(step.effects.before)
        self._replayed = False
        self._page: Mapping[str, Any] | None = None
        self._cut: list[str] = []
        self._actions = Actions([])

    async def decision(self) -> Callable[[Any], Any] | None:
        """What an earlier attempt decided; None: nothing, or nothing that can be done any more.

        In a new browser the elements of the page have other numbers. If what is left to do names one, only what was
        begun is taken over: the result of what was done, and the doubt about what was not finished.
        """
        decided = None
        occurrence = 1
        try:
            while decided is None and f"{DECISION}#{occurrence}" in self._recorded:
                decided = await self.mode.effect(DECISION, _nothing, policy=Skip(None), given=self._task)
                occurrence += 1
        except JournalMismatch:
            self._forget()
        if decided is None:
            return None
        begun = [place for place, action in enumerate(decided["action"]) if self._is_recorded(place, action)]
        rest = [_of(action) for action in decided["action"][len(begun) :]]
        if self.keeper.fresh and any(needs_element(parameters) for _, parameters in rest):
            if not begun:
                self._forget()
                return None
            self._cut = [name for name, _ in rest]
            decided = {**decided, "action": decided["action"][: len(begun)]}
        self._replayed, self._page = True, decided.get(PAGE)
        decided = {name: value for name, value in decided.items() if name != PAGE}

        def read(model: Any) -> Any:
            output = read_output(self.agent, decided, model)
            output.action = self._actions = Actions(output.action)
            return output

        return read

    async def decided(self, output: Any, summary: Any) -> None:
        """The model has decided, on a page: on record before anything is done."""
        if self._replayed:
            return
        plain = self.redactor.hide({**(output_dict(output) or {}), PAGE: page_dict(summary)})

        async def given() -> Any:
            return plain

        await self._effect(DECISION, given, Skip(None), self._task)

    async def act(self, action: Any, do: Callable[[], Awaitable[Any]], **more: Any) -> Any:
        """Do an action, or give what it gave before.

        Args:
            action: browser-use's.
            do: does it.
            more: what the action is given: the agent's files among it.
        """
        if self.keeper.lost:
            raise BrowserLost("browser closed before the action")
        name, parameters = _of(action.model_dump(mode="json", exclude_unset=True))
        key = f"{len(self.done) + 1} {name}"
        before = f"{key}#1" in self._recorded
        called = False
        files = more.get("file_system")
        kept_files = None if files is None else files.get_state()

        async def carry_out() -> Any:
            nonlocal called
            called = True
            try:
                given = await do()
            except Exception as error:  # noqa: BLE001 - whatever it is, its text is going to be on record
                raise self.redactor.error(error) from None
            changed = {} if name in FILES_ONLY else await self._look()
            blind = name not in FILES_ONLY and not self.browser
            if (given.error or blind) and not await self._is_there():
                # It is in doubt, whatever browser-use says: some actions end well without a browser, and some that need
                # none end with an error.
                raise BrowserLost(f"browser closed while it did {name}")
            kept = result_dict(given, kept_files, None if files is None else files.get_state())
            after = await self._place()
            kept |= {"moved": True} if after != place else {}
            kept |= {AGAIN: True} if before else {}
            self._left.update(changed)
            return self.redactor.hide(kept) | ({BROWSER: changed} if changed else {})

        place = await self._place()
        repeatable = not (self.keeper.fresh and before and needs_element(parameters))
        policy = policy_for(self._on_doubt(), name, parameters, repeatable=repeatable)
        recorded = await self._effect(key, carry_out, policy)
        self.done.append((name, not called))
        skipped, again = _is_skipped(recorded), isinstance(recorded, Mapping) and bool(recorded.get(AGAIN))
        if before and name not in HARMLESS and (skipped or again):
            self._tell(name, "it was not repeated" if skipped else "it was done once more")
        if not called and isinstance(recorded, Mapping):
            self._left.update(recorded.get(BROWSER, {}))
            await put_files(files, recorded, self.redactor.show)
            if recorded.get("moved") and len(self.done) < len(self._actions):
                self._actions.stop = True
        return read_result(recorded, name)

    def finish(self) -> None:
        """The step is to be committed: have its history as if nothing had happened, or say what did."""
        history = self.agent.history.history
        if self._page is not None and len(history) > self.undo.history:
            put_page(history[-1], self.redactor.show(self._page))
        if self._cut:
            self._remember(CUT.format(names=", ".join(self._cut)))

    async def _is_there(self) -> bool:
        """Whether an action's error was not the end of the browser."""
        if self.keeper.lost or not self.keeper.session.is_cdp_connected:
            return False
        return await self.keeper.browser.responsive(ANSWER_S)

    async def _look(self) -> dict[str, Any]:
        """What the action changed in the browser, which a new one would not have."""
        self.browser = await self.keeper.read()
        known = {**self._known, **self._left}
        now: dict[str, Any] = self.redactor.hide(self.browser)
        return {key: value for key, value in now.items() if known.get(key) != value}

    async def _effect(self, name: str, do: Callable[[], Any], policy: Any, given: Any = None) -> Any:
        try:
            return await self.mode.effect(name, do, policy=policy, given=given)
        except BrowserLost:
            raise
        except EffectInDoubt as error:
            self.asked = error
            raise InterruptedError(str(error)) from error
        except Exception as error:
            self.failed = error
            raise InterruptedError(str(error)) from error

    def _forget(self) -> None:
        self.step.forget_effects()
        self._recorded = frozenset()

    async def _place(self) -> tuple[str, str | None]:
        """The page that the agent is on. browser-use drops the rest of a step's actions where one of them left it."""
        session = self.keeper.session
        return await session.get_current_page_url(), session.agent_focus_target_id

    def _tell(self, name: str, now: str) -> None:
        """Say that it was in doubt, and what came of that."""
        self._remember(NOTE.format(name=name, now=now))
        _log.warning("step %d: %s was in doubt, and %s", self.number, name, now)

    def _remember(self, text: str) -> None:
        """Say it where the model remembers what happened."""
        item = compat.part("agent.message_manager.views", "HistoryItem")
        self.agent.state.message_manager_state.agent_history_items.append(item(system_message=text))

    def _is_recorded(self, place: int, action: Mapping[str, Any]) -> bool:
        return f"{place + 1} {_of(action)[0]}#1" in self._recorded


class Actions(list[Any]):
    """The actions of a decision that is repeated. Whoever goes through them can be told to stop, as it did before."""

    stop = False

    def __iter__(self) -> Iterator[Any]:
        """Each of them, up to where it is to stop. Once only."""
        for action in super().__iter__():
            if self.stop:
                self.stop = False
                return
            yield action


class Undo:
    """What an agent remembers before a step, to be given back to it. Made of references: it costs some microseconds."""

    FIELDS = (
        "n_steps", "consecutive_failures", "last_model_output", "current_plan_item_index", "plan_generation_step",
    )  # fmt: skip
    REMEMBERED = (
        "read_state_description", "compacted_memory", "compaction_count", "last_compaction_step", "tool_id",
    )  # fmt: skip

    def __init__(self, agent: Any) -> None:
        state, memory = agent.state, agent.state.message_manager_state
        self._fields = {name: getattr(state, name) for name in self.FIELDS}
        self._result = None if state.last_result is None else list(state.last_result)
        self._plan = None if state.plan is None else [item.model_copy() for item in state.plan]
        self._remembered = {name: getattr(memory, name) for name in self.REMEMBERED}
        self._memory = list(memory.agent_history_items)
        self._images = list(memory.read_state_images)
        loops = state.loop_detector
        self._loops = loops.model_copy(
            update={
                "recent_action_hashes": list(loops.recent_action_hashes),
                "recent_page_fingerprints": list(loops.recent_page_fingerprints),
            }
        )
        self.history = len(agent.history.history)
        """How many items it had."""

    def back(self, agent: Any) -> None:
        """As if the step had not been begun."""
        state, memory = agent.state, agent.state.message_manager_state
        for name, value in self._fields.items():
            setattr(state, name, value)
        state.last_result = self._result
        state.plan = self._plan
        state.loop_detector = self._loops
        for name, value in self._remembered.items():
            setattr(memory, name, value)
        memory.agent_history_items = self._memory
        memory.read_state_images = self._images
        del agent.history.history[self.history :]


def _of(action: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Name and parameters of an action."""
    name, parameters = next(iter(action.items()), ("nothing", {}))
    return name, parameters if isinstance(parameters, Mapping) else {}


def _is_skipped(recorded: Any) -> bool:
    return isinstance(recorded, Mapping) and bool(recorded.get("skipped")) and SKIPPED.items() <= recorded.items()


async def _nothing() -> None:
    """Never called: the effect is on record."""
