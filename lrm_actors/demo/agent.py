"""The demo's agent: watches a web site for changes and reports them, ``python -m lrm_actors.demo.agent``.

It does a real long job and is written as anyone would write one on ``LongRunningMode``: every page is a step, fetching
is behind a breaker, the browser is a component that the system restarts. It is told how its predecessor ended and
nothing else of what is done to it. On stdout it tells its parent, as JSON lines, what it has begun and what is safe.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import sys
import threading
import time
from typing import Any
from urllib.parse import urljoin, urlsplit

import attrs

from lrm_actors import CircuitBreaker, CircuitOpen, LongRunningMode, LongRunningSettings
from lrm_actors.demo import watch
from lrm_actors.demo.browser import Browser, BrowserLost, SiteError, SiteTimeout, SiteUnreachable

AGENT_ID = "demo"
BROWSER = "browser"
SITE = "site"
HEARTBEAT_TIMEOUT_S = 0.8
RETRY_S = 0.1
MAX_ATTEMPTS = 8
"""Failed answers of the site to one page before the page is put down as unreachable in this round."""


@attrs.frozen
class Options:
    """What the agent is told when it is started."""

    url: str
    state: str
    """Directory of its log."""
    rounds: int = 4
    pace_s: float = 0.0
    """Pause after each page."""
    poll_s: float = 0.1
    """How often it looks whether the front page has changed, between two rounds."""
    patience_s: float = 60.0
    """When it begins the next round even if it has not."""
    timeout_s: float = 0.6
    """How long one page may take."""
    predecessor_exit: int | None = None
    with_parent: bool = False
    """Stop in order when stdin ends."""


class Agent:
    """One process's worth of watching; the next process goes on where this one was."""

    def __init__(self, options: Options) -> None:
        self._options = options
        parts = urlsplit(options.url)
        self._origin = (parts.scheme, parts.netloc)
        self._watch = watch.begin(options.rounds, watch.front_of(options.url))
        self._mode = LongRunningMode(settings(options), predecessor_exit=options.predecessor_exit)
        self._browser = Browser(timeout_s=options.timeout_s, heartbeat=lambda: self._mode.heartbeat(BROWSER))
        self._mode.register_component(
            BROWSER,
            restart=self._browser.restart,
            heartbeat_timeout_s=HEARTBEAT_TIMEOUT_S,
            exit_status=self._browser.exit_status,
        )
        self._mode.capture_with(lambda: watch.to_data(self._watch))
        self._mode.restore_with(self._restore)

    async def run(self) -> int:
        """Watch until all rounds are made and the report is told; returns the exit code."""
        try:
            await self._browser.restart()
            async with self._mode:
                await self._resume()
                await self._watch_site()
        finally:
            await self._browser.close()
        return self._mode.exit_code or 0

    async def _resume(self) -> None:
        """Take up the state of the newest checkpoint, and every step committed after it."""
        fresh = self._watch
        restored = await self._mode.recover_from_checkpoint()
        recovery = self._mode.last_recovery
        steps = [(step.step, step.result) for step in recovery.steps] if recovery is not None else []
        doubt = recovery.in_doubt if recovery is not None else None
        if doubt is not None and self._watch.applied >= doubt.step:
            # An emergency caught it inside this very step, which was never committed: fold from the first step instead.
            reader = self._mode.reader()
            steps = [(one.event.step, one.event.result) for one in reader.read(types=["journal.step_committed"])]
            self._watch, restored = fresh, False
        for step, result in steps:
            self._watch = watch.apply(self._watch, step, result)
        tell(
            say="up",
            log=str(self._mode.settings.log_path),
            kept=self._watch.applied,
            from_checkpoint=restored,
            from_log=len(steps),
            in_doubt=None if doubt is None else doubt.step,
        )

    async def _watch_site(self) -> None:
        while (todo := watch.next_step(self._watch)) is not None:
            if self._watch.round > 1 and not self._watch.seen:
                await self._wait_for_change()
            async with self._mode.step(todo.name) as step:
                visit = isinstance(todo, watch.Visit)
                tell(say="begun", step=step.number, name=todo.name, visit=visit, repeated=step.repeated)
                if isinstance(todo, watch.Visit):
                    step.result = self._result(todo.path, await self._fetch(todo.path, step.number))
                else:
                    step.result = todo.result
                self._watch = watch.apply(self._watch, step.number, step.result)
            tell(say="acked", step=step.number, digest=watch.digest(step.result))
            if self._options.pace_s:
                await asyncio.sleep(self._options.pace_s)
        tell(say="report", report=watch.report(self._watch))

    async def _wait_for_change(self) -> None:
        """Look at the front page until it is another one than in the last round, for as long as patience lasts."""
        known = self._watch.before[self._watch.front].mark
        until = time.monotonic() + self._options.patience_s
        while time.monotonic() < until:
            page = await self._fetch(self._watch.front, None)
            if page is not None and mark(page) != known:
                return
            await asyncio.sleep(min(self._options.poll_s, max(0.0, until - time.monotonic())))

    async def _fetch(self, path: str, step: int | None) -> dict[str, Any] | None:
        """Fetch one page, however often it takes; None when the site will not give it.

        A lost browser is none of the site's fault: it leaves the breaker alone, and the page is tried again once the
        system has brought the browser back.
        """
        guard = self._mode.get_circuit_breaker(SITE)
        url = urljoin(self._options.url, path)
        failures = 0
        while failures < MAX_ATTEMPTS:
            await self._browser.ready()
            try:
                return await self._fetch_guarded(guard, url)
            except BrowserLost:
                continue
            except CircuitOpen as rejected:
                await asyncio.sleep(rejected.retry_after_s)
            except (SiteTimeout, SiteUnreachable, SiteError) as error:
                failures += 1
                await self._mode.handle_failure(error, {"component": SITE, "step": step})
                await asyncio.sleep(RETRY_S)
            except ValueError:  # a link that leads nowhere a browser can go
                return None
        return None

    async def _fetch_guarded(self, guard: CircuitBreaker, url: str) -> dict[str, Any]:
        """``async with guard: …``, but for a lost browser: the guard hears of it as of a call that was called off."""
        ticket = guard.admit()
        try:
            page = await self._browser.fetch(url)
        except BrowserLost:
            guard.came_back(ticket, asyncio.CancelledError())
            raise
        except BaseException as error:
            guard.came_back(ticket, error)
            raise
        guard.came_back(ticket, None)
        return page

    def _result(self, path: str, page: dict[str, Any] | None) -> dict[str, Any]:
        """What a visit to a page is remembered by: all that the report needs, and nothing of this machine."""
        if page is None:
            return {"path": path, "status": 0, "mark": "", "digest": "", "title": "", "links": [], "text": ""}
        return {
            "path": path,
            "status": page["status"],
            "mark": mark(page),
            "digest": page["digest"],
            "title": page["title"],
            "links": [link for link in map(self._path_on_site, page["links"]) if link is not None],
            "text": page["text"],
        }

    def _path_on_site(self, link: str) -> str | None:
        parts = urlsplit(link)
        if (parts.scheme, parts.netloc) != self._origin:
            return None
        return watch.front_of(link)

    def _restore(self, state: Any) -> None:
        self._watch = watch.from_data(state)


