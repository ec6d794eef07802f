"""Errors of settings and of set-up: LRM-1001 and on. Most of them are raised before anything runs."""

from __future__ import annotations

from lrm_actors.errors.base import LrmError, _shown


class SettingsError(LrmError, ValueError):
    """A setting, or an argument, has a value it cannot have."""

    code = "LRM-1001"

    def __init__(self, field: str, value: object, allowed: str, *, source: str = "argument") -> None:
        super().__init__(
            f"{field} = {_shown(value)} (from {source}) is not allowed: it must be {allowed}",
            hint=f"set {field} to {allowed}",
        )
        self.field, self.value, self.allowed, self.source = field, value, allowed, source


class UnknownSetting(LrmError, AttributeError):
    """There is no setting of this name."""

    code = "LRM-1002"

    def __init__(self, field: str, suggestion: str | None = None, *, source: str = "argument") -> None:
        hint = f"did you mean {suggestion}?" if suggestion else "see the settings reference"
        super().__init__(f"there is no setting {field!r} (from {source})", hint=hint)
        self.field, self.suggestion, self.source = field, suggestion, source


class WiringError(LrmError, ValueError):
    """The actors or the wiring table cannot work together."""

    code = "LRM-1003"
    hint = "each actor needs a name of its own, and each (event, consumer) one row"


class NotRunning(LrmError, RuntimeError):
    """The mode or the system was used before it was started or after it was stopped."""

    code = "LRM-1004"
    hint = "use it inside 'async with mode:', between start_monitoring() and stop_monitoring(), or start() and stop()"


class AskInsideDecide(LrmError, RuntimeError):
    """An actor's pure code tried to ask or tell another actor."""

    code = "LRM-1005"
    hint = "decide on an event, and wire that event to the other actor"

    def __init__(self, to: str) -> None:
        super().__init__(f"{to!r} was addressed from inside decide or evolve")
        self.to = to


class BadSpec(LrmError, ValueError):
    """An actor's ``Spec`` has a value it cannot have."""

    code = "LRM-1006"

    def __init__(self, actor: str, field: str, value: object, allowed: str) -> None:
        super().__init__(
            f"{actor}: {field} = {value!r} is not allowed: it must be {allowed}", hint=f"set {field} to {allowed}"
        )
        self.actor, self.field, self.value, self.allowed = actor, field, value, allowed


class ReplyMissing(LrmError, TypeError):
    """A decision on a command that was to be answered has no reply. See ``must_reply``."""

    code = "LRM-1007"
    hint = "give then(..., reply=...), or take must_reply off the actor's decide"


class ChildSpecError(LrmError, ValueError):
    """A supervisor was declared with something that it cannot have. Nothing was started."""

    code = "LRM-1008"

    def __init__(self, child: str, field: str, value: object, allowed: str, *, supervisor: str = "") -> None:
        whose = f"{supervisor}: child {child!r}: " if child else f"{supervisor}: "
        super().__init__(
            f"{whose}{field} = {value!r} is not allowed: it must be {allowed}", hint=f"set {field} to {allowed}"
        )
        self.child, self.field, self.value, self.allowed, self.supervisor = child, field, value, allowed, supervisor


class BadDecision(LrmError, TypeError):
    """An actor's own code gave what it may not: no decision, no state, no effect, or a timer that cannot be."""

    code = "LRM-1009"
    hint = "decide gives then(...), stash() or unhandled(...); evolve gives a state"


class NotACommand(LrmError, TypeError):
    """What was to be sent to an actor is no command."""

    code = "LRM-1010"
    hint = "send an instance of a subclass of Command"


class WrongWith(LrmError, TypeError):
    """A step was entered in the form of the other host: with an event loop, or without one. Nothing was begun."""

    code = "LRM-1011"

    def __init__(self, name: str, used: str, instead: str) -> None:
        super().__init__(f"step {name!r} cannot be entered by {used!r}", hint=instead)
        self.name, self.used = name, used


class LoopWouldWait(LrmError, RuntimeError):
    """A blocking word was called on the thread of the host's event loop, which would then wait for itself."""

    code = "LRM-1012"

    def __init__(self, word: str) -> None:
        hint = f"'await mode.{word}(...)' there; or call it on another thread: 'await asyncio.to_thread(...)'"
        super().__init__(f"blocking.{word} was called on the event loop that it has to wait for", hint=hint)
        self.word = word
