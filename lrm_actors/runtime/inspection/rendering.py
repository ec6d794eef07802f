"""A dump as text for people: the tree, and below each actor what is unusual about it. A pure function of the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lrm_actors.inspect.plain import plain

Data = Mapping[str, Any]


def lines_of(dump: Data) -> list[str]:
    """The lines of a dump, safe for a terminal: whatever commands one is spelled out."""
    return [plain(line) for line in _lines(dump)]


def _lines(dump: Data) -> Iterator[str]:
    system = dump["system"]
    agent = dump.get("agent")
    if agent is not None:
        how = f"  mode {agent['mode']}  health {agent['health']}" if agent["mode"] else ""
        yield f"agent {agent['agent_id']}{how}  {agent['log']}"
    yield f"process {system['pid']}  system {system['name']}  {system['state']}  {_count(system['threads'], 'thread')}"
    yield from _tree(dump)
    yield from _components(dump["components"])
    yield from _zombies(dump["zombies"])
    yield from _effects(dump["effects"])
    asks = dump["asks"]
    oldest = asks["oldest"]
    waiting = "" if oldest is None else f", the oldest {oldest['type']} to {oldest['to']} for {_age(oldest['age_s'])}"
    yield f"asks without an answer: {asks['waiting']}{waiting}"
    yield f"store: {_pairs(dump['store'])}"
    yield "main thread:"
    yield from _stack(system["main_thread"], "  ")
    yield from _trace(dump["trace"])


def _tree(dump: Data) -> Iterator[str]:
    known = [one for one in dump["actors"] if "unknown" not in one]
    by_name = {one["name"]: one for one in known}
    yield "guardian"
    shown: set[str] = set()
    tops = [one for one in known if one["parent"] not in by_name]

    def branch(actor: Data, depth: int) -> Iterator[str]:
        if actor["name"] in shown:
            return
        shown.add(actor["name"])
        yield from _actor(actor, "  " * depth)
        for child in actor["children"]:
            if child in by_name:
                yield from branch(by_name[child], depth + 1)

    for top in tops:
        yield from branch(top, 1)
    for one in dump["actors"]:
        if "unknown" in one:
            yield f"  an actor cannot be told of: {one['unknown']}"
    if dump["actors_left_out"]:
        yield f"  and {dump['actors_left_out']} more actors"


def _actor(actor: Data, indent: str) -> Iterator[str]:
    mailbox, counts = actor["mailbox"], actor["statistics"]
    oldest = f", the oldest for {_age(mailbox['oldest_age_s'])}" if mailbox["depth"] else ""
    waiting = f"{mailbox['depth']} waiting{oldest}"
    yield (
        f"{indent}{actor['name']}  {actor['phase']}  version {actor['version']}  epoch {actor['epoch']}  {waiting}"
        f"  {_count(counts['messages'], 'message')}  {_count(actor['restarts'], 'restart')}"
    )
    inner = indent + "    "
    in_hand = actor["in_hand"]
    if in_hand is not None:
        asked = ", asked" if in_hand["asked"] else ""
        of = f"{asked}, of {_count(in_hand['messages'], 'message')}"
        yield f"{inner}in hand for {_age(in_hand['age_s'])}: {in_hand['type']}{of}"
    if mailbox["dead_letters"]:
        yield f"{inner}{_count(mailbox['dead_letters'], 'dead letter')}"
    if mailbox["stashed"] or mailbox["dropped"]:
        yield f"{inner}{mailbox['stashed']} kept for later, {mailbox['dropped']} dropped"
    supervised = actor["supervised"]
    if supervised is not None and supervised["status"] != "running":
        yield f"{inner}its supervisor says {supervised['status']}, attempt {supervised['attempt']}"
    last = actor["last_error"]
    if last is not None:
        ago = _age(actor["last_error_age_s"])
        yield f"{inner}failed {ago} ago on {last['handling']} ({last['kind']}): {last['error']}: {last['message']}"
    for timer in actor["timers"]:
        yield f"{inner}timer {timer['key']} in {_age(timer['due_in_s'])}"
    yield from _stack(actor["stack"], inner)


def _components(components: Any) -> Iterator[str]:
    if _unknown(components):
        yield f"components: {components['unknown']}"
        return
    for one in components:
        error = f"  {one['last_error']}" if one["last_error"] else ""
        yield f"{one['name']}  {one['status']}  attempt {one['attempt']}{error}"


def _zombies(zombies: Any) -> Iterator[str]:
    if _unknown(zombies):
        yield f"zombies: {zombies['unknown']}"
        return
    for one in zombies:
        yield f"zombie of {one['name']} for {_age(one['age_s'])}: {one['handling']}"
        yield from _stack(one["stack"], "    ")


def _effects(effects: Data) -> Iterator[str]:
    running = effects["running"]
    if _unknown(running):
        yield f"effects: {running['unknown']}"
        return
    yield f"effects: {len(running)} running, {effects['waiting']} waiting"
    for one in running:
        yield f"  {one['effect']} of {one['actor']} for {_age(one['age_s'])}"
        yield from _stack(one["stack"], "    ")


def _trace(trace: Data) -> Iterator[str]:
    if not trace["on"] and not trace["entries"]:
        return
    yield f"trace {'on' if trace['on'] else 'off'}, the newest {len(trace['entries'])}:"
    for one in trace["entries"]:
        yield f"  {trace_line(one)}"


def trace_line(entry: Data) -> str:
    """One entry of a trace. Not yet safe for a terminal."""
    position = "" if entry["position"] is None else f" #{entry['position']}"
    command = "" if entry["command_id"] is None else f" {entry['command_id']}"
    body = "" if entry["body"] is None else f" {entry['body']}"
    what = f"{entry['kind']} {entry['type']}{position}{command}{body}"
    return f"{entry['number']}  {entry['at_s']:.6f}  {entry['actor']}  {what}"


def _stack(stack: Iterable[str], indent: str) -> Iterator[str]:
    for line in stack:
        yield f"{indent}| {line}"


def _pairs(data: Data) -> str:
    return ", ".join(f"{key} {value}" for key, value in data.items())


def _unknown(data: Any) -> bool:
    return isinstance(data, Mapping) and "unknown" in data


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
