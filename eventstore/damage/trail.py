"""Judges the records of a log in their order, by the checksum of each and by the hash chain through all of them."""

from __future__ import annotations

import attrs

from eventstore.checksums import chain_next, record_checksum

MAX_BRANCHES = 4
"""Chain values that are tried at most, where damage left it open which of them is right."""


@attrs.define
class Trail:
    """Walks from record to record, and tells damage once, where it is, and not again where it only shows.

    A wrong checksum is damage to that record. A record that is right but does not fit the chain tells that the hash
    beside it is wrong, or that a record was taken away, put in or moved just before it. Which of the two is left open:
    the next record may go on from the hash that is stored or from the one that it should be.

    Args:
        start: what the first record is chained to.
    """

    start: bytes
    doubtful: bool = attrs.field(init=False, default=False)
    """The record just before was damaged: one that does not fit it need not be."""
    checked: bool = attrs.field(init=False, default=False)
    """A record with a checksum was met: from there on all have one."""
    previous: tuple[bytes, ...] = attrs.field(init=False)
    """What the next record may be chained to; none after a gap."""

    def __attrs_post_init__(self) -> None:
        self.previous = (self.start,)

    def gap(self) -> None:
        """Records are missing, or cannot be read: the next one has nothing to be chained to."""
        self.previous = ()

    def unreadable(self, chain: object) -> None:
        """A record is there whose bytes cannot be put together."""
        self.previous = (chain,) if isinstance(chain, bytes) else ()
        self.doubtful = True

    def judge(self, record: bytes, chain: object, checksum: object) -> tuple[str | None, bool]:
        """What is wrong with the next record: None, ``checksum`` or ``chain``; and whether its content is right.

        ``checksum`` is None for records of the first schema, whose content only the chain vouches for.
        """
        expected = [chain_next(previous, record) for previous in self.previous]
        fits = chain in expected
        if checksum is not None:
            self.checked = True
            sound = checksum == record_checksum(record)
        else:
            sound = not self.checked
        problem: str | None = None
        if not sound:
            problem = "checksum"
        elif not fits and self.previous and not self.doubtful:
            problem = "chain"
        self.doubtful = problem is not None
        stored = [chain] if isinstance(chain, bytes) else []
        self.previous = tuple(stored if problem is None else dict.fromkeys(stored + expected))[:MAX_BRANCHES]
        return problem, fits or (sound and (checksum is not None or problem is None))

    def may_be(self, chain: bytes) -> bool:
        """Whether the record judged last may have this chain value."""
        return not self.previous or chain in self.previous
