"""The looks at memory between two samples: how often, what they tell, and that no trouble ends them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lrm_actors.actors.sampling.pressure import Stall
from lrm_actors.actors.sampling.probe import LEAST_S, MOST_S, PressureProbe, next_look_s
from lrm_actors.domain.metrics import Metrics
from tests.runtime.support import eventually

MIB = 1024 * 1024
GIB = 1024 * MIB


class Reader:
    """Memory as a test has it."""

    def __init__(self) -> None:
        self.headroom_bytes = 10 * GIB
        self.error: Exception | None = None
        self.closed = False

    def look(self) -> Metrics:
        """What is left."""
        if self.error is not None:
            raise self.error
        return Metrics(memory_percent=50.0, memory_headroom_bytes=self.headroom_bytes)

    def close(self) -> None:
        """Notes it."""
        self.closed = True


def probe(reader: Reader, told: list[Metrics], **options: Any) -> PressureProbe:
    """A probe of a clock that goes on by a tenth of a second with each look."""
    ticks = itertools.count()
    defaults: dict[str, Any] = {
        "worth_telling": lambda seen: (seen.memory_headroom_bytes or 0) < GIB,
        "tell": told.append,
        "monotonic": lambda: next(ticks) / 10,
    }
    made: Any = reader
    return PressureProbe(made, **{**defaults, **options})


def test_the_nearer_the_limit_the_more_often() -> None:
    """Never more seldom with less left; seconds with plenty, a twentieth near the end; sooner where it goes fast."""
    delays = [next_look_s(left * MIB, 0.0, 0.0) for left in range(0, 4096, 8)]
    assert delays == sorted(delays)
    assert (LEAST_S, MOST_S) == (delays[0], delays[-1])
    assert MOST_S == next_look_s(24 * GIB, 0.0, 0.0)
    assert next_look_s(400 * MIB, 0.0, 0.0) < MOST_S
    assert next_look_s(400 * MIB, 400.0 * MIB, 0.0) < next_look_s(400 * MIB, 0.0, 0.0)
    assert next_look_s(400 * MIB, 0.0, 30.0) < next_look_s(400 * MIB, 0.0, 5.0)
    assert MOST_S == next_look_s(None, 0.0, 0.0)


def test_a_fill_at_full_speed_is_looked_at_several_times() -> None:
    """From wherever it begins, at the speed that is assumed, there are looks before what is left is used up."""
    for start in (100, 200, 400, 1000):
        left, looks = start * MIB, 0
        while (left := left - int(100 * MIB * next_look_s(left, 0.0, 0.0))) > 0:
            looks += 1
        assert looks >= 4, start


def test_only_what_is_worth_it_is_told() -> None:
    """Plenty is told nobody; what was told is told again after a second, should it have been lost, and not before."""
    reader, told = Reader(), list[Metrics]()
    looks = probe(reader, told)
    looks.look()
    assert [] == told
    reader.headroom_bytes = 100 * MIB
    for _ in range(9):
        looks.look()
    assert 1 == len(told)
    looks.look()
    looks.look()
    assert 2 == len(told)


def test_a_fast_fall_is_seen_in_the_next_delay() -> None:
    """The probe knows how fast memory went since its last look."""
    reader = Reader()
    looks = probe(reader, [])
    reader.headroom_bytes = 1000 * MIB
    calm_s = looks.look()
    reader.headroom_bytes = 900 * MIB
    assert looks.look() < calm_s / 2


def test_stalls_are_told_and_quicken(tmp_path: Path) -> None:
    """What the kernel says of stalls goes with what is seen of memory; what it says wrong is unknown."""
    (tmp_path / "pressure").mkdir()
    file = tmp_path / "pressure" / "memory"
    file.write_text("some avg10=80.00 avg60=0 avg300=0 total=0\nfull avg10=40.00 avg60=0 avg300=0 total=0\n")
    reader, told = Reader(), list[Metrics]()
    reader.headroom_bytes = 500 * MIB
    looks = probe(reader, told, stall=Stall("memory", (), tmp_path))
    assert looks.look() < next_look_s(500 * MIB, 0.0, 0.0)
    assert (80.0, 40.0) == (told[0].memory_stall_some_percent, told[0].memory_stall_full_percent)
    file.write_text("garbage\n")
    for _ in range(11):
        looks.look()
    assert "memory_stall_some_percent" in told[1].unknown


@pytest.mark.parametrize("failing", ["reader", "tell", "worth_telling", "ping"])
def test_no_trouble_ends_it(failing: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, and goes on as before when the trouble is over.

    What nobody can be told is looked at as often as before: in the seconds until the next look the kernel may kill.
    """
    reader, told, trouble = Reader(), list[Metrics](), [True]
    reader.headroom_bytes = 100 * MIB

    def fail(*_: object) -> Any:
        if trouble:
            raise OSError(24, "Too many open files")
        return True

    if failing == "reader":
        reader.error = OSError(24, "Too many open files")
    options: dict[str, Callable[..., Any]] = {} if failing == "reader" else {failing: fail}
    looks = probe(reader, told, **options)
    delay_s = MOST_S if failing == "reader" else next_look_s(100 * MIB, 0.0, 0.0)
    assert delay_s == looks.look()
    assert delay_s == looks.look()
    assert 1 == len(caplog.records)
    assert "Too many open files" in caplog.text
    trouble.clear()
    reader.error = None
    assert looks.look() < MOST_S


def test_it_looks_on_its_own_thread_until_it_is_ended() -> None:
    """Again and again, and lets go of the kernel's files in the end."""
    reader = Reader()
    reader.headroom_bytes = 0
    looks = probe(reader, [])
    thread = threading.Thread(target=looks.run)
    thread.start()
    eventually(lambda: looks.looks >= 3)
    looks.end()
    thread.join(30)
    assert not thread.is_alive()
    assert reader.closed
