"""Functions made durable: each call is one step, whose effects are on record, and whose result is kept when it is done.

Talks to the journal actor, through the steps and effects of the mode.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeAlias, TypeVar

from eventstore.errors import EventRefused
from lrm_actors.domain.journal import JournalState
from lrm_actors.domain.tasks import KeptTask, TaskCall
from lrm_actors.errors import SettingsError, TaskConflict
from lrm_actors.hosting.effects import digest_of, is_small
from lrm_actors.hosting.host import check_function, check_name
from lrm_actors.hosting.offload import off_loop
from lrm_actors.hosting.step_scopes import AsyncStepScope, BlockingStepScope
from lrm_actors.hosting.stepping import JOURNAL, Asking, Stepping

P = ParamSpec("P")
T = TypeVar("T")

Key: TypeAlias = str | Callable[..., str] | None
"""What tells one run of a task from another: a text, or a function of the arguments that gives one."""


class Tasks:
    """The durable functions of one mode."""

    def __init__(self, asking: Asking, stepping: Stepping) -> None:
        self._asking = asking
        self._stepping = stepping

    def durable(
        self, name: str, key: Key, function: Callable[P, Coroutine[Any, Any, T]]
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        """The durable form of a coroutine function."""
        name, key = _checked(name, key)
        if not inspect.iscoroutinefunction(function):
            wanted = "an async function; 'with mode as blocking:' has 'blocking.task' for a plain one"
            raise SettingsError("function", function, wanted)

        signature = inspect.signature(function)

        @functools.wraps(function)
        async def run(*args: P.args, **kwargs: P.kwargs) -> T:
            arguments = signature.bind(*args, **kwargs)
            given = _values(arguments)
            digest = _digest(given) if is_small(given) else await off_loop(lambda: _digest(given))
            call = _call(name, key, arguments, digest)
            if (kept := self._kept(call)) is not None:
                return kept.result  # type: ignore[no-any-return]  # what the function gave
            async with AsyncStepScope(self._asking, self._stepping, call.step_name, task=call) as step:
                result = step.result = await function(*args, **kwargs)
            return result

        return run

    def durable_blocking(self, name: str, key: Key, function: Callable[P, T]) -> Callable[P, T]:
        """The durable form of a plain function."""
        name, key = _checked(name, key)
        check_function("function", function)
        if inspect.iscoroutinefunction(function):
            wanted = "a plain function; in an event loop 'mode.task' takes an async one"
            raise SettingsError("function", function, wanted)

        signature = inspect.signature(function)

        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            arguments = signature.bind(*args, **kwargs)
            call = _call(name, key, arguments, _digest(_values(arguments)))
            if (kept := self._kept(call)) is not None:
                return kept.result  # type: ignore[no-any-return]  # what the function gave
            with BlockingStepScope(self._asking, self._stepping, call.step_name, task=call) as step:
                result = step.result = function(*args, **kwargs)
            return result

        return run

    def _kept(self, call: TaskCall) -> KeptTask | None:
        """What is kept of an earlier run.

        Raises:
            TaskConflict: it was called with something else.
        """
        state: JournalState = self._asking.state(JOURNAL)
        kept = state.tasks.find(call.task, call.key)
        if kept is not None and kept.given != call.given and kept.given and call.given:
            raise TaskConflict(call.task, call.key, kept.step)
        return kept


def _call(name: str, key: Key, arguments: inspect.BoundArguments, given: str) -> TaskCall:
    found = key(*arguments.args, **arguments.kwargs) if callable(key) else key
    return TaskCall(name, "" if found is None else check_name("key", found), given)


def _values(arguments: inspect.BoundArguments) -> dict[str, Any]:
    """The arguments by their names, the same whether they are given by place, by name or by default."""
    whole = inspect.BoundArguments(arguments.signature, arguments.arguments.copy())
    whole.apply_defaults()
    return {name: list(value) if isinstance(value, tuple) else value for name, value in whole.arguments.items()}


def _digest(given: dict[str, Any]) -> str:
    """A digest of arguments; empty where they are no JSON values, which cannot be compared with later ones."""
    try:
        return digest_of(given)
    except EventRefused:
        return ""


def _checked(name: str, key: Key) -> tuple[str, Key]:
    return check_name("name", name), key if key is None or callable(key) else check_name("key", key)
