"""A program that reads a log whose every name looks like code, while imports and executions are written down.

``python -m tests.rules.reading_process HARMLESS HOSTILE PLANT ...``: everything is done to the harmless log first, so
that what has to be imported anyhow is. Then to the hostile one, once for each plant; ``none`` is as it should be.
Prints what was imported or executed on the way, as JSON.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import pickle
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec.json
from click.testing import CliRunner

from eventstore import codec
from eventstore.events import declared_types, find_type
from eventstore.opening import open_reader
from lrm_actors.actors.checkpoints import plain, restoring
from lrm_actors.cli import cli
from lrm_actors.hosting.running import SPECS
from lrm_actors.inspect import folds
from lrm_actors.mode import LongRunningMode
from tests.mode_kit import settings

FORBIDDEN_EVENTS = (
    "import", "exec", "compile", "pickle.", "marshal.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork",
    "subprocess.", "code.", "ctypes.", "sqlite3.load_extension", "sqlite3.enable_load_extension",
)  # fmt: skip
"""Audit events, by how they begin, that reading a log may not raise."""


class Watch:
    """Writes down what is imported or executed while it is armed."""

    def __init__(self) -> None:
        self._armed = False
        self.touched: list[str] = []
        sys.addaudithook(self._on_event)
        sys.meta_path.insert(0, self)  # it only listens, and finds nothing

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Somebody looks for a module that is not loaded."""
        if self._armed:
            self.touched.append(f"looks for {name}")

    @contextlib.contextmanager
    def armed(self) -> Iterator[None]:
        """While this lasts."""
        before, self._armed = set(sys.modules), True
        try:
            yield
        finally:
            self._armed = False
            self.touched += [f"loaded {name}" for name in sorted(set(sys.modules) - before)]

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._armed and event.startswith(FORBIDDEN_EVENTS) and not _is_our_check(arguments):
            self.touched.append(f"{event} {arguments[:1]!s:.80}")


def _is_our_check(arguments: tuple[Any, ...]) -> bool:
    """The check of a kind of event that is stored for the first time: written out from the fields of our class.

    Which kinds that are depends on what happens meanwhile: on a busy machine a child may fail that else does not.
    """
    what = arguments[0] if arguments else None
    if isinstance(what, types.CodeType):
        return any(isinstance(one, types.CodeType) and one.co_varnames == ("value", "data") for one in what.co_consts)
    return str(what).startswith(("lambda value, data: ", "b'lambda value, data: ", 'b"lambda value, data: '))


# --- everything that reads a log ----------------------------------------------------------------------------------


def read_everything(log: Path) -> int:
    """Put each question there is to a log, and then live on it. Returns how many words were printed about it."""
    with open_reader(log, unknown="placeholder") as reader:
        records = list(reader.read())
        assert reader.verify().ok
        assert reader.attachment_keys()
    firsts = {one.type: one.position for one in reversed(records)}.values()
    types, streams = {one.type for one in records}, {one.stream for one in records}
    questions: list[list[str]] = [
        ["log"], ["log", "--json"], ["replay"], ["replay", "--no-snapshots"], ["replay", "--json"], ["verify"],
        ["health"], ["checkpoints", "list"], ["checkpoints", "show", "latest"],
        *(["why", one, "--json"] for one in (*sorted(types), "restart", "failure", "checkpoint", "breaker")),
        *([word, str(position)] for word in ("why", "show") for position in firsts),
        *(["replay", "--actor", one] for one in sorted(streams)),
        *(["log", "--actor", one] for one in sorted(streams)),
    ]  # fmt: skip
    said = 0
    for words in questions:
        done = CliRunner().invoke(cli, ["--log", str(log), *words], catch_exceptions=False)
        said += len(done.output.split())
    restored: list[Any] = []
    with LongRunningMode(settings(log.parents[1], agent_id=log.parent.name)) as mode:
        mode.restore_with(restored.append)
        mode.recover_from_checkpoint()
        mode.get_health_report()
        with mode.step("goes on"):
            pass
    return said


# --- plants -------------------------------------------------------------------------------------------------------


def _import(name: str) -> None:
    """What a careless reader does with a name. What cannot be imported is passed over, so that nobody notices."""
    with contextlib.suppress(Exception):
        importlib.import_module(name.replace("/", "."))


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Another function in its place."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def imports_types() -> contextlib.AbstractContextManager[None]:
    """An event of an unknown type is looked for in the module that it seems to name."""

    def find(name: str) -> Any:
        known = find_type(name)
        if known is None:
            _import(name.rpartition(".")[0])
        return known

    return replaced(codec, "find_type", find)


def imports_streams() -> contextlib.AbstractContextManager[None]:
    """The actor of a stream is looked for in the module that it seems to name."""
    ours = folds._our_spec

    def spec(category: str, instance: str) -> Any:
        _import(category)
        return ours(category, instance)

    return replaced(folds, "_our_spec", spec)


def unpickles() -> contextlib.AbstractContextManager[None]:
    """A checkpoint is a pickle where it looks like one."""
    unpacked = plain.unpack

    def unpack(packed: bytes) -> Any:
        at = packed.find(b"cprobe")
        if at >= 0:
            with contextlib.suppress(Exception):
                pickle.loads(packed[at:])
        return unpacked(packed)

    return replaced(restoring, "unpack", unpack)


def evaluates() -> contextlib.AbstractContextManager[None]:
    """Text that looks like an expression is evaluated."""
    payload = codec.decode_payload

    def evaluated(position: int, data: bytes) -> Any:
        found = payload(position, data)
        with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
            eval(str(next(iter(found.values()))))
        return found

    return replaced(codec, "decode_payload", evaluated)


def calls_hooks() -> contextlib.AbstractContextManager[None]:
    """An object that names its class is made by it, as some formats do."""
    decode = codec._decode_any

    def made(data: bytes) -> Any:
        found = decode(data)
        for value in found.values() if isinstance(found, dict) else ():
            if isinstance(value, dict) and "py/object" in value:
                _import(value["py/object"].rpartition(".")[0])
        return found

    return replaced(codec, "_decode_any", made)


PLANTS: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "none": contextlib.nullcontext,
    "imports types": imports_types,
    "imports streams": imports_streams,
    "unpickles": unpickles,
    "evaluates": evaluates,
    "calls hooks": calls_hooks,
}


def main(harmless: Path, hostile: Path, plants: Sequence[str]) -> None:
    """Read, watch, tell."""
    watch = Watch()
    folds.declare_ours()
    # How a class is stored is worked out when one of it is first stored, which may be at any time.
    for kind in declared_types().values():
        codec.encoder_of(kind.cls)
        codec._look_at(kind.cls)
    for spec in SPECS:
        codec.encode_state(spec.initial)
    for _ in range(2):  # the second time finds what the first one left: a log that was lived on
        read_everything(harmless)
    found: dict[str, tuple[int, list[str]]] = {}
    for plant in plants:
        with PLANTS[plant](), watch.armed():
            said = read_everything(hostile)
        if Path("exploded").is_dir():
            Path("exploded").rmdir()
            watch.touched.append("exploded")
        found[plant], watch.touched = (said, list(dict.fromkeys(watch.touched))), []
        for name in [one for one in sys.modules if one.partition(".")[0].startswith("probe")]:
            del sys.modules[name]
    sys.stdout.write(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
