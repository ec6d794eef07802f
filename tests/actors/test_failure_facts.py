"""What is made of an exception that nobody here knows the class of."""

from __future__ import annotations

import asyncio
import errno
import http.client
import io
import socket
import sqlite3
import subprocess
import sys
import urllib.error
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.codec import decode_events, encode_event
from lrm_actors.actors.analyzer import MAX_LINKS, MAX_NAMES, MAX_TEXT, facts_of, text_of
from lrm_actors.domain import analyzer
from lrm_actors.domain import classify as kinds
from lrm_actors.domain.analyzer import FailureRecorded, RecordFailure
from lrm_actors.domain.classify import classify
from lrm_actors.errors import AskTimeout, CircuitOpen
from tests.domain.kit import Run


def raised(function: Callable[[], object]) -> BaseException:
    """What a function raises."""
    try:
        function()
    except BaseException as error:
        return error
    pytest.fail("nothing was raised")


def wrapped(inner: BaseException, outer: BaseException) -> BaseException:
    """``outer`` raised from ``inner``."""

    def both() -> NoReturn:
        try:
            raise inner
        except BaseException as error:
            raise outer from error

    return raised(both)


def sdk(name: str, base: type[Exception] = Exception, package: str = "openai", **attributes: Any) -> Exception:
    """An error of an SDK that is not installed, with a package and attributes like the real one's."""
    error: Exception = type(name, (base,), {"__module__": f"{package}._exceptions"})(f"Error: {name}")
    for attribute, value in attributes.items():
        setattr(error, attribute, value)
    return error


