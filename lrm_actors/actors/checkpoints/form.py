"""The bytes of one checkpoint: a header that says what it is made of, and the compressed leaves that only it has.

Nothing in them is believed before their checksum, and what they claim is never allocated before it is there.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from eventstore.frozen import frozen
from lrm_actors.actors.checkpoints import delta
from lrm_actors.actors.checkpoints.leaves import digest_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_STATE_BYTES = 512 * 1024 * 1024
"""Size of a packed state; SQLite keeps no attachment of more than 1 GB."""
LEVEL, QUICK_LEVEL = 2, 1
"""Of compression: what is slower makes text hardly smaller. The quick one is for large changes: somebody waits."""
LARGE_CHANGE_BYTES = 32 * 1024
AT_ONCE_BYTES = 256 * 1024
"""Compressed in one call."""
MAX_PREFIX_BYTES = 4 * 1024 * 1024
"""Of what a delta drops, so much at most helps to compress what it adds."""
LEAST_PREFIX_BYTES = 64
PIECE_BYTES = 64 * 1024
"""In which a row is decompressed: no more than what an allocator keeps at hand."""
SHORT = 8
"""Characters of an id that a row holds, to say what belongs together. That it does is for the digest to prove."""
MAGIC: Final = b"LRMC\x02"
_OLD_MAGIC: Final = b"LRMC\x01"
_CHECK_BYTES, _SIZE_BYTES = 16, 8
_BLOB = -1
"""In place of the length of a leaf that is a blob."""
_PARTS = frozenset(("agent_state", "browser_state"))

Blobs = Callable[[bytes], bytes]
"""Gives a blob's bytes by their digest; raises ``Unreadable``."""


class Unreadable(ValueError):
    """A row is not what was stored."""


class _Header(msgspec.Struct, array_like=True, frozen=True):
    name: str
    """The end of its id: a row is small, and an id is not."""
    parent: str
    """The same of the checkpoint that it is made on."""
    hints: list[str]
    state_version: int
    runs: list[int]
    lengths: list[int]
    blobs: list[bytes]
    size: int
    """Bytes of the leaves that come with it, but for blobs."""


_header_decoder = msgspec.msgpack.Decoder(_Header)


class Part:
    """One leaf of a restored document. The bytes of a blob are fetched when it is known that they are wanted."""

    __slots__ = ("_digest", "data", "is_blob")

    def __init__(self, data: bytes | memoryview, blob: bytes = b"") -> None:
        self.data = data
        self.is_blob = bool(blob)
        """Whether it is kept by itself, under its digest."""
        self._digest = blob

    @property
    def digest(self) -> bytes:
        """Of its bytes."""
        if not self._digest:
            self._digest = digest_of(self.data)
        return self._digest


@frozen
class Row:
    """One checkpoint's bytes as they were read, its leaves not yet put in their places."""

    name: str
    """The end of its id."""
    parent: str
    """The same of the one that it is made on; "": it is a base."""
    hints: tuple[str, ...]
    state_version: int
    runs: tuple[int, ...]
    lengths: tuple[int, ...]
    blobs: tuple[bytes, ...]
    size: int
    packed: memoryview


def short(checkpoint_id: str) -> str:
    """The part of an id that a row holds."""
    return checkpoint_id[-SHORT:]


def write(
    *,
    checkpoint_id: str,
    parent: str,
    hints: Iterable[str],
    state_version: int,
    runs: Sequence[int],
    fresh: Sequence[tuple[bytes, bytes | None]],
    prefix: Sequence[bytes],
) -> bytes:
    """The bytes of a checkpoint.

    Args:
        checkpoint_id: its own.
        parent: of the one that the runs take over from; "": a base.
        hints: of its moment.
        state_version: of the host's state.
        runs: see ``delta``.
        fresh: the new leaves: their bytes, and their digest where they are a blob.
        prefix: what of the parent is dropped.
    """
    lengths = [len(data) if blob is None else _BLOB for data, blob in fresh]
    literals = [data for data, blob in fresh if blob is None]
    size = sum(map(len, literals))
    header = _Header(
        short(checkpoint_id), short(parent), list(hints), state_version, list(runs), lengths,
        [blob for _, blob in fresh if blob is not None], size,
    )  # fmt: skip
    head = msgspec.msgpack.encode(header)
    body = len(head).to_bytes(_SIZE_BYTES, "big") + head + _compressed(literals, size, prefix)
    return MAGIC + _check(body) + body


