"""What is told of actors that have a place in a tree, that hang, that are wired, and whose successors took over."""

from __future__ import annotations

import threading
from typing import Any

from lrm_actors.domain import supervisor
from lrm_actors.domain.behavior import Wire
from lrm_actors.domain.supervision.declaring import ChildSpec, Supervision
from lrm_actors.runtime.clock import ManualClock
from lrm_actors.runtime.inspection.rendering import lines_of
from lrm_actors.runtime.watchdog import Watch
from tests.runtime.support import PATIENCE_S, Add, Added, Look, Wait, counter, eventually, running

WATCH = Watch(slow_s=1.0, hung_s=5.0, max_zombies=3)


def test_a_tree_of_supervisors_is_shown_as_one() -> None:
    """Each actor below its own supervisor, with what that one has on record of it."""
    inner = supervisor.spec(name="supervisor/inner", supervision=Supervision(children=(ChildSpec("actor:leaf"),)))
    with running(supervisor.spec(), inner, counter("leaf"), counter("other")) as system:
        look = system.inspection
        assert look.get_status("leaf").parent == "supervisor/inner"
        assert look.get_status("supervisor/inner").parent == "supervisor"
        assert look.get_status("supervisor/inner").children == ("leaf",)
        assert set(look.get_status("supervisor").children) == {"supervisor/inner", "other"}
        on_record = eventually(lambda: look.get_status("leaf").supervised)
        assert (on_record.status, on_record.attempt, on_record.last_error) == ("running", 0, "")
        indents = {line.split()[0]: len(line) - len(line.lstrip()) for line in look.tree().splitlines() if line.strip()}
        assert indents["guardian"] < indents["supervisor"] < indents["supervisor/inner"] < indents["leaf"]
        assert indents["other"] == indents["supervisor/inner"]


def test_the_components_of_a_supervisor_are_shown_beside_the_actors() -> None:
    """As it has them on record; where nobody supervises there are none."""
    browser = ChildSpec("component:browser")
    watching = supervisor.spec(supervision=Supervision(children=(browser,)))
    with running(watching, counter("leaf")) as system:
        assert [("component:browser", "running", 0)] == eventually(
            lambda: [(one["name"], one["status"], one["attempt"]) for one in system.inspection.dump()["components"]]
        )
    with running(counter()) as system:
        assert [] == system.inspection.dump()["components"]


def test_a_zombie_is_shown_until_it_ends() -> None:
    """With the message that it hangs on and its stack; its actor runs, and its counts go on from there."""
    clock = ManualClock()
    entered, release = threading.Event(), threading.Event()
    with running(counter(), clock=clock, watch=WATCH) as system:
        system.ask_blocking("counter", Add(1))
        system.tell("counter", Wait(entered, release))
        assert entered.wait(PATIENCE_S)
        for _ in range(70):
            clock.advance(0.1)
        (zombie,) = eventually(system.inspection.zombies)
        assert (zombie.name, zombie.handling) == ("counter", "Wait")
        assert zombie.age_s >= 5.0
        assert any("release.wait()" in line for line in zombie.stack)
        told = system.inspection.dump()
        assert [one["name"] for one in told["zombies"]] == ["counter"]
        assert any(line.startswith("zombie of counter") for line in lines_of(told))
        release.set()
        eventually(lambda: system.inspection.zombies() == ())
        assert system.ask_blocking("counter", Look()) == 1
        assert system.inspection.statistics("counter").failures == 1


def test_a_wired_event_in_hand_is_told_by_its_name() -> None:
    """An actor that hangs on what another did is shown with the event that it is about."""
    entered, release = threading.Event(), threading.Event()

    def make(_fact: Any, record: Any) -> Any:
        return Wait(entered, release) if record.stream == "counter" else None

    clock = ManualClock()
    with running(counter(), counter("second"), wires=[Wire(Added, "second", make)], clock=clock) as system:
        system.ask_blocking("counter", Add(1))
        assert entered.wait(PATIENCE_S)
        clock.advance(4.0)
        in_hand = system.inspection.get_status("second").in_hand
        assert in_hand is not None
        assert (in_hand.type, in_hand.age_s, in_hand.asked) == ("counting.added", 4.0, False)
        release.set()


def test_a_suspended_actor_is_not_taken_for_a_hung_one() -> None:
    """However long it is held: nobody takes it over, and it goes on where it was."""
    clock = ManualClock()
    with running(counter(), clock=clock, watch=WATCH) as system:
        shell = system.shell("counter")
        system.inspection.suspend("counter")
        system.tell("counter", Add(1))
        for _ in range(200):
            clock.advance(0.1)
        assert system.inspection.zombies() == ()
        assert system.shell("counter") is shell
        system.inspection.resume("counter")
        assert system.ask_blocking("counter", Look()) == 1
