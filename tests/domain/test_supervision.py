"""What may be declared for a supervisor, what an old log says of it, and what outlives its process."""

from __future__ import annotations

import math
from typing import Any

import pytest

from eventstore.codec import decoder_of
from lrm_actors.domain import supervisor as s
from lrm_actors.domain.supervision.declaring import directive
from lrm_actors.domain.supervisor import ChildSpec, RestartPolicy, Rule, Supervision
from lrm_actors.errors import ChildSpecError, CommandRefused
from tests.domain.supervised_world import SupervisedWorld, declared

A, B = ChildSpec("actor:a"), ChildSpec("actor:b")


class TestDeclaring:
    """Everything is checked before anything starts."""

    @pytest.mark.parametrize(
        ("options", "child", "field"),
        [
            ({"strategy": "one_for_some"}, "", "strategy"),
            ({"otherwise": "ignore"}, "", "otherwise"),
            ({"auto_shutdown": "always"}, "", "auto_shutdown"),
            ({"excess": "panic"}, "", "excess"),
            ({"rules": (Rule("", "stop"),)}, "", "rules"),
            ({"rules": (Rule("KeyError", "retry"),)}, "", "rules"),
            ({"rules": (Rule(KeyError, "stop"),)}, "", "rules"),  # type: ignore[arg-type]  # the class, not its name
            ({"rules": ("KeyError",)}, "", "rules"),
            ({"children": [A, B]}, "", "children"),
            ({"children": A}, "", "children"),
            ({"children": ("actor:a",)}, "", "children"),
            ({"children": (A, B, A)}, "actor:a", "id"),
            ({"children": (ChildSpec("browser"),)}, "browser", "id"),
            ({"children": (ChildSpec("actor:"),)}, "actor:", "id"),
            ({"children": (ChildSpec("actor:supervisor"),)}, "actor:supervisor", "id"),
            ({"children": (A, ChildSpec("actor:b", "sometimes"))}, "actor:b", "restart"),
            ({"children": (ChildSpec("actor:a", deadline_s=0.0),)}, "actor:a", "deadline_s"),
            ({"children": (ChildSpec("actor:a", deadline_s=math.inf),)}, "actor:a", "deadline_s"),
            ({"children": (ChildSpec("actor:a", "transient", significant=True),)}, "actor:a", "significant"),
            (
                {"children": (ChildSpec("actor:a", significant=True),), "auto_shutdown": "any_significant"},
                "actor:a",
                "significant",
            ),
            ({"children": (ChildSpec("actor:a", policy=RestartPolicy(jitter=1.5)),)}, "actor:a", "jitter"),
        ],
    )
    def test_a_bad_one_names_child_field_value_and_range(self, options: dict[str, Any], child: str, field: str) -> None:
        """The first thing that is wrong, in words and as attributes."""
        with pytest.raises(ChildSpecError) as caught:
            s.spec(supervision=Supervision(**options))
        assert (child, field, "supervisor") == (caught.value.child, caught.value.field, caught.value.supervisor)
        assert caught.value.allowed in str(caught.value)
        assert repr(caught.value.value) in str(caught.value)

    @pytest.mark.parametrize(
        "policy",
        [
            RestartPolicy(backoff_initial_s=-1.0),
            RestartPolicy(backoff_max_s=math.nan),
            RestartPolicy(period_s=0.0),
            RestartPolicy(intensity=-1),
            RestartPolicy(reset_after_handled=-1),
        ],
    )
    def test_a_bad_policy_is_refused(self, policy: RestartPolicy) -> None:
        """The supervisor's own is checked too."""
        with pytest.raises(ChildSpecError):
            s.spec(policy)

    def test_a_name_that_is_none_of_a_supervisor(self) -> None:
        """All of them are called supervisor, so that a tool finds them."""
        with pytest.raises(ChildSpecError, match="name"):
            s.spec(name="boss")

    def test_a_bad_child_is_refused_at_run_time(self) -> None:
        """And the supervisor goes on."""
        world = SupervisedWorld(declared("one_for_one"))
        with pytest.raises(CommandRefused, match="deadline_s"):
            world.tell(s.AddChild("actor:x", ChildSpec("actor:x", deadline_s=-1.0)))
        with pytest.raises(CommandRefused, match="not one of"):
            world.tell(s.AddChild("actor:x", A))

    def test_the_first_rule_that_matches_decides(self) -> None:
        """By the class, or by one of its bases, with patterns; else the default."""
        rules = (Rule("ConnectionError", "resume"), Rule("OSError", "stop"), Rule("*Timeout*", "escalate"))
        supervision = Supervision(rules=rules)
        assert "resume" == directive(supervision, ("ConnectionResetError", "ConnectionError", "OSError"))
        assert "stop" == directive(supervision, ("FileNotFoundError", "OSError"))
        assert "escalate" == directive(supervision, ("ReadTimeoutError", "Exception"))
        assert "restart" == directive(supervision, ("KeyError", "LookupError", "Exception"))