def _compressed(literals: Sequence[bytes], size: int, prefix: Sequence[bytes]) -> bytes:
    """One frame, as ``zstd.compress`` makes it; large ones in pieces: that lets other threads run, a copy does not."""
    known = _prefix(prefix)
    level = QUICK_LEVEL if known is not None and size > LARGE_CHANGE_BYTES else LEVEL
    if size <= AT_ONCE_BYTES:
        return zstd.compress(b"".join(literals), level, None, known)
    compressor = zstd.ZstdCompressor(level, None, known)
    compressor.set_pledged_input_size(size)
    packed = [compressor.compress(piece) for piece in _joined(literals)]
    return b"".join([*packed, compressor.flush()])


def _joined(literals: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of some length."""
    piece: list[bytes] = []
    length = 0
    for data in literals:
        piece.append(data)
        length += len(data)
        if length >= AT_ONCE_BYTES:
            yield b"".join(piece)
            piece, length = [], 0
    yield b"".join(piece)


def _prefix(dropped: Iterable[bytes | memoryview]) -> Any:
    """What helps to compress: bytes that are likely to be much like the new ones."""
    first: list[bytes | memoryview] = []
    length = 0
    for data in dropped:
        first.append(data)
        length += len(data)
        if length >= MAX_PREFIX_BYTES:
            break
    known = b"".join(first)[:MAX_PREFIX_BYTES]
    return zstd.ZstdDict(known, is_raw=True).as_prefix if len(known) >= LEAST_PREFIX_BYTES else None


def check(data: bytes) -> None:
    """Compare a row with its checksum.

    Raises:
        Unreadable: a byte of it is not what was stored.
    """
    body = _body(data)
    made = _old_check(body) if data.startswith(_OLD_MAGIC) else _check(body)
    if data[len(MAGIC) : len(MAGIC) + _CHECK_BYTES] != made:
        msg = "its checksum is wrong"
        raise Unreadable(msg)


def _body(data: bytes) -> memoryview:
    """What its checksum is over."""
    body = memoryview(data)[len(MAGIC) + _CHECK_BYTES :]
    if not data.startswith((MAGIC, _OLD_MAGIC)) or len(body) < _SIZE_BYTES:
        msg = "it does not begin like a checkpoint"
        raise Unreadable(msg)
    return body


def read(data: bytes, at_most: int = MAX_STATE_BYTES) -> Row | OldCheckpoint:
    """A row. Whether its bytes are what was stored is for ``check`` to say, or for whoever read them.

    Args:
        data: the bytes.
        at_most: bytes that the state has, as the log says: what claims to be more is refused before it is made.

    Raises:
        Unreadable: it is no row.
    """
    body = _body(data)
    size = int.from_bytes(body[:_SIZE_BYTES], "big")
    if data.startswith(_OLD_MAGIC):
        return _read_old(size, body[_SIZE_BYTES:], at_most)
    try:
        head = _header_decoder.decode(body[_SIZE_BYTES : _SIZE_BYTES + size])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        msg = f"its header cannot be decoded: {error}"
        raise Unreadable(msg) from error
    if len(head.lengths) > at_most or head.size > at_most:
        msg = f"it claims to be larger than the {at_most} bytes of its state"
        raise Unreadable(msg)
    blobs = head.lengths.count(_BLOB)
    if blobs != len(head.blobs) or min(head.lengths, default=0) < _BLOB:
        msg = "it does not name each of its blobs"
        raise Unreadable(msg)
    if sum(head.lengths) - blobs * _BLOB != head.size:
        msg = "its leaves have another size than it claims"
        raise Unreadable(msg)
    return Row(
        head.name, head.parent, tuple(head.hints), head.state_version, tuple(head.runs), tuple(head.lengths),
        tuple(head.blobs), head.size, body[_SIZE_BYTES + size :],
    )  # fmt: skip


def parts_of(row: Row, before: Sequence[Part], at_most: int = MAX_STATE_BYTES) -> list[Part]:
    """All leaves of a checkpoint, given those of its parent.

    Args:
        row: of the checkpoint.
        before: the leaves of its parent.
        at_most: bytes that the state has; a leaf has one at least.

    Raises:
        Unreadable: they do not fit together.
    """
    try:
        dropped = delta.dropped(row.runs, before) if row.parent else []
        literals = _decompressed(row.packed, row.size, [part.data for part in dropped if not part.is_blob])
        return delta.apply(row.runs, before, _fresh(literals, row.lengths, row.blobs), at_most)
    except ValueError as error:
        raise Unreadable(str(error)) from error


def _fresh(pieces: Iterable[bytes], lengths: Sequence[int], blobs: Iterable[bytes]) -> list[Part]:
    """The leaves that a row brings, one after the other, out of the pieces that it was decompressed in.

    Where the bytes of a leaf are in one piece, they are not copied.
    """
    views, named = (memoryview(one) for one in pieces), iter(blobs)
    made: list[Part] = []
    piece, at = memoryview(b""), 0
    for length in lengths:
        if length == _BLOB:
            made.append(Part(b"", next(named)))
            continue
        end = at + length
        if end <= len(piece):
            made.append(Part(piece[at:end]))
        else:
            parts = [piece[at:]]
            end -= len(piece)
            while end > len(piece := next(views)):
                parts.append(piece)
                end -= len(piece)
            made.append(Part(b"".join([*parts, piece[:end]])))
        at = end
    return made


def with_blobs(document: Iterable[Part], blobs: Blobs, at_most: int = MAX_STATE_BYTES) -> None:
    """Fetch the blobs of a document, as long as it is not larger than its state.

    Raises:
        Unreadable: one is not what was stored, or all is larger than ``at_most`` bytes.
    """
    size = 0
    for part in document:
        if part.is_blob and not part.data:
            part.data = blobs(part.digest)
        size += len(part.data)
        if size > at_most:
            msg = f"it is larger than the {at_most} bytes of its state"
            raise Unreadable(msg)


def _decompressed(packed: memoryview, size: int, dropped: Sequence[bytes | memoryview]) -> list[bytes]:
    """The bytes in pieces, never more of them than the header announces."""
    if size > 2 * MAX_STATE_BYTES:
        msg = f"it claims to have {size} bytes"
        raise Unreadable(msg)
    try:
        # One frame, of a size that it says itself: then decompressing it never makes more.
        if zstd.get_frame_info(packed).decompressed_size != size or zstd.get_frame_size(packed) != len(packed):
            msg = "it has another size than it claims"
            raise Unreadable(msg)
        literals = _in_pieces(packed, _prefix(dropped))
    except zstd.ZstdError as error:
        msg = f"it cannot be decompressed: {error}"
        raise Unreadable(msg) from error
    if sum(map(len, literals)) != size:
        msg = "it has another size than it claims"
        raise Unreadable(msg)
    return literals


def _in_pieces(packed: memoryview, known: Any) -> list[bytes]:
    """One frame's bytes, in pieces.

    In one go their memory is mapped anew several times over as it grows, which takes longer than decompressing.
    """
    decompressor = zstd.ZstdDecompressor(known)
    pieces: list[bytes] = []
    while not decompressor.eof:
        piece = decompressor.decompress(packed, PIECE_BYTES)
        packed = packed[:0]  # the decompressor keeps what it was given
        if not piece and decompressor.needs_input:
            msg = "it ends too early"
            raise zstd.ZstdError(msg)
        pieces.append(piece)
    return pieces


def digest_of_state(checkpoint_id: str, hints: Iterable[str], state_version: int, digests: Iterable[bytes]) -> str:
    """What the log's event says that a checkpoint is: over its state, and what stands beside it."""
    about = msgspec.msgpack.encode([checkpoint_id, list(hints), state_version])
    return hashlib.sha256(len(about).to_bytes(8, "big") + about + b"".join(digests)).hexdigest()


def _check(body: bytes | memoryview) -> bytes:
    return hashlib.sha256(body).digest()[:_CHECK_BYTES]


# The form before this one: the whole checkpoint, one compressed document


@frozen
class OldCheckpoint:
    """A whole checkpoint as it was stored before there were deltas."""

    digest: str
    envelope: dict[str, Any]


def _old_check(body: memoryview) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECK_BYTES).digest()


def _read_old(size: int, packed: memoryview, at_most: int) -> OldCheckpoint:
    from lrm_actors.actors.checkpoints.plain import unpack

    if size > at_most:
        msg = f"it claims to have {size} bytes, and not {at_most}"
        raise Unreadable(msg)
    document = b"".join(_decompressed(packed, size, []))
    try:
        envelope = unpack(document)
    except ValueError as error:
        msg = f"it cannot be decoded: {error}"
        raise Unreadable(msg) from error
    if type(envelope) is not dict or not _PARTS | {"in_parts"} <= envelope.keys():
        msg = "it is not a checkpoint"
        raise Unreadable(msg)
    return OldCheckpoint(hashlib.blake2b(document, digest_size=32).hexdigest(), envelope)
