"""A model that has twelve steps to take and finds out where it is from the memory in its prompt, and from nothing else.

It counts nothing itself: an agent that is resumed with a memory that is not what it was does the wrong step.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Awaitable, Callable
from typing import Any

STEPS = 12
TASK = "Sign in, order fruit in the shop, keep notes, and say what is in the basket."

_HISTORY = re.compile(r"<agent_history>\n(.*)\n</agent_history>", re.DOTALL)
_PROGRESS = re.compile(r"progress (\d+)/(\d+)")
_TAB = re.compile(r"Tab (\w{4}): \S*?(/\w+) ")
_FAILURES = ("failed", "Failed", "Error", "error", "timed out", "not available", "Connection lost")
"""Words of an action's result by which the model knows that it has to take the step again."""
CUT_OFF = "cut off"
"""In the result of an action that was not repeated, since it may have been done before."""


class ScriptLost(Exception):
    """The prompt does not show what the script expects: the agent's memory, or its page, is not what it should be."""


def prompt_of(messages: list[Any]) -> str:
    """What the state message says."""
    texts: list[str] = [one.text for one in messages]
    return next(text for text in reversed(texts) if "<agent_history>" in text)


def progress_in(prompt: str, failures: tuple[str, ...] = _FAILURES) -> int:
    """The last step that the memory says was done, without one whose result was a failure."""
    found = _HISTORY.search(prompt)
    if found is None:
        raise ScriptLost(prompt[:500])
    done = 0
    for block in found[1].split("<step>"):
        said = _PROGRESS.search(block)
        if said is not None:
            result = block.partition("\nResult\n")[2]
            done = int(said[1]) - any(word in result for word in failures)
    return done


def index_of(prompt: str, element: str) -> int:
    """The number that the page gives an element with this id."""
    found = re.search(rf"\[(\d+)\]<\w+ id={element}\b", prompt)
    if found is None:
        raise ScriptLost(f"no element {element} on the page: {prompt[-1500:]}")
    return int(found[1])


def tab_of(prompt: str, path: str) -> str:
    """The id of the tab that shows this page."""
    tabs: dict[str, str] = {shown: tab for tab, shown in _TAB.findall(prompt)}
    if path not in tabs:
        raise ScriptLost(f"no tab shows {path}: {prompt[-1500:]}")
    return tabs[path]


def actions(step: int, url: str, prompt: str) -> list[dict[str, Any]]:
    """What to do in one step."""

    def evaluate(code: str) -> dict[str, Any]:
        return {"evaluate": {"code": code}}

    match step:
        case 1:
            return [{"navigate": {"url": f"{url}/login"}}]
        case 2:
            return [evaluate("signIn('ada')")]
        case 3:
            return [{"navigate": {"url": f"{url}/account"}}]
        case 4:
            typed = {"input": {"index": index_of(prompt, "note"), "text": "fruit"}}
            return [typed, {"click": {"index": index_of(prompt, "save")}}]
        case 5:
            return [{"write_file": {"file_name": "notes.md", "content": "ada is signed in"}}]
        case 6:
            return [{"navigate": {"url": f"{url}/shop", "new_tab": True}}]
        case 7:
            return [evaluate("order('apple')")]
        case 8:
            noted = {"write_file": {"file_name": "notes.md", "content": "apple ordered", "append": True}}
            return [noted, evaluate("order('pear')")]
        case 9:
            return [{"switch": {"tab_id": tab_of(prompt, "/account")}}]
        case 10:
            return [evaluate("order('plum')")]
        case 11:
            return [{"read_file": {"file_name": "notes.md"}}, evaluate("order('quince')")]
        case _:
            return [{"done": {"text": "apple, pear, plum and quince are ordered", "success": True}}]


class ScriptedModel:
    """What browser-use takes for a chat model.

    Args:
        url: of the site.
        tell: called with ``before-model`` and ``after-model`` and the step.
        script: gives the actions of a step; of these twelve by default.
        steps: how many there are.
        retakes: it takes a step again whose action was in doubt and was not repeated.
    """

    model = provider = name = model_name = "scripted"
    _verified_api_keys = True

    def __init__(
        self,
        url: str,
        tell: Callable[[str, int], Awaitable[None]] | None = None,
        *,
        script: Callable[[int, str, str], list[dict[str, Any]]] = actions,
        steps: int = STEPS,
        retakes: bool = False,
    ) -> None:
        self.url, self.tell, self.script, self.steps = url, tell, script, steps
        self.failures = (*_FAILURES, CUT_OFF) if retakes else _FAILURES
        self.calls = 0
        self.prompts: list[str] = []
        """The agent's history as each call showed it."""

    async def ainvoke(self, messages: list[Any], output_format: Any = None, **_: Any) -> Any:
        """Answer one prompt."""
        if output_format is None or "action" not in output_format.model_fields:
            return self._other(output_format)
        self.calls += 1
        prompt = prompt_of(messages)
        history = _HISTORY.search(prompt)
        self.prompts.append(history[1] if history is not None else "")
        step = progress_in(prompt, self.failures) + 1
        if self.tell is not None:
            await self.tell("before-model", step)
        said = {
            "evaluation_previous_goal": f"step {step - 1} is done",
            "memory": f"progress {step}/{self.steps}",
            "next_goal": f"step {step}",
            "action": self.script(step, self.url, prompt),
        }
        if self.tell is not None:
            await self.tell("after-model", step)
        return _completion(output_format.model_validate(said))

    def _other(self, output_format: Any) -> Any:
        """Whatever else it is asked: a judgement, a summary."""
        if output_format is None:
            return _completion("nothing to add")
        return _completion(output_format.model_validate({"reasoning": "it is done", "verdict": True}))


def _completion(answer: Any) -> Any:
    views: Any = importlib.import_module("browser_use.llm.views")
    return views.ChatInvokeCompletion(completion=answer, usage=None)
