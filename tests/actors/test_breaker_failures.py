"""What failures are called in reports."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import pytest

from lrm_actors.actors.failures import describe_failure


class ServerError(Exception):
    """An error as SDKs make them, with whatever attributes a test gives it."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        vars(self).update(attributes)


class APITimeoutError(Exception):
    """A timeout that is no builtin TimeoutError."""


class Awkward(Exception):
    """An error whose properties raise."""

    @property
    def response(self) -> None:
        """No response was set."""
        raise RuntimeError("the response was not set")


def wrapped(outer: Exception, cause: BaseException) -> Exception:
    """An error raised from another."""
    outer.__cause__ = cause
    return outer


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "timeout: TimeoutError"),
        (APITimeoutError(), "timeout: APITimeoutError"),
        (URLError(TimeoutError()), "timeout: URLError"),
        (wrapped(ServerError(status_code=502), wrapped(OSError(), APITimeoutError())), "timeout: ServerError"),
        (ServerError(status_code=500), "status 500: ServerError"),
        (ServerError(status=503), "status 503: ServerError"),
        (ServerError(response=SimpleNamespace(status_code=529)), "status 529: ServerError"),
        (ServerError(status_code=7), "ServerError"),
        (ServerError(status="bad"), "ServerError"),
        (ConnectionRefusedError(), "ConnectionRefusedError"),
        (Awkward(), "Awkward"),
    ],
)
def test_kind_first(error: Exception, words: str) -> None:
    """A timeout is one however it is wrapped, then comes the HTTP status, then the class; nothing raises."""
    assert words == describe_failure(error)


def test_causes_in_a_circle_end() -> None:
    """An error that is its own cause is described, not followed for ever."""
    error = ServerError()
    error.__cause__ = error
    assert "ServerError" == describe_failure(error)
