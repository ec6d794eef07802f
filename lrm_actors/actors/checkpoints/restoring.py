"""Gives a checkpoint's state back: from its base, and the deltas up to it, each verified before it is believed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from eventstore.errors import AttachmentNotFound, CorruptAttachment
from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from lrm_actors.actors.checkpoints import form
from lrm_actors.actors.checkpoints.encoding import row_of
from lrm_actors.actors.checkpoints.form import OldCheckpoint, Part, Row, Unreadable
from lrm_actors.actors.checkpoints.leaves import DIGEST_BYTES, Leaf, digest_of
from lrm_actors.actors.checkpoints.plain import parts, unpack
from lrm_actors.domain.checkpointing.chains import attachment_key, blob_key
from lrm_actors.domain.checkpointing.commands import RebasedRow
from lrm_actors.domain.retention import CheckpointInfo, id_ms
from lrm_actors.errors import CheckpointDamaged

NOT_THE_STATE = "it is not the state that the log names"


class Described(Protocol):
    """What the log says of a checkpoint."""

    @property
    def checkpoint_id(self) -> str: ...  # noqa: D102 - as its name says
    @property
    def digest(self) -> str: ...  # noqa: D102
    @property
    def size_bytes(self) -> int: ...  # noqa: D102 - of the state: nothing larger is made of it


@frozen
class Restored:
    """A checkpoint as it was taken."""

    checkpoint_id: str
    timestamp: float
    """Seconds since 1970."""
    state: Any
    """As the host gave it; objects as the dicts of their fields."""
    recovery_hints: tuple[str, ...]
    state_version: int = 1
    """Of the host's state, as the host counts."""

    @property
    def in_parts(self) -> bool:
        """Whether the host gave the agent's and the browser's state apart."""
        return parts(self.state) is not None

    @property
    def agent_state(self) -> Any:
        """The agent's part, or all of it."""
        return self.state["agent_state"] if self.in_parts else self.state

    @property
    def browser_state(self) -> Any:
        """The browser's part; None where the host did not give one."""
        return self.state["browser_state"] if self.in_parts else None

    @property
    def document(self) -> dict[str, Any]:
        """The checkpoint as one document."""
        return {
            "checkpoint_id": self.checkpoint_id,
            "timestamp": self.timestamp,
            "agent_state": self.agent_state,
            "browser_state": self.browser_state,
            "recovery_hints": list(self.recovery_hints),
        }


def restore(reader: EventReader, chain: Sequence[Described]) -> Restored:
    """The state of the last checkpoint of a chain.

    Args:
        reader: the log.
        chain: from its base, each the parent of the next.

    Raises:
        CheckpointDamaged: a byte of what it is made of is not what was stored. It names the wanted one.
    """
    wanted = chain[-1]
    try:
        return _restored(_rows(reader, chain), chain, _blobs_of(reader))
    except (Unreadable, AttachmentNotFound, CorruptAttachment) as error:
        raise CheckpointDamaged(wanted.checkpoint_id, str(error)) from error


def _rows(reader: EventReader, chain: Sequence[Described]) -> list[Row | OldCheckpoint]:
    """The rows; what their own checksums say of those that the reader vouches for would only be said again."""
    ids = [info.checkpoint_id for info in chain]
    stored = reader.attachments([attachment_key(checkpoint_id) for checkpoint_id in ids])
    return [
        read_row(one.data, info, parent, check=not one.verified)
        for one, info, parent in zip(stored, chain, ("", *ids[:-1]), strict=True)
    ]


def read_row(data: bytes, info: Described, parent: str, *, check: bool = True) -> Row | OldCheckpoint:
    """A row that is the one that the log names.

    Args:
        data: its bytes.
        info: what the log says of it.
        parent: id of the one that it is made on.
        check: compare the bytes with their checksum.

    Raises:
        Unreadable: it is not, or a byte of it is not what was stored.
    """
    checkpoint_id = info.checkpoint_id
    try:
        if check:
            form.check(data)
        row = form.read(data, info.size_bytes)
    except Unreadable as error:
        msg = f"{checkpoint_id}: {error}" if parent else str(error)
        raise Unreadable(msg) from error
    if isinstance(row, OldCheckpoint):
        return row
    if row.name != form.short(checkpoint_id):
        msg = f"it is another checkpoint, …{row.name}"
        raise Unreadable(msg)
    if row.parent != form.short(parent):
        msg = f"it is made on {row.parent or 'nothing'}, and not on {parent or 'nothing'}"
        raise Unreadable(msg)
    return row


def is_named(info: Described, row: Row, document: Iterable[Part]) -> bool:
    """Whether a row with all leaves of its document is the checkpoint that the log names."""
    digests = [part.digest for part in document]
    return form.digest_of_state(info.checkpoint_id, row.hints, row.state_version, digests) == info.digest


def _restored(rows: Sequence[Row | OldCheckpoint], chain: Sequence[Described], blobs: form.Blobs) -> Restored:
    row, wanted = rows[-1], chain[-1]
    timestamp = id_ms(wanted.checkpoint_id) / 1000
    if isinstance(row, OldCheckpoint):
        return _from_old(row, wanted)
    document: list[Part] = []
    for one, info in zip(rows, chain, strict=True):
        if isinstance(one, OldCheckpoint):
            msg = "it is made on a checkpoint that nothing can be made on"
            raise Unreadable(msg)
        document = form.parts_of(one, document, info.size_bytes)
    form.with_blobs(document, blobs, wanted.size_bytes)
    if not is_named(wanted, row, document):
        raise Unreadable(NOT_THE_STATE)
    try:
        state = unpack(b"".join([part.data for part in document]))
    except ValueError as error:
        msg = f"it cannot be decoded: {error}"
        raise Unreadable(msg) from error
    return Restored(wanted.checkpoint_id, timestamp, state, row.hints, row.state_version)


