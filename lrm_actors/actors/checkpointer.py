"""How a checkpoint's bytes are made and read: the host's state, cut at one instant, packed, checksummed, compressed.

Talks to the host through the ``capture`` function it is given, on the worker thread of the effect. Never touches a
file: the bytes are committed by the log together with the event that names them.

**What belongs to a checkpoint.** Its position promises that every step committed up to it is contained in the state and
no later one, because recovery hands the steps after the position to the host again. So state and position must be taken
at one boundary between two steps. Only the mode knows that boundary; hence ``capture`` returns both, as made by ``cut``
while the boundary is held. ``cut`` packs the state in one call that nothing can interrupt. Everything slower happens
afterwards on a private copy, while the host goes on and may change its state as it likes.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
import msgspec

from eventstore.frozen import frozen
from lrm_actors.actors.analyzer import text_of
from lrm_actors.domain.behavior import Command, Effect
from lrm_actors.domain.checkpointer import CaptureFailed, CaptureState, StoreCheckpoint
from lrm_actors.domain.retention import id_ms
from lrm_actors.errors import CheckpointDamaged, NotCapturable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_DEPTH = 100
"""Levels of nesting a state may have."""
MAX_STATE_BYTES = 512 * 1024 * 1024
"""Size of a packed state; SQLite keeps no attachment of more than 1 GB."""
COMPRESSION_LEVEL = 1
MAX_PATH = 300
"""Characters of a path that a message shows."""
YIELD_EVERY = 2_000
"""Values looked at before other threads are let in: the host's loop must not wait for the whole walk."""

_MAGIC: Final = b"LRMC\x01"
_CHECK_BYTES, _SIZE_BYTES = 16, 8
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
"""Integers that have a form of their own in MessagePack."""
_BIG_INTEGER = 1
"""Extension code of an integer that needs more than 64 bits."""
_SCALARS = frozenset((str, int, float, bool, type(None), bytes))
_KEYS = frozenset((str, int, float, bool, type(None)))
_PARTS = frozenset(("agent_state", "browser_state"))
_MAP_OF_TWO = b"\x82"


@frozen
class Captured:
    """A state as it was at one instant, and the position of the log that it belongs to. Made by ``cut``."""

    packed: bytes
    position: int
    state: Any = attrs.field(repr=False, eq=False)
    """The host's own object, to say where something is that cannot be stored. It may have changed since."""


@frozen
class EncodedCheckpoint:
    """The bytes of a checkpoint."""

    data: bytes
    """Compressed, with a checksum of its own."""
    digest: str
    """blake2b of the packed state, hex."""
    size_bytes: int
    """Of the packed state."""


# Capturing


def cut(state: Any, position: int) -> Captured:
    """Pack a state in one uninterrupted call: 10 MB take about 3 ms. Call it where no step can begin or commit.

    Args:
        state: plain data.
        position: head of the log now; every committed step up to it is in ``state``, and no later one.

    Raises:
        NotCapturable: something in it is not plain data; the message names the path.
    """
    try:
        packed = msgspec.msgpack.encode(state)
    except (TypeError, ValueError, OverflowError, RecursionError):
        check_plain(state)  # raises, and says where, unless it was an integer of more than 64 bits
        packed = msgspec.msgpack.encode(_with_big_integers(state))
    if len(packed) > MAX_STATE_BYTES:
        raise NotCapturable(f"the state has {len(packed)} bytes, at most {MAX_STATE_BYTES} can be stored")
    return Captured(packed, position, state)


