"""What a browser agent can be given: the settings of the long-running mode, its own, and any of browser-use's agent.

Talks to the long-running settings, which follow each assignment at once, and asks browser-use which arguments its agent
has, but only for a name that is none of the others.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from typing import Any

from eventstore.frozen import frozen
from lrm_actors.adapters.browser_use import compat
from lrm_actors.errors import SettingsError, UnknownSetting
from lrm_actors.settings import ALIAS_PREFIX, FIELDS, LongRunningSettings, Observer

DOUBTS = ("retry", "skip", "ask")
"""Words for ``on_doubt``."""
KEPT = ("injected_agent_state",)
"""Arguments of browser-use's agent that the adapter gives itself."""


@frozen
class Own:
    """A setting of the adapter's."""

    name: str
    default: Any
    meaning: str
    allowed: str
    check: Callable[[Any], bool]


def _count(least: int, most: int = 1_000_000) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and math.isfinite(value)


def _text(value: Any) -> bool:
    return value is None or (isinstance(value, str) and bool(value.strip()))


def _model(value: Any) -> bool:
    return value is None or callable(getattr(value, "ainvoke", None))


def _address(value: Any) -> bool:
    return value is None or (
        isinstance(value, str) and value.lower().startswith(("ws://", "wss://", "http://", "https://"))
    )


OWN = (
    Own("task", None, "What the agent is to do; None: what its log says.", "a text, or None", _text),
    Own("llm", None, "The model.", "a chat model of browser-use, or None", _model),
    Own("max_steps", 500, "Steps in all, over all processes.", "a whole number from 1", _count(1)),
    Own("max_failures", 5, "Failed steps in a row that end the run.", "a whole number from 1", _count(1)),
    Own(
        "max_history_items", None, "Steps that the model is shown; None for all.", "a whole number from 6, or None",
        lambda value: value is None or _count(6)(value),
    ),
    Own(
        "on_doubt", "retry", "What becomes of an action that a kill may have cut off.",
        "'retry', 'skip', 'ask', or a function of the action's name and parameters",
        lambda value: value in DOUBTS if isinstance(value, str) else callable(value),
    ),
    Own(
        "cdp_url", None, "A browser that is not the agent's own.",
        "an address that begins with ws://, wss://, http:// or https://, or None", _address,
    ),
    Own("headless", True, "Whether the agent's own browser has no window.", "true or false",
        lambda value: isinstance(value, bool)),
    Own("browser_path", None, "The program of the agent's own browser; None: found.", "a path, or None",
        lambda value: _text(value) or hasattr(value, "__fspath__")),
    Own("browser_args", (), "Further arguments of that program.", "a list of texts",
        lambda value: isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)),
    Own("keep_browser", False, "Leave the agent's own browser open after the run.", "true or false",
        lambda value: isinstance(value, bool)),
    Own("browser_attempts", 10, "Times in a row that the browser is started before the run gives up.",
        "a whole number from 1 to 1000", _count(1, 1000)),
    Own("llm_outage_limit_s", 86_400.0, "Seconds that an outage of the model is waited out.", "seconds from 0",
        _seconds),
    Own("screenshots_kept", 100, "Pictures of steps that stay on disk.", "a whole number from 0", _count(0)),
)  # fmt: skip
"""The adapter's own settings, in the order of the reference."""
_OWN = {one.name: one for one in OWN}
_LONG_RUNNING = frozenset(one.name for one in FIELDS)
_UPSTREAM_TOO = ("max_failures", "max_history_items")


