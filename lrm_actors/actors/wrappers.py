"""The functions that guard functions: made from a template, with the very parameters of what they guard.

Talk to the guard. A function that hands ``*args, **kwargs`` on pays more for that than for being guarded; so one whose
parameters have plain names is guarded by a function of the same parameters. It is compiled from a text of ours, into
which nothing comes but the names of the parameters.
"""

from __future__ import annotations

import functools
import linecache
from collections.abc import Callable
from inspect import CO_VARARGS, CO_VARKEYWORDS
from types import CodeType, CoroutineType, FunctionType
from typing import Any

from lrm_actors.actors.generations import Call

OURS = "lrm_"
"""Begins every name of the template; a function with a parameter of such a name is guarded in the general way."""
MOST_PARAMETERS = 12

# What a call to a sound service pays is in the first half: one attribute of the guard, one of its state. The second
# half is for guards that measure, the last part for whatever is not closed.
_TEMPLATE = """\
{define} guarded({parameters}):
    lrm_ticket = lrm_breaker._current
    if lrm_ticket.calm:
        try:
            lrm_result = {call}
        except lrm_Error as lrm_error:
            lrm_breaker.came_back(lrm_ticket, lrm_error, lrm_rules)
            raise
{unfinished}
        if lrm_ticket.failures is not None:
            lrm_breaker.came_back(lrm_ticket, None, lrm_rules)
        return lrm_result
    if lrm_ticket.timed:
        lrm_started_s = lrm_now()
        lrm_timed = lrm_ticket
        try:
            lrm_result = {call}
        except lrm_Error as lrm_error:
            lrm_breaker.came_back(lrm_Call(lrm_timed, lrm_started_s), lrm_error, lrm_rules)
            raise
{unfinished_timed}
        lrm_window = lrm_timed.window
        if (
            lrm_window is None
            or lrm_breaker._current is not lrm_timed
            or not lrm_window.passed(lrm_started_s, lrm_now())
        ):
            lrm_breaker.came_back(lrm_Call(lrm_timed, lrm_started_s), None, lrm_rules)
        return lrm_result
    lrm_ticket = lrm_breaker._admit_slowly()
    try:
        lrm_result = {call}
    except lrm_Error as lrm_error:
        lrm_breaker.came_back(lrm_ticket, lrm_error, lrm_rules)
        raise
{unfinished_last}
    if lrm_ticket.failures is not None:
        lrm_breaker.came_back(lrm_ticket, None, lrm_rules)
    return lrm_result
"""

# A plain function that made a coroutine has not called the service yet.
_UNFINISHED = """\
        if lrm_type(lrm_result) is lrm_Coroutine:
            return lrm_breaker._finish({ticket}, lrm_result, lrm_rules)"""


def wrapped(
    breaker: Any, rules: Any, now: Callable[[], float], function: Callable[..., Any], *, asynchronous: bool
) -> Any:
    """A function that guards ``function``.

    Args:
        breaker: the guard.
        rules: how its calls are judged.
        now: seconds on the monotonic clock.
        function: plain, or a coroutine function.
        asynchronous: which of the two.
    """
    parameters, arguments = _parameters(function)
    # Each gets a copy of the code: the interpreter adapts code to what it sees, and each sees its own function.
    code = _code(parameters, arguments, asynchronous).replace()
    names = {
        "lrm_breaker": breaker,
        "lrm_rules": rules,
        "lrm_now": now,
        "lrm_function": function,
        "lrm_Call": Call,
        "lrm_Coroutine": CoroutineType,
        "lrm_Error": BaseException,
        "lrm_type": type,
        "__name__": __name__,
    }
    return functools.wraps(function)(FunctionType(code, names, "guarded"))


def _parameters(function: Callable[..., Any]) -> tuple[str, str]:
    """How the guarding function is declared, and how it hands on what it is given."""
    everything = "*lrm_args, **lrm_kwargs"
    if type(function) is not FunctionType or function.__defaults__ or hasattr(function, "__signature__"):
        return everything, everything
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    if code.co_flags & (CO_VARARGS | CO_VARKEYWORDS) or code.co_kwonlyargcount or len(names) > MOST_PARAMETERS:
        return everything, everything
    if any(name.startswith(OURS) or not name.isidentifier() for name in names):
        return everything, everything
    declared = list(names)
    if code.co_posonlyargcount:
        declared.insert(code.co_posonlyargcount, "/")
    return ", ".join(declared), ", ".join(names)


@functools.lru_cache(maxsize=512)
def _code(parameters: str, arguments: str, asynchronous: bool) -> CodeType:
    """The template's code for these parameters."""
    call = f"lrm_function({arguments})"
    unfinished = "" if asynchronous else _UNFINISHED
    text = _TEMPLATE.format(
        define="async def" if asynchronous else "def",
        parameters=parameters,
        call=f"await {call}" if asynchronous else call,
        unfinished=unfinished.format(ticket="lrm_ticket"),
        unfinished_timed=unfinished.format(ticket="lrm_Call(lrm_timed, lrm_started_s)"),
        unfinished_last=unfinished.format(ticket="lrm_ticket").replace("    ", "", 1).replace("\n    ", "\n"),
    )
    name = f"<guarded {'async ' if asynchronous else ''}call ({parameters})>"
    # So that a traceback shows the line.
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    module = compile(text, name, "exec", dont_inherit=True)
    return next(one for one in module.co_consts if isinstance(one, CodeType))
