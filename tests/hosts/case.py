"""One real failure: which library, in which situation, how it is wrapped, and what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import attrs


@attrs.frozen
class Case:
    """A failure and the category that it has to be given."""

    library: str
    situation: str
    wrapping: str
    category: str
    fail: Callable[[], Any] = attrs.field(repr=False)
    """Raises it."""
    component: str = ""

    @property
    def name(self) -> str:
        """For reports, and for what is recorded."""
        return f"{self.library}: {self.situation}, {self.wrapping}"


class NotRaised(AssertionError):
    """The situation did not fail."""


class ModelProviderError(Exception):
    """As browser-use has it: a status of 502 where it knows none."""

    def __init__(self, message: str, status_code: int = 502, model: str | None = None) -> None:
        super().__init__(message)
        self.message, self.status_code, self.model = message, status_code, model


class ModelRateLimitError(ModelProviderError):
    """As browser-use has it."""

    def __init__(self, message: str, status_code: int = 429, model: str | None = None) -> None:
        super().__init__(message, status_code, model)


class BrowserError(Exception):
    """As browser-use has it."""


for _cls in (ModelProviderError, ModelRateLimitError):
    _cls.__module__ = "browser_use.llm.exceptions"
BrowserError.__module__ = "browser_use.browser.views"


def as_browser_use_wraps(error: Exception) -> Exception:
    """What its chat classes raise from an error of the SDK."""
    if "RateLimitError" in {cls.__name__ for cls in type(error).__mro__}:
        return ModelRateLimitError(str(error), model="any")
    status = getattr(error, "status_code", None)
    return ModelProviderError(str(error), status if isinstance(status, int) else 502, model="any")


def raised(fail: Callable[[], Any]) -> BaseException:
    """What a function raises."""
    try:
        fail()
    except BaseException as error:
        return error
    raise NotRaised


def _once(fail: Callable[[], Any]) -> Callable[[], Any]:
    """Fails once, and from then on with the same error."""
    known: list[BaseException] = []

    def again() -> None:
        if not known:
            known.append(raised(fail))
        raise known[0]

    return again


def _from(fail: Callable[[], Any], outer: Callable[[Exception], Exception]) -> Callable[[], Any]:
    def both() -> None:
        try:
            fail()
        except Exception as error:
            raise outer(error) from error

    return both


def _grouped(fail: Callable[[], Any]) -> Callable[[], Any]:
    def group() -> None:
        error = raised(fail)
        assert isinstance(error, Exception)
        raise ExceptionGroup("unhandled errors in a TaskGroup", [error])

    return group


def wrapped(cases: Iterable[Case], *, how: str) -> Iterator[Case]:
    """Each case raw, and wrapped: as browser-use does with a model's or a browser's errors, or by a task group."""
    for case in (attrs.evolve(case, fail=_once(case.fail)) for case in cases):
        yield case
        match how:
            case "model":
                fail = _from(case.fail, as_browser_use_wraps)
                yield attrs.evolve(case, wrapping="as browser-use wraps a model's", fail=fail)
            case "browser":
                fail = _from(case.fail, lambda error: BrowserError(f"Browser operation failed: {error}"))
                yield attrs.evolve(case, wrapping="as browser-use wraps a browser's", fail=fail)
            case "group":
                yield attrs.evolve(case, wrapping="in a task group", fail=_grouped(case.fail))
