"""Between browser-use's own objects and the slim state: what of the agent is kept, and how it is built again.

Talks to browser-use's agent and its models, and keeps what it converted already: a step costs what the step changed.
Not kept are prompts and pictures: the next step makes them anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrm_actors.adapters.browser_use import compat
from lrm_actors.adapters.browser_use.redacting import Redactor

SCALARS = (
    "agent_id", "n_steps", "consecutive_failures", "current_plan_item_index", "plan_generation_step",
    "session_initialized", "follow_up_task",
)  # fmt: skip
"""Of ``AgentState``, as they are."""
REMEMBERED = ("tool_id", "compacted_memory", "compaction_count", "last_compaction_step")
"""Of what the message manager keeps, besides the items of its memory."""
LOOPS = ("window_size", "max_repetition_count", "most_repeated_hash", "consecutive_stagnant_pages")
"""Of the loop detector, besides what it saw."""

HASHES = ("element_hash", "stable_hash")


class Transcriber:
    """Writes one agent down, time and again.

    Args:
        redactor: takes the secrets out of everything that is written.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._written: dict[str, tuple[list[Any], list[Any]]] = {}

    def begin_with(self, agent: Any, state: Mapping[str, Any]) -> None:
        """Take for written what this agent was built from, so that it is not written down once more."""
        memory = agent.state.message_manager_state.agent_history_items
        known = {"history": agent.history.history, "memory": memory}
        self._written = {key: (list(items), list(state["agent_state"].get(key, ()))) for key, items in known.items()}

    def write(self, agent: Any, task: str, *, status: str = "running") -> dict[str, Any]:
        """The agent's part of the state, without secrets."""
        state, remembered = agent.state, agent.state.message_manager_state
        loops = state.loop_detector
        history = self._items("history", agent.history.history, history_item)
        plain: dict[str, Any] = {name: getattr(state, name) for name in SCALARS}
        plain["plan"] = None if state.plan is None else [item.model_dump(mode="json") for item in state.plan]
        plain["remembered"] = {name: getattr(remembered, name) for name in REMEMBERED}
        plain["loops"] = {name: getattr(loops, name) for name in LOOPS}
        plain["actions_seen"] = list(loops.recent_action_hashes)
        plain["pages_seen"] = [page.model_dump(mode="json") for page in loops.recent_page_fingerprints]
        plain["last"] = {"model_output": output_dict(state.last_model_output), "result": results(state.last_result)}
        plain["identity"] = {"task_id": agent.task_id, "session_id": agent.session_id}
        plain["files"], plain["files_meta"] = files_of(state.file_system_state)
        plain["available_files"] = list(agent.available_file_paths or ())
        plain |= {"task": task, "status": status, "current_goal": _goal(agent)}
        written: dict[str, Any] = self._redactor.hide(plain)
        written["history"] = history
        written["memory"] = self._items("memory", remembered.agent_history_items, _memory_item)
        return written

    def _items(self, key: str, items: list[Any], write: Any) -> list[Any]:
        """Each item written down once, as long as it is the same object at the same place from the beginning."""
        known, done = self._written.get(key, ([], []))
        same = 0
        for one, other in zip(items, known, strict=False):
            if one is not other:
                break
            same += 1
        written = [*done[:same], *(self._redactor.hide(write(item)) for item in items[same:])]
        self._written[key] = (list(items), written)
        return written


def history_item(item: Any) -> dict[str, Any]:
    """A step of the history, without the prompt: that holds the whole memory, in every one of them."""
    plain: dict[str, Any] = item.model_dump()
    plain.pop("state_message", None)
    plain["result"] = results(item.result)
    for element in plain["state"]["interacted_element"]:
        if element is not None:  # a hash has 64 bits and no sign, for which the log has no number
            element.update({name: str(element[name]) for name in HASHES if element.get(name) is not None})
    plain["model_output"] = output_dict(item.model_output)
    metadata = plain.get("metadata")
    if metadata is not None:
        plain["metadata"] = {name: value for name, value in metadata.items() if value is not None}
    return plain


def results(given: Any) -> list[dict[str, Any]] | None:
    """What actions gave, without pictures."""
    if given is None:
        return None
    return [
        {name: value for name, value in one.model_dump(mode="json", exclude_none=True, exclude={"images"}).items()
         if value is not False or name == "success"}
        for one in given
    ]  # fmt: skip


def page_dict(summary: Any) -> dict[str, Any]:
    """The page that the model decided on: what a step's history has of it."""
    tabs = [tab.model_dump(mode="json", exclude_none=True) for tab in summary.tabs]
    return {"url": summary.url, "title": summary.title, "tabs": tabs}


