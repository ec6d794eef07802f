"""Checkpoints: what comes back is what was captured, at one instant, or it is said to be damaged."""

from __future__ import annotations

import asyncio
import collections
import decimal
import enum
import random
import sys
import threading
from collections.abc import Callable
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.memory import MemoryStore
from eventstore.records import Attachment, Batch
from lrm_actors.actors.checkpointer import Captured, checkpoint_handlers, cut
from lrm_actors.actors.checkpoints import form
from lrm_actors.actors.checkpoints.encoding import EncodedCheckpoint, Encoder
from lrm_actors.actors.checkpoints.leaves import Node
from lrm_actors.actors.checkpoints.plain import MAX_DEPTH
from lrm_actors.domain import checkpointer
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.checkpointer import (
    EMERGENCY,
    CaptureFailed,
    CaptureState,
    CheckpointFailed,
    CheckpointTaken,
    StoreCheckpoint,
    TakeCheckpoint,
    attachment_key,
)
from lrm_actors.errors import CheckpointDamaged, NotCapturable
from tests.actors.checkpoints.alone import decode_checkpoint, encode_checkpoint, read_envelope
from tests.domain.kit import Run

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STATE = {
    "task": "watch a site",
    "n_steps": 42,
    "history": [{"thought": f"step {n}", "ok": n % 2 == 0, "took_s": n / 3, "raw": bytes([n])} for n in range(20)],
    "memory": {"nested": {"deep": [None, True, -1, 2**63, 2**100, "é"]}},
}
CHECKPOINT_ID = "checkpoint_1700000000123_abcd1234"


def restored(encoded: EncodedCheckpoint, checkpoint_id: str = CHECKPOINT_ID) -> Any:
    """What comes back."""
    return decode_checkpoint(encoded.data, encoded.digest, checkpoint_id)


def exactly(value: Any) -> Any:
    """A value with the type of every part of it, so that 1, 1.0 and True differ, and dicts keep their order."""
    if isinstance(value, dict):
        return "dict", [(exactly(key), exactly(one)) for key, one in value.items()]
    if isinstance(value, list):
        return "list", [exactly(one) for one in value]
    return type(value).__name__, repr(value)


# Round trips

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(max_size=20),
    st.integers(-(2**70), 2**70),
)
keys = st.one_of(st.text(max_size=5), st.integers(-(2**63), 2**64 - 1), st.booleans(), st.none())
plain = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(keys, inner, max_size=5)),
    max_leaves=30,
)


@given(plain)
def test_plain_data_comes_back_exactly(state: Any) -> None:
    """Same values, same types, same order; and the same state always makes the same bytes."""
    encoded = encode_checkpoint(state, checkpoint_id=CHECKPOINT_ID)
    assert exactly(state) == exactly(restored(encoded))
    assert encoded == encode_checkpoint(state, checkpoint_id=CHECKPOINT_ID)


def test_the_envelope_of_a_whole_state() -> None:
    """Id, time and hints stand beside the state, which is the agent's as a whole."""
    encoded = encode_checkpoint(STATE, checkpoint_id=CHECKPOINT_ID, hints=["No errors detected"])
    assert {
        "checkpoint_id": CHECKPOINT_ID,
        "timestamp": 1700000000.123,
        "agent_state": STATE,
        "browser_state": None,
        "recovery_hints": ["No errors detected"],
        "in_parts": False,
    } == read_envelope(encoded.data, encoded.digest, CHECKPOINT_ID)


def test_the_envelope_of_a_state_in_parts() -> None:
    """A state of exactly an agent's and a browser's part fills both places, and comes back as it was given."""
    state = {"browser_state": {"tabs": ["a"]}, "agent_state": STATE}
    encoded = encode_checkpoint(state, checkpoint_id=CHECKPOINT_ID)
    envelope = read_envelope(encoded.data, encoded.digest, CHECKPOINT_ID)
    assert (STATE, {"tabs": ["a"]}) == (envelope["agent_state"], envelope["browser_state"])
    assert state == restored(encoded)


@pytest.mark.parametrize(
    "state",
    [
        {"agent_state": 1},
        {"agent_state": 1, "browser_state": 2, "recovery_hints": []},
        {"agent_state": 1, 5: 2},
        {},
        None,
        [],
    ],
)
def test_nearly_in_parts_is_a_whole(state: Any) -> None:
    """Whatever else the state looks like, it comes back as it was given."""
    assert state == restored(encode_checkpoint(state, checkpoint_id=CHECKPOINT_ID))


# What cannot be stored


class Colour(enum.StrEnum):
    RED = "red"