def refused() -> object:
    """A real refused connection."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets this port meanwhile
        return socket.create_connection(taken.getsockname(), timeout=30)


async def too_slow() -> None:
    """A real timeout of asyncio."""
    await asyncio.wait_for(asyncio.Event().wait(), 0)


def http_error(code: int) -> urllib.error.HTTPError:
    """As urllib raises it."""
    return urllib.error.HTTPError("http://site/", code, "no", Message(), io.BytesIO())


REAL = [
    (refused, "site", kinds.NETWORK),
    (lambda: asyncio.run(too_slow()), "llm", kinds.LLM_TIMEOUT),
    (lambda: asyncio.run(too_slow()), "site", kinds.UNKNOWN),
    (Path("/nowhere/at/all").read_text, "agent", kinds.UNKNOWN),
    (lambda: bytearray(2**62), "agent", kinds.MEMORY),
    (lambda: {"a": 1}["b"], "agent", kinds.BUG),
    (lambda: msgspec.json.decode(b"<html>"), "llm", kinds.BUG),
    (lambda: subprocess.run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], check=True), "worker",
     kinds.MEMORY),
    (lambda: sys.exit(1), "agent", kinds.CANCELLED),
]  # fmt: skip


@pytest.mark.parametrize(("function", "component", "category"), REAL)
def test_real_errors(function: Callable[[], object], component: str, category: str) -> None:
    """Errors as the interpreter and the kernel raise them."""
    assert category == classify(facts_of(raised(function), component))


BUILT = [
    (OSError(errno.ENOSPC, "No space left on device"), kinds.DISK_FULL),
    (OSError(errno.EMFILE, "Too many open files"), kinds.RESOURCE_EXHAUSTION),
    (sqlite3.OperationalError("database or disk is full"), kinds.DISK_FULL),
    (http_error(503), kinds.SERVER_ERROR),
    (http_error(404), kinds.PAGE_ERROR),
    (urllib.error.URLError(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")), kinds.NETWORK),
    (http.client.RemoteDisconnected("closed"), kinds.NETWORK),
    (asyncio.CancelledError(), kinds.CANCELLED),
    (sdk("RateLimitError", status_code=429), kinds.RATE_LIMIT),
    (sdk("RateLimitError", status_code=429, code="insufficient_quota"), kinds.QUOTA),
    (sdk("APIStatusError", status_code=200, body={"error": {"type": "overloaded_error"}}), kinds.OVERLOADED),
    (sdk("HTTPStatusError", package="httpx", response=SimpleNamespace(status_code=529)), kinds.OVERLOADED),
    (wrapped(sdk("AuthenticationError", status_code=401), sdk("ModelProviderError", status_code=502)), kinds.AUTH),
    (wrapped(sdk("ReadTimeout", package="httpx"), sdk("ModelProviderError", status_code=502)), kinds.LLM_TIMEOUT),
    (wrapped(TimeoutError("timed out"), RuntimeError("fetching failed")), kinds.NETWORK),
    (sdk("TargetClosedError", package="playwright"), kinds.BROWSER_CRASH),
    (ExceptionGroup("several", [sdk("TargetClosedError", package="playwright")]), kinds.BROWSER_CRASH),
    (AskTimeout("no reply"), kinds.DEADLOCK),
    (CircuitOpen("llm", 3.0), kinds.CIRCUIT_OPEN),
]


@pytest.mark.parametrize(("error", "category"), BUILT)
def test_errors_of_libraries(error: BaseException, category: str) -> None:
    """Errors as libraries build them, alone and wrapped, without any of these libraries at hand."""
    assert category == classify(facts_of(error, "any"))


def test_a_bug_while_handling_an_error_is_a_bug() -> None:
    """What was being handled does not excuse it; a deliberate ``from`` would."""

    def handler() -> None:
        try:
            raise sdk("RateLimitError", status_code=429)
        except Exception as error:
            error.nothing  # type: ignore[attr-defined]  # noqa: B018 - the bug

    assert kinds.BUG == classify(facts_of(raised(handler)))


def test_facts_name_what_is_known() -> None:
    """Package and class along the chain, messages of all links, and the component and step."""
    error = wrapped(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), sdk("APIConnectionError"))
    facts = facts_of(error, "llm", step=7)
    assert "openai.APIConnectionError" == facts.class_names[0]
    assert "ConnectionRefusedError" in facts.class_names
    assert "Error: APIConnectionError <- [Errno 111] Connection refused" == facts.message
    assert ("llm", 7, "ECONNREFUSED") == (facts.component, facts.step, facts.os_error)


def test_chains_are_bounded_and_may_be_cycles() -> None:
    """A chain that leads back to itself ends where it began, and a long one is cut."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert "first <- second" == facts_of(first).message
    error = RuntimeError("0")
    for number in range(1, 50):
        error = wrapped(error, RuntimeError(str(number)))  # type: ignore[assignment]  # it is the one given
    assert MAX_LINKS == len(facts_of(error).message.split(" <- "))
    assert len(facts_of(error).class_names) <= MAX_NAMES


# Errors that resist


def explode(*args: object) -> NoReturn:
    """Somebody else's code that fails in the worst way."""
    raise SystemExit("from inside")


def endless(error: BaseException) -> str:
    """Asks itself."""
    return str(error)


class HostileText(str):
    """A text that does not want to be handled."""

    __slots__ = ()
    encode = __getitem__ = __len__ = explode  # type: ignore[assignment]  # on purpose


class LyingClass:
    """An object that fails when it is asked what it is."""

    @property  # type: ignore[misc]  # on purpose
    def __class__(self) -> type:
        return explode()


HOSTILE: dict[str, dict[str, Any]] = {
    "str": {"__str__": explode},
    "not a str": {"__str__": lambda self: 5},
    "strange str": {"__str__": lambda self: HostileText("odd")},
    "endless str": {"__str__": endless},
    "huge str": {"__str__": lambda self: "x" * 10_000_000},
    "surrogates": {"__str__": lambda self: "bad \udcff text"},
    "status": {"status_code": property(explode)},
    "code": {"code": True, "type": 5, "status": "429"},
    "response": {"response": property(explode)},
    "lying": {"response": LyingClass(), "body": LyingClass(), "code": LyingClass()},
    "body": {"body": {"error": "not a mapping"}},
    "everything": {"__getattr__": explode},
    "no module": {"__module__": None},
    "module": {"__module__": "\udcff.x"},
}