class TestMemory:
    """What a log says, of whatever age."""

    def test_a_policy_of_an_older_release(self) -> None:
        """It has no field for work, and gets the default."""
        stored = b'{"policy":{"backoff_initial_s":0.5,"intensity":2}}'
        decode = decoder_of("supervisor.configured", 1)
        assert decode is not None
        assert s.Configured(RestartPolicy(backoff_initial_s=0.5, intensity=2)) == decode(stored)
        assert 1 == RestartPolicy().reset_after_handled

    def test_restarts_of_a_dead_process_count(self) -> None:
        """Three restarts are allowed, however many processes they are spread over."""
        world = SupervisedWorld(declared("one_for_one"))
        for _ in range(3):
            world.fail("actor:a")
            world.crash()
        world.fail("actor:b")
        world.calm()
        assert "escalate" == world.run.state.down
        assert [("failed", "supervisor/tested")] == [(one.what, one.supervisor) for one in world.told]

    def test_what_was_stopped_is_started_by_its_parent(self) -> None:
        """After an escalation the children are held, and started first to last when the parent says so."""
        world = SupervisedWorld(declared("one_for_one"))
        for _ in range(4):
            world.fail("actor:a")
            world.calm()
        assert {"held"} == {child.status for child in world.run.state.children.values()}
        world.tell(s.StartAll())
        world.calm()
        assert {"running"} == {child.status for child in world.run.state.children.values()}
        assert "up" == world.told[-1].what

    def test_an_escalation_that_the_parent_may_not_have_heard_of_is_told_again(self) -> None:
        """After its own restart the supervisor says it once more; once it is started again it does not."""
        world = SupervisedWorld(declared("one_for_one"))
        for _ in range(4):
            world.fail("actor:a")
            world.calm()
        told = len(world.told)
        world.restart_supervisor()
        world.calm()
        assert ["failed"] == [one.what for one in world.told[told:]]


class TestEarly:
    """A child that ends before the end of its restart was heard of: a message of one line may be quicker than ours."""

    @staticmethod
    def ended_early(child: ChildSpec, **options: Any) -> SupervisedWorld:
        """A world in which that has happened to the first child."""
        world = SupervisedWorld(declared("one_for_one", [child, B], **options))
        world.fail("actor:a")
        world.due("restart/actor:a")
        world.early(("restart", "actor:a"), world.end)
        assert "restarting" == world.run.state.status("actor:a")
        world.settle(("restart", "actor:a"))
        return world

    def test_a_permanent_one_is_restarted(self) -> None:
        """It always is, whatever it ends for."""
        world = self.ended_early(A)
        assert "backoff" == world.run.state.status("actor:a")
        world.calm()
        assert "running" == world.run.state.status("actor:a")

    def test_another_one_is_down_for_good(self) -> None:
        """And its end counts, where that is what the supervisor waits for."""
        transient = ChildSpec("actor:a", "transient", significant=True)
        world = self.ended_early(transient, auto_shutdown="any_significant")
        assert "stopped" == world.run.state.status("actor:a")
        world.calm()
        assert "shutdown" == world.run.state.down