def _from_old(row: OldCheckpoint, wanted: Described) -> Restored:
    if row.digest != wanted.digest:
        raise Unreadable(NOT_THE_STATE)
    envelope = row.envelope
    state = (
        {"agent_state": envelope["agent_state"], "browser_state": envelope["browser_state"]}
        if envelope["in_parts"]
        else envelope["agent_state"]
    )
    hints, timestamp = envelope.get("recovery_hints", []), envelope.get("timestamp", 0.0)
    if type(hints) is not list or type(timestamp) not in (int, float):
        msg = "its hints or its timestamp are none"
        raise Unreadable(msg)
    return Restored(str(envelope.get("checkpoint_id", "")), float(timestamp), state, tuple(map(str, hints)))


def _blobs_of(reader: EventReader) -> form.Blobs:
    def fetch(digest: bytes) -> bytes:
        data = reader.attachment(blob_key(digest.hex())).data
        if len(digest) != DIGEST_BYTES or digest_of(data) != digest:
            msg = f"the blob {digest.hex()} is not what was stored"
            raise Unreadable(msg)
        return data

    return fetch


# Rebasing


def rebase(
    reader: EventReader,
    chain: Sequence[CheckpointInfo],
    keep: Sequence[str],
    *,
    let_others_in: Callable[[], object] = lambda: None,
) -> tuple[RebasedRow, ...]:
    """New bytes for some checkpoints that build on one base, so that the others are no longer needed.

    The first becomes a base, each other one a delta on the one before it. Their states, and the digests of these, stay
    what they are.

    Args:
        reader: the log.
        chain: a base and what builds on it, each after the one that it is made on; several may be made on the same.
        keep: ids, in the order of the chain.
        let_others_in: called between two checkpoints.

    Raises:
        CheckpointDamaged: one to be kept cannot be restored. It names that one.
    """
    made: list[RebasedRow] = []
    wanted = set(keep)
    fetch = _blobs_of(reader)
    seen: dict[bytes, bytes] = {}

    def blobs(digest: bytes) -> bytes:
        if digest not in seen:
            seen[digest] = fetch(digest)
        return seen[digest]

    documents = _Documents(chain)
    leaves: dict[bytes, Leaf] = {}
    before: list[Leaf] = []
    parent = ""
    stored = reader.attachments([attachment_key(info.checkpoint_id) for info in chain])
    for info in chain:
        try:
            row = read_row(next(stored).data, info, info.parent)
            if isinstance(row, OldCheckpoint):
                msg = "it is not made of leaves"
                raise Unreadable(msg)
            document = documents.add(info, row)
            if info.checkpoint_id not in wanted:
                continue
            form.with_blobs(document, blobs, info.size_bytes)
            if not is_named(info, row, document):
                raise Unreadable(NOT_THE_STATE)
        except (Unreadable, AttachmentNotFound, CorruptAttachment) as error:
            raise CheckpointDamaged(_first_on(chain, info.checkpoint_id, wanted), str(error)) from error
        # Alike leaves are one, wherever they come from: what was made on another checkpoint may hold the same.
        leaves = {part.digest: leaves.get(part.digest) or _leaf(part) for part in document}
        flat = [leaves[part.digest] for part in document]
        made.append(_rebased(info.checkpoint_id, row, parent, flat, before))
        parent, before = info.checkpoint_id, flat
        let_others_in()
    return tuple(made)


class _Documents:
    """The documents of some rows, each as long as one is still to be made on it.

    Args:
        rows: each after the one that it is made on.
    """

    def __init__(self, rows: Iterable[CheckpointInfo]) -> None:
        self._to_come = Counter(info.parent for info in rows)
        self._there: dict[str, list[Part]] = {"": []}

    def add(self, info: CheckpointInfo, row: Row) -> list[Part]:
        """The next one's document."""
        if info.parent not in self._there:
            msg = f"{info.parent}, which it is made on, is not there"
            raise Unreadable(msg)
        document = form.parts_of(row, self._there[info.parent], info.size_bytes)
        self._to_come[info.parent] -= 1
        if info.parent and not self._to_come[info.parent]:
            del self._there[info.parent]
        if self._to_come[info.checkpoint_id]:
            self._there[info.checkpoint_id] = document
        return document


def _first_on(rows: Sequence[CheckpointInfo], checkpoint_id: str, wanted: set[str]) -> str:
    """The first wanted one that is made on a row, directly or through others, or is that row itself."""
    on_it = {checkpoint_id}
    for info in rows:
        if info.parent in on_it:
            on_it.add(info.checkpoint_id)
        if info.checkpoint_id in on_it and info.checkpoint_id in wanted:
            return info.checkpoint_id
    return checkpoint_id


def _leaf(part: Part) -> Leaf:
    leaf = Leaf(bytes(part.data), is_blob=part.is_blob)
    leaf.digest = part.digest
    return leaf


def _rebased(checkpoint_id: str, row: Row, parent: str, flat: Sequence[Leaf], before: Sequence[Leaf]) -> RebasedRow:
    data, _, _ = row_of(
        flat,
        before if parent else (),
        checkpoint_id=checkpoint_id,
        parent=parent,
        hints=row.hints,
        state_version=row.state_version,
    )
    now, then = _names(flat), _names(before)
    return RebasedRow(checkpoint_id, parent, data, tuple(sorted(now - then)), tuple(sorted(then - now)))


def _names(flat: Iterable[Leaf]) -> set[str]:
    return {leaf.digest.hex() for leaf in flat if leaf.is_blob}