@attrs.frozen
class Hidden:
    _name: str = "x"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ((1, 2), "tuple"),
        ({1, 2}, "set"),
        (bytearray(b"x"), "bytearray"),
        (Colour.RED, "Colour"),
        (decimal.Decimal(1), "Decimal"),
        (collections.OrderedDict(a=1), "OrderedDict"),
        (collections.defaultdict(list), "defaultdict"),
        (Hidden(), "Hidden"),
        (threading.Lock(), "lock"),
        (asyncio.Event, "type"),
        ("\ud800", "surrogates"),
        ({("a",): 1}, "tuple"),
        ({b"a": 1}, "bytes"),
        ({2**70: 1}, "64 bits"),
        ({"\ud800": 1}, "str"),
    ],
)
def test_what_would_come_back_otherwise_is_refused(value: Any, kind: str) -> None:
    """Not silently turned into something else; the error says where it is and what."""
    with pytest.raises(NotCapturable, match=r"state\['history'\]\[1\]\['at'\]") as refused:
        encode_checkpoint({"history": [{}, {"at": value}]})
    assert kind in str(refused.value)


def test_a_state_within_itself_is_refused() -> None:
    """So is one that is nested too deep to be read again; the deepest one allowed is not."""
    state: list[Any] = []
    state.append(state)
    with pytest.raises(NotCapturable, match="within itself"):
        encode_checkpoint(state)
    deepest: Any = 1
    for _ in range(MAX_DEPTH):
        deepest = [deepest]
    assert deepest == restored(encode_checkpoint(deepest, checkpoint_id=CHECKPOINT_ID))
    with pytest.raises(NotCapturable, match=f"more than {MAX_DEPTH} levels"):
        encode_checkpoint([deepest])


def test_a_state_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its size and the limit, before anything is compressed."""
    monkeypatch.setattr(form, "MAX_STATE_BYTES", 1000)
    with pytest.raises(NotCapturable, match="at most 1000"):
        encode_checkpoint("x" * 1000)


# One instant


def test_changes_after_the_cut_are_not_in_the_checkpoint() -> None:
    """The host may go on with its state at once; the checkpoint has it as it was."""
    state = {"steps": [1, 2, 3]}
    captured = cut(state, position=9)
    state["steps"].append(4)
    encoded = Encoder().encode(captured.cut, checkpoint_id=CHECKPOINT_ID)
    assert {"steps": [1, 2, 3]} == restored(encoded)
    assert 9 == captured.position


def came_back(captured: Captured) -> Any:
    """The state of a checkpoint that is made of it."""
    return restored(Encoder().encode(captured.cut, checkpoint_id=CHECKPOINT_ID))


def torn(take: Callable[[dict[str, list[int]]], Any]) -> bool:
    """The checker: whether a state of two lists that are always changed together is ever captured half changed."""
    state: dict[str, list[int]] = {"ids": [0], "values": [0]}

    def go_on() -> None:
        state["ids"].append(1)
        state["values"].append(1)

    for _ in range(50):
        captured = take(state)
        go_on()
        result = (
            captured() if callable(captured) else restored(Encoder().encode(captured.cut, checkpoint_id=CHECKPOINT_ID))
        )
        if len(result["ids"]) != len(result["values"]):
            return True
    return False


def test_the_checker_sees_a_capture_in_two_moments() -> None:
    """The planted bug: one list is taken now and the other when the host has gone on."""

    def in_two(state: dict[str, list[int]]) -> Any:
        ids = list(state["ids"])
        return lambda: {"ids": ids, "values": list(state["values"])}

    assert not torn(lambda state: cut(state, 0))
    assert torn(in_two)


# Damage


def undetected(read: Callable[[bytes], Any], data: bytes, rounds: int) -> int:
    """The checker: how many of so many bytes changed at random, and of all shorter beginnings, go unnoticed."""
    chance = random.Random(7)
    missed = 0
    for _ in range(rounds):
        index = chance.randrange(len(data))
        changed = bytearray(data)
        changed[index] ^= chance.randrange(1, 256)
        missed += _passes(read, bytes(changed))
    return missed + sum(_passes(read, data[:length]) for length in range(len(data))) + _passes(read, data + b"\0")


def _passes(read: Callable[[bytes], Any], data: bytes) -> bool:
    try:
        read(data)
    except CheckpointDamaged:
        return False
    return True


def test_every_changed_byte_is_noticed() -> None:
    """Any byte changed to any other, any length cut off, anything appended: always the one error."""
    encoded = encode_checkpoint(STATE, checkpoint_id=CHECKPOINT_ID)
    assert STATE == restored(encoded)
    assert 0 == undetected(lambda data: decode_checkpoint(data, encoded.digest, CHECKPOINT_ID), encoded.data, 2000)


def test_each_byte_counts() -> None:
    """Every single bit of every byte of a small checkpoint."""
    encoded = encode_checkpoint({"a": 1}, checkpoint_id=CHECKPOINT_ID)
    for index in range(len(encoded.data)):
        for bit in range(8):
            changed = bytearray(encoded.data)
            changed[index] ^= 1 << bit
            with pytest.raises(CheckpointDamaged):
                decode_checkpoint(bytes(changed), encoded.digest, CHECKPOINT_ID)


def test_the_checker_sees_a_checksum_that_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: without a sum over all bytes, those of the frame that do not change the content go unnoticed."""
    encoded = encode_checkpoint(STATE, checkpoint_id=CHECKPOINT_ID)
    start = len(form.MAGIC)
    sums = encoded.data[start : start + form._CHECK_BYTES]
    monkeypatch.setattr(form, "_check", lambda body: sums)
    monkeypatch.setattr(form, "digest_of_state", lambda *_: encoded.digest)
    assert 0 < undetected(lambda data: decode_checkpoint(data, encoded.digest, CHECKPOINT_ID), encoded.data, 500)


