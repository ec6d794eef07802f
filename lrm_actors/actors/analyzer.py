"""What can be said of an exception without knowing its class: the facts that the analyzer classifies.

Talks to nobody. Nothing is imported to look at an error, and nothing that the error does while it is looked at gets
out: its attributes and its ``__str__`` are code of strangers.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from lrm_actors.actors.retry_after import of_headers
from lrm_actors.domain.facts import FailureFacts
from lrm_actors.domain.rules import WRAPPERS

MAX_LINKS = 8
"""Errors looked at along a chain of causes."""
MAX_NAMES = 64
MAX_TEXT = 500
"""Characters kept of a message."""

MADE_UP = 502
"""The status that a wrapper gives an error that has none of its own."""
MAX_RETRY_AFTER_S = 86400.0
"""Longest wait that a service can ask for, in seconds."""

_CODES = ("code", "type", "error_code")
_NO_CODES = frozenset(("error", ""))
_STATUSES = ("status_code", "status", "code", "http_status")
_HEADED = frozenset(("response", "headers"))
_ASKED = frozenset((*_CODES, *_STATUSES, *_HEADED, "body", "errno", "returncode"))
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
    links = [(link, _known(link)) for link in _links(error)]
    texts: list[str] = []
    names: tuple[str, ...] = ()
    code = os_error = ""
    exit_status: int | None = None
    retry_after_s: float | None = None
    for link, has in links:
        text = text_of(link)
        if text and not any(text in said for said in texts):
            texts.append(text)
        names += _names_of(link)
        if not has:
            continue
        code = code or _error_code(link, has)
        if "errno" in has:
            os_error = os_error or _os_error(link)
        if "returncode" in has and exit_status is None:
            exit_status = _exit_status(link)
        if retry_after_s is None and not _HEADED.isdisjoint(has):
            retry_after_s = _retry_after_s(link)
    message = texts[0] if len(texts) == 1 else _clean(" <- ".join(texts))
    status = _first_status(links)
    return FailureFacts(
        component, names[:MAX_NAMES], message, status, code, os_error, exit_status, "", step, retry_after_s
    )


def text_of(said: object) -> str:
    """The message of an error, or what else somebody says, at most 500 characters, safe to store. Never raises.

    That of a group says how many there are; what the one that counts says comes after it.
    """
    try:
        text = str(said)
        within: BaseException | None = said if isinstance(said, BaseExceptionGroup) else None
        for _ in range(MAX_LINKS):
            if not isinstance(within, BaseExceptionGroup):
                break
            within = _counts(within)
            text += "".join(f": {part}" for part in (type(within).__name__, str(within)) if part)
    except BaseException as problem:  # noqa: BLE001 - somebody else's __str__
        text = f"(its message cannot be read: {type(problem).__name__})"
    return _clean(text)


def _links(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, outermost first; a group stands for the first of its members that was not cancelled."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen and len(seen) < MAX_LINKS:
        seen.add(id(link))
        yield link
        link = _cause(link)


def _cause(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None:
        return error.__cause__
    if isinstance(error, BaseExceptionGroup):
        return _counts(error)
    # A bug in the handling of an error is a bug, whatever was being handled.
    if error.__context__ is not None and not error.__suppress_context__ and not isinstance(error, _PROGRAMMING):
        return error.__context__
    return None


def _counts(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The member of a group for which it stands: one that was cancelled because of a failure has both."""
    failed = (one for one in group.exceptions if type(one).__name__ != "CancelledError")
    return next(failed, group.exceptions[0])


@lru_cache(maxsize=1024)
def _class_names(cls: type[Any]) -> tuple[str, ...]:
    """Package and name of each class of the MRO down to ``BaseException``, which marks the end of this link."""
    names: list[str] = []
    for base in cls.__mro__:
        module = _clean(_attribute(base, "__module__", str) or "")
        package = module.partition(".")[0]
        names.append(base.__qualname__ if package in {"", "builtins"} else f"{package}.{base.__qualname__}")
        if base is BaseException:
            break
    return tuple(names)


def _names_of(error: BaseException) -> tuple[str, ...]:
    cls: Any = type(error)  # a type checker knows no hash of a class of exceptions
    return _class_names(cls)


@lru_cache(maxsize=1024)
def _has(cls: type[Any]) -> frozenset[str]:
    """Which of the attributes that are asked for a class gives its objects; all, if it makes them up."""
    if _attribute(cls, "__getattr__", object) is not None or "__getattribute__" in vars(cls):
        return _ASKED
    return frozenset(name for base in cls.__mro__ for name in vars(base) if name in _ASKED)


def _known(link: BaseException) -> frozenset[str]:
    """Which attributes are worth asking this error for."""
    try:
        cls: Any = type(link)
        return _has(cls) | _ASKED.intersection(object.__getattribute__(link, "__dict__"))
    except BaseException:  # noqa: BLE001 - an error of a kind that has no dict, or a strange one
        return _ASKED


def _first_status(links: list[tuple[BaseException, frozenset[str]]]) -> int | None:
    """The status of the innermost error that has one: wrappers make one up where the cause knows better."""
    status: int | None = None
    for index, (link, has) in enumerate(links):
        if not has:
            continue
        found = _status(link, has)
        made_up = found == MADE_UP and index + 1 < len(links) and not WRAPPERS.isdisjoint(_names_of(link))
        status = status if found is None or made_up else found
    return status


def _status(error: BaseException, has: frozenset[str]) -> int | None:
    for name in _STATUSES:
        if name in has and _is_status(value := _attribute(error, name, int)):
            return value
    if "response" in has:
        response = _attribute(error, "response", object)
        for name in _STATUSES:
            if _is_status(value := _attribute(response, name, int)):
                return value
    return None


def _is_status(value: int | None) -> bool:
    return value is not None and 100 <= value < 600


def _error_code(error: BaseException, has: frozenset[str]) -> str:
    for name in _CODES:
        if name in has and (value := _attribute(error, name, str)) and value not in _NO_CODES:
            return _clean(value)
    body = _attribute(error, "body", object) if "body" in has else None
    if isinstance(body, Mapping):
        for holder in (_item(body, "error"), body):
            for name in _CODES:
                value = _item(holder, name)
                if isinstance(value, str) and value and value not in _NO_CODES:
                    return _clean(value)
    return ""


def _os_error(error: BaseException) -> str:
    number = _attribute(error, "errno", int) if isinstance(error, OSError) else None
    return errno.errorcode.get(number, "") if number is not None else ""


def _exit_status(error: BaseException) -> int | None:
    return _attribute(error, "returncode", int)


def _retry_after_s(error: BaseException) -> float | None:
    """What the service asked for, where the error or its response has headers that say so."""
    for holder in (_attribute(error, "response", object), error):
        headers = _attribute(holder, "headers", object)
        seconds = of_headers(headers) if isinstance(headers, Mapping) else None
        if seconds is not None:
            return min(seconds, MAX_RETRY_AFTER_S)
    return None


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
    if type(text) is str and len(text) <= MAX_TEXT and text.isascii():
        return text
    # Unbound, because a subclass of str may have methods of its own.
    start = str.__getitem__(text, slice(MAX_TEXT + 1))
    start = str.encode(start, "utf-8", "replace").decode()
    return start if len(start) <= MAX_TEXT else start[: MAX_TEXT - 1] + "…"
