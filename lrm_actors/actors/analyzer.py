"""What can be said of an exception without knowing its class: the facts that the analyzer classifies.

Talks to nobody. Nothing is imported to look at an error, and nothing that the error does while it is looked at gets
out: its attributes and its ``__str__`` are code of strangers.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from lrm_actors.domain.classify import FailureFacts

MAX_LINKS = 8
"""Errors looked at along a chain of causes."""
MAX_NAMES = 64
MAX_TEXT = 500
"""Characters kept of a message."""

_CODES = ("code", "type", "error_code")
_STATUSES = ("status_code", "status", "code", "http_status")
T = TypeVar("T")

_PROGRAMMING = (TypeError, LookupError, AttributeError, AssertionError, NameError, ArithmeticError)


def facts_of(error: BaseException, component: str = "", step: int | None = None) -> FailureFacts:
    """What is known of an error and of what caused it. Never raises.

    Args:
        error: any exception, of any library.
        component: what of the host failed.
        step: number of the step that was open.
    """
    try:
        return _facts_of(error, _clean(component), step)
    except BaseException as problem:  # noqa: BLE001 - an error that cannot even be looked at is a failure all the same
        name = type(problem).__name__
        return FailureFacts(_clean(component), message=f"(the error cannot be read: {name})", step=step)


def _facts_of(error: BaseException, component: str, step: int | None) -> FailureFacts:
    links = list(_links(error))
    texts: list[str] = []
    for link in links:
        text = text_of(link)
        if text and not any(text in said for said in texts):
            texts.append(text)
    return FailureFacts(
        component=component,
        class_names=tuple(name for link in links for name in _class_names(link))[:MAX_NAMES],
        message=_clean(" <- ".join(texts)),
        status_code=_first_status(links),
        error_code=next((code for link in links if (code := _error_code(link))), ""),
        os_error=next((name for link in links if (name := _os_error(link))), ""),
        exit_status=next((status for link in links if (status := _exit_status(link)) is not None), None),
        step=step,
    )


def text_of(error: BaseException) -> str:
    """The message of an error, at most 500 characters, safe to store. Never raises."""
    try:
        text = str(error)
    except BaseException as problem:  # noqa: BLE001 - somebody else's __str__
        text = f"(its message cannot be read: {type(problem).__name__})"
    return _clean(text)


def _links(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, outermost first; a group stands for its first member."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen and len(seen) < MAX_LINKS:
        seen.add(id(link))
        yield link
        link = _cause(link)


def _cause(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None:
        return error.__cause__
    # A bug in the handling of an error is a bug, whatever was being handled.
    if error.__context__ is not None and not error.__suppress_context__ and not isinstance(error, _PROGRAMMING):
        return error.__context__
    if isinstance(error, BaseExceptionGroup):
        return error.exceptions[0]
    return None


def _class_names(error: BaseException) -> Iterator[str]:
    """Package and name of each class of the MRO down to ``BaseException``, which marks the end of this link."""
    for cls in type(error).__mro__:
        module = _clean(_attribute(cls, "__module__", str) or "")
        package = module.partition(".")[0]
        yield cls.__qualname__ if package in {"", "builtins"} else f"{package}.{cls.__qualname__}"
        if cls is BaseException:
            return


def _first_status(links: list[BaseException]) -> int | None:
    """The status of the innermost error that has one: wrappers make one up where the cause knows better."""
    known = [status for link in links if (status := _status(link)) is not None]
    return known[-1] if known else None


def _status(error: BaseException) -> int | None:
    for holder in (error, _attribute(error, "response", object)):
        for name in _STATUSES:
            value = _attribute(holder, name, int)
            if value is not None and 100 <= value < 600:
                return value
    return None


def _error_code(error: BaseException) -> str:
    holders: list[Any] = [error]
    body = _attribute(error, "body", object)
    if isinstance(body, Mapping):
        holders += [body, _item(body, "error")]
    for holder in holders:
        for name in _CODES:
            value = _item(holder, name) if isinstance(holder, Mapping) else _attribute(holder, name, str)
            if isinstance(value, str) and value:
                return _clean(value)
    return ""


def _os_error(error: BaseException) -> str:
    number = _attribute(error, "errno", int) if isinstance(error, OSError) else None
    return errno.errorcode.get(number, "") if number is not None else ""


def _exit_status(error: BaseException) -> int | None:
    return _attribute(error, "returncode", int)


def _attribute(holder: Any, name: str, kind: type[T]) -> T | None:
    """An attribute of this type, or None: properties may raise, and mocks have every attribute."""
    try:
        value = getattr(holder, name, None)
        return value if isinstance(value, kind) and not isinstance(value, bool) else None
    except BaseException:  # noqa: BLE001 - somebody else's property
        return None


def _item(holder: Any, name: str) -> Any:
    try:
        return holder.get(name)
    except BaseException:  # noqa: BLE001 - somebody else's mapping
        return None


def _clean(text: str) -> str:
    """At most 500 characters, without lone surrogates, which no JSON can hold."""
    # Unbound, because a subclass of str may have methods of its own.
    start = str.__getitem__(text, slice(MAX_TEXT + 1))
    start = str.encode(start, "utf-8", "replace").decode()
    return start if len(start) <= MAX_TEXT else start[: MAX_TEXT - 1] + "…"
