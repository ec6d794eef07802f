"""What has no end by default: looked for in configurations, and in the sources."""

from __future__ import annotations

import ast
import importlib
import math
import pkgutil
import re
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

import lrm_actors.domain


def policies() -> list[Any]:
    """Every configuration and policy of the domain, as it is by default."""
    found = []
    for module in pkgutil.iter_modules(lrm_actors.domain.__path__, "lrm_actors.domain."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and attrs.has(value) and value.__name__.endswith(("Config", "Policy")):
                found.append(value())  # noqa: PERF401 - three conditions in a comprehension are hard to read
    return found


BOUNDED_BESIDES = {"CheckpointerConfig.max_age_s": "0: none goes by its age; max_checkpoints bounds how many there are"}
"""Numbers of which none at all means that another one is the limit."""


def unlimited(things: Iterable[Any]) -> list[str]:
    """Numbers in the fields of records that are none, not finite, or nothing at all where there must be something."""
    found = []
    for thing in things:
        for field in attrs.fields(type(thing)):
            value = getattr(thing, field.name)
            name = f"{type(thing).__name__}.{field.name}"
            if value is None or (isinstance(value, float | int) and not (math.isfinite(value) and value >= 0)):
                found.append(f"{name} is {value}")
            if name in BOUNDED_BESIDES:
                continue
            if re.search(r"capacity|intensity|max|threshold|permits|lease|period|timeout", field.name) and not value:
                found.append(f"{name} is {value}")
    return found


@attrs.frozen
class Limits:
    """The numbers of an actor's spec or of a setting."""

    mailbox_capacity: Any
    snapshot_every: Any = 0


LIMITING = re.compile(r"(.*_)?(timeout_s|deadline_s|wait_s|lease_s|settle_s|patience_s|max_s|limit|capacity)")
"""Parameters and fields that say how long or how much at most."""
QUEUES = frozenset(("deque", "queue", "Queue", "SimpleQueue", "LifoQueue", "PriorityQueue", "lru_cache", "cache"))
"""``queue`` is the one that ``runtime.machine`` gives."""

WITHOUT_DEFAULT = {
    "heartbeat_timeout_s": "None: it sends no heartbeats, and what it does not send is not waited for",
    "timeout_s in lrm_actors/hosting/host.py": "None: the bridge's own, which has a number",
    "timeout_s in lrm_actors/actors/call_rules.py": "None: as long as its client lets it",
    "timeout_s in lrm_actors/actors/breaker.py": "as above",
    "timeout_s in lrm_actors/adapters/browser_use/chromium.py": "None: the browser's own, which has a number",
    "timeout_s in lrm_actors/adapters/browser_use/connection.py": "None: the connection's own, which has a number",
    "timeout_s in lrm_actors/adapters/browser_use/remote.py": "None: the browser's own, which has a number",
    "limit in eventstore/memory_reader.py": "of an iterator that reads page by page: the caller stops when it likes",
    "limit in eventstore/protocol.py": "as above",
    "limit in eventstore/reader.py": "as above",
    "limit in eventstore/paging.py": "as above",
    "open_files_limit in lrm_actors/domain/metrics.py": "what was measured, not what is allowed",
    "limit in lrm_actors/actors/sampling/readings.py": "all of a file of the kernel's, which bounds it",
}
BOUNDED_BY = {
    "eventstore/in_order.py __init__": "PAGE_KEYS, one page of keys",
    "lrm_actors/hosting/owner/serving.py __init__": "replies on their way to the socket's thread: MAX_AT_WORK",
    "lrm_actors/actors/bulkhead.py __init__": "max_waiting, beyond which calls are rejected",
    "lrm_actors/actors/throttle.py __init__": "the parts of its window",
    "lrm_actors/actors/windows.py __init__": "the parts of its window",
    "lrm_actors/actors/outbox.py __init__": "its limit, beyond which reports are dropped and counted",
    "lrm_actors/hosting/boundary.py __init__": "the tasks of the host that are about to begin or end a step",
    "lrm_actors/hosting/held_loop.py __init__": "calls of the host during one stop: for each a thread waits",
    "lrm_actors/hosting/shedding.py __init__": "max_deferred, beyond which more is refused",
    "lrm_actors/hosting/shedding.py close": "what was in it before",
    "lrm_actors/hosting/shedding.py defer": "what was in it before",
    "lrm_actors/hosting/offload.py __init__": "its idle threads: a job that none of them takes gets its own",
    "lrm_actors/runtime/dead_letters.py __init__": "WAITING_MAX, beyond which messages are dropped and counted",
    "lrm_actors/runtime/watchdog.py __init__": "what is seen at one look: the actors of one system; NOTES_KEPT",
    "lrm_actors/runtime/mailbox.py __init__": "the capacity, beyond which senders are refused",
    "lrm_actors/runtime/loops.py __init__": "the asks under way on one loop",
    "lrm_actors/runtime/loops.py shorten": "what was in it before",
    "lrm_actors/runtime/overflow.py __init__": "the capacity, and the threads and tasks that wait for room",
    "lrm_actors/runtime/overflow.py remove": "what was in the queue before",
    "lrm_actors/runtime/recovery.py __init__": "the actors of one system",
    "lrm_actors/runtime/reply.py __init__": "the asks under way on one loop",
    "lrm_actors/adapters/browser_use/compat.py <module>": "one result each: the library, what its agent takes",
    "lrm_actors/outer/acting.py __init__": "what came of one look at the process",
    "lrm_actors/outer/last_words.py __init__": "WAITING_MAX, beyond which output is dropped and counted",
    "lrm_actors/runtime/workers.py __init__": "the effects that actors decided on and that are not done",
    "eventstore/encrypting/datakeys.py <module>": "its one result, the class of a cipher's refusal",
    "eventstore/testing/strategies.py <module>": "the event classes of whoever tests, a strategy for each",
    "eventstore/group.py __init__": "its callers, and past MAX_PENDING whoever hands in more commits them",
    "eventstore/opening.py <module>": "its one result, the name of the boot",
}
"""The queues that have no length of their own, and what bounds each."""


def endless(modules: Iterable[tuple[str, ast.Module]]) -> Iterator[str]:
    """Limits that are none by default, and queues without a length."""
    for path, tree in modules:
        for name, default in _defaults(tree):
            if LIMITING.fullmatch(name) and _is_endless(default):
                yield f"{name} in {path}"
        yield from (f"{path} {where}" for where in _queues(tree))


def _defaults(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            given = node.args
            positional = [*given.posonlyargs, *given.args]
            pairs = zip(reversed(positional), reversed(given.defaults), strict=False)
            named = zip(given.kwonlyargs, given.kw_defaults, strict=True)
            yield from ((one.arg, default) for one, default in (*pairs, *named) if default is not None)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value


def _is_endless(default: ast.expr) -> bool:
    match default:
        case ast.Constant(None):
            return True
        case ast.Attribute(attr="inf" | "maxsize"):
            return True
        case ast.Call(ast.Name("float"), [ast.Constant("inf" | "nan")]):
            return True
        case ast.Name() | ast.Constant() | ast.BinOp():
            # A name is a function's, or a constant's of a module: those are looked at below.
            return isinstance(default, ast.Name) and not default.id.isupper()
    return False


def _queues(tree: ast.AST, where: str = "<module>") -> Iterator[str]:
    for child in ast.iter_child_nodes(tree):
        inner = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else where
        if isinstance(child, ast.Call):
            name = ast.unparse(child.func).rpartition(".")[2]
            sized = any(one.arg in {"maxlen", "maxsize"} for one in child.keywords) or len(child.args) > 1
            if name in QUEUES and not sized:
                yield inner
        if isinstance(child, ast.FunctionDef):
            for decorator in child.decorator_list:
                if ast.unparse(decorator).rpartition(".")[2] in QUEUES:
                    yield where
        yield from _queues(child, inner)


def constants() -> list[tuple[str, float]]:
    """Every constant of the product that says how long or how many at most, by its module."""
    found: list[tuple[str, float]] = []
    for package in ("eventstore", "lrm_actors"):
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if module.name.endswith("__main__"):
                continue
            for name, value in vars(importlib.import_module(module.name)).items():
                says_so = name.isupper() and (name.endswith(("_S", "LIMIT", "KEPT")) or name.startswith("MAX_"))
                if says_so and isinstance(value, int | float):
                    found.append((f"{module.name}.{name}", value))
    return found


def endless_constants(given: Iterable[tuple[str, float]]) -> list[str]:
    """Those that are no limit."""
    return sorted(name for name, value in given if not (math.isfinite(value) and value >= 0))
