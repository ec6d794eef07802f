"""A process that restores checkpoints made by somebody hostile, and watches what they make it do.

Every checksum is right, and so is the digest of the state wherever the bytes give one. An audit hook sees whatever is
imported, run, opened or called from outside meanwhile, and the process may take no more than so much memory.
"""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import json
import random
import resource
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import attrs
import msgspec

from lrm_actors.actors.checkpoints import form, restoring
from lrm_actors.actors.checkpoints.leaves import digest_of
from lrm_actors.domain.checkpointer import attachment_key, blob_key, chain_of
from lrm_actors.domain.retention import CheckpointInfo
from lrm_actors.errors import CheckpointDamaged
from tests.faults.checkpoint_hosts import PICTURE_BYTES
from tests.faults.checkpoint_specimens import Shelf, Specimen, specimen

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ROOM_BYTES = 256 * 1024 * 1024
"""Address space that restoring hostile bytes may take on top of what the process has: states have less than 100 KB."""
HANGS_AFTER_S = 60.0
"""Far longer than restoring a state of 100 KB takes on any machine."""
WATCHED = ("import", "exec", "compile", "open", "os.", "subprocess.", "socket.", "pickle.", "marshal.", "ctypes.")
ENOUGH = 10
NAMES = ("os.system", "builtins.eval", "__reduce__", "!!python/object", "lrm_actors.cli", "posix", "__class__")


@attrs.define
class Watch:
    """What is done while it is on."""

    on: bool = False
    seen: list[str] = attrs.Factory(list)

    def hook(self, name: str, arguments: tuple[Any, ...]) -> None:
        """What ``sys.addaudithook`` calls."""
        if self.on and name.startswith(WATCHED):
            self.seen.append(f"{name} {arguments[:1]!r:.80}")


@attrs.define
class Found:
    """What came of it."""

    refused: int = 0
    restored: int = 0
    kinds: dict[str, int] = attrs.Factory(dict)
    problems: list[str] = attrs.Factory(list)


Case = tuple[Shelf, tuple[CheckpointInfo, ...]]
Make = Callable[["Forger"], Case]