def check_plain(state: Any, *, let_others_in: Callable[[], object] = lambda: None) -> None:
    """See that a state is made of dict, list, str, int, float, bool, None and bytes alone, and comes back as it is.

    Subclasses of these and tuples are refused: they would come back as something else.

    Args:
        state: what the host gave.
        let_others_in: called now and then.

    Raises:
        NotCapturable: with the path of the first offending value.
    """
    open_levels: list[Iterator[tuple[Any, Any]]] = [iter((("", state),))]
    path: list[Any] = [None]
    seen = 0
    while open_levels:
        seen += 1
        if seen % YIELD_EVERY == 0:
            let_others_in()
        item = next(open_levels[-1], None)
        if item is None:
            open_levels.pop()
            path.pop()
            continue
        path[-1], value = item
        kind = type(value)
        if kind is dict or kind is list:
            if len(open_levels) > MAX_DEPTH:
                raise NotCapturable(f"nested more than {MAX_DEPTH} levels deep, or within itself, at {_shown(path)}")
            open_levels.append(_items(value, path))
            path.append(None)
        elif kind not in _SCALARS:
            raise NotCapturable(f"{kind.__qualname__} at {_shown(path)} is not plain data")
        elif kind is str and not _encodable(value):
            raise NotCapturable(f"a text with lone surrogates at {_shown(path)} cannot be stored")


def _items(value: Any, path: list[Any]) -> Iterator[tuple[Any, Any]]:
    if type(value) is list:
        return iter(tuple(enumerate(value)))
    for key in tuple(value):
        kind = type(key)
        if (
            kind not in _KEYS
            or (kind is str and not _encodable(key))
            or (kind is int and not _SMALLEST <= key <= _LARGEST)
        ):
            what = "more than 64 bits" if kind is int else kind.__qualname__
            raise NotCapturable(f"a key at {_shown(path)} cannot be stored: {what}")
    return iter(tuple(value.items()))


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(path: list[Any]) -> str:
    shown = "state" + "".join(f"[{key!a:.80}]" for key in path[1:])
    return shown if len(shown) <= MAX_PATH else f"{shown[:MAX_PATH]}…"


def _with_big_integers(value: Any) -> Any:
    if type(value) is dict:
        return {key: _with_big_integers(one) for key, one in value.items()}
    if type(value) is list:
        return [_with_big_integers(one) for one in value]
    if type(value) is int and not _SMALLEST <= value <= _LARGEST:
        return msgspec.msgpack.Ext(_BIG_INTEGER, f"{value:x}".encode())  # hex: its length has no limit in Python
    return value


# Encoding and decoding


def encode_checkpoint(state: Any, *, checkpoint_id: str = "", hints: Sequence[str] = ()) -> EncodedCheckpoint:
    """The bytes to keep of a plain state.

    Raises:
        NotCapturable: it holds something that would not come back as it is.
    """
    return encode_captured(cut(state, 0), checkpoint_id=checkpoint_id, hints=hints)


def encode_captured(captured: Captured, *, checkpoint_id: str, hints: Sequence[str]) -> EncodedCheckpoint:
    """The bytes to keep of a state that was cut.

    Around it stands an envelope: ``checkpoint_id``, ``timestamp``, ``agent_state``, ``browser_state``,
    ``recovery_hints``. A state with exactly the keys ``agent_state`` and ``browser_state`` fills these two; any other
    is the ``agent_state`` as a whole, and ``in_parts`` tells which it was.
    """
    check_plain(captured.state, let_others_in=lambda: time.sleep(0))
    parts = _parts(captured.packed)
    envelope = {
        "checkpoint_id": checkpoint_id,
        "timestamp": id_ms(checkpoint_id) / 1000,
        "agent_state": msgspec.Raw(captured.packed) if parts is None else parts["agent_state"],
        "browser_state": None if parts is None else parts["browser_state"],
        "recovery_hints": list(hints),
        "in_parts": parts is not None,
    }
    packed = msgspec.msgpack.encode(envelope)
    body = len(packed).to_bytes(_SIZE_BYTES, "big") + zstd.compress(packed, level=COMPRESSION_LEVEL)
    return EncodedCheckpoint(_MAGIC + _check(body) + body, _digest(packed), len(packed))


def decode_checkpoint(data: bytes, digest: str, checkpoint_id: str) -> Any:
    """The state exactly as the host gave it.

    Raises:
        CheckpointDamaged: a byte of it is not what was stored.
    """
    envelope = read_envelope(data, digest, checkpoint_id)
    if envelope["in_parts"]:
        return {"agent_state": envelope["agent_state"], "browser_state": envelope["browser_state"]}
    return envelope["agent_state"]


