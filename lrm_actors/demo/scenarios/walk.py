"""A walk through the operation modes: every change of them as the log tells it, what induced it, and which are missing.

Talks to the stage's log. The changes that there must be are written down here, and not asked of the code that is shown.
"""

from __future__ import annotations

import asyncio
import time

import attrs

from eventstore import Record
from eventstore.protocol import EventReader
from lrm_actors.demo.scenarios import stage as stages
from lrm_actors.demo.scenarios.account import Sheet
from lrm_actors.demo.scenarios.stage import Missing, Stage
from lrm_actors.domain.modes import DEGRADED, MINIMAL, NORMAL, RECOVERY

CHANGED = "modes.changed"
BY_PRESSURE = (
    (NORMAL, DEGRADED),
    (NORMAL, MINIMAL),
    (NORMAL, RECOVERY),
    (DEGRADED, MINIMAL),
    (DEGRADED, RECOVERY),
    (MINIMAL, RECOVERY),
    (RECOVERY, MINIMAL),
    (MINIMAL, DEGRADED),
    (DEGRADED, NORMAL),
)
"""What the health leads to: for the worse any number of modes at once, for the better one at a time."""
BY_HAND = ((RECOVERY, DEGRADED), (RECOVERY, NORMAL), (MINIMAL, NORMAL))
"""What nothing but a mode that is held by hand leads to."""
ORDER = (NORMAL, DEGRADED, MINIMAL, RECOVERY)
OF_HEALTH = "health "
"""What the reason begins with where the health chose the mode."""
COLUMNS = ("transition", "induced by", "at second", "reason")


@attrs.frozen
class Change:
    """One change of the mode."""

    pair: tuple[str, str]
    induced_by: str
    at_s: float
    """Seconds since the beginning."""
    position: int
    reason: str

    @property
    def by_pressure(self) -> bool:
        """Whether the health chose it, and nobody's hand."""
        return self.reason.startswith(OF_HEALTH)


class Walk:
    """Follows the mode, change by change.

    Args:
        stage: whose log is read.
        reader: of it.
    """

    def __init__(self, stage: Stage, reader: EventReader) -> None:
        self.stage = stage
        self.changes: list[Change] = []
        self.mode = NORMAL
        """As far as was read."""
        self.induced_by = ""
        """Why whatever changes from here on does so."""
        self.reader = reader
        self._read_to = 0

    async def into(self, *modes: str, because: str = "") -> Record:
        """Wait for a change to one of these modes whose reason says so.

        Raises:
            Missing: it does not come.
        """
        until_s = time.monotonic() + stages.PATIENCE_S
        while time.monotonic() < until_s:
            for record in self.reader.read(after=self._read_to, types=(CHANGED,), removed="skip"):
                self._read_to = record.position
                self._heed(record)
                if record.event.mode in modes and because in record.event.cause:
                    return record
            await asyncio.sleep(stages.POLL_S)
        wanted = " or ".join(modes) + (f" for its {because}" if because else "")
        msg = f"the mode is {self.mode}, and does not become {wanted} within {stages.PATIENCE_S:g} s"
        raise Missing(msg)

    async def back_to(self, mode: str) -> None:
        """Wait until the mode is this one, if it is not.

        Raises:
            Missing: it does not become it.
        """
        if self.mode != mode:
            await self.into(mode)

    def missing(self) -> list[str]:
        """What of all that there must be was not seen."""
        return [_named(pair) for pair, change in self._first().items() if change is None]

    def sheet(self) -> Sheet:
        """Each change that there must be, the first time that it was seen."""
        rows = []
        for pair, change in self._first().items():
            seen = ("", "not seen", "")
            if change is not None:
                seen = (change.induced_by, f"{change.at_s:.1f}", f"{change.reason}  [{change.position}]")
            rows.append((_named(pair), *seen))
        return Sheet("every transition", COLUMNS, tuple(rows))

    def _first(self) -> dict[tuple[str, str], Change | None]:
        """Each change that there must be, as it must be: under pressure, or where nothing else leads to it, by hand."""
        return {
            pair: next((one for one in self.changes if one.pair == pair and one.by_pressure == (pair in pressed)), None)
            for pressed in (BY_PRESSURE,)
            for pair in (*BY_PRESSURE, *BY_HAND)
        }

    def _heed(self, record: Record) -> None:
        event = record.event
        self.mode = event.mode
        at_s = self.stage.elapsed_s(record)
        self.changes.append(Change((event.previous, event.mode), self.induced_by, at_s, record.position, event.cause))
        worse = ORDER.index(event.mode) > ORDER.index(event.previous)
        self.stage.heard("noticed" if worse else "worked", record)


def _named(pair: tuple[str, str]) -> str:
    return f"{pair[0]} -> {pair[1]}"