def put_page(item: Any, page: Mapping[str, Any]) -> None:
    """Have a history item say that its step was decided on this page."""
    tab = compat.part("browser.views", "TabInfo")
    item.state.url, item.state.title = page["url"], page["title"]
    item.state.tabs = [tab.model_validate(one) for one in page["tabs"]]


def output_dict(output: Any) -> dict[str, Any] | None:
    """What the model decided. Each action by itself: dumped from outside, it would be written down as empty."""
    if output is None:
        return None
    plain: dict[str, Any] = output.model_dump(mode="json", exclude={"action"}, exclude_none=True)
    plain["action"] = [action.model_dump(mode="json", exclude_none=True) for action in output.action]
    return plain


def files_of(state: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The agent's own files, by name, and where they stand."""
    if state is None:
        return {}, {}
    plain = state.model_dump(mode="json")
    return plain["files"], {"base_dir": plain["base_dir"], "extracted_content_count": plain["extracted_content_count"]}


def agent_state(state: Mapping[str, Any], directory: Path | None, redactor: Redactor) -> Any:
    """browser-use's ``AgentState``, but for what only a built agent can read. See ``fill``.

    Args:
        state: the agent's part of a slim state.
        directory: where its files are to stand; None: where they stood.
        redactor: puts secrets back into the files.
    """
    loops = {**state["loops"], "recent_action_hashes": state["actions_seen"]}
    loops["recent_page_fingerprints"] = state["pages_seen"]
    plain = {name: state[name] for name in (*SCALARS, "plan") if name in state}
    plain["loop_detector"] = loops
    plain["message_manager_state"] = {**state["remembered"], "agent_history_items": state["memory"]}
    plain["consecutive_failures"] = 0
    if state["files_meta"]:
        files = {**state["files_meta"], "files": redactor.show(state["files"])}
        if directory is not None:
            files["base_dir"] = str(directory)
        plain["file_system_state"] = files
    return compat.part("agent.views", "AgentState").model_validate(plain)


def fill(agent: Any, state: Mapping[str, Any]) -> None:
    """Give a built agent what it alone can read: its history, and what it decided and did last."""
    views = compat.load().agent.views
    agent.history = views.AgentHistoryList(history=[_read_item(agent, item) for item in state["history"]])
    last = state["last"]
    agent.state.last_model_output = read_output(agent, last["model_output"])
    agent.state.last_result = read_results(last["result"])
    agent.available_file_paths = list(state.get("available_files", ()))
    agent.session_id = state["identity"]["session_id"]


def read_results(given: Any) -> Any:
    """The results of actions, as objects."""
    if given is None:
        return None
    result = compat.part("agent.views", "ActionResult")
    return [result.model_validate(one) for one in given]


def read_output(agent: Any, output: Mapping[str, Any] | None, model: Any = None) -> Any:
    """A decision, as an object of the agent's own class, in which its actions have their types."""
    if output is None:
        return None
    try:
        return (model or agent.AgentOutput).model_validate(output)
    except ValueError:
        # Decided under other settings, or with actions that are there on some pages only.
        views = compat.load().agent.views
        names = [name for action in output["action"] for name in action]
        actions = agent.tools.registry.create_action_model(include_actions=names)
        return views.AgentOutput.type_with_custom_actions(actions).model_validate(output)


def _read_item(agent: Any, item: Mapping[str, Any]) -> Any:
    views = compat.load().agent.views
    element = compat.part("dom.views", "DOMInteractedElement")
    state = dict(item["state"])
    tabs = [compat.part("browser.views", "TabInfo").model_validate(tab) for tab in state["tabs"]]
    elements = [None if one is None else _read_element(element, one) for one in state["interacted_element"]]
    seen = views.BrowserStateHistory(**{**state, "tabs": tabs, "interacted_element": elements})
    return views.AgentHistory(
        model_output=read_output(agent, item["model_output"]),
        result=read_results(item["result"]),
        state=seen,
        metadata=None if item["metadata"] is None else views.StepMetadata.model_validate(item["metadata"]),
    )


def _read_element(element: Any, plain: Mapping[str, Any]) -> Any:
    views = compat.load().dom.views
    bounds = plain.get("bounds")
    read = {**plain, "node_type": views.NodeType(plain["node_type"])}
    read.update({name: int(read[name]) for name in HASHES if read.get(name) is not None})
    read["bounds"] = None if bounds is None else views.DOMRect(**bounds)
    return element(**read)


def _memory_item(item: Any) -> dict[str, Any]:
    plain: dict[str, Any] = item.model_dump(mode="json", exclude_none=True)
    return plain


def _goal(agent: Any) -> str | None:
    output = agent.state.last_model_output
    return None if output is None else output.next_goal
