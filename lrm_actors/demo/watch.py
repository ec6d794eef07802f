"""What the agent knows and what it does next, as a pure fold over its committed steps.

Nothing here touches the web, the clock or the log. A resumed agent, an undisturbed one, and a reader of the log that
recomputes the report all use the same functions, so equal responses give equal reports.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs

MAX_PAGES = 40
"""Pages visited in one round."""
PRICE = re.compile(r"(?:[$€£]\s?)?\d+[.,]\d\d(?:\s?(?:EUR|USD|GBP|[$€£]))?")


@attrs.frozen
class PageSeen:
    """One page as one round saw it."""

    status: int
    mark: str
    """The ETag, or the body's digest where there is none."""
    digest: str
    title: str
    prices: tuple[str, ...] = ()


@attrs.frozen
class Watch:
    """Everything the agent knows."""

    rounds: int
    """How many shall be made."""
    front: str
    """Path of the page where each round begins."""
    round: int = 1
    """The one being made; ``rounds + 1`` when all are."""
    queue: tuple[str, ...] = ()
    """Paths still to be visited in this round, next first."""
    seen: dict[str, PageSeen] = attrs.Factory(dict)
    """What this round has seen."""
    before: dict[str, PageSeen] = attrs.Factory(dict)
    """What the last round saw."""
    lines: tuple[str, ...] = ()
    """The report so far."""
    applied: int = 0
    """Number of the last step that is in here."""

    @property
    def done(self) -> bool:
        """All rounds are made."""
        return self.round > self.rounds


@attrs.frozen
class Visit:
    """The next step: fetch a page."""

    name: str
    path: str


@attrs.frozen
class Finish:
    """The next step: compare this round with the one before."""

    name: str
    result: dict[str, Any]


def front_of(url: str) -> str:
    """The path at which a watch over this address begins."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def begin(rounds: int, front: str) -> Watch:
    """A watch over a site, before its first step."""
    return Watch(rounds, front, queue=(front,))


def next_step(watch: Watch) -> Visit | Finish | None:
    """What to do next; None when everything is done."""
    if watch.done:
        return None
    if watch.queue:
        return Visit(f"round {watch.round} {watch.queue[0]}", watch.queue[0])
    result = {"round": watch.round, "pages": len(watch.seen), "changes": list(changes(watch.before, watch.seen))}
    return Finish(f"round {watch.round} finished", result)


def apply(watch: Watch, step: int, result: Mapping[str, Any]) -> Watch:
    """The watch after a committed step; unchanged by one that is in it already.

    Of a finished round only the fact is taken from ``result``; what changed is computed anew from the pages.

    Raises:
        ValueError: a step between the last applied and this one is missing.
    """
    if step <= watch.applied:
        return watch
    if step != watch.applied + 1:
        msg = f"step {step} cannot follow step {watch.applied}"
        raise ValueError(msg)
    if "path" in result:
        return _visited(watch, step, result)
    lines = [f"round {watch.round}: {len(watch.seen)} pages"]
    if watch.round > 1:
        lines += [f"round {watch.round}: {line}" for line in changes(watch.before, watch.seen)]
    return attrs.evolve(
        watch,
        round=watch.round + 1,
        queue=(watch.front,),
        before=watch.seen,
        seen={},
        lines=(*watch.lines, *lines),
        applied=step,
    )


def _visited(watch: Watch, step: int, result: Mapping[str, Any]) -> Watch:
    path = result["path"]
    page = PageSeen(
        status=result["status"],
        mark=result["mark"],
        digest=result["digest"],
        title=result["title"],
        prices=tuple(PRICE.findall(result["text"])),
    )
    seen = {**watch.seen, path: page}
    waiting = tuple(queued for queued in watch.queue if queued != path)
    fresh = dict.fromkeys(link for link in result["links"] if link not in seen and link not in waiting)
    room = max(0, MAX_PAGES - len(seen) - len(waiting))
    return attrs.evolve(watch, seen=seen, queue=(*waiting, *list(fresh)[:room]), applied=step)


def changes(before: Mapping[str, PageSeen], now: Mapping[str, PageSeen]) -> Iterable[str]:
    """What differs between two rounds, a line each, by path."""
    for path in sorted({*before, *now}):
        old, new = before.get(path), now.get(path)
        if old is None and new is not None:
            yield f"+ {path}: {new.title or new.status}"
        elif new is None and old is not None:
            yield f"- {path}: {old.title or old.status}"
        elif old is not None and new is not None and old != new:
            yield from (f"~ {path}: {what}" for what in _differences(old, new))


def _differences(old: PageSeen, new: PageSeen) -> Iterable[str]:
    if old.status != new.status:
        yield f"status {old.status} -> {new.status}"
    if old.title != new.title:
        yield f"title {old.title!r} -> {new.title!r}"
    if old.prices != new.prices:
        yield f"price {', '.join(old.prices) or 'none'} -> {', '.join(new.prices) or 'none'}"
    if old.digest != new.digest and (old.title, old.prices) == (new.title, new.prices):
        yield "text changed"


def report(watch: Watch) -> dict[str, Any]:
    """The final report, plain data; the same for every watch that saw the same responses."""
    pages = {path: page.title for path, page in sorted(watch.before.items())}
    return {"rounds": watch.round - 1, "pages": pages, "lines": list(watch.lines)}


def recompute(rounds: int, front: str, results: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The report that follows from the results of all committed steps, in order."""
    watch = begin(rounds, front)
    for step, result in enumerate(results, start=1):
        watch = apply(watch, step, result)
    return report(watch)


def digest(result: Any) -> str:
    """Digest of a step's result, the same for whoever reads it from the log."""
    canonical = json.dumps(result, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


def to_data(watch: Watch) -> dict[str, Any]:
    """As plain data, for a checkpoint."""
    return {
        **attrs.asdict(watch),
        "queue": list(watch.queue),
        "lines": list(watch.lines),
        "seen": _pages_to_data(watch.seen),
        "before": _pages_to_data(watch.before),
    }


def from_data(data: Mapping[str, Any]) -> Watch:
    """From what ``to_data`` made."""
    return Watch(
        **{
            **data,
            "queue": tuple(data["queue"]),
            "lines": tuple(data["lines"]),
            "seen": _pages_from_data(data["seen"]),
            "before": _pages_from_data(data["before"]),
        }
    )


def _pages_to_data(pages: Mapping[str, PageSeen]) -> dict[str, Any]:
    return {path: {**attrs.asdict(page), "prices": list(page.prices)} for path, page in pages.items()}


def _pages_from_data(data: Mapping[str, Any]) -> dict[str, PageSeen]:
    return {path: PageSeen(**{**page, "prices": tuple(page["prices"])}) for path, page in data.items()}
