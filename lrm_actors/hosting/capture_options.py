"""How a host wants its state captured: which version of its schema it is, what of it is shared, what must not be kept.

Talks to nobody. The host's functions are checked here and called elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from eventstore.frozen import frozen
from lrm_actors.actors.checkpoints.marking import COMPARE, WAYS
from lrm_actors.errors import SettingsError
from lrm_actors.hosting.host import check_function, check_name

MAX_VERSION = 1_000_000
"""Of a host's state."""
MAX_SHARED = 1_000
"""Parts that may be declared shared."""
VERIFY_EVERY = 16
"""Checkpoints after which the faster ways are checked against a whole comparison."""
MAX_VERIFY_EVERY = 10_000

Upcaster = Callable[[Any], Any]
"""Takes the plain state of one version of a host's schema and gives that of the next."""


def _keys(given: Iterable[str]) -> tuple[str, ...]:
    """A tuple of what was given; a text is none, though it has letters."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise SettingsError("shared", given, "a tuple of keys")
    return tuple(given)


@frozen
class CaptureOptions:
    """What ``capture_with`` was given beside the function.

    Raises:
        SettingsError: a value that it cannot have.
    """

    version: int = 1
    """Of the schema of the host's state, from 1 to 1,000,000. Kept with each checkpoint."""
    shared: tuple[str, ...] = attrs.field(default=(), converter=_keys)
    """Keys at the top level of the state whose values other tasks may change at any time: copied in one slice."""
    redact: Callable[[Any], Any] | None = None
    """Gives the state to be kept in place of the one that was captured: without secrets."""
    changes: str = COMPARE
    """How what changed is found: ``compare``, ``identity`` for frozen parts, ``marks`` of the host's own."""
    verify_every: int = VERIFY_EVERY
    """Checkpoints, from 1 to 10,000, after which one of the faster ways is checked against a whole comparison."""

    def __attrs_post_init__(self) -> None:
        _check_number("version", self.version, MAX_VERSION)
        _check_number("verify_every", self.verify_every, MAX_VERIFY_EVERY)
        if len(self.shared) > MAX_SHARED:
            raise SettingsError("shared", f"{len(self.shared)} of them", f"at most {MAX_SHARED} keys")
        for one in self.shared:
            check_name("shared", one)
        if self.redact is not None:
            check_function("redact", self.redact)
        if self.changes not in WAYS:
            raise SettingsError("changes", self.changes, f"one of {', '.join(WAYS)}")

    @classmethod
    def of_host(cls, host: object) -> CaptureOptions:
        """What an object with ``capture`` says besides: its ``state_version``, ``shared`` and ``redact``, if there."""
        return cls(
            version=getattr(host, "state_version", 1),
            shared=getattr(host, "shared", ()),
            redact=getattr(host, "redact", None),
        )


def checked_upcasters(upcasters: Mapping[int, Upcaster] | None) -> Mapping[int, Upcaster]:
    """See that upcasters are functions by the version that each takes, and keep them as they are now.

    Raises:
        SettingsError: something else than that.
    """
    if upcasters is None:
        return MappingProxyType({})
    if not isinstance(upcasters, Mapping):
        raise SettingsError("upcasters", upcasters, "functions by the version that each takes: {1: from_1_to_2}")
    for version, function in upcasters.items():
        _check_number("upcasters", version, MAX_VERSION - 1)
        check_function(f"upcasters[{version}]", function)
    return MappingProxyType(dict(upcasters))


def _check_number(field: str, value: object, at_most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= at_most:
        raise SettingsError(field, value, f"a whole number from 1 to {at_most}")
