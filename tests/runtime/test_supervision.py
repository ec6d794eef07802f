"""Supervision with threads over a file: who restarts with whom, in which order, and what becomes of the messages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventstore.opening import open_store
from lrm_actors.domain import supervisor
from lrm_actors.domain.behavior import Decision, then
from lrm_actors.domain.deliveries import RESUMED
from lrm_actors.domain.supervisor import ChildSpec, RestartPolicy, Rule
from lrm_actors.errors import ActorStopped, AskTimeout, ChildSpecError, MailboxFull, NoSuchActor
from lrm_actors.runtime.clock import ManualClock
from lrm_actors.runtime.system import ActorSystem
from lrm_actors.testing import Simulation
from tests.runtime.supervising import Finish, all_up, counters, fail, root, statuses, steps, supervised
from tests.runtime.support import PATIENCE_S, Add, AddLater, Look, Raise, Wait, counter, eventually


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    """A log in a file."""
    with open_store(tmp_path / "lrm.db") as opened:
        yield opened


class TestStrategies:
    """Who is restarted when a child fails."""

    @pytest.mark.parametrize(
        ("strategy", "expected"),
        [
            ("one_for_one", ["start b"]),
            ("one_for_all", ["stop d", "stop c", "stop a", "start a", "start b", "start c", "start d"]),
            ("rest_for_one", ["stop d", "stop c", "start b", "start c", "start d"]),
        ],
    )
    def test_stopped_last_to_first_and_started_first_to_last(
        self, store: Any, strategy: str, expected: list[str]
    ) -> None:
        """One step at a time, and each is in the log."""
        names = ["a", "b", "c", "d"]
        with supervised(store, root(*names, strategy=strategy), *counters(*names)) as system:
            for name in names:
                system.ask_blocking(name, Add(1))
            fail(system, "b", KeyError)
            eventually(lambda: len(steps(store)) == len(expected))
            all_up(system, names)
            assert expected == steps(store)
            assert [1] * 4 == [system.ask_blocking(name, Look()) for name in names]

    def test_messages_wait_while_siblings_are_down(self, store: Any) -> None:
        """What is told and asked during the backoff is handled after it, in order and once."""
        clock = ManualClock()
        policy = RestartPolicy(backoff_initial_s=10.0, jitter=0.0)
        with supervised(
            store, root("a", "b", policy=policy, strategy="one_for_all"), *counters("a", "b"), clock=clock
        ) as system:
            fail(system, "b", KeyError)
            eventually(lambda: statuses(system) == {"a": "held", "b": "backoff"})
            for amount in (1, 2, 3):
                system.tell("a", Add(amount))
                system.tell("b", Add(amount))
            with pytest.raises(AskTimeout):
                system.ask_blocking("a", Look(), timeout_s=0.05)
            assert (0, "halted", 0) == (system.state("a").total, system.phase("a"), system.state("b").total)
            clock.advance(10.0)
            all_up(system, ["a", "b"])
            for name in ("a", "b"):
                assert (1, 2, 3) == system.state(name).history

    def test_what_waits_is_bounded(self, store: Any) -> None:
        """A mailbox takes no more than its capacity while its actor waits for its restart."""
        clock = ManualClock()
        with supervised(
            store, root("counter", policy=RestartPolicy()), counter(mailbox_capacity=5), clock=clock
        ) as system:
            fail(system, "counter", KeyError)
            eventually(lambda: statuses(system) == {"counter": "backoff"})
            for _ in range(5):
                system.tell("counter", Add(1))
            with pytest.raises(MailboxFull):
                system.tell("counter", Add(1))
            clock.advance(1.0)
            eventually(lambda: system.state("counter").total == 5)

    def test_a_failure_to_the_left_takes_more_with_it(self, store: Any) -> None:
        """While the rest waits for its restart, an earlier child fails: all of them come up again, in order."""
        clock = ManualClock()
        names = ["a", "b", "c"]
        policy = RestartPolicy(backoff_initial_s=10.0, jitter=0.0)
        with supervised(
            store, root(*names, policy=policy, strategy="rest_for_one"), *counters(*names), clock=clock
        ) as system:
            fail(system, "b", KeyError)
            eventually(lambda: statuses(system) == {"a": "running", "b": "backoff", "c": "held"})
            fail(system, "a", ValueError)
            eventually(lambda: statuses(system) == {"a": "backoff", "b": "held", "c": "held"})
            clock.advance(10.0)
            all_up(system, names)
            assert ["stop c", "start a", "start b", "start c"] == steps(store)

    def test_a_child_that_cannot_stop_holds_nobody_up_beyond_its_deadline(self, store: Any) -> None:
        """A sibling in a handler that does not return is waited for until its own deadline, and that is on record."""
        entered, release = threading.Event(), threading.Event()
        slow = ChildSpec("actor:slow", deadline_s=0.05)
        with supervised(store, root("a", slow, strategy="one_for_all"), *counters("a", "slow")) as system:
            system.tell("slow", Wait(entered, release))
            assert entered.wait(PATIENCE_S)
            fail(system, "a", KeyError)
            eventually(lambda: "start slow" in steps(store))
            release.set()
            all_up(system, ["a", "slow"])
            (held,) = [one.event for one in store.read_stream("supervisor") if one.type == "supervisor.child_held"]
            assert not held.in_time


class TestRestartTypes:
    """When a child is restarted at all."""

    @pytest.mark.parametrize(
        ("restart", "command", "expected"),
        [
            ("permanent", Raise(KeyError), ["start b"]),
            ("permanent", Finish(), ["start b"]),
            ("transient", Raise(KeyError), ["start b"]),
            ("transient", Finish(), ["end b"]),
            ("temporary", Raise(KeyError), ["end b"]),
            ("temporary", Finish(), ["end b"]),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_each_type(self, store: Any, restart: str, command: Any, expected: list[str]) -> None:
        """Permanent always, transient after a failure, temporary never; the others notice nothing."""
        with supervised(store, root("a", ChildSpec("actor:b", restart)), *counters("a", "b")) as system:
            assert 1 == system.ask_blocking("b", Add(1))
            system.tell("b", command)
            eventually(lambda: steps(store) == expected)
            if expected == ["start b"]:
                all_up(system, ["a", "b"])
                assert 1 == system.ask_blocking("b", Look())
            else:
                eventually(lambda: system.phase("b") == "stopped")
                with pytest.raises(ActorStopped):
                    system.ask_blocking("b", Look())
            assert 1 == system.ask_blocking("a", Add(1))

    @pytest.mark.parametrize(
        ("rule", "after_one", "after_both"),
        [("any_significant", True, True), ("all_significant", False, True), ("never", False, False)],
    )
    def test_significant_children_end_their_supervisor(
        self, store: Any, rule: str, after_one: bool, after_both: bool
    ) -> None:
        """Once one of them is done, or all are, the others are stopped, and whoever runs it all hears of it."""
        significant = rule != "never"
        children = [ChildSpec(f"actor:{name}", "transient", significant=significant) for name in ("b", "c")]
        with supervised(store, root("a", *children, auto_shutdown=rule), *counters("a", "b", "c")) as system:
            system.tell("b", Finish())
            eventually(lambda: statuses(system).get("b") == "stopped")
            system.ask_blocking("supervisor", supervisor.RemoveChild("actor:nobody"))  # it has decided what follows
            assert after_one == ("stop c" in steps(store) or system.tree.down.is_set())
            if not after_one:
                system.tell("c", Finish())
                eventually(lambda: statuses(system).get("c") == "stopped")
            if after_both:
                assert system.tree.down.wait(PATIENCE_S)
                assert "held" == statuses(system).get("a")
                assert "" == system.tree.escalated
            else:
                assert 1 == system.ask_blocking("a", Add(1))


class TestDecider:
    """What is done about which error."""

    RULES = (Rule("KeyError", "resume"), Rule("OSError", "stop"), Rule("Memory*", "escalate"))

    def test_resumed_with_the_state_it_had(self, store: Any) -> None:
        """The message is gone, the state and what waits are not, timers start again, and nothing is loaded."""
        with supervised(store, root("a", rules=self.RULES), *counters("a")) as system:
            assert 1 == system.ask_blocking("a", Add(1))
            system.tell("a", Raise(KeyError))
            system.tell("a", Add(1))
            eventually(lambda: system.state("a").total == 2)
            assert ["resume a"] == steps(store)
            (letter,) = [record.event for record in store.read() if record.type == "dead_letters.added"]
            assert ("a", "Raise", RESUMED) == (letter.to, letter.command, letter.reason)

    def test_a_class_is_matched_by_its_bases(self, store: Any) -> None:
        """A rule for ``OSError`` holds for a ``ConnectionResetError``: the child is stopped."""
        with supervised(store, root("a", rules=self.RULES), *counters("a")) as system:
            fail(system, "a", ConnectionResetError)
            eventually(lambda: system.phase("a") == "stopped")
            assert ["end a"] == steps(store)

    def test_what_no_rule_matches_is_restarted(self, store: Any) -> None:
        """The default holds."""
        with supervised(store, root("a", rules=self.RULES), *counters("a")) as system:
            fail(system, "a", ValueError)
            eventually(lambda: steps(store) == ["start a"])

    def test_an_actor_that_could_not_start_is_never_resumed(self, store: Any) -> None:
        """It has no state that it could go on with, whatever the rule says."""
        failing = [True]

        def recover(_state: Any, _ctx: Any) -> Decision:
            if failing:
                failing.pop()
                raise KeyError
            return then()

        with supervised(store, root("a", rules=self.RULES), counter("a", recover=recover)) as system:
            all_up(system, ["a"])
            assert ["start a"] == steps(store)


class TestTrees:
    """Supervisors whose children are supervisors."""

    @staticmethod
    def tree(**options: Any) -> list[Any]:
        """A root over ``a``, a browser with two children, and ``z``."""
        few = RestartPolicy(backoff_initial_s=0.001, backoff_max_s=0.01, intensity=1)
        return [
            root("a", "supervisor/browser", "z", **options),
            root("tab", "page", name="supervisor/browser", policy=few),
            *counters("a", "z", "tab", "page"),
        ]

    def test_they_start_as_declared(self, store: Any) -> None:
        """Each supervisor before its children, and those before its next sibling, however the actors are listed."""
        with supervised(store, *reversed(self.tree())) as system:
            assert ("supervisor", "a", "supervisor/browser", "tab", "page", "z") == system.shells()

    def test_a_failure_goes_to_whoever_is_responsible(self, store: Any) -> None:
        """The root hears nothing of a grandchild that is restarted."""
        with supervised(store, *self.tree()) as system:
            fail(system, "page", KeyError)
            eventually(lambda: steps(store, "supervisor/browser") == ["start page"])
            assert [] == steps(store)

    def test_too_many_restarts_fail_the_supervisor_to_its_parent(self, store: Any) -> None:
        """Its children are stopped last to first, the parent restarts it, and they are started first to last."""
        with supervised(store, *self.tree()) as system:
            for _ in range(2):
                fail(system, "tab", KeyError)
                eventually(lambda: system.phase("tab") == "running")
            eventually(lambda: "start supervisor/browser" in steps(store))
            all_up(system, ["tab", "page"], "supervisor/browser")
            all_up(system, ["a", "z"])
            assert ["start tab", "stop page", "start tab", "start page"] == steps(store, "supervisor/browser")
            types = [record.type for record in store.read_stream("supervisor/browser")]
            assert 1 == types.count("supervisor.escalated")
            assert "" == system.tree.escalated

    def test_a_supervisor_is_stopped_and_started_with_its_siblings(self, store: Any) -> None:
        """Its children stop before it counts as stopped, and it counts as started when they run."""
        with supervised(store, *self.tree(strategy="one_for_all")) as system:
            fail(system, "a", KeyError)
            eventually(lambda: "start z" in steps(store))
            all_up(system, ["a", "z", "supervisor/browser"][:2])
            eventually(lambda: statuses(system).get("supervisor/browser") == "running")
            order = [
                f"{record.stream} {record.type.partition('.')[2]} {getattr(record.event, 'child', '')}"
                for record in store.read()
                if record.type in {"supervisor.child_held", "supervisor.child_restarted"}
            ]
            assert [
                "supervisor child_held actor:z",
                "supervisor/browser child_held actor:page",
                "supervisor/browser child_held actor:tab",
                "supervisor child_held actor:supervisor/browser",
                "supervisor child_restarted actor:a",
                "supervisor/browser child_restarted actor:tab",
                "supervisor/browser child_restarted actor:page",
                "supervisor child_restarted actor:supervisor/browser",
                "supervisor child_restarted actor:z",
            ] == order

    def test_one_that_fails_while_it_is_restarted_is_restarted_again_at_once(self) -> None:
        """Its parent does not first wait for its children to start: what failed them is known already."""
        below = root("a", "b", name="supervisor/pages", rules=(Rule("MemoryError", "escalate"),))
        with Simulation(seed=1) as sim:
            system = sim.system([root("supervisor/pages"), below, *counters("a", "b")])
            sim.tell("a", Raise(MemoryError))  # once more after each restart, until it is put aside
            sim.run(for_s=5.0)
            assert 1 == sim.ask("a", Add(1), timeout_s=1.0)
            failures = [one.event for one in sim.events() if one.type == "supervisor.child_failed"]
            assert {"Escalated", "MemoryError"} == {failure.error for failure in failures}
            assert "" == system.tree.escalated

    def test_the_root_tells_the_host_before_it_stops_everything(self, store: Any) -> None:
        """The host may still use the actors to save what it has; then the exit code says what happened."""
        saved: list[Any] = []
        systems: list[ActorSystem] = []

        def save(reason: str) -> None:
            saved.append((reason, systems[0].ask_blocking("z", Add(1))))

        policy = RestartPolicy(intensity=0)
        system = ActorSystem(store, [root("a", "z", policy=policy), *counters("a", "z")], on_escalation=save)
        systems.append(system)
        system.start()
        fail(system, "a", KeyError)
        assert system.tree.down.wait(PATIENCE_S)
        assert [("0 restarts within 60 s, the last for KeyError", 1)] == saved
        assert "held" == statuses(system).get("z")
        report = system.stop(2.0)
        assert (75, saved[0][0]) == (report.exit_code, report.escalated)

    def test_a_host_that_fails_or_is_missing_holds_nothing_up(self, store: Any) -> None:
        """What the callback raises is logged, and everything is stopped."""

        def save(_reason: str) -> None:
            raise SystemExit

        with supervised(
            store, root("a", "z", policy=RestartPolicy(intensity=0)), *counters("a", "z"), on_escalation=save
        ) as system:
            fail(system, "z", KeyError)
            assert system.tree.down.wait(PATIENCE_S)

    def test_given_up_where_that_is_declared(self, store: Any) -> None:
        """Then one child's failures cost that child alone."""
        with supervised(
            store, root("a", "z", policy=RestartPolicy(intensity=0), excess="give_up"), *counters("a", "z")
        ) as system:
            fail(system, "a", KeyError)
            eventually(lambda: system.phase("a") == "stopped")
            assert 1 == system.ask_blocking("z", Add(1))


