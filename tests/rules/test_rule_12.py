"""Rule 12: stored names are stable strings with a version, and a log of any release opens in every later one.

``tests/golden`` has a log of each release and what was in it. Those of releases are never changed. An event type that
no golden log has makes the test fail, and says how a log of the version in development is made. Where the form of a
state is changed, together with its ``state_version``, the expected states are changed by hand, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest

from eventstore import codec, events
from eventstore.errors import EventStoreError
from eventstore.opening import open_reader, open_store
from lrm_actors.domain import breaker, checkpointer
from lrm_actors.domain.deadlines import Deadline
from lrm_actors.inspect.verify import verify_log
from lrm_actors.mode import LongRunningMode
from tests.actors.checkpoints.alone import decode_checkpoint
from tests.golden import make
from tests.mode_kit import settings
from tests.rules.support import ROOT

GOLDEN = sorted(path.parent for path in make.GOLDEN.glob("*/lrm.db"))
NAME = re.compile(r"[a-z][a-z_]*\.[a-z][a-z_]*")
SCHEMA = re.compile(r"[a-z][a-z_]*/[1-9][0-9]*")

golden = pytest.mark.parametrize("place", GOLDEN, ids=lambda place: place.name)


@pytest.fixture
def log(place: Path, tmp_path: Path) -> Path:
    """A copy of a golden log, where an agent would keep it."""
    path = tmp_path / "default" / "lrm.db"
    path.parent.mkdir()
    shutil.copyfile(place / "lrm.db", path)
    return path


def expected_of(place: Path) -> dict[str, Any]:
    """What is in a golden log, as its release wrote it down."""
    found: dict[str, Any] = json.loads((place / "expected.json").read_text(encoding="utf-8"))
    return found


# --- what a release wrote, read by this one -----------------------------------------------------------------------


def changes(log: Path, place: Path) -> list[str]:
    """Everything that this release understands otherwise than the one that wrote the log."""
    expected = expected_of(place)
    try:
        with open_reader(log) as reader:
            return [
                *(f"verify: {problem}" for problem in verify_log(reader).problems),
                *differences("streams", expected["streams"], {one.name: one.version for one in reader.streams()}),
                *_events(expected, list(reader.read())),
                *_states(expected, reader),
            ]
    except EventStoreError as error:
        return [f"cannot be read: {error.code}: {error}"]


def _events(expected: dict[str, Any], records: list[Any]) -> Iterator[str]:
    """Names and versions as they stand there; and the same name and version means the same fields."""
    yield from differences("events", len(expected["events"]), len(records))
    for one, record in zip(expected["events"], records, strict=False):
        where = f"#{record.position} {one['type']}"
        for key in ("stream", "type", "schema_version"):
            yield from differences(f"{where}: {key}", one[key], getattr(record, key))
        kind = events.find_type(one["type"])
        if (
            kind is not None and kind.version == one["schema_version"]
        ):  # else an upcaster made another of it: the states tell
            yield from differences(where, one["fields"], record.event)


def _states(expected: dict[str, Any], reader: Any) -> Iterator[str]:
    """The folds, and the checkpoints that they name."""
    known = {spec.name: spec for spec in make.specs()}
    for name, state in expected["states"].items():
        folded = known[name].initial
        for record in reader.read_stream(name):
            for fact in record.events:
                folded = known[name].evolve(folded, fact)
        yield from differences(name, state, folded)
        if name == checkpointer.NAME:
            kept = {one.checkpoint_id: one.digest for one in folded.kept}
            for checkpoint_id, state_then in expected["checkpoints"].items():
                data = reader.attachment(checkpointer.attachment_key(checkpoint_id)).data
                restored = decode_checkpoint(data, kept[checkpoint_id], checkpoint_id)
                yield from differences(checkpoint_id, state_then, restored)


def differences(where: str, expected: Any, actual: Any) -> Iterator[str]:
    """Where something is not what it was. A class may have got fields since; nothing else may be more than it was."""
    if (attrs.has(type(actual)) or isinstance(actual, msgspec.Struct)) and isinstance(expected, dict):
        for name, value in expected.items():
            if hasattr(actual, name):
                yield from differences(f"{where}.{name}", value, getattr(actual, name))
            else:
                yield f"{where}: no {name} any more"
    elif isinstance(actual, dict) and isinstance(expected, dict) and actual.keys() == expected.keys():
        for name, value in expected.items():
            yield from differences(f"{where}[{name!r}]", value, actual[name])
    elif isinstance(actual, list | tuple) and isinstance(expected, list) and len(actual) == len(expected):
        for index, value in enumerate(expected):
            yield from differences(f"{where}[{index}]", value, actual[index])
    elif (type(actual), actual) != (type(expected), expected):
        yield f"{where}: {expected!r} has become {actual!r}"


@golden
def test_rule_12_holds_a_log_of_each_release_is_read_as_it_was_meant(place: Path, log: Path) -> None:
    """Every event decodes to the fields it was written with, and folds to the state it made then."""
    assert [] == changes(log, place)


@golden
def test_rule_12_holds_an_agent_goes_on_with_a_log_of_each_release(place: Path, log: Path) -> None:
    """It is owned, restored from, lived on and verified; what stood there stands there still."""
    expected = expected_of(place)
    restored: list[Any] = []
    with LongRunningMode(settings(log.parents[1])) as mode:
        mode.restore_with(restored.append)
        assert mode.recover_from_checkpoint()
        assert mode.last_recovery is not None
        assert expected["checkpoints"][mode.last_recovery.checkpoint_id] == restored[0]
        with mode.step("pay") as step:
            assert (4, 7, True) == (step.number, step.attempt, step.repeated)
    with open_reader(log) as reader:
        assert reader.verify().ok
        kept = list(reader.read(up_to=len(expected["events"])))
        assert [(one["stream"], one["type"]) for one in expected["events"]] == [(one.stream, one.type) for one in kept]


@golden
def test_rule_12_holds_a_golden_log_is_as_it_was_committed(place: Path) -> None:
    """Whoever changes a golden log has to say so."""
    data = (place / "lrm.db").read_bytes()
    assert expected_of(place)["sha256"] == hashlib.sha256(data).hexdigest(), "the log of a release is never changed"
    assert "*.db binary" in (ROOT / ".gitattributes").read_text().splitlines()
    assert ["checkpoints.json", "expected.json", "lrm.db"] == sorted(one.name for one in place.iterdir())


# --- planted: changes that break old logs -------------------------------------------------------------------------


def _declare(monkeypatch: pytest.MonkeyPatch, name: str, cls: type, version: int = 1) -> None:
    """As if this release declared an event so."""
    kind = events.EventType(name, version, cls)
    monkeypatch.setitem(events._by_name, name, kind)
    monkeypatch.setitem(events._by_class, cls, kind)
    monkeypatch.delitem(codec._encoders, cls, raising=False)


@attrs.frozen
class WithoutReason:
    """Planted: a field of ``breaker.closed`` is removed."""

    service: str
    generation: int


@attrs.frozen
class WithMore:
    """Planted: a field that nothing fills in old logs."""

    service: str
    generation: int
    reason: str
    by: str


@attrs.frozen
class InMilliseconds:
    """Planted: the same field in another unit, and so of another type."""

    child: str
    attempt: str
    duration_s: float


GOLDEN_0 = pytest.mark.parametrize("place", GOLDEN[:1], ids=lambda place: place.name)


@GOLDEN_0
def test_rule_12_planted_a_renamed_event_is_caught(place: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of yesterday cannot be read when its names are not known any more."""
    kind = events._by_name["breaker.closed"]
    monkeypatch.delitem(events._by_name, "breaker.closed")
    _declare(monkeypatch, "breaker.shut", kind.cls)
    assert any("ES-1004" in one for one in changes(log, place))


