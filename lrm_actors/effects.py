"""What is to become of an effect that nobody knows the end of: the policies that ``mode.effect`` takes.

An effect is in doubt when its process ended, or its call was cancelled or gave up waiting, between its intent and its
result. What is right then depends on what it does, so each effect says it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeAlias

from eventstore.frozen import frozen
from lrm_actors.errors import SettingsError

__all__ = ["NOT_HAPPENED", "UNKNOWN", "Ask", "Happened", "Policy", "Probe", "Retry", "Skip", "policy_of"]


class Found(enum.Enum):
    """What a probe says when it has no result to give."""

    NOT_HAPPENED = "not_happened"
    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return self.name


NOT_HAPPENED: Final = Found.NOT_HAPPENED
"""A probe's answer: it did not happen, and is to be done."""
UNKNOWN: Final = Found.UNKNOWN
"""A probe's answer: it cannot be told. Then ``Probe.otherwise`` decides."""


@frozen
class Happened:
    """A probe's answer: it happened, and this is its result."""

    result: Any = None
    """A JSON value: what ``mode.effect`` then gives, now and whenever the step is repeated."""


@frozen
class Retry:
    """Do it again, under the same idempotency key. For whatever does no harm twice, or knows the key."""

    name: ClassVar[str] = "retry"


@frozen
class Skip:
    """Take it for done. For what had better be left out than done twice."""

    result: Any = None
    """A JSON value, given in place of the result."""

    name: ClassVar[str] = "skip"

    def __attrs_post_init__(self) -> None:
        """Refuse what could only go wrong when it is needed.

        Raises:
            SettingsError: the result is no JSON value.
        """
        from eventstore.codec import encode_value
        from eventstore.errors import EventRefused

        try:
            encode_value(self.result, what="journal.effect_settled", field="result")
        except EventRefused as error:
            raise SettingsError("result", self.result, f"a JSON value ({error.reason})") from error


@frozen
class Ask:
    """Leave it to a human: ``EffectInDoubt`` is raised until somebody has settled it with ``lrm effects settle``."""

    name: ClassVar[str] = "ask"


@frozen
class Probe:
    """Find out: ask the outside world whether it happened.

    Raises:
        SettingsError: ``look`` is no function, or ``otherwise`` is not one of the three.
    """

    look: Callable[..., Any]
    """Plain or async; gives ``Happened(result)``, ``NOT_HAPPENED`` or ``UNKNOWN``. One that takes an argument is handed
    the idempotency key. What it raises goes on to whoever awaits the effect, which stays in doubt."""
    otherwise: Retry | Skip | Ask = Ask()
    """What is done when it cannot be told."""

    name: ClassVar[str] = "probe"

    def __attrs_post_init__(self) -> None:
        """Refuse what could only go wrong when it is needed."""
        if not callable(self.look):
            raise SettingsError("look", self.look, "a function, and not what it gives")
        if not isinstance(self.otherwise, Retry | Skip | Ask):
            raise SettingsError("otherwise", self.otherwise, "Retry(), Skip(...) or Ask()")


Policy: TypeAlias = Retry | Skip | Ask | Probe
"""What is done about an effect in doubt."""


def policy_of(given: Any) -> Policy:
    """A policy as it was given to ``mode.effect``: a function alone is a probe.

    Raises:
        SettingsError: it is neither.
    """
    if isinstance(given, Retry | Skip | Ask | Probe):
        return given
    if type(given).__module__.startswith("lrm_actors."):  # lrm_actors.Retry guards calls, and could be called
        raise SettingsError("policy", given, "Retry() of lrm_actors.effects, or another policy of it, and no guard")
    if callable(given) and not isinstance(given, type):
        return Probe(given)
    raise SettingsError("policy", given, "Retry(), Skip(...), Ask(), Probe(function) or a function")
