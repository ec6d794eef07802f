"""The books of a run: what the agent acknowledged to its parent, held against what its log has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import attrs

from eventstore import Record
from lrm_actors.demo.compare import Match
from lrm_actors.demo.watch import digest

STEP_COMMITTED = "journal.step_committed"
STEP_REPEATED = "journal.step_repeated"


@attrs.frozen
class Acknowledged:
    """The agent told its parent that a step is safe."""

    step: int
    digest: str
    start: int
    """Which start of the agent said so."""


@attrs.frozen
class Begun:
    """The agent told its parent that it has begun a step."""

    step: int
    start: int


@attrs.frozen
class Ledger:
    """What came of it."""

    acknowledged: int
    missing: tuple[int, ...]
    """Acknowledged and not in the log, or with another result."""
    repeated: tuple[int, ...]
    """Steps the log says were repeated, once for each time."""
    unreported: tuple[int, ...]
    """Steps the parent saw begun by two processes, and the log does not say so."""
    lost_after: dict[int, int]
    """Fault number to how many acknowledged steps the log had not kept when it was recovered from."""
    repeated_after: dict[int, int]
    """Fault number to how many steps were repeated between its recovery and the next fault's."""

    @property
    def ok(self) -> bool:
        """Nothing acknowledged is missing and every repetition is reported."""
        return not self.missing and not self.unreported


def keep(
    acknowledged: Sequence[Acknowledged], begun: Sequence[Begun], records: Iterable[Record], matches: Sequence[Match]
) -> Ledger:
    """Close the books.

    Args:
        acknowledged: in the order in which they were heard.
        begun: likewise.
        records: of the types ``STEP_COMMITTED`` and ``STEP_REPEATED``, in log order.
        matches: of faults and what ended them.
    """
    committed: dict[int, str] = {}
    at: dict[int, int] = {}
    repeated: list[Record] = []
    for record in records:
        if record.type == STEP_COMMITTED:
            committed[record.event.step] = digest(record.event.result)
            at[record.event.step] = record.position
        elif record.type == STEP_REPEATED:
            repeated.append(record)
    starts: defaultdict[int, set[int]] = defaultdict(set)
    for one in begun:
        starts[one.step].add(one.start)
    reported = {record.event.step for record in repeated}
    return Ledger(
        acknowledged=len({one.step for one in acknowledged}),
        missing=tuple(sorted({one.step for one in acknowledged if committed.get(one.step) != one.digest})),
        repeated=tuple(record.event.step for record in repeated),
        unreported=tuple(sorted(step for step, by in starts.items() if len(by) > 1 and step not in reported)),
        lost_after={match.fault.number: _lost(match, acknowledged, at) for match in matches},
        repeated_after=_share(repeated, matches),
    )


def _lost(match: Match, acknowledged: Sequence[Acknowledged], at: dict[int, int]) -> int:
    """How many steps that were acknowledged when the fault was done are not in the log before its recovery."""
    before = acknowledged[: match.fault.acknowledged]
    end = match.recovery.position
    return sum(1 for one in before if at.get(one.step, end) >= end)


def _share(repeated: Iterable[Record], matches: Sequence[Match]) -> dict[int, int]:
    """Give each repetition to the last fault recovered from before it."""
    shares = {match.fault.number: 0 for match in matches}
    for record in repeated:
        before = [match for match in matches if match.effect.position < record.position]
        if before:
            shares[max(before, key=lambda match: match.effect.position).fault.number] += 1
    return shares
