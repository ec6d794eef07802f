"""Whether ``decide`` and ``evolve`` are pure: what they call outside, and what they change there.

Talks to the interpreter's profiler, for as long as one call takes. What is not seen: an object that a function reaches
through another one and changes, and a clock that is read by an extension module of its own.
"""

from __future__ import annotations

import datetime as dt
import gc
import inspect
import random
import socket
import sqlite3
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

from lrm_actors.testing.checks import CheckFailed

_CLOCKS = frozenset(
    ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "sleep")
)
_MODULES = frozenset(("posix", "nt", "_socket", "select", "_posixsubprocess", "_uuid", "sqlite3", "_sqlite3"))
"""Modules all of whose functions reach outside, but for those below."""
_HARMLESS = frozenset(("fspath",))
_OWNERS = (random.Random, socket.socket, sqlite3.Connection, sqlite3.Cursor)
_EXCUSED = ("logging", "importlib", "_frozen_importlib", "lrm_actors.testing", "lrm_actors.runtime", "hypothesis")
"""Whoever calls from here does so on the kit's behalf, or only to tell: a line of a log is no decision."""
_COMPARED = (int, float, str, bytes, tuple, frozenset)
_COPIED: tuple[type, ...] = (list, dict, set, deque, bytearray)


def reaches_outside(function: Any) -> str:
    """What a built-in function reaches that differs between two runs; empty for one that reaches nothing."""
    name = getattr(function, "__name__", "")
    module = getattr(function, "__module__", None) or ""
    owner = getattr(function, "__self__", None)
    if module == "time" and name in _CLOCKS:
        return f"time.{name}"
    if module in _MODULES and name not in _HARMLESS:
        return f"{'os' if module in ('posix', 'nt') else module.lstrip('_')}.{name}"
    if module in ("io", "_io") and name in ("open", "open_code"):
        return "open"
    if isinstance(owner, type) and issubclass(owner, dt.date) and name in ("now", "today", "utcnow"):
        return f"{owner.__name__}.{name}"
    if isinstance(owner, _OWNERS):
        return f"{type(owner).__name__}.{name}"
    if module == "_thread" and name.startswith("start_"):
        return "a new thread"
    return ""


@contextmanager
def watched(rule: str, actor: str) -> Iterator[None]:
    """Fail when what runs inside reaches outside.

    Raises:
        CheckFailed: it did, whether or not it caught what came of it.
    """
    seen: list[str] = []

    def look(frame: FrameType, what: str, function: Any) -> None:
        if what != "c_call" or seen:
            return
        reached = reaches_outside(function)
        if reached and not str(frame.f_globals.get("__name__", "")).startswith(_EXCUSED):
            seen.append(f"calls {reached} at {frame.f_code.co_filename}:{frame.f_lineno}")

    before, collecting = sys.getprofile(), gc.isenabled()
    gc.disable()  # what is collected meanwhile may do anything when it goes
    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(before)
        if collecting:
            gc.enable()
    if seen:
        raise CheckFailed(rule, actor, seen[0])


def outside_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Copies of what a function can see beside its arguments and could change: plain values and containers."""
    inner: Any = function
    while isinstance(inner, partial):
        inner = inner.func
    seen: dict[str, Any] = {}
    owner = getattr(inner, "__self__", None)
    if owner is not None and not isinstance(owner, type):
        seen.update({f"self.{name}": value for name, value in getattr(owner, "__dict__", {}).items()})
    inner = inspect.unwrap(getattr(inner, "__func__", inner))
    if inspect.isfunction(inner):
        found = inspect.getclosurevars(inner)
        seen.update(found.globals)
        seen.update(found.nonlocals)
    return {name: _copied(value) for name, value in seen.items() if isinstance(value, (*_COMPARED, *_COPIED))}


def check_outside(before: Mapping[str, Any], function: Callable[..., Any], actor: str) -> None:
    """Compare with what was there before a call.

    Raises:
        CheckFailed: something is different.
    """
    after = outside_of(function)
    for name, value in before.items():
        if name in after and not _same(value, after[name]):
            where = getattr(function, "__qualname__", repr(function))
            raise CheckFailed("outside-changed", actor, f"{where} changes {name}")


def _copied(value: Any) -> Any:
    return type(value)(value) if type(value) in _COPIED else value


def _same(one: Any, other: Any) -> bool:
    try:
        return one is other or bool(one == other)
    except Exception:  # noqa: BLE001 - what cannot be compared cannot be said to have changed
        return True
