"""The words of every actor: what a decision is without more being said, what a spec refuses, what every command is."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

import lrm_actors.domain
from lrm_actors.domain import children
from lrm_actors.domain.behavior import Command, Effect, Next, Spec, must_reply, stash, then, unhandled
from lrm_actors.errors import BadSpec, ReplyMissing
from tests.domain.kit import START


def spec(**options: Any) -> Spec[int]:
    """An actor of the plainest kind."""
    return Spec("plain", 0, lambda state, command, ctx: then(), lambda state, fact: state, **options)


def test_a_decision_puts_nothing_off_and_ends_nothing_unless_it_says_so() -> None:
    """Nor is what was put off handled next."""
    assert then().next is None
    assert then("event", reply=1).next is None
    assert Next(unstash=True) == then(unstash=True).next
    assert Next(stop="done") == then(stop="done").next
    assert Next(stash=True) == stash().next
    assert Next(unhandled="not now") == unhandled("not now").next


def test_a_forgotten_reply_is_told() -> None:
    """Of a decision that should have one, and has none; one that was put off or refused needs none."""
    decisions = {"none": then(), "reply": then(reply=0), "stash": stash(), "unhandled": unhandled()}
    checked = must_reply(lambda state, command, ctx: decisions[command])
    ctx: Any = None
    with pytest.raises(ReplyMissing):
        checked(0, "none", ctx)
    for command in ("reply", "stash", "unhandled"):
        assert decisions[command] is checked(0, command, ctx)


def test_limits_have_the_defaults_that_are_promised() -> None:
    """Three failures of one message, a thousand commands put off, ten thousand that wait."""
    plain = spec()
    assert (3, 1_000, 10_000) == (plain.quarantine_after, plain.stash_capacity, plain.mailbox_capacity)


@pytest.mark.parametrize(
    ("field", "refused", "allowed"),
    [
        ("mailbox_capacity", 0, 1),
        ("stash_capacity", -1, 0),
        ("snapshot_every", -1, 0),
        ("quarantine_after", 0, 1),
        ("slow_after_s", 0.0, 0.1),
        ("hung_after_s", -1.0, 0.1),
        ("mailbox_block_s", 3600.0, 3599.0),
        ("mailbox_block_s", 0.0, 0.1),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(field: str, refused: float, allowed: float) -> None:
    """Where the actor is declared, and the least that makes sense is not."""
    with pytest.raises(BadSpec, match=field):
        spec(**{field: refused})
    assert allowed == getattr(spec(**{field: allowed}), field)


def words() -> Iterator[type]:
    """Every command and effect of ours."""
    for module in pkgutil.walk_packages(lrm_actors.domain.__path__, "lrm_actors.domain."):
        for name, value in vars(importlib.import_module(module.name)).items():
            ours = isinstance(value, type) and value.__module__ == module.name and not name.startswith("_")
            if ours and issubclass(value, (Command, Effect)) and value not in (Command, Effect):
                yield value


def test_every_command_and_effect_is_a_frozen_record() -> None:
    """Else two of the same fields would not be the same, and one could be changed on its way."""
    found: list[Any] = list(words())
    assert len(found) > 50
    assert [] == [cls.__name__ for cls in found if "__attrs_attrs__" not in vars(cls)]
    assert [] == [cls.__name__ for cls in found if cls.__setattr__ is object.__setattr__ and attrs.fields(cls)]


def test_a_new_child_never_failed() -> None:
    """Nor is any failure of it taken for one in start-up before there is one."""
    child = children.new_child("component:browser", 5.0, "boot")
    assert children.ChildState("component", up_since_s=5.0, boot_id="boot") == child
    assert (False, False, 0, ()) == (child.at_start, child.failed_again, child.attempt, child.restarted_at_s)


def test_the_boot_is_told_by_its_name_and_not_by_its_object() -> None:
    """What comes back from a log is another object each time."""
    boot = START.boot_id.encode().decode()
    child = children.ChildState("actor", restarted_at_s=(START.monotonic_s,), boot_id=boot)
    assert boot is not START.boot_id
    assert 1 == children.restarts_lately(child, children.RestartPolicy(), START)