class TestComingAndGoing:
    """Children at run time, on the record."""

    def test_added_terminated_started_and_removed(self, store: Any) -> None:
        """Each by a command, and each refused when it makes no sense."""
        with supervised(store, root("a"), *counters("a")) as system:
            system.spawn(counters("b")[0], supervisor="supervisor", child=ChildSpec("actor:b", "transient"))
            all_up(system, ["a", "b"])
            assert 1 == system.ask_blocking("b", Add(1))
            assert system.ask_blocking("supervisor", supervisor.TerminateChild("actor:b")) is True
            assert system.ask_blocking("supervisor", supervisor.TerminateChild("actor:b")) is False
            eventually(lambda: system.phase("b") == "stopped")
            assert system.ask_blocking("supervisor", supervisor.StartChild("actor:b")) is True
            all_up(system, ["b"])
            assert 2 == system.ask_blocking("b", Add(1))
            assert system.ask_blocking("supervisor", supervisor.StartChild("actor:b")) is False
            assert system.ask_blocking("supervisor", supervisor.RemoveChild("actor:b")) is True
            assert ["end b", "start b"] == steps(store)

    def test_what_waits_is_handled_before_a_termination(self, store: Any) -> None:
        """A child that runs ends after what is in its mailbox, within its deadline."""
        entered, release = threading.Event(), threading.Event()
        with supervised(store, root("a"), *counters("a")) as system:
            system.tell("a", Wait(entered, release))
            assert entered.wait(PATIENCE_S)
            system.tell("a", Add(3))
            assert system.ask_blocking("supervisor", supervisor.TerminateChild("actor:a")) is True
            release.set()
            eventually(lambda: system.phase("a") == "stopped")
            assert 3 == system.state("a").total

    def test_a_bad_child_is_refused_and_not_started(self, store: Any) -> None:
        """Before anything happens, whether the supervisor or the spec is wrong."""
        with supervised(store, root("a"), *counters("a")) as system:
            with pytest.raises(ChildSpecError, match="deadline_s"):
                system.spawn(counters("b")[0], supervisor="supervisor", child=ChildSpec("actor:b", deadline_s=0))
            with pytest.raises(NoSuchActor):
                system.spawn(counters("b")[0], supervisor="supervisor/nobody")
            assert ("supervisor", "a") == system.shells()

    def test_its_children_are_stopped_with_a_supervisor(self, store: Any) -> None:
        """A subtree ends from its last to its first."""
        specs = [root("supervisor/browser"), root("tab", name="supervisor/browser"), *counters("tab")]
        with supervised(store, *specs) as system:
            system.ask_blocking("supervisor", supervisor.TerminateChild("actor:supervisor/browser"))
            eventually(lambda: system.phase("supervisor/browser") == "stopped")
            assert "stopped" == system.phase("tab")


