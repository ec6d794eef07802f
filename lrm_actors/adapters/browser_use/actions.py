"""Each action of the agent as an effect of its step: on record before and after, and never done twice unasked.

Talks to the mode's effects and to browser-use's tools. What an action may have done when the process or the browser was
killed in the middle of it is decided by ``on_doubt``, and the model is told.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from lrm_actors.adapters.browser_use import compat, slim
from lrm_actors.adapters.browser_use.transcribing import files_of, read_results, results
from lrm_actors.effects import NOT_HAPPENED, UNKNOWN, Ask, Happened, Policy, Probe, Retry, Skip

if TYPE_CHECKING:
    from lrm_actors.adapters.browser_use.turns import Turn

HARMLESS = frozenset((
    "done", "wait", "scroll", "extract", "screenshot", "read_file", "write_file", "replace_file", "find_text",
    "find_elements", "search_page", "dropdown_options", "switch", "read_long_content", "save_as_pdf",
))  # fmt: skip
"""Actions that change nothing outside of the agent's own browser and files: done again without a word."""
FILES_ONLY = frozenset((
    "done", "wait", "read_file", "write_file", "replace_file", "read_long_content",
))  # fmt: skip
"""Actions that change nothing in the browser."""
SKIPPED = {"skipped": True}
"""Given in place of a result."""


def guard_tools(tools: Any, turn: Callable[[], Awaitable[Turn | None]]) -> Any:
    """The same tools, whose actions go through the step that is under way.

    Args:
        tools: browser-use's, or the user's own. They are shared and not changed.
        turn: gives the step under way, if any.
    """
    kind = type(tools)

    async def act(self: Any, action: Any, browser_session: Any, **more: Any) -> Any:
        now = await turn()
        if now is None:
            return await kind.act(self, action=action, browser_session=browser_session, **more)
        return await now.act(
            action, lambda: kind.act(self, action=action, browser_session=browser_session, **more), **more
        )

    guarded: Any = object.__new__(type(f"Guarded{kind.__name__}", (kind,), {"act": act}))
    guarded.__dict__ = vars(tools)
    return guarded


def policy_for(on_doubt: Any, name: str, parameters: Mapping[str, Any], *, repeatable: bool) -> Policy:
    """What is done about an action in doubt.

    Args:
        on_doubt: the setting.
        name: of the action.
        parameters: of the action.
        repeatable: whether it can be done again: not where it names an element of a page that is gone.
    """
    if not repeatable and on_doubt == "retry":
        return Skip(SKIPPED)
    if name in HARMLESS or on_doubt == "retry":
        return Retry()
    if on_doubt == "skip":
        return Skip(SKIPPED)
    if on_doubt == "ask":
        return Ask()
    otherwise: Retry | Skip | Ask = Ask()

    async def look() -> Any:
        said = on_doubt(name, dict(parameters))
        said = await said if inspect.isawaitable(said) else said
        if said is True:
            return Happened(SKIPPED | {"happened": True})
        if said is False:
            return NOT_HAPPENED
        return UNKNOWN if said is None else said

    return Probe(look, otherwise)


def needs_element(parameters: Mapping[str, Any]) -> bool:
    """Whether an action names an element by a number that only the page had on which it was decided."""
    return parameters.get("index") is not None or parameters.get("tab_id") is not None


def result_dict(given: Any, files_before: Any, files_after: Any) -> dict[str, Any]:
    """What an action gave, and what it made of the agent's files: as they come back from the record."""
    (plain,) = results([given]) or [{}]
    kept: dict[str, Any] = {"result": plain}
    before, after = files_of(files_before)[0], files_of(files_after)[0]
    if before != after:
        changed = {name: file for name, file in after.items() if before.get(name) != file}
        kept["files"] = {"set": changed, "drop": [name for name in before if name not in after]}
        kept["extracted"] = files_after.extracted_content_count
    return kept


def read_result(recorded: Any, name: str) -> Any:
    """A result as the record has it: the adapter's own, or what somebody gave who settled it by hand."""
    if isinstance(recorded, Mapping) and isinstance(recorded.get("result"), Mapping):
        (read,) = read_results([recorded["result"]])
        return read
    result = compat.part("agent.views", "ActionResult")
    if isinstance(recorded, Mapping) and recorded.get("happened"):
        return result(long_term_memory=f"{name} was cut off, and was found to have been done.")
    if isinstance(recorded, Mapping) and recorded.get("skipped"):
        return result(
            error=f"{name} was cut off: it is in doubt whether it was done, and it was not repeated. See the page."
        )
    return result(extracted_content=None if recorded is None else str(recorded))


async def put_files(file_system: Any, recorded: Mapping[str, Any], show: Callable[[Any], Any]) -> None:
    """Give the agent's files what an action wrote to them whose result comes from the record."""
    if file_system is None or "files" not in recorded:
        return
    kind = type(file_system)
    state = file_system.get_state()
    known = state.model_dump(mode="json")
    known["files"] = show(slim.apply_files(known["files"], recorded["files"]))
    known["extracted_content_count"] = recorded["extracted"]
    made = kind.from_state(type(state).model_validate(known))
    file_system.files = made.files
    file_system.extracted_content_count = made.extracted_content_count