@GOLDEN_0
@pytest.mark.parametrize(
    "change",
    [
        ("breaker.closed", WithoutReason, "no reason any more"),
        ("breaker.closed", WithMore, "ES-5001"),
        ("supervisor.child_restarted", InMilliseconds, "ES-5001"),
    ],
    ids=["removed", "required", "retyped"],
)
def test_rule_12_planted_a_changed_form_is_caught(
    change: tuple[str, type, str], place: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A field that is removed, that old events lack, or that is of another type."""
    name, cls, told = change
    _declare(monkeypatch, name, cls)
    assert any(told in one for one in changes(log, place))


@GOLDEN_0
def test_rule_12_planted_a_new_version_without_an_upcaster_is_caught(
    place: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Raising the version alone makes the old events unknown."""
    _declare(monkeypatch, "breaker.closed", breaker.Closed, version=2)
    assert any("ES-1004" in one for one in changes(log, place))


@GOLDEN_0
def test_rule_12_planted_a_changed_meaning_is_caught(place: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same name, version and fields, folded in another way."""
    fold = breaker._changed

    def longer(state: breaker.BreakerState, fact: object) -> breaker.BreakerState:
        folded = fold(state, fact)
        if isinstance(fact, breaker.Opened):
            until = fact.open_until
            return attrs.evolve(folded, open_until=Deadline(until.delay_s / 1000, until.monotonic_s, 0.0, "boot"))
        return folded

    monkeypatch.setattr(breaker, "_changed", longer)
    assert any("open_until.delay_s" in one for one in changes(log, place))


@GOLDEN_0
def test_rule_12_planted_a_damaged_log_is_caught(place: Path, log: Path) -> None:
    """A checker that only counted would not see it."""
    with sqlite3.connect(log) as connection:
        connection.execute("UPDATE events SET data = CAST(replace(data, 'by hand', 'by HAND') AS BLOB)")
    connection.close()
    assert any(one.startswith("verify") for one in changes(log, place))


# --- names --------------------------------------------------------------------------------------------------------


def wrong_names(types: Iterable[tuple[str, type | None]], schemas: Iterable[str] = ()) -> list[str]:
    """Stored names that look like paths of classes, or that a moved or renamed class would change."""
    found = []
    for name, cls in types:
        path = "" if cls is None else f"{cls.__module__}.{cls.__qualname__}"
        if not NAME.fullmatch(name) or name == path or name.startswith(("lrm_actors.", "eventstore.", "tests.")):
            found.append(f"{name} looks like the path of a class")
    return [*found, *(f"{one} is no schema of a snapshot" for one in schemas if not SCHEMA.fullmatch(one))]


def stored_names(log: Path) -> tuple[list[tuple[str, type | None]], list[str]]:
    """The types and schemas that stand in a log."""
    with sqlite3.connect(log) as connection:
        types = [(row[0], None) for row in connection.execute("SELECT name FROM types")]
        schemas = [row[0] for row in connection.execute("SELECT DISTINCT schema FROM snapshots")]
    connection.close()
    return [*types], schemas


def test_rule_12_holds_names_say_nothing_of_classes(tmp_path: Path) -> None:
    """Of each declared event and each snapshot; and nowhere in a golden log does the path of a module of ours stand."""
    declared = [(name, events._by_name[name].cls) for name in make.our_types()]
    assert [] == wrong_names(declared, [spec.state_schema for spec in make.specs()])
    for place in GOLDEN:
        types, schemas = stored_names(place / "lrm.db")
        assert [] == wrong_names(types, schemas)
        assert len(schemas) > 3
        data = (place / "lrm.db").read_bytes()
        assert [] == [one for one in (b"lrm_actors.", b"eventstore.", b"tests.") if one in data]


@pytest.mark.parametrize(
    "name", ["lrm_actors.domain.breaker.Opened", "breaker.Opened", "tests.opened", "Breaker.opened"]
)
def test_rule_12_planted_the_path_of_a_class_is_caught(name: str) -> None:
    """Whether whole or in part."""
    assert wrong_names([(name, breaker.Opened)])
    assert wrong_names([], [name])


# --- every type ---------------------------------------------------------------------------------------------------


def without_golden() -> list[str]:
    """Declared event types that stand in no golden log, in the version that they have now."""
    stored = set()
    for place in GOLDEN:
        stored |= {(one["type"], one["schema_version"]) for one in expected_of(place)["events"]}
    return [f"{name} {version}" for name, version in make.our_types().items() if (name, version) not in stored]


def test_rule_12_holds_every_event_type_is_in_a_golden_log() -> None:
    """A new event type, or version of one, comes with a log that holds it."""
    lacking = without_golden()
    assert [] == lacking, (
        f"{', '.join(lacking)}: add to the story in tests/golden/make.py, and run "
        "'python -m tests.golden.make VERSION' for the version in development, with --replace if it has one already. "
        "Never change the log of a released version"
    )


def test_rule_12_planted_an_event_type_without_a_golden_log_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new type, and a new version of an old one."""

    @attrs.frozen
    class New:
        value: int

    New.__module__ = "lrm_actors.domain.breaker"
    _declare(monkeypatch, "breaker.renewed", New)
    _declare(monkeypatch, "breaker.closed", breaker.Closed, version=2)
    assert ["breaker.closed 2", "breaker.renewed 1"] == without_golden()
    assert ["breaker.renewed"] == list(make.missing(set(make.our_types()) - {"breaker.renewed"}))


def test_rule_12_holds_a_golden_log_can_be_made(tmp_path: Path) -> None:
    """The program that the message names writes a log that is read as it was meant."""
    make.make(tmp_path / "new")
    assert [] == changes(tmp_path / "new" / "lrm.db", tmp_path / "new")
    with open_store(tmp_path / "new" / "lrm.db") as store:
        assert set(make.our_types()) == {one.type for one in store.read()}
