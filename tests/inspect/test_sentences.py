from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import attrs
import msgspec
import pytest

import lrm_actors.domain
from eventstore.events import UnknownEvent, declared_types, event
from eventstore.records import Instant, Record
from lrm_actors.domain.metrics import Metrics
from lrm_actors.domain.monitor import Sampled
from lrm_actors.domain.supervisor import ChildGivenUp
from lrm_actors.inspect.sentences import sentence
from lrm_actors.inspect.telling.words import TELLERS

for found in pkgutil.iter_modules(lrm_actors.domain.__path__, "lrm_actors.domain."):
    importlib.import_module(found.name)
OURS = {
    name: kind.cls for name, kind in declared_types().items() if kind.cls.__module__.startswith("lrm_actors.domain.")
}


@event("tickets.raised", 1)
class Raised:
    number: int
    note: str


def record_of(type_name: str, *events: object, data: bytes = b"{}") -> Record:
    """A record of these events."""
    return Record(7, "s", 1, type_name, 1, events, Instant(0.0, 0.0, "b"), None, None, "", 0, data)


def example(cls: type) -> Any:
    """An instance of an event class, with something in every field."""
    return msgspec.convert({field.name: _value(field.type, field.name) for field in attrs.fields(cls)}, cls)


def _value(hint: Any, name: str) -> Any:
    text = str(hint)
    if isinstance(hint, type) and attrs.has(hint):
        return {field.name: _value(field.type, field.name) for field in attrs.fields(hint)}
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return {field.name: _value(field.type, field.name) for field in msgspec.structs.fields(hint)}
    simple: dict[str, Any] = {"int": 3, "float": 1.5, "bool": True, "str": f"some {name}", "Any": {"a": 1}}
    for part in text.replace("<class '", "").replace("'>", "").split(" | "):
        if part in simple:
            return simple[part]
        if part.startswith("tuple[str"):
            return ["one", "two"]
        if part.startswith("tuple"):
            return []
    return {} if "dict" in text else None


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_event_of_ours_is_told_in_a_sentence(name: str) -> None:
    """None of them falls back to naming its fields."""
    told = sentence(record_of(name, example(attrs.resolve_types(OURS[name]))))
    assert name in TELLERS
    assert told
    assert told != "no fields"
    assert "{" not in told
    assert "None" not in told


def test_no_sentence_is_of_an_event_that_is_gone() -> None:
    """The table names only events that there are."""
    assert set() == set(TELLERS) - set(OURS)


def test_an_event_of_others_is_told_by_its_fields() -> None:
    """As they are stored, whether its class is known here or not."""
    data = b'{"number":4,"note":"a long\\nnote"}'
    for one in (Raised(4, "a long\nnote"), UnknownEvent("tickets.raised", 1, {}, "no such type")):
        assert 'number 4, note "a long\\nnote"' == sentence(record_of("tickets.raised", one, data=data))


def test_a_later_form_of_an_event_of_ours_is_told_by_its_fields() -> None:
    """What cannot be decoded is not guessed at."""
    later = UnknownEvent("breaker.opened", 9, {"why": "x"}, "known up to version 1")
    assert 'why "x"' == sentence(record_of("breaker.opened", later, data=b'{"why":"x"}'))


def test_an_event_that_was_dropped_or_split_is_told_too() -> None:
    """Upcasters may leave none of it, or several."""
    assert "dropped" in sentence(record_of("x.y"))
    two = record_of("supervisor.child_given_up", *(ChildGivenUp(f"actor:{n}", 5, 60.0, "E") for n in "ab"))
    assert "the actor a was given up" in sentence(two)
    assert "; the actor b was given up" in sentence(two)


def test_a_long_text_is_cut_and_stays_on_its_line() -> None:
    """A stack trace in a message does not fill the screen."""
    told = sentence(record_of("supervisor.child_given_up", ChildGivenUp("actor:a", 5, 60.0, "line\n" * 500)))
    assert "\n" not in told
    assert len(told) < 250
    assert told.endswith("…")


def test_braces_in_a_text_are_text() -> None:
    """What an error says is never taken for a hole to be filled."""
    told = sentence(record_of("supervisor.child_given_up", ChildGivenUp("actor:a", 5, 60.0, "{child.__class__} {0}")))
    assert told.endswith("{child.__class__} {0}")


def test_a_sample_tells_of_whatever_is_not_healthy_in_it() -> None:
    """What is not known is left out, and so is a counter, of which one sample says nothing."""
    seen = Metrics(cpu_percent=4.0, memory_percent=50.0, disk_percent=98.2, disk_free_bytes=4 << 20, oom_kill_count=3)
    levels = {"memory": "warning", "disk": "critical", "oom": "critical", "inodes": "unknown", "later": "warning"}
    told = sentence(record_of("monitor.sampled", Sampled(seen, 1.0, levels)))
    assert "resources: cpu 4.0 %, memory 50.0 %, disk 98.2 % full with 4.0 MiB free" == told