def test_another_state_under_the_same_id_is_noticed() -> None:
    """Sound bytes of another checkpoint are not what the log names."""
    encoded, other = (encode_checkpoint({"a": number}, checkpoint_id=CHECKPOINT_ID) for number in (1, 2))
    with pytest.raises(CheckpointDamaged, match="not the state") as damaged:
        decode_checkpoint(other.data, encoded.digest, CHECKPOINT_ID)
    assert CHECKPOINT_ID == damaged.value.checkpoint_id


def test_a_size_that_was_made_up_is_not_believed() -> None:
    """Neither more is decompressed than the header says, nor a header believed that says too much."""
    for size, why in ((5, "another size"), (2**60, "claims")):
        header = form._Header("x", "", [], 1, [0, 0, 1], [size], [], size)
        head = msgspec.msgpack.encode(header)
        body = len(head).to_bytes(8, "big") + head + zstd.compress(b"x" * 1_000_000)
        with pytest.raises(CheckpointDamaged, match=why):
            read_envelope(form.MAGIC + form._check(body) + body, "", "x")


# Handling the effect

EFFECT = CaptureState(CHECKPOINT_ID, EMERGENCY, "out of memory", "MemoryError", ("hint",))


def carried_out(capture: Callable[[CaptureState, Node | None], Captured]) -> Command:
    """What comes back to the checkpointer."""
    command = checkpoint_handlers(MemoryStore(), capture)[CaptureState](EFFECT)
    assert command is not None
    return command


def test_a_captured_state_comes_back_with_its_position() -> None:
    """With the position that was taken at the same boundary, whatever the log has gone on to since."""
    command = carried_out(lambda effect, before: cut(STATE, 41))
    assert isinstance(command, StoreCheckpoint)
    assert (CHECKPOINT_ID, EMERGENCY, "out of memory", 41, ("hint",)) == (
        command.checkpoint_id,
        command.kind,
        command.reason,
        command.position,
        command.hints,
    )
    assert STATE == decode_checkpoint(command.data, command.digest, command.checkpoint_id)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), asyncio.CancelledError(), MemoryError()])
def test_a_host_that_fails_is_a_checkpoint_that_failed(error: BaseException) -> None:
    """However the host's function ends, it comes back as a failed capture and reaches nobody else."""

    def failing(_: CaptureState, __: Node | None) -> Captured:
        raise error

    assert CaptureFailed(CHECKPOINT_ID, type(error).__name__, str(error)) == carried_out(failing)


def test_a_state_that_cannot_be_stored_is_a_checkpoint_that_failed() -> None:
    """The failure says where in the state it is."""
    command = carried_out(lambda effect, before: cut({"when": {1}}, 0))
    assert isinstance(command, CaptureFailed)
    assert ("NotCapturable", True) == (command.error, "state['when']" in command.message)


def test_from_the_request_to_the_state_again() -> None:
    """Request, capture, event and bytes in one append, and back: the whole way, over a store."""
    run = Run.of(checkpointer.spec())
    store = MemoryStore()
    run.tell(TakeCheckpoint(EMERGENCY, "test"))
    (effect,) = run.effects(CaptureState)
    command = checkpoint_handlers(MemoryStore(), lambda effect, before: cut(STATE, 3))[CaptureState](effect)
    (taken,) = run.tell(command)  # type: ignore[arg-type]  # it is one
    assert isinstance(taken, CheckpointTaken)
    store.append(Batch(attachments=run.last.attachments))
    info = run.state.kept[0]
    data = store.attachment(attachment_key(info.checkpoint_id)).data
    assert STATE == decode_checkpoint(data, info.digest, info.checkpoint_id)
    assert isinstance(run.last.attachments[0], Attachment)


def test_a_failed_capture_is_on_record() -> None:
    """The checkpointer's own decision on what the handler gave back."""
    run = Run.of(checkpointer.spec())
    run.tell(TakeCheckpoint(EMERGENCY, "test"))
    (effect,) = run.effects(CaptureState)
    command = checkpoint_handlers(MemoryStore(), lambda effect, before: cut({"when": {1}}, 0))[CaptureState](effect)
    (failed,) = run.tell(command)  # type: ignore[arg-type]  # it is one
    assert isinstance(failed, CheckpointFailed)
    assert 1 == run.state.failures
