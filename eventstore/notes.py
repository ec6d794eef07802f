"""What a traceback tells of an error beside its message: its stable code, and what to try. And its way through pickle.

Nothing is made before somebody looks: an error that is raised and caught a thousand times a second costs no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

NO_CODE = "-0000"
"""How the code of a base ends, which says nothing."""


class Notes:
    """Stands for ``__notes__`` (PEP 678) in the class of an error, until somebody looks at an instance's or adds one.

    From then on they are the instance's own list, as with any exception.
    """

    @overload
    def __get__(self, error: None, cls: type) -> Notes: ...
    @overload
    def __get__(self, error: BaseException, cls: type) -> list[str]: ...
    def __get__(self, error: BaseException | None, cls: type) -> Notes | list[str]:
        """The notes of an error: made now, for Python asks the class only where the instance has none yet."""
        if error is None:
            return self
        notes: list[str] = error.__dict__.setdefault("__notes__", _notes_of(error))
        return notes


def _notes_of(error: BaseException) -> list[str]:
    code, hint = getattr(error, "code", ""), getattr(error, "hint", "")
    notes = [] if not code or code.endswith(NO_CODE) else [f"code: {code}"]
    return [*notes, f"try: {hint}"] if hint else notes


Reduced = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def reduced(error: BaseException) -> Reduced:
    """For ``__reduce__``: an error is made again from its message and its attributes, whatever its class takes."""
    return _again, (type(error), error.args), error.__dict__.copy()


def _again(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    builtin: Any = cls
    while builtin.__module__ != "builtins":  # of two that it may have, the one that says how its instances are laid out
        builtin = builtin.__base__
    error: BaseException = builtin.__new__(cls, *args)
    error.args = args  # a subclass of OSError that has its own __init__ would have none
    return error