@attrs.define
class Forger:
    """Makes hostile checkpoints."""

    stored: Specimen
    chance: random.Random

    # Bytes

    def bytes_in_a_row(self) -> Case:
        """The bytes of a row, mutated, under a right checksum."""
        chain = self._chain()
        row = self.chance.choice(chain)
        return self._with(chain, row, self._sealed(self._mutated(self.stored.kept[self._key(row)][SEAL:])))

    def header(self) -> Case:
        """A header whose values are what no writer gives."""
        chain = self._chain()
        row = self.chance.choice(chain)
        head, packed = self._apart(self.stored.kept[self._key(row)])
        fields = msgspec.msgpack.decode(head)
        for _ in range(self.chance.randrange(1, 3)):
            fields[self.chance.randrange(len(fields))] = self._value()
        if self.chance.random() < 0.3:
            fields = fields[: self.chance.randrange(len(fields) + 1)]
        return self._with(chain, row, self._row(msgspec.msgpack.encode(fields), packed))

    def numbers(self) -> Case:
        """Runs, lengths or a size that point elsewhere."""
        chain = self._chain()
        row = self.chance.choice(chain)
        head, packed = self._apart(self.stored.kept[self._key(row)])
        fields = msgspec.msgpack.decode(head)
        numbers = self.chance.choice([field for field in fields if type(field) is list and field] or [[]])
        for _ in range(self.chance.randrange(1, 4)):
            if numbers:
                numbers[self.chance.randrange(len(numbers))] = self._number()
        return self._with(chain, row, self._row(msgspec.msgpack.encode(fields), packed))

    def document(self) -> Case:
        """A whole state of one leaf that is no state, or one that nobody would have."""
        kinds = (self._deep, self._claims, self._extension, self._noise, self._names, self._keys)
        data = self.chance.choice(kinds)()
        return self._whole([data])

    def frame(self) -> Case:
        """Compressed bytes that are none, or are those of another."""
        data = self.chance.randbytes(200)
        packed = self._mutated(zstd.compress(data * self.chance.randrange(1, 40)))
        return self._forged([0, 0, 1], [len(data)], [], len(data), packed)

    def bomb(self) -> Case:
        """Little that claims to be a lot."""
        return self.chance.choice((self._zeros, self._doubled, self._empty, self._pictures, self._repeated))()

    def old(self) -> Case:
        """The form before this one, with a right checksum."""
        document = self.chance.choice((self._deep, self._claims, self._extension, self._noise, self._envelope))()
        body = len(document).to_bytes(8, "big") + zstd.compress(document)
        if self.chance.random() < 0.02:
            body = (ROOM_BYTES * 2).to_bytes(8, "big") + ZEROS
        if self.chance.random() < 0.5:
            body = self._mutated(body)
        data = b"LRMC\x01" + form._old_check(memoryview(body)) + body
        return self._alone(data, hashlib.blake2b(document, digest_size=32).hexdigest())

    # Documents

    def _deep(self) -> bytes:
        return self.chance.choice((b"\x91", b"\x81\xa1a")) * self.chance.choice((50, 2_000, 100_000)) + b"\xc0"

    def _claims(self) -> bytes:
        """A length of four billion, of which nothing comes."""
        return self.chance.choice((b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9")) + b"\xff\xff\xff\xff" + b"\x01"

    def _extension(self) -> bytes:
        code = self.chance.choice((1, 1, -1, 0, 127, -128))
        data = self.chance.choice((b"ff", b"", b"-" + b"f" * 50, b" 1_0 ", b"\xff", b"9" * 20, b"f" * 20_000))
        return msgspec.msgpack.encode([msgspec.msgpack.Ext(code, data), {"os.system": "echo"}])

    def _noise(self) -> bytes:
        return self.chance.randbytes(self.chance.randrange(60))

    def _names(self) -> bytes:
        """What some loader of some library would call."""
        name = self.chance.choice(NAMES)
        return msgspec.msgpack.encode({name: [name, {"__type__": name, "lc": 2, "id": name.split("."), "args": ["x"]}]})

    def _keys(self) -> bytes:
        key = self.chance.choice((b"\x91\x01", b"\x80", b"\xc0", b"\xc3", b"\xcb\x7f\xf8\0\0\0\0\0\0", b"\xc4\x01a"))
        return b"\x83" + key + b"\x01" + key + b"\x02" + b"\xa1\xff" + b"\x03"

    def _envelope(self) -> bytes:
        envelope = {"agent_state": self._value(), "browser_state": self._value(), "in_parts": self._value()}
        return msgspec.msgpack.encode({**envelope, "recovery_hints": self._value(), "timestamp": self._value()})

    # Bombs

    def _zeros(self) -> Case:
        size = ROOM_BYTES * 2
        return self._forged([0, 0, 1], [size], [], size, ZEROS)

    def _doubled(self) -> Case:
        first = self._forged([0, 0, 1], [1_000], [], 1_000, zstd.compress(bytes(1_000)))
        kept, chain = dict(first[0].kept), list(first[1])
        for number in range(1, 24):
            size, name = 2 ** (number - 1), f"double{number:02d}"
            runs = [0, size, 0, -size, size, 0]
            kept[attachment_key(name)] = self._row(self._head(name, chain[-1].checkpoint_id, runs, [], [], 0), EMPTY)
            chain.append(self._info(name, "0" * 64, parent=chain[-1].checkpoint_id))
        return Shelf(kept), tuple(chain)

    def _empty(self) -> Case:
        many = 1_000_000
        return self._forged([0, 0, many], [0] * many, [], 0, EMPTY)

    def _pictures(self) -> Case:
        many, picture = 20_000, bytes(PICTURE_BYTES)
        digest = digest_of(picture)
        shelf, chain = self._forged([0, 0, many], [-1] * many, [digest] * many, 0, EMPTY)
        shelf.kept[blob_key(digest.hex())] = picture
        return shelf, chain

    def _repeated(self) -> Case:
        """Runs that take the same leaf over and over: a document of a gigabyte that is made of a hundred kilobytes."""
        first = self._forged([0, 0, 1], [100_000], [], 100_000, zstd.compress(bytes(100_000)))
        kept, chain = dict(first[0].kept), list(first[1])
        parent = chain[-1].checkpoint_id
        head = self._head("again000", parent, [0, 1, 0] + [-1, 1, 0] * 9_999, [], [], 0)
        kept[attachment_key("again000")] = self._row(head, EMPTY)
        return self._named(Shelf(kept), (*chain, self._info("again000", "0" * 64, parent=parent)))

    # Putting together

    def _whole(self, leaves: list[bytes]) -> Case:
        data = b"".join(leaves)
        head = self._head("forged00", "", [0, 0, len(leaves)], [len(leaf) for leaf in leaves], [], len(data))
        return self._named(*self._alone(self._row(head, zstd.compress(data)), "0" * 64))

    def _named(self, shelf: Shelf, chain: tuple[CheckpointInfo, ...]) -> Case:
        """The same with a log that names just this state."""
        digest = self._digest_of(shelf, chain)
        return shelf, (*chain[:-1], msgspec.structs.replace(chain[-1], digest=digest))

    def _forged(self, runs: list[int], lengths: list[int], blobs: list[bytes], size: int, packed: bytes) -> Case:
        return self._alone(self._row(self._head("forged00", "", runs, lengths, blobs, size), packed), "0" * 64)

    def _alone(self, data: bytes, digest: str) -> Case:
        return Shelf({attachment_key("forged00"): data}), (self._info("forged00", digest),)

    def _info(self, name: str, digest: str, parent: str = "") -> CheckpointInfo:
        return CheckpointInfo(name, "periodic", 0.0, 0, 50_000, digest, "", parent=parent)

    def _head(self, name: str, parent: str, *rest: Any) -> bytes:
        """A header; of its rest the runs, the lengths, the blobs and the size."""
        return msgspec.msgpack.encode([name, parent, [], 1, *rest])

    def _row(self, head: bytes, packed: bytes) -> bytes:
        return self._sealed(len(head).to_bytes(8, "big") + head + packed)

    def _sealed(self, body: bytes) -> bytes:
        return form.MAGIC + form._check(body) + body

    def _apart(self, data: bytes) -> tuple[bytes, bytes]:
        size = int.from_bytes(data[SEAL : SEAL + 8], "big")
        return data[SEAL + 8 : SEAL + 8 + size], data[SEAL + 8 + size :]

    def _chain(self) -> tuple[CheckpointInfo, ...]:
        return chain_of(self.stored.state, self.chance.choice(self.stored.state.kept).checkpoint_id)

    def _key(self, info: CheckpointInfo) -> str:
        return attachment_key(info.checkpoint_id)

    def _with(self, chain: tuple[CheckpointInfo, ...], row: CheckpointInfo, data: bytes) -> Case:
        """The chain with one row forged, and the digest in the log as the forger would have it."""
        shelf = Shelf({**self.stored.kept, self._key(row): data})
        return self._named(shelf, chain)

    def _digest_of(self, shelf: Shelf, chain: tuple[CheckpointInfo, ...]) -> str:
        """What a restore finds the state's digest to be, if it comes so far."""
        seen = ["0" * 64]

        def noted(*arguments: Any) -> str:
            seen.append(real(*arguments))
            return seen[-1]

        real = form.digest_of_state
        with mock.patch.object(form, "digest_of_state", noted), contextlib.suppress(Exception):
            RESTORE(shelf, chain)
        return seen[-1]

    def _mutated(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self.chance.randrange(1, 4)):
            at = self.chance.randrange(min(len(changed), self.chance.choice((40, 10**9))) or 1)
            match self.chance.randrange(4):
                case 0:
                    changed[at : at + 1] = bytes((self.chance.randrange(256),))
                case 1:
                    del changed[at : at + self.chance.randrange(1, 9)]
                case 2:
                    changed[at:at] = self.chance.randbytes(self.chance.randrange(1, 9))
                case 3:
                    changed[at : at + 4] = self.chance.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"))
        return bytes(changed)

    def _number(self) -> int:
        return self.chance.choice((-1, -2, 0, 1, 7, 2**31, 2**63 - 1, -(2**63), self.chance.randrange(3_000)))

    def _value(self) -> Any:
        values: list[Any] = [None, True, 1.5, b"\xff", "os.system", [], {}, [[0]], ["x"], [1, 2], -1, 2**63, 1e999]
        return self.chance.choice((*values, [self._number() for _ in range(9)], [self._number()] * 300))


SEAL = len(form.MAGIC) + 16
EMPTY = zstd.compress(b"")
ZEROS = zstd.compress(bytes(ROOM_BYTES * 2))
MAKERS: dict[str, tuple[Make, int]] = {
    "bytes": (Forger.bytes_in_a_row, 30),
    "header": (Forger.header, 20),
    "numbers": (Forger.numbers, 20),
    "document": (Forger.document, 15),
    "frame": (Forger.frame, 5),
    "old": (Forger.old, 8),
    "bomb": (Forger.bomb, 1),
}
"""Each kind, and how often it comes."""
Restore = Callable[[Any, tuple[CheckpointInfo, ...]], Any]
RESTORE: Restore = restoring.restore


def campaign(many: int, restore: Restore) -> Found:
    """Restore so many hostile checkpoints."""
    found, watch = Found(), Watch()
    forger = Forger(specimen(), random.Random(6))
    for info in forger.stored.state.kept:  # what is imported when it is first needed is imported now
        RESTORE(Shelf(forger.stored.kept), chain_of(forger.stored.state, info.checkpoint_id))
    for make, _ in MAKERS.values():
        shelf, chain = make(forger)
        _try(lambda: RESTORE(shelf, chain))  # noqa: B023 - called here
    sys.addaudithook(watch.hook)
    _limit_memory()
    kinds = [kind for kind, (_, weight) in MAKERS.items() for _ in range(weight)]
    for _ in range(many):
        kind = forger.chance.choice(kinds)
        shelf, chain = MAKERS[kind][0](forger)
        faulthandler.dump_traceback_later(HANGS_AFTER_S, exit=True)
        watch.on = True
        outcome = _try(lambda: restore(shelf, chain))  # noqa: B023 - called here
        watch.on = False
        found.kinds[kind] = found.kinds.get(kind, 0) + 1
        found.refused += outcome == "refused"
        found.restored += outcome == "restored"
        if outcome not in {"refused", "restored"}:
            found.problems.append(f"{kind}: {outcome}")
        if watch.seen:
            found.problems.append(f"{kind}: {watch.seen[:3]}")
            watch.seen.clear()
        if len(found.problems) >= ENOUGH:
            break
    return found


def _try(restore: Callable[[], Any]) -> str:
    try:
        found = restore()
    except CheckpointDamaged:
        return "refused"
    except MemoryError:
        return "it took more memory than it may have"
    except BaseException as error:
        return f"another error: {error!r:.200}"
    strange = _strange(getattr(found, "state", None))
    return "restored" if strange is None else f"it gave what is no plain data: {strange}"


def _strange(state: Any) -> str | None:
    """The first kind of value in a state that no host's state has."""
    left = [state]
    while left:
        value = left.pop()
        if type(value) not in PLAIN:
            return type(value).__name__
        if type(value) is dict:
            left += [*value, *value.values()]
        elif type(value) in (list, tuple):
            left += value
    return None


PLAIN = (dict, list, str, int, float, bool, bytes, type(None), datetime, tuple)
"""What MessagePack has: a time, and a list as a key, which no host's state has, are data too."""


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + ROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def planted(kind: str) -> Restore:
    """The loader with a bug in it."""

    def restore(reader: Any, chain: tuple[CheckpointInfo, ...]) -> Any:
        data = reader.attachment(attachment_key(chain[-1].checkpoint_id)).data
        if kind == "import" and b"os.system" in data:
            __import__("this_module_is_named_in_the_data")
        if kind == "memory" and chain[-1].digest[:1] in "0123":
            return bytearray(ROOM_BYTES * 2)
        if kind == "error" and len(data) % 3 == 0:
            return data[10**9]
        return RESTORE(reader, chain)

    return restore


def main() -> None:
    """Say what was found, as JSON."""
    many, *bugs = sys.argv[1:]

    found = campaign(int(many), planted(bugs[0]) if bugs else RESTORE)
    print(json.dumps(attrs.asdict(found)))


if __name__ == "__main__":
    main()