def settings(options: Options) -> LongRunningSettings:
    """Settings of a real agent, but for intervals short enough to be watched."""
    return LongRunningSettings(
        enable_long_running_mode=True,
        agent_id=AGENT_ID,
        checkpoint_dir=options.state,
        monitoring_interval=0.5,
        checkpoint_interval=2.0,
        circuit_breaker_failure_threshold=3,
        circuit_breaker_recovery_timeout=1.0,
        # A demo starts several processes in a few seconds; that a small machine is busy meanwhile is not its subject.
        cpu_threshold_warning=99.0,
        cpu_threshold_critical=100.0,
    )


def mark(page: dict[str, Any]) -> str:
    """What tells one version of a page from another."""
    return str(page["headers"].get("etag") or page["digest"])


def tell(**message: Any) -> None:
    """Tell the parent, in one write, so that a kill leaves no more than one broken line."""
    os.write(1, json.dumps({**message, "at": time.monotonic()}).encode() + b"\n")


def parse(arguments: list[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="watch a web site for changes and report them")
    parser.add_argument("--url", required=True)
    parser.add_argument("--state", required=True, help="directory of the log")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--pace-s", type=float, default=0.0)
    parser.add_argument("--poll-s", type=float, default=0.1)
    parser.add_argument("--patience-s", type=float, default=60.0)
    parser.add_argument("--timeout-s", type=float, default=0.6)
    parser.add_argument("--predecessor-exit", type=int, default=None)
    parser.add_argument("--with-parent", action="store_true", help="stop in order when stdin ends")
    return Options(**vars(parser.parse_args(arguments)))


async def live(options: Options) -> int:
    """Run the agent until it is done, or until its parent is gone."""
    running = asyncio.create_task(Agent(options).run())
    if options.with_parent:
        loop = asyncio.get_running_loop()

        def wait_for_parent() -> None:
            while os.read(0, 4096):
                pass
            with contextlib.suppress(RuntimeError):  # the loop is closed: the agent is done anyway
                loop.call_soon_threadsafe(running.cancel)

        threading.Thread(target=wait_for_parent, name="parent", daemon=True).start()
    try:
        return await running
    except asyncio.CancelledError:
        return 1


def main() -> None:
    """Run the agent as a process."""
    options = parse()
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    sys.exit(asyncio.run(live(options)))


if __name__ == "__main__":
    main()
