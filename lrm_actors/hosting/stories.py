"""What is told once and waited for in two ways: generators that yield what they wait for, for asyncio and for threads.

Whoever drives one says how a thing is waited for. What that raises is raised inside the story, which decides what to do
about it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")
W = TypeVar("W")


async def awaited(story: Generator[W, Any, T], answer: Callable[[W], Awaitable[Any]]) -> T:
    """Drive a story to its end in an event loop.

    Args:
        story: yields what it waits for, and is sent what came of it.
        answer: awaits one of those.
    """
    outcome: Any = None
    failure: BaseException | None = None
    while True:
        try:
            wanted = story.send(outcome) if failure is None else story.throw(failure)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # StopIteration does not carry its type
        outcome = failure = None
        try:
            outcome = await answer(wanted)
        except BaseException as error:  # noqa: BLE001 - the story decides what to do about it
            failure = error


def waited_for(story: Generator[W, Any, T], answer: Callable[[W], Any]) -> T:
    """The same on this thread, where ``answer`` blocks."""
    outcome: Any = None
    failure: BaseException | None = None
    while True:
        try:
            wanted = story.send(outcome) if failure is None else story.throw(failure)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # StopIteration does not carry its type
        outcome = failure = None
        try:
            outcome = answer(wanted)
        except BaseException as error:  # noqa: BLE001 - the story decides what to do about it
            failure = error