@pytest.mark.parametrize("attributes", HOSTILE.values(), ids=HOSTILE)
def test_looking_at_an_error_never_raises(attributes: dict[str, Any]) -> None:
    """Whatever its ``__str__`` and its attributes do, there are facts, and they can be stored."""
    error = type("Hostile", (Exception,), attributes)("text")
    run = Run.of(analyzer.spec())
    recorded = run.tell(RecordFailure(facts_of(error, "agent \udcff")))[0]
    assert isinstance(recorded, FailureRecorded)
    assert len(recorded.message) <= MAX_TEXT
    kind, data = encode_event(recorded)
    assert (recorded,) == decode_events(1, kind.name, kind.version, data)


@given(st.text(alphabet=st.characters(codec=None), max_size=2000))
def test_any_message_can_be_stored(text: str) -> None:
    """Of any text, what can be stored of its first 500 characters."""
    kept = text_of(ValueError(text))
    assert len(kept) <= MAX_TEXT
    assert kept == kept.encode().decode()
    if len(text) <= MAX_TEXT and text.isprintable():
        assert text == kept


def headed(**headers: str) -> Exception:
    """An error with the answer of a service."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return sdk("RateLimitError", response=SimpleNamespace(headers=named, status_code=429))


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (headed(retry_after="7"), 7.0),
        (headed(retry_after="7", retry_after_ms="250"), 0.25),
        (headed(retry_after="Wed, 21 Oct 2026 07:28:30 GMT", date="Wed, 21 Oct 2026 07:28:00 GMT"), 30.0),
        (headed(retry_after="Wed, 21 Oct 2026 07:28:30 GMT"), None),
        (headed(retry_after="999999999"), 86400.0),
        (headed(retry_after="-3"), 0.0),
        (headed(retry_after="soon"), None),
        (headed(retry_after="nan"), None),
        (headed(), None),
    ],
)
def test_what_a_service_asks_for_is_known(error: Exception, seconds: float | None) -> None:
    """Milliseconds, seconds or a date beside the answer's own; at most a day."""
    assert seconds == facts_of(error).retry_after_s
    assert seconds == facts_of(wrapped(error, sdk("ModelRateLimitError", package="browser_use"))).retry_after_s


def test_a_made_up_status_does_not_count() -> None:
    """browser-use gives 502 to whatever has no status; the cause decides then, and unknown stays unknown."""

    def wrapper() -> Exception:
        return sdk("ModelProviderError", package="browser_use", status_code=502)

    odd = facts_of(wrapped(sdk("Odd", package="odd"), wrapper()), "llm")
    assert (None, kinds.UNKNOWN) == (odd.status_code, classify(odd))
    assert kinds.BUG == classify(facts_of(wrapped(KeyError("x"), wrapper()), "llm"))
    assert kinds.SERVER_ERROR == classify(facts_of(wrapper(), "llm"))


def test_a_group_stands_for_what_failed_in_it() -> None:
    """Not for what was cancelled because of that."""
    group = BaseExceptionGroup("both", [asyncio.CancelledError(), ConnectionRefusedError(errno.ECONNREFUSED, "no")])
    assert kinds.NETWORK == classify(facts_of(group))
    assert "both (2 sub-exceptions): ConnectionRefusedError: [Errno 111] no" == text_of(group)
    nested = ExceptionGroup("outer", [ExceptionGroup("inner", [MemoryError()])])
    assert "outer (1 sub-exception): ExceptionGroup: inner (1 sub-exception): MemoryError" == text_of(nested)


def test_a_group_stands_for_its_members_and_not_for_what_was_handled_when_it_was_raised() -> None:
    """All tries failed after the first one had: what they failed of decides, and is said."""

    def tries() -> None:
        try:
            raise ConnectionResetError(errno.ECONNRESET, "reset")
        except ConnectionResetError:
            raise ExceptionGroup("all tries", [PermissionError(errno.ENOSPC, "no space")])  # noqa: B904

    facts = facts_of(raised(tries))
    assert kinds.DISK_FULL == classify(facts)
    assert facts.message.startswith("all tries (1 sub-exception): ")
    assert "no space" in facts.message
