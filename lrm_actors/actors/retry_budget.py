"""How many retries a process may make, whoever makes them: total failure must not multiply the load.

Talks to nobody. Source of the shape: the retry budgets of Finagle, and the retry quota of the AWS clients.
"""

from __future__ import annotations

import threading

from eventstore.frozen import frozen
from lrm_actors.errors import SettingsError


@frozen
class BudgetStatistics:
    """A budget at one moment."""

    tokens: float
    first_tries: int
    retries: int
    refused: int
    """Retries that were not made because the budget was spent."""

    @property
    def amplification(self) -> float:
        """Calls that were made for each that was wanted; 1 before the first."""
        return 1.0 if self.first_tries == 0 else (self.first_tries + self.retries) / self.first_tries


class RetryBudget:
    """Tokens that retries cost: one each. Shared by every retrying call that is given it, from any thread.

    Under total failure at most ``ratio`` retries are made for each first try, and ``reserve`` besides.

    Args:
        ratio: tokens that each first try brings, 0 to 1.
        success_ratio: tokens that a first try brings besides when it succeeds: while a service is sound, there is more
            room for what fails now and then.
        reserve: tokens to begin with, and what a first try fills up to at most.

    Raises:
        SettingsError: a value that it cannot have.
    """

    def __init__(self, ratio: float = 0.1, *, success_ratio: float = 0.2, reserve: float = 10.0) -> None:
        for name, value in (("ratio", ratio), ("success_ratio", success_ratio)):
            if not 0.0 <= value <= 1.0:
                raise SettingsError(name, value, "from 0 to 1")
        if not 1.0 <= reserve < float("inf"):
            raise SettingsError("reserve", reserve, "a finite number of at least 1")
        self._ratio = ratio
        self._success_ratio = success_ratio
        self._reserve = reserve
        self._lock = threading.Lock()
        self._tokens = reserve
        self._first_tries = 0
        self._retries = 0
        self._refused = 0

    def began(self) -> None:
        """A first try is made."""
        with self._lock:
            self._first_tries += 1
            self._tokens = min(self._reserve, self._tokens + self._ratio)

    def succeeded(self) -> None:
        """A first try succeeded."""
        with self._lock:
            self._tokens = min(self._reserve, self._tokens + self._success_ratio)

    def take(self) -> bool:
        """Pay for a retry; False when there is not enough left."""
        with self._lock:
            if self._tokens < 1.0:
                self._refused += 1
                return False
            self._tokens -= 1.0
            self._retries += 1
            return True

    def statistics(self) -> BudgetStatistics:
        """Everything countable, at this moment."""
        with self._lock:
            return BudgetStatistics(self._tokens, self._first_tries, self._retries, self._refused)

    def __repr__(self) -> str:
        return f"<RetryBudget {self._tokens:.1f} of {self._reserve:g}>"


PROCESS = RetryBudget()
"""The budget of whoever names no other."""
