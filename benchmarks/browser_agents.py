"""The agents that ``browser`` measures: a site of one page, a model that follows a script, and hooks that are timed."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import re
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attrs
import psutil

ADAPTER = "lrm_actors.adapters.browser_use"
PAGE = b"<!doctype html><title>Shop</title><h1>Shop</h1><p>Apples and pears.</p><button id=buy>Buy</button>"
STEP_MEMORY = re.compile(r"taken (\d+)")
HISTORY = re.compile(r"<agent_history>\n(.*)\n</agent_history>", re.DOTALL)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.send_header("Set-Cookie", "ticket=ada; Path=/; Max-Age=86400")
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Nothing to say."""


@contextlib.contextmanager
def site() -> Iterator[str]:
    """Its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Model:
    """Does what is of little work to the browser, up to a step, and knows from its prompt where it is.

    Args:
        url: of the site.
        last: the step that ends the task.
    """

    model = provider = name = model_name = "scripted"
    _verified_api_keys = True

    def __init__(self, url: str, last: int) -> None:
        self.url, self.last = url, last

    async def ainvoke(self, messages: list[Any], output_format: Any = None, **_: Any) -> Any:
        """Answer a prompt."""
        views: Any = importlib.import_module("browser_use.llm.views")
        texts: list[str] = [str(message.text) for message in messages]
        found = HISTORY.search(texts[-1])
        taken = [int(number) for number in STEP_MEMORY.findall("" if found is None else found[1])]
        step = max(taken, default=0) + 1
        action: dict[str, Any] = {"evaluate": {"code": f"localStorage.setItem('step', '{step}'), 'step {step}'"}}
        if step == 1:
            action = {"navigate": {"url": self.url}}
        elif step >= self.last:
            action = {"done": {"text": "done", "success": True}}
        said = {
            "evaluation_previous_goal": "The step before was done, and the page shows what it should.",
            "memory": f"taken {step}: apples and pears are in the shop, nothing was bought so far.",
            "next_goal": "Go on with the next page of the shop.",
            "action": [action],
        }
        return views.ChatInvokeCompletion(completion=output_format.model_validate(said), usage=None)


@attrs.define
class Timed:
    """What one hook took, each time that it was called."""

    total_s: list[float] = attrs.Factory(list)
    """From its begin to its end, waits included."""
    held_s: list[float] = attrs.Factory(list)
    """The longest that it held the loop at a time."""


@attrs.define
class Timings:
    """Times the hooks of an agent, as they are called, from their begin on."""

    hooks: dict[str, Timed] = attrs.Factory(dict)
    steps_s: list[float] = attrs.Factory(list)
    """What all hooks of one step took together."""
    healed_s: list[float] = attrs.Factory(list)
    killed_at_s: float | None = None
    _step_s: float = 0.0

    def clear(self) -> None:
        """Forget what was measured so far."""
        self.hooks.clear()
        self.steps_s.clear()

    def held_ms(self, percent: float) -> float:
        """A percentile of the longest hold of each call of a hook, milliseconds."""
        held = sorted(one for timed in self.hooks.values() for one in timed.held_s)
        return held[min(len(held) - 1, int(len(held) * percent / 100))] * 1e3

    def watch(self) -> contextlib.AbstractContextManager[None]:
        """Time the hooks of every agent that runs within."""
        return self._watching()

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        hooks: Any = importlib.import_module(f"{ADAPTER}.steps").Hooks
        turn: Any = importlib.import_module(f"{ADAPTER}.turns").Turn
        before = {(owner, name): getattr(owner, name) for owner, name in (
            (hooks, "on_step_start"), (hooks, "on_decided"), (hooks, "on_step_end"), (turn, "act"),
        )}  # fmt: skip
        for (owner, name), function in before.items():
            setattr(owner, name, self._timed(name, function))
        try:
            yield
        finally:
            for (owner, name), function in before.items():
                setattr(owner, name, function)

    def _timed(self, name: str, function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Awaitable[Any]]:
        async def timed(owner: Any, *args: Any, **options: Any) -> Any:
            theirs = 0.0
            if name == "act":  # what the action itself takes is not ours
                action, do, *rest = args

                async def done() -> Any:
                    nonlocal theirs
                    began = time.perf_counter()
                    try:
                        return await do()
                    finally:
                        theirs = time.perf_counter() - began

                args = (action, done, *rest)
            segments: list[float] = []
            began = time.perf_counter()
            try:
                return await _Segments(function(owner, *args, **options), segments)
            finally:
                self._note(name, time.perf_counter() - began - theirs, 0.0 if name == "act" else max(segments))

        return timed

    def _note(self, name: str, took_s: float, held_s: float) -> None:
        timed = self.hooks.setdefault(name, Timed())
        timed.total_s.append(took_s)
        if name != "act":
            timed.held_s.append(held_s)
        if name == "on_step_start":
            if self.killed_at_s is not None:
                self.healed_s.append(time.monotonic() - self.killed_at_s)
                self.killed_at_s = None
            self._step_s = 0.0
        self._step_s += took_s
        if name == "on_step_end":
            self.steps_s.append(self._step_s)


class _Segments:
    """Drives a coroutine and notes how long it runs from one wait to the next: so long it holds the loop."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], segments: list[float]) -> None:
        self._coroutine, self._segments = coroutine, segments

    def __await__(self) -> Generator[Any, Any, Any]:
        given: Any = None
        error: BaseException | None = None
        while True:
            began = time.perf_counter()
            try:
                waited = self._coroutine.send(given) if error is None else self._coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
            finally:
                self._segments.append(time.perf_counter() - began)
            given, error = None, None
            try:
                given = yield waited
            except BaseException as raised:  # noqa: BLE001 - handed on
                error = raised


def agent(directory: Path, url: str, last: int, **options: Any) -> Any:
    """An agent whose task ends with a step, and whose log is in a directory."""
    adapter: Any = importlib.import_module(ADAPTER)
    settings = adapter.AgentSettings(
        task="Look through the shop",
        llm=Model(url, last),
        enable_long_running_mode=True,
        long_running_checkpoint_dir=str(directory),
        max_steps=10 * last,
        max_history_items=10,
        use_vision=False,
        use_judge=False,
        calculate_cost=False,
        enable_planning=False,
        loop_detection_enabled=False,
        **options,
    )
    return adapter.Agent(settings)


def kill_browser(directory: Path) -> float:
    """Kill the browser whose profile is below a directory, with everything below it; when, on the monotonic clock."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if any(word.startswith(f"--user-data-dir={directory}") for word in words) and not any(
                word.startswith("--type=") for word in words
            ):
                for one in (process, *process.children(recursive=True)):
                    with contextlib.suppress(psutil.Error):
                        one.send_signal(signal.SIGKILL)
    return time.monotonic()


async def ended(running: Any) -> Any:
    """Run an agent to the end of its task."""
    history = await running.run()
    assert history.is_done(), history.errors()
    await asyncio.sleep(0)
    return history
