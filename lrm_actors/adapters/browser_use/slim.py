"""The agent's state as plain data, and what one step changed of it: small however long the agent has run.

Pure: dicts and lists in, dicts and lists out. A state has the keys ``agent_state`` and ``browser_state``; neither it
nor a delta is ever changed in place, so that an older one stays what it was.

A delta holds, for each key of the agent's state that changed: ``set`` (the new value), ``lists`` (``skip`` and ``keep``
of the old one, and what is appended) or ``files`` (contents that are new, or the text by which one grew).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LISTS = ("history", "memory", "actions_seen", "pages_seen")
"""Keys that hold lists of which a step changes the end only, or drops the beginning."""
MAX_SKIP = 64
"""Items at the beginning that may be dropped at once; more, and the whole list is told anew."""
LAST = "last"
"""What the newest step decided and what came of it, which the agent remembers with the step after it only."""


def empty() -> dict[str, Any]:
    """The state before anything."""
    return {"agent_state": {}, "browser_state": {}}


def delta(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What makes ``after`` of ``before``. Nothing in it for what is equal."""
    old, new = before["agent_state"], after["agent_state"]
    changes: dict[str, Any] = {}
    if assigned := {key: value for key, value in new.items() if key not in _SPECIAL and _differs(old, key, value)}:
        changes["set"] = assigned
    lists = {key: _list_delta(old.get(key), new[key]) for key in LISTS if key in new}
    if told := {key: one for key, one in lists.items() if one is not None}:
        changes["lists"] = told
    if files := _files_delta(old.get("files", {}), new.get("files", {})):
        changes["files"] = files
    if LAST in new and _differs(old, LAST, new[LAST]):
        changes[LAST] = _last_delta(new)
    if browser := {
        key: value for key, value in after["browser_state"].items() if _differs(before["browser_state"], key, value)
    }:
        changes["browser"] = browser
    return changes


def apply(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The state after a step. Keys that it does not know are left alone."""
    agent = dict(before["agent_state"])
    agent.update(changes.get("set", {}))
    for key, one in changes.get("lists", {}).items():
        old = agent.get(key, [])
        skip, keep = int(one.get("skip", 0)), int(one["keep"])
        agent[key] = [*old[skip : skip + keep], *one["add"]]
    if "files" in changes:
        agent["files"] = apply_files(agent.get("files", {}), changes["files"])
    if LAST in changes:
        agent[LAST] = _last_applied(agent, changes[LAST])
    return {"agent_state": agent, "browser_state": {**before["browser_state"], **changes.get("browser", {})}}


_SPECIAL = frozenset((*LISTS, "files", LAST))


def _differs(old: Mapping[str, Any], key: str, value: Any) -> bool:
    return key not in old or (old[key] is not value and old[key] != value)


def _list_delta(old: list[Any] | None, new: list[Any]) -> dict[str, Any] | None:
    if old is None:
        return {"keep": 0, "add": new}
    skip, keep = 0, _common(old, new, 0)
    for start in range(1, min(MAX_SKIP, len(old)) + 1 if keep < len(old) else 1):
        if start < len(old) and new and _same(old[start], new[0]) and (more := _common(old, new, start)) > keep:
            skip, keep = start, more
    if not skip and keep == len(old) == len(new):
        return None
    one: dict[str, Any] = {"keep": keep, "add": new[keep:]}
    return {"skip": skip, **one} if skip else one


def _common(old: list[Any], new: list[Any], start: int) -> int:
    """How many items of ``new`` are those of ``old`` from ``start`` on."""
    count = 0
    for one, other in zip(old[start:] if start else old, new, strict=False):
        if not _same(one, other):
            break
        count += 1
    return count


def _same(one: Any, other: Any) -> bool:
    return one is other or bool(one == other)


def _files_delta(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if gone := [name for name in old if name not in new]:
        changes["drop"] = gone
    for name, file in new.items():
        known = old.get(name)
        if known == file:
            continue
        grown = None if known is None else _grown(known, file)
        changes.setdefault("set" if grown is None else "grow", {})[name] = file if grown is None else grown
    return changes


def _grown(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """The text that was appended to a file, if nothing else happened to it."""
    was, now = old["data"].get("content"), new["data"].get("content")
    if not isinstance(was, str) or not isinstance(now, str) or not was or not now.startswith(was):
        return None
    return now[len(was) :] if {**new, "data": {**new["data"], "content": was}} == old else None


def apply_files(old: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The files after what an action or a step did to them: ``drop``, ``grow``, ``set``."""
    files = {name: file for name, file in old.items() if name not in changes.get("drop", ())}
    for name, text in changes.get("grow", {}).items():
        data = files[name]["data"]
        files[name] = {**files[name], "data": {**data, "content": data["content"] + text}}
    files.update(changes.get("set", {}))
    return files


def _last_delta(new: Mapping[str, Any]) -> Any:
    """A word in place of what stands in the history already."""
    last, history = new[LAST], new.get("history", [])
    return "history" if history and last == _last_of(history[-1]) else last


def _last_applied(agent: Mapping[str, Any], change: Any) -> Any:
    return _last_of(agent["history"][-1]) if change == "history" else change


def _last_of(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"model_output": item["model_output"], "result": item["result"]}
