"""The table at the end of the demo: each fault, how it was noticed, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from eventstore import Instant
from lrm_actors.demo.compare import Match, seconds_between
from lrm_actors.demo.injected import Injected
from lrm_actors.demo.ledger import Ledger
from lrm_actors.inspect import sentence

COLUMNS = ("fault", "at", "detected after", "recovered by", "steps lost", "steps repeated")


@attrs.frozen
class Row:
    """One fault in the table."""

    fault: str
    at_s: float
    """Since the demo began."""
    detected_after_s: float | None
    """None: it was not."""
    observed_at: int | None
    """Position in the log of the observation."""
    recovered_at: int | None
    """Position in the log."""
    recovered_by: str
    steps_lost: int
    steps_repeated: int

    def cells(self) -> tuple[str, ...]:
        """As text, a cell for each column."""
        detected = "never" if self.detected_after_s is None else f"{self.detected_after_s:.1f} s"
        recovered = self.recovered_by if self.recovered_at is None else f"[{self.recovered_at}] {self.recovered_by}"
        return (self.fault, f"{self.at_s:.1f} s", detected, recovered, str(self.steps_lost), str(self.steps_repeated))


def rows(injected: Sequence[Injected], matches: Sequence[Match], ledger: Ledger, began: Instant) -> list[Row]:
    """The rows of the table, in the order in which the faults were done."""
    by_number = {match.fault.number: match for match in matches}
    return [_row(fault, by_number.get(fault.number), ledger, began) for fault in injected]


def _row(fault: Injected, match: Match | None, ledger: Ledger, began: Instant) -> Row:
    number = fault.number
    return Row(
        fault=fault.kind.value,
        at_s=seconds_between(began, fault.at),
        detected_after_s=None if match is None else match.detected_after_s,
        observed_at=None if match is None else match.observation.position,
        recovered_at=None if match is None else match.recovery.position,
        recovered_by="nothing" if match is None else sentence(match.recovery).partition(", ")[0],
        steps_lost=ledger.lost_after.get(number, 0),
        steps_repeated=ledger.repeated_after.get(number, 0),
    )


def render(table: Sequence[Row]) -> list[str]:
    """The table as lines of text."""
    cells = [COLUMNS, *(row.cells() for row in table)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]
