"""A breaker for each of many of a kind, as for every host or every model: found by a key, and never too many.

Talks to whoever makes breakers and drops them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator

from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.domain.given import is_whole, plain_text
from lrm_actors.errors import SettingsError

REST = "*"
"""Key of the breaker that is shared by all for whom there is no room."""


class KeyedBreakers:
    """The breakers of one family: ``family["example.org"]`` is the breaker of ``family/example.org``.

    At most ``limit`` are kept. One more takes the place of the one that was asked for longest ago among those that are
    at rest: closed, without failures. When none is, the new key shares the breaker of ``family/*`` with all others for
    whom there was no room.

    Args:
        family: first part of their names.
        make: gives the breaker of a name.
        drop: forgets it.
        limit: breakers that are kept, at least 1.

    Raises:
        SettingsError: the limit is below 1.
    """

    def __init__(
        self, family: str, *, make: Callable[[str], CircuitBreaker], drop: Callable[[str], object], limit: int = 64
    ) -> None:
        if not is_whole(limit) or limit < 1:
            raise SettingsError("limit", limit, "a whole number of at least 1")
        self.family = family
        self.limit = limit
        self._make = make
        self._drop = drop
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, CircuitBreaker] = OrderedDict()

    def __getitem__(self, key: str) -> CircuitBreaker:
        """The breaker of a key; the same one as long as it is kept.

        Raises:
            SettingsError: the key cannot be a part of a name.
        """
        if type(key) is not str:
            key = plain_text("key", key)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept
            if len(self._kept) >= self.limit and not self._make_room():
                return self._make(f"{self.family}/{REST}")
            made = self._kept[key] = self._make(f"{self.family}/{key}")
            return made

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[str]:
        """The keys that are kept, as they are at this moment."""
        with self._lock:
            return iter(tuple(self._kept))

    def _make_room(self) -> bool:
        for key, kept in self._kept.items():
            if kept.at_rest:
                del self._kept[key]
                self._drop(kept.service)
                return True
        return False
