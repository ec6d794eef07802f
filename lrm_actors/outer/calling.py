"""Calls a Python function in a process of its own: ``python -m lrm_actors.outer.calling MODULE:FUNCTION [ARGS]...``."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any, NoReturn

EXIT_NOT_FOUND, EXIT_NOT_CALLABLE = 127, 126


def main(words: list[str]) -> NoReturn:
    """Call it, plain or async, without arguments; what follows its name is ``sys.argv[1:]`` for it.

    What it returns is the exit code where it is a number, and 0 where it is None. What it raises ends the process as it
    would any program. 127: there is no such module or function; 126: it cannot be called.
    """
    name = words[0]
    sys.argv = [name, *words[1:]]
    if "" not in sys.path:
        sys.path.insert(0, "")
    result = _found(name)()
    if inspect.isawaitable(result):
        import asyncio

        async def awaited() -> Any:
            return await result

        result = asyncio.run(awaited())
    sys.exit(result if isinstance(result, int) and not isinstance(result, bool) else 0)


def _found(name: str) -> Callable[[], Any]:
    module_name, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # it is there, and imports something that is not
        _end(f"there is no module {module_name!r}", EXIT_NOT_FOUND)
    for part in path.split("."):
        if not hasattr(found, part):
            _end(f"module {module_name!r} has no {path!r}", EXIT_NOT_FOUND)
        found = getattr(found, part)
    if not callable(found):
        _end(f"{name} is {found!r:.80}, which cannot be called", EXIT_NOT_CALLABLE)
    function: Callable[[], Any] = found
    return function


def _end(text: str, code: int) -> NoReturn:
    print(f"lrm run: {text}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
