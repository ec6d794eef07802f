"""What a host may say of its state is checked where it says it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lrm_actors import LongRunningMode, LongRunningSettings
from lrm_actors.errors import SettingsError
from lrm_actors.hosting.capture_options import CaptureOptions, checked_upcasters


def test_the_defaults_are_the_safest() -> None:
    """Everything is compared, and nothing is left out."""
    options = CaptureOptions()
    assert (1, (), None, "compare", 16) == (
        options.version,
        options.shared,
        options.redact,
        options.changes,
        options.verify_every,
    )


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("version", lambda: CaptureOptions(version=0)),
        ("version", lambda: CaptureOptions(version=True)),
        ("version", lambda: CaptureOptions(version="2")),  # type: ignore[arg-type]
        ("shared", lambda: CaptureOptions(shared="inbox")),
        ("shared", lambda: CaptureOptions(shared=(1,))),  # type: ignore[arg-type]
        ("shared", lambda: CaptureOptions(shared=map(str, range(1_001)))),
        ("shared", lambda: CaptureOptions(shared=7)),  # type: ignore[arg-type]
        ("redact", lambda: CaptureOptions(redact={})),  # type: ignore[arg-type]
        ("changes", lambda: CaptureOptions(changes="guess")),
        ("verify_every", lambda: CaptureOptions(verify_every=0)),
        ("upcasters", lambda: checked_upcasters([1])),  # type: ignore[arg-type]
        ("upcasters", lambda: checked_upcasters({"1": dict})),  # type: ignore[dict-item]
        ("upcasters[1]", lambda: checked_upcasters({1: {}})),  # type: ignore[dict-item]
    ],
)
def test_a_value_that_it_cannot_have_is_refused(field: str, make: Callable[[], Any]) -> None:
    """By the name of the field."""
    with pytest.raises(SettingsError) as raised:
        make()
    assert field == raised.value.field


def test_what_a_mode_is_given_is_what_its_captures_go_by() -> None:
    """Through either of its forms; a word again replaces what was said before."""
    mode = LongRunningMode(LongRunningSettings())
    capturing = mode._engine.capturing

    mode.capture_with(dict, version=2, shared=["inbox"], redact=dict, changes="marks")
    mode.blocking.restore_with(print, upcasters={1: dict})
    assert CaptureOptions(2, ("inbox",), dict, "marks") == capturing.options
    assert {1: dict} == dict(capturing.upcasters)
    mode.changed("history", 12)

    mode.capture_with(dict)
    mode.restore_with(print)
    assert CaptureOptions() == capturing.options
    assert not capturing.upcasters
    with pytest.raises(SettingsError):
        mode.capture_with({})  # type: ignore[arg-type]
    with pytest.raises(SettingsError):
        mode.restore_with({})  # type: ignore[arg-type]


def test_a_host_object_may_say_it_besides_its_four_methods() -> None:
    """It stays a host without."""

    class Host:
        state_version = 3
        shared = ("inbox",)
        upcasters: Any = {2: dict}  # noqa: RUF012 - as a host would

        def capture(self) -> Any:
            return {}

        def restore(self, state: Any) -> None:
            pass

        def components(self) -> list[Any]:
            return []

        def gate(self, mode: str) -> None:
            pass

        def redact(self, state: Any) -> Any:
            return state

    host = Host()
    capturing = LongRunningMode(LongRunningSettings(), host)._engine.capturing
    assert CaptureOptions(3, ("inbox",), host.redact) == capturing.options
    assert {2: dict} == dict(capturing.upcasters)
