"""Reads checkpoints through their chains, each row of the log once, however many checkpoints build on it.

Talks to the log; changes nothing. A row that is damaged damages every checkpoint above it, and is read for them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from eventstore.errors import AttachmentNotFound, CorruptAttachment, CorruptLog, ReadFailed
from eventstore.in_order import InOrder
from eventstore.protocol import EventReader
from eventstore.records import Attachment
from lrm_actors.actors.checkpoints.restoring import Restored, restore
from lrm_actors.domain.checkpointer import CheckpointerState, CheckpointInfo, attachment_key
from lrm_actors.domain.checkpointing.chains import chain_of
from lrm_actors.errors import CheckpointDamaged, CheckpointNotFound
from lrm_actors.inspect.removed import why_removed

TRIES = 5
"""Times that checkpoints are read, when they were others each time."""

T = TypeVar("T")


def steadily(
    state_of: Callable[[], CheckpointerState], read: Callable[[CheckpointerState], T], *, found: Callable[[T], bool]
) -> T:
    """Read checkpoints of a log that lives: what looks like damage may only have been removed or stored anew meanwhile.

    Args:
        state_of: what the log has of them now.
        read: reads some, given that. Its ``CheckpointDamaged`` is raised if they are the same as before.
        found: whether what was read tells of damage.
    """
    state = state_of()
    for tries_left in reversed(range(TRIES)):
        try:
            result = read(state)
            if not found(result):
                return result
            damaged = None
        except CheckpointDamaged as error:
            damaged = error
        before, state = state, state_of()
        if not tries_left or (before.kept, before.support) == (state.kept, state.support):
            if damaged is not None:
                raise damaged
            return result
    raise AssertionError  # the last try returns or raises


class ReadOnce:
    """A reader whose attachments are read once and kept; everything else is asked of the one behind it.

    Where even the pages of the file cannot be read, the attachment is told as damaged, and hides no other.
    """

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader
        self._known: dict[str, Attachment | str | None] = {}
        """What there is under each key: None is nothing, and a text is why it cannot be used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def forget(self) -> None:
        """Give the memory back."""
        self._known.clear()

    def trouble(self, key: str) -> str | None:
        """What is wrong with an attachment that was read; None if it is whole, or was not read."""
        known = self._known.get(key, "")
        if known is None:
            return "its bytes are not there"
        return known or None if isinstance(known, str) else None

    def fetch(self, keys: Iterable[str]) -> None:
        """Read those that are not known yet, many at once.

        Raises:
            ReadFailed: the storage does not answer, which says nothing of them.
        """
        missing = [key for key in dict.fromkeys(keys) if key not in self._known]
        try:
            for key, found in zip(missing, _each(self._reader.attachments(missing), missing), strict=True):
                self._known[key] = found
        except (CorruptLog, ReadFailed):  # one by one, then it is known which
            for key in missing:
                if key not in self._known:
                    self._known[key] = self._alone(key)

    def _alone(self, key: str) -> Attachment | str | None:
        try:
            return self._reader.attachment(key)
        except AttachmentNotFound:
            return None
        except CorruptAttachment as error:
            return error.reason
        except CorruptLog as error:
            return str(error)

    def attachment(self, key: str) -> Attachment:
        """As that of the reader behind it."""
        self.fetch((key,))
        return _given(key, self._known[key])

    def attachments(self, keys: Iterable[str]) -> Iterator[Attachment]:
        """As those of the reader behind it."""

        def read(page: Sequence[str]) -> Mapping[str, Attachment | str | None]:
            self.fetch(page)
            return {key: self._known[key] for key in page}

        return InOrder(keys, read, _given)


def _each(found: Iterator[Attachment], keys: Sequence[str]) -> Iterator[Attachment | str | None]:
    for _ in keys:
        try:
            yield next(found)
        except AttachmentNotFound:
            yield None
        except CorruptAttachment as error:
            yield error.reason


def _given(key: str, known: Attachment | str | None) -> Attachment:
    if known is None:
        raise AttachmentNotFound(key)
    if isinstance(known, str):
        raise CorruptAttachment(key, known)
    return known


class CheckpointReader:
    """Gives checkpoints back, one after the other.

    Args:
        reader: the log.
        kept: the checkpoints there are.
    """

    def __init__(self, reader: EventReader, kept: CheckpointerState) -> None:
        self._log, self._rows = reader, ReadOnce(reader)
        self._kept = kept
        self._base = ""
        self._bad: dict[str, str] = {}
        """Rows that are damaged, and how."""

    def info(self, checkpoint_id: str) -> CheckpointInfo:
        """What the log has of a kept one.

        Raises:
            CheckpointNotFound: there is none of this id.
        """
        for one in self._kept.kept:
            if one.checkpoint_id == checkpoint_id:
                return one
        raise CheckpointNotFound(checkpoint_id, removed=why_removed(self._log, checkpoint_id))

    def restore(self, checkpoint_id: str) -> Restored:
        """A checkpoint's state and what stands beside it.

        Raises:
            CheckpointNotFound: there is none of this id.
            CheckpointDamaged: a byte of what it is made of is not what was stored.
            ReadFailed: the storage does not answer, which says nothing of it.
        """
        chain = chain_of(self._kept, self.info(checkpoint_id).checkpoint_id)
        base = chain[0].checkpoint_id
        if base != self._base:
            self._rows.forget()
            self._base = base
        self._refuse_known(chain)
        self._rows.fetch(attachment_key(row.checkpoint_id) for row in chain)
        for row in chain:
            if (trouble := self._rows.trouble(attachment_key(row.checkpoint_id))) is not None:
                self._bad[row.checkpoint_id] = trouble
        self._refuse_known(chain)
        return restore(cast("EventReader", self._rows), chain)

    def _refuse_known(self, chain: Sequence[CheckpointInfo]) -> None:
        wanted = chain[-1].checkpoint_id
        for row in chain:
            if (trouble := self._bad.get(row.checkpoint_id)) is not None:
                its = trouble if row.checkpoint_id == wanted else f"it builds on {row.checkpoint_id}: {trouble}"
                raise CheckpointDamaged(wanted, its)