class AgentSettings:
    """The settings of one agent. Give them by name; assign to them at any time, and the change holds at once.

    Three kinds go together: those of ``LongRunningSettings``, with or without the prefix ``long_running_``; the
    adapter's own (``OWN``); and every argument of browser-use's own agent, which takes effect when a run begins.

    Raises:
        SettingsError: a value is not allowed.
        UnknownSetting: nothing has this name; the error says what it resembles.
        HostNotUsable: a name can only be browser-use's, and it is not installed.
    """

    def __init__(self, task: str | None = None, llm: Any = None, **settings: Any) -> None:
        given = {**settings, **({} if task is None else {"task": task}), **({} if llm is None else {"llm": llm})}
        kinds = {name: _kind(name, "argument") for name in given}
        of = {kind: {n: v for n, v in given.items() if kinds[n] == kind} for kind in ("lrm", "own", "agent")}
        values = {one.name: one.default for one in OWN}
        values.update({name: _checked(name, value, "argument") for name, value in of["own"].items()})
        vars(self).update(
            _long_running=LongRunningSettings.load(**of["lrm"]),
            _own=values,
            _agent=dict(of["agent"]),
            _observers=(),
        )

    def __getattr__(self, name: str) -> Any:
        """A setting's value.

        Raises:
            UnknownSetting: there is none of this name.
        """
        if name.startswith("__"):
            raise AttributeError(name)
        kind = _kind(name, "attribute")
        if kind == "own":
            return self._own[name]
        if kind == "lrm":
            return getattr(self._long_running, _plain(name))
        return self._agent.get(name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Check a value, take it, and tell whoever runs by it."""
        kind = _kind(name, "assignment")
        if kind == "lrm":
            self._long_running.update(**{_plain(name): value})
            return
        place = self._own if kind == "own" else self._agent
        checked = _checked(name, value, "assignment") if kind == "own" else value
        old, place[name] = place.get(name), checked
        for (observer,) in self._observers:
            observer(name, old, checked)

    def __repr__(self) -> str:
        """Without values that may be secret."""
        return f"AgentSettings(task={self.task!r}, agent_id={self.agent_id!r})"

    @property
    def long_running(self) -> LongRunningSettings:
        """Those of the long-running mode."""
        settings: LongRunningSettings = self._long_running
        return settings

    def agent_arguments(self) -> dict[str, Any]:
        """What browser-use's own agent is given of these."""
        return {**self._agent, **{name: self._own[name] for name in _UPSTREAM_TOO}}

    def observe(self, callback: Observer) -> Callable[[], None]:
        """Call ``callback(name, old, new)`` after each assignment that is not of the mode; returns how to end that."""
        entry = (callback,)
        vars(self)["_observers"] = (*self._observers, entry)

        def stop() -> None:
            vars(self)["_observers"] = tuple(one for one in self._observers if one is not entry)

        return stop

    def as_dict(self) -> Mapping[str, Any]:
        """The values of the adapter's and the mode's settings, by name."""
        return {**self._own, **self._long_running.as_dict()}


def _plain(name: str) -> str:
    return name if name in _LONG_RUNNING else name.removeprefix(ALIAS_PREFIX)


def _kind(name: str, source: str) -> str:
    """``own``, ``lrm`` or ``agent``: whose setting this is."""
    if name in _OWN:
        return "own"
    if _plain(name) in _LONG_RUNNING:
        return "lrm"
    if name.startswith(ALIAS_PREFIX):
        raise UnknownSetting(name, _similar(name, tuple(ALIAS_PREFIX + one for one in _LONG_RUNNING)), source=source)
    if name.startswith("_"):
        raise UnknownSetting(name, source=source)
    known = compat.agent_parameters()
    if name in KEPT:
        raise SettingsError(name, "something", "left to the adapter, which gives it itself", source=source)
    if name not in known:
        raise UnknownSetting(name, _similar(name, (*_OWN, *_LONG_RUNNING, *known)), source=source)
    return "agent"


def _similar(name: str, known: tuple[str, ...]) -> str | None:
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)


def _checked(name: str, value: Any, source: str) -> Any:
    own = _OWN[name]
    if not own.check(value):
        shown = "something else" if name == "cdp_url" and isinstance(value, str) else value  # it may hold a token
        raise SettingsError(name, shown, own.allowed, source=source)
    return value