class TestStarting:
    """What is declared is checked before anything starts, and known when it has."""

    @pytest.mark.parametrize(
        ("specs", "told"),
        [
            (lambda: [root("nobody")], "nobody.*one of the system's actors"),
            (lambda: [root("a", "supervisor/x"), root("a", name="supervisor/x"), *counters("a")], "one supervisor"),
            (lambda: [root("supervisor/x"), root("supervisor", name="supervisor/x")], "another actor than the root"),
            (
                lambda: [
                    root("a"),
                    root("supervisor/y", name="supervisor/x"),
                    root("supervisor/x", name="supervisor/y"),
                    *counters("a"),
                ],
                "below the root",
            ),
        ],
        ids=["missing", "twice", "above itself", "circle"],
    )
    def test_what_forms_no_tree_is_refused(self, store: Any, specs: Any, told: str) -> None:
        """With the child, the field and the value, and nothing was started."""
        with pytest.raises(ChildSpecError, match=told):
            ActorSystem(store, specs())
        assert 0 == store.head

    def test_a_new_process_runs_every_child_anew(self, store: Any) -> None:
        """Restarts and failures are remembered; who was stopped is started with the others."""
        specs = [root("a", ChildSpec("actor:b", "temporary")), *counters("a", "b")]
        with supervised(store, *specs) as system:
            fail(system, "b", KeyError)
            eventually(lambda: statuses(system).get("b") == "stopped")
        with supervised(store, *specs) as system:
            all_up(system, ["a", "b"])
            state = system.state("supervisor")
            assert (2, "KeyError") == (state.starts, state.children["actor:b"].last_error)
        types = [record.type for record in store.read_stream("supervisor")]
        assert "supervisor.process_exit_observed" not in types
        assert 1 == types.count("supervisor.declared")

    def test_a_timer_of_a_resumed_actor_is_not_lost(self, store: Any) -> None:
        """What ``recover`` starts is started again; what was only in memory is gone, as after a restart."""
        clock = ManualClock()
        rules = (Rule("KeyError", "resume"),)
        with supervised(store, root("a", rules=rules), *counters("a"), clock=clock) as system:
            system.ask_blocking("a", AddLater(1, 5.0))
            fail(system, "a", KeyError)
            eventually(lambda: steps(store) == ["resume a"])
            assert 0 == system.ask_blocking("a", Look())


def test_a_child_is_given_its_own_time_to_end(store: Any) -> None:
    """At the stop of the system too: one that hangs is left behind after its deadline, within the deadline of all."""
    entered, release = threading.Event(), threading.Event()
    specs = [root("a", ChildSpec("actor:hung", deadline_s=0.05), "b"), *counters("a", "hung", "b")]
    system = ActorSystem(store, specs)
    patience: dict[str, float] = {}
    stop_shell = system._stop_shell

    def spy(shell: Any, patience_s: float) -> bool:
        patience[shell.spec.name] = patience_s
        return stop_shell(shell, patience_s)

    system._stop_shell = spy  # type: ignore[method-assign]  # one instance, in a test
    system.start()
    system.tell("hung", Wait(entered, release))
    assert entered.wait(PATIENCE_S)
    report = system.stop(deadline_s=PATIENCE_S)
    release.set()
    assert ("hung",) == report.abandoned
    assert ["b", "hung", "a", "supervisor"] == list(patience)
    assert 0.05 == patience["hung"]
