"""Bad inputs by the table: what each is, how it is given, and the code of the error that answers it."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.errors import EventStoreError
from eventstore.opening import open_reader, open_store
from eventstore.records import Attachment, Batch, Cursor, NewEvent, Receipt, Snapshot, StreamWrite
from eventstore.store import SqliteStore
from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.blocking import BlockingMode
from lrm_actors.domain import breaker, checkpointer, journal, modes, monitor
from lrm_actors.domain.behavior import Command, Wire
from lrm_actors.errors import LrmError
from lrm_actors.inspect.chains import why
from lrm_actors.inspect.folds import Folds
from lrm_actors.mode import LongRunningMode
from lrm_actors.runtime.system import ActorSystem
from lrm_actors.settings import LongRunningSettings
from tests.mode_kit import settings
from tests.runtime.support import Add, Added, Look, Note, Refuse, counter

# --- one error ----------------------------------------------------------------------------------------------------


def wrong_with(error: BaseException) -> list[str]:
    """What an error lacks that somebody needs who meets it."""
    if not isinstance(error, LrmError | EventStoreError):
        return [f"is a bare {type(error).__name__}: {error}"]
    found = []
    if not is_code(error.code):
        found.append(f"has no code of its own but {error.code!r}")
    if not str(error).strip():
        found.append("does not say what was wrong")
    if not error.hint.strip():
        found.append("does not say what to try")
    return found


def is_code(code: str) -> bool:
    """Whether it is a code, and not that of a base class."""
    prefix, _, number = code.partition("-")
    return prefix in {"LRM", "ES"} and len(number) == 4 and number.isdigit() and number != "0000"


@attrs.frozen
class Bad:
    """One bad input: what it is, the code it is answered with, and how it is given."""

    what: str
    code: str
    give: Callable[[Any], object]


def objections(cases: list[Bad], subject: Any) -> list[str]:
    """Give each bad input, and tell what is wrong with the answers."""
    found = []
    for case in cases:
        try:
            case.give(subject)
        except BaseException as error:
            found += [f"{case.what}: {what}" for what in wrong_with(error)]
            code = getattr(error, "code", case.code)
            if code != case.code:
                found.append(f"{case.what}: {code} instead of {case.code}: {error}")
        else:
            found.append(f"{case.what}: was accepted")
    return found


# --- settings -----------------------------------------------------------------------------------------------------


def _assign(name: str, value: Any) -> Callable[[Path], None]:
    return lambda _: setattr(LongRunningSettings(), name, value)


def _given(**values: Any) -> Callable[[Path], object]:
    return lambda _: LongRunningSettings(**values)


def _variable(name: str, value: str) -> Callable[[Path], object]:
    def load(place: Path) -> object:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(place)
            patch.setenv(name, value)
            return LongRunningSettings.load()

    return load


def _file(text: str) -> Callable[[Path], object]:
    def load(place: Path) -> object:
        (place / "lrm.toml").write_text(text)
        return LongRunningSettings.load(config=place / "lrm.toml")

    return load


SETTINGS = [
    Bad("a percentage of 200", "LRM-1001", _given(cpu_threshold_warning=200)),
    Bad("not a number", "LRM-1001", _given(monitoring_interval=float("nan"))),
    Bad("an endless interval", "LRM-1001", _given(checkpoint_interval=float("inf"))),
    Bad("no checkpoints at all", "LRM-1001", _given(max_checkpoints=0)),
    Bad("text for a number", "LRM-1001", _given(failing_components="two")),
    Bad("a number for a switch", "LRM-1001", _given(enable_modes=1)),
    Bad("a name that leads elsewhere", "LRM-1001", _given(agent_id="../other")),
    Bad("a directory with NUL", "LRM-1001", _given(checkpoint_dir="a\0b")),
    Bad("thresholds the wrong way round", "LRM-1001", _given(cpu_threshold_warning=90, cpu_threshold_critical=80)),
    Bad("a wrong value assigned", "LRM-1001", _assign("circuit_breaker_failure_threshold", 0)),
    Bad("a setting that there is not", "LRM-1002", _given(monitoring_intervall=3)),
    Bad("a setting that there is not, assigned", "LRM-1002", _assign("max_checkpoint", 3)),
    Bad("a variable that means nothing", "LRM-1001", _variable("LRM_ENABLE_MODES", "perhaps")),
    Bad("a misspelt variable", "LRM-1002", _variable("LRM_MAX_CHECKPOINT", "3")),
    Bad("a file that is no TOML", "LRM-1001", _file("agent_id = ")),
    Bad("a file with a strange name in it", "LRM-1002", _file("agent = 'a'")),
    Bad("a file that is not there", "LRM-1001", lambda place: LongRunningSettings.load(config=place / "none.toml")),
]  # fmt: skip


# --- opening ------------------------------------------------------------------------------------------------------


def text_file(path: Path) -> None:
    """A file of text."""
    path.write_text("no database, and longer than the header of one " * 40)


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE t (x)")
    other.close()


def newer_log(path: Path) -> None:
    """A log of a later release."""
    open_store(path).close()
    with sqlite3.connect(path) as log:
        log.execute("PRAGMA user_version = 99")
    log.close()


def _on(make: Callable[[Path], object], opener: Callable[[Path], Any]) -> Callable[[Path], object]:
    """Open what was made, and see that it stays as it was."""

    def give(place: Path) -> object:
        path = Path(tempfile.mkdtemp(dir=place)) / "lrm.db"
        make(path)
        before = path.read_bytes() if path.is_file() else None
        try:
            return opener(path)
        finally:
            assert before == (path.read_bytes() if path.is_file() else None), "the file was changed"

    return give


def mode_over(directory: Path) -> object:
    """Run a mode on the log of a directory."""
    with LongRunningMode(settings(directory)) as mode:
        return mode


OPENERS: list[Callable[[Path], Any]] = [open_store, open_reader]
OPENING = [
    *(Bad(f"text, for {opener.__name__}", "ES-4002", _on(text_file, opener)) for opener in OPENERS),
    *(Bad(f"a directory, for {opener.__name__}", "ES-4002", _on(Path.mkdir, opener)) for opener in OPENERS),
    *(Bad(f"another's database, for {opener.__name__}", "ES-4002", _on(_foreign, opener)) for opener in OPENERS),
    *(Bad(f"a later release's, for {opener.__name__}", "ES-4003", _on(newer_log, opener)) for opener in OPENERS),
    *(Bad(f"a path with NUL, for {opener.__name__}", "ES-4001", lambda _, o=opener: o("a\0b")) for opener in OPENERS),  # type: ignore[misc]
    Bad("nothing at all", "ES-4001", lambda place: open_reader(place / "none.db")),
    Bad("a directory that is a file", "ES-4005", lambda place: open_store(_touched(place) / "lrm.db")),
    Bad("a checkpoint_dir that is a file", "ES-4005", lambda place: mode_over(_touched(place))),
]


def _touched(place: Path) -> Path:
    (place / "file").touch()
    return place / "file"


# --- the store ----------------------------------------------------------------------------------------------------


def _append(*events: object, stream: str = "counter", **more: Any) -> Callable[[SqliteStore], object]:
    return lambda store: store.append(Batch((StreamWrite(stream, tuple(NewEvent(one) for one in events), **more),)))


def _batch(**parts: Any) -> Callable[[SqliteStore], object]:
    return lambda store: store.append(Batch(**parts))


def _closed(store: SqliteStore) -> object:
    other = open_store(store.path.parent / "other" / "lrm.db")
    other.close()
    return other.append(Batch((StreamWrite("counter", (NewEvent(Added(1)),)),)))


def _fenced(store: SqliteStore) -> object:
    epoch = store.acquire("fenced").epoch
    store.acquire("fenced")
    return store.append(Batch((StreamWrite("fenced", (NewEvent(Added(1)),), epoch=epoch),)))


STORE = [
    Bad("no event", "ES-1001", _append("just text")),
    Bad("a class that is no event", "ES-1001", _append(counter())),
    Bad("a value of another type", "ES-1003", _append(Added(object()))),  # type: ignore[arg-type]
    Bad("an integer too large", "ES-1003", _append(Added(2**70))),
    Bad("a number that JSON lacks", "ES-1003", _append(journal.StepCommitted(1, "s", float("nan")))),
    Bad("text that is none", "ES-1003", _append(journal.StepBegun(1, "\ud800", 1))),
    Bad("one good and one bad", "ES-1003", _append(Added(1), Added(2**70))),
    Bad("a reply that is no JSON", "ES-1003", _batch(receipts=(Receipt("c", {1, 2}),))),
    Bad("a stream without a name", "ES-3006", _append(Added(1), stream="")),
    Bad("a stream with NUL", "ES-3006", _append(Added(1), stream="a\0b")),
    Bad("a cause in the future", "ES-3006", lambda store: store.append(
        Batch((StreamWrite("counter", (NewEvent(Added(1), cause=10_000),)),)))),
    Bad("a cursor before the log", "ES-3006", _batch(cursors=(Cursor("c", -1),))),
    Bad("a snapshot without bytes", "ES-3006", _batch(snapshots=(Snapshot("counter", 1, "c/1", "text"),))),  # type: ignore[arg-type]
    Bad("an attachment without a key", "ES-3006", _batch(attachments=(Attachment("", b"x"),))),
    Bad("another version than expected", "ES-3001", _append(Added(1), expected_version=77)),
    Bad("an epoch that is over", "ES-3002", _fenced),
    Bad("a store that is closed", "ES-4006", _closed),
    Bad("a position that there is not", "ES-2001", lambda store: store.get(10_000)),
    Bad("an attachment that there is not", "ES-2002", lambda store: store.attachment("none")),
    Bad("a question that means nothing", "LRM-4002", lambda store: why(store, "everything")),
    Bad("a question without an answer", "LRM-4001", lambda store: why(store, "restart")),
    Bad("a module that there is not", "LRM-4003", lambda _: Folds().with_modules(["no.such.module"])),
    Bad("a module without actors", "LRM-4003", lambda _: Folds().with_modules(["json"])),
]  # fmt: skip


# --- actors -------------------------------------------------------------------------------------------------------


def _system(*specs: Any, wires: Any = ()) -> Callable[[ActorSystem], object]:
    return lambda system: ActorSystem(system.store, specs, wires=wires)


def ask(name: str, command: Any) -> Callable[[ActorSystem], object]:
    """Ask an actor."""
    return lambda system: system.ask_blocking(name, command)


class Strange(Command):
    """What no counter knows."""


WIRE = Wire(Added, to="counter", make=lambda fact, _: Add(fact.amount))
ACTORS = [
    Bad("an actor that there is not", "LRM-2003", ask("countess", Add(1))),
    Bad("told to nobody", "LRM-2003", lambda system: system.tell("countess", Add(1))),
    Bad("a command that is refused", "LRM-2006", ask("counter", Refuse())),
    Bad("a command that is not known", "LRM-2005", ask("counter", Strange())),
    Bad("no command", "LRM-1010", ask("counter", "just text")),
    Bad("an actor without a name", "LRM-1006", lambda _: attrs.evolve(counter(), name="")),
    Bad("a value that cannot be stored", "LRM-2005", ask("counter", Add(2**70))),
    Bad("text that is none", "LRM-2005", ask("counter", Note("\ud800"))),
    Bad("two actors of one name", "LRM-1003", _system(counter(), counter())),
    Bad("a wire to nobody", "LRM-1003", _system(counter(), wires=(attrs.evolve(WIRE, to="countess"),))),
    Bad("one wire twice", "LRM-1003", _system(counter(), wires=(WIRE, WIRE))),
    Bad("a system started twice", "LRM-1004", lambda system: system.start()),
]
REFUSALS = [
    *(Bad(f"another's command, for {name}", "LRM-2006", ask(name, Look())) for name in ("analyzer", "monitor")),
    Bad("another's command, for checkpointer", "LRM-2006", ask("checkpointer", Look())),
    Bad("a kind of checkpoint", "LRM-2006", ask("checkpointer", checkpointer.TakeCheckpoint("odd", "x"))),
    Bad("a mode for the monitor", "LRM-2006", ask("monitor", monitor.NoteMode("odd"))),
    Bad("a mode for the checkpointer", "LRM-2006", ask("checkpointer", checkpointer.NoteMode("odd"))),
    Bad("a mode to pin", "LRM-2006", ask("modes", modes.Pin("odd"))),
    Bad("a health status", "LRM-2006", ask("modes", modes.ConsiderHealth("odd", ""))),
    Bad("a state of a breaker", "LRM-2006", ask("breaker/llm", breaker.ForceState("ajar", "x"))),
    Bad("the end of no step", "LRM-2009", ask("journal", journal.CommitStep(1, None))),
    Bad("the abandoning of no step", "LRM-2009", ask("journal", journal.AbandonStep(1, ""))),
]


# --- the mode -----------------------------------------------------------------------------------------------------


def capturing(state: Any) -> Callable[[BlockingMode], object]:
    """Take a checkpoint of this state."""

    def take(mode: BlockingMode) -> object:
        mode.capture_with(lambda: state)
        return mode.take_checkpoint()

    return take


def _in_a_step(do: Callable[[BlockingMode], object]) -> Callable[[BlockingMode], object]:
    def give(mode: BlockingMode) -> object:
        with mode.step("outer"):
            return do(mode)

    return give


def enter_step(mode: BlockingMode, name: Any = "inner") -> object:
    """Go through a step in which nothing is done."""
    with mode.step(name) as step:
        return step


def _result(value: Any) -> Callable[[BlockingMode], object]:
    def give(mode: BlockingMode) -> object:
        with mode.step("one") as step:
            step.result = value
        return step

    return give


def _called_while_open(mode: BlockingMode) -> object:
    guard: CircuitBreaker = mode.get_circuit_breaker("llm")
    for _ in range(mode.settings.circuit_breaker_failure_threshold):
        with pytest.raises(OSError, match="down"), guard:
            raise OSError("down")
    return guard.call_blocking(int)


MODE = [
    Bad("no way to capture", "LRM-3005", lambda mode: mode.take_checkpoint()),
    Bad("a state that cannot be captured", "LRM-3004", capturing({"page": object()})),
    Bad("a reason that cannot be stored", "ES-1003", lambda mode: mode.take_checkpoint("\ud800")),
    Bad("a kind of checkpoint that there is not", "LRM-1001", lambda mode: mode.take_checkpoint(kind="odd")),
    Bad("a checkpoint inside a step", "LRM-2009", _in_a_step(lambda mode: mode.take_checkpoint())),
    Bad("a recovery inside a step", "LRM-2009", _in_a_step(lambda mode: mode.recover_from_checkpoint())),
    Bad("a step inside a step", "LRM-2009", _in_a_step(enter_step)),
    Bad("a step's name that cannot be stored", "ES-1003", lambda mode: enter_step(mode, "\ud800")),
    Bad("a step's name that is none", "LRM-1001", lambda mode: enter_step(mode, object())),
    Bad("a result that is no JSON", "ES-1003", _result({1, 2})),
    Bad("a result too large", "ES-1003", _result(2**70)),
    Bad("a criticality that there is not", "LRM-2006", lambda mode: mode.should_run("work", "vital")),
    Bad("a heartbeat of nobody", "LRM-2003", lambda mode: mode.heartbeat("browser")),
    Bad("a component without a name", "LRM-1001", lambda mode: mode.register_component("", restart=print)),
    Bad("a timeout of nothing", "LRM-1001",
        lambda mode: mode.register_component("b", restart=print, heartbeat_timeout_s=0.0)),
    Bad("a service without a name", "LRM-1001", lambda mode: mode.get_circuit_breaker(" ")),
    Bad("a call of a failing service", "LRM-3001", _called_while_open),
    Bad("a setting out of range", "LRM-1001", lambda mode: setattr(mode.settings, "max_checkpoints", -1)),
]  # fmt: skip