def read_envelope(data: bytes, digest: str, checkpoint_id: str) -> dict[str, Any]:
    """The whole checkpoint: id, timestamp, state, hints.

    Raises:
        CheckpointDamaged: a byte of it is not what was stored.
    """
    packed = _unpacked(data, checkpoint_id)
    if _digest(packed) != digest:
        raise CheckpointDamaged(checkpoint_id, "it is not the state that the log names")
    try:
        envelope: dict[str, Any] = msgspec.msgpack.decode(packed, type=dict[str, Any], ext_hook=_extension)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise CheckpointDamaged(checkpoint_id, f"it cannot be decoded: {error}") from error
    if not _PARTS | {"in_parts"} <= envelope.keys():
        raise CheckpointDamaged(checkpoint_id, "it is not a checkpoint")
    return envelope


def _unpacked(data: bytes, checkpoint_id: str) -> bytes:
    """The packed bytes, never more of them than the header announces."""
    body = data[len(_MAGIC) + _CHECK_BYTES :]
    if not data.startswith(_MAGIC) or len(body) < _SIZE_BYTES:
        raise CheckpointDamaged(checkpoint_id, "it does not begin like a checkpoint")
    if data[len(_MAGIC) : len(_MAGIC) + _CHECK_BYTES] != _check(body):
        raise CheckpointDamaged(checkpoint_id, "its checksum is wrong")
    size = int.from_bytes(body[:_SIZE_BYTES], "big")
    if size > 2 * MAX_STATE_BYTES:
        raise CheckpointDamaged(checkpoint_id, f"it claims to have {size} bytes")
    decompressor = zstd.ZstdDecompressor()
    try:
        packed = decompressor.decompress(body[_SIZE_BYTES:], max_length=size + 1)
    except zstd.ZstdError as error:
        raise CheckpointDamaged(checkpoint_id, f"it cannot be decompressed: {error}") from error
    if len(packed) != size or not decompressor.eof or decompressor.unused_data:
        raise CheckpointDamaged(checkpoint_id, "it has another size than it claims")
    return packed


def _parts(packed: bytes) -> dict[str, msgspec.Raw] | None:
    """Agent's and browser's state apart, if the host gave them so."""
    if not packed.startswith(_MAP_OF_TWO):
        return None
    try:
        parts = msgspec.msgpack.decode(packed, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:  # its keys are not all text
        return None
    return parts if parts.keys() == _PARTS else None


def _check(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECK_BYTES).digest()


def _digest(packed: bytes) -> str:
    return hashlib.blake2b(packed, digest_size=32).hexdigest()


def _extension(code: int, data: memoryview) -> int:
    if code != _BIG_INTEGER:
        msg = f"unknown extension {code}"
        raise ValueError(msg)
    return int(bytes(data), 16)


# Handling the effect


def capture_handlers(
    capture: Callable[[CaptureState], Captured],
) -> Mapping[type[Effect], Callable[[Any], Command | None]]:
    """How a checkpoint is taken.

    Args:
        capture: blocks until a boundary between two steps is held, has the host give its state there, and returns
            ``cut(state, position)``. May raise anything: the checkpoint has then failed, and nothing else.
    """

    def carry_out(effect: CaptureState) -> Command:
        try:
            captured = capture(effect)
            encoded = encode_captured(captured, checkpoint_id=effect.checkpoint_id, hints=effect.hints)
        except BaseException as error:  # noqa: BLE001 - the host's function may end in any way, a cancellation too
            return CaptureFailed(effect.checkpoint_id, type(error).__qualname__, text_of(error))
        return StoreCheckpoint(
            checkpoint_id=effect.checkpoint_id,
            kind=effect.kind,
            reason=effect.reason,
            data=encoded.data,
            digest=encoded.digest,
            size_bytes=encoded.size_bytes,
            position=captured.position,
            hints=effect.hints,
        )

    return {CaptureState: carry_out}
