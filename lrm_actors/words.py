"""What the asynchronous and the blocking mode say alike: every word that answers at once.

Talks to the engine. None of these waits for an actor, a file or the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from lrm_actors.domain import analyzer, modes
from lrm_actors.domain.given import is_number, plain_text, storable_text
from lrm_actors.domain.journal import OpenStep
from lrm_actors.domain.rules import Rule, RuleTable
from lrm_actors.errors import NotRunning, SettingsError
from lrm_actors.hosting.capture_options import CaptureOptions
from lrm_actors.hosting.engine import Engine
from lrm_actors.hosting.host import Component, check_function, check_name
from lrm_actors.hosting.recovery import CommittedStep, Recovery
from lrm_actors.hosting.shedding import WorkGate, leave_out

if TYPE_CHECKING:
    from eventstore.protocol import EventReader
    from lrm_actors.actors.breaker import CircuitBreaker
    from lrm_actors.actors.keyed import KeyedBreakers
    from lrm_actors.domain.breaker_config import BreakerConfig
    from lrm_actors.runtime.inspection.looking import Inspection
    from lrm_actors.settings import LongRunningSettings

F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["CommittedStep", "Component", "OpenStep", "Recovery", "Rule", "Words"]


class Words:
    """The part of a mode's interface that is the same in both of its forms."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def settings(self) -> LongRunningSettings:
        """Assign to its fields at any time; the change holds at once."""
        return self._engine.settings

    @property
    def running(self) -> bool:
        """Whether the log is owned and the actors are up."""
        return self._engine.running is not None

    @property
    def exit_code(self) -> int | None:
        """After the stop: 0 if everything ended in order, 70 if something had to be left behind. None before."""
        return self._engine.exit_code

    @property
    def last_recovery(self) -> Recovery | None:
        """What the last recovery found: the state, and the steps that come after it. None before the first."""
        return self._engine.last_recovery

    @property
    def operation_mode(self) -> str:
        """``normal``, ``degraded``, ``minimal`` or ``recovery``."""
        running = self._engine.running
        return str(running.system.state(modes.NAME).mode) if running is not None else modes.NORMAL

    @property
    def inspection(self) -> Inspection:
        """Looks at the actors while they run: status, statistics, trace, suspend, resume, stack, dump.

        Raises:
            NotRunning: none do.
        """
        running = self._engine.running
        if running is None:
            raise NotRunning("the mode is not running")
        return running.system.inspection

    def should_run(self, name: str, criticality: str = "critical") -> bool:
        """Whether a piece of work is to be done now, or shed to preserve resources.

        Args:
            name: of the work, for whoever reads the code.
            criticality: ``sheddable``, ``sheddable_plus``, ``critical`` or ``critical_plus``.

        Raises:
            CommandRefused: there is no such criticality.
        """
        return self._engine.shedding.should_run(criticality)

    def work(self, name: str, criticality: str = "critical", *, wait_s: float = 0.0) -> WorkGate:
        """A gate for a piece of work: ``async with``, ``with``, or a decorator that raises ``WorkShed`` when shed.

        Args:
            name: of the work.
            criticality: as for ``should_run``.
            wait_s: seconds to wait for the mode, up to an hour, before it is shed.

        Raises:
            SettingsError: a value that it cannot have.
        """
        return WorkGate(self._engine.shedding, name, criticality, wait_s=wait_s)

    def sheddable(self, name: str, criticality: str = "sheddable", *, instead: Any = None) -> Callable[[F], F]:
        """A decorator for a function, plain or async, that is left out when the mode sheds it.

        Args:
            name: of the work.
            criticality: as for ``should_run``.
            instead: what it then gives.

        Raises:
            SettingsError: there is no such criticality, or the name is missing.
        """
        if callable(name):
            raise SettingsError("name", name, "a text: write @mode.sheddable('name') above the function")
        check_name("name", name)
        gate = WorkGate(self._engine.shedding, name, criticality)
        return lambda function: leave_out(gate, function, instead)

    def defer(self, name: str, function: Callable[..., Any], *args: Any, criticality: str = "sheddable") -> Future[Any]:
        """Do a piece of work as soon as the mode allows it, at once if it does now. Returns at once.

        What was put off is done one at a time, the oldest first. A plain function runs on a thread of ours, where it
        may block; what a coroutine function returns is awaited on the host's loop, for two minutes at most. What still
        waits when the mode is stopped is not done.

        Args:
            name: of the work.
            function: plain or async.
            args: what it is called with.
            criticality: as for ``should_run``.

        Returns: the outcome: ``.result(timeout)``, or ``await asyncio.wrap_future(...)``; ``.cancel()`` takes it back.

        Raises:
            CommandRefused: there is no such criticality.
            DeferralFull: a thousand pieces of work wait already.
            SettingsError: what is to be called is no function, or the name no text.
        """
        check_function("function", function)
        name = plain_text("name", name)
        return self._engine.shedding.defer(name, lambda: function(*args), criticality)

    def pin_mode(self, mode: str, *, for_s: float = modes.PIN_S, reason: str = "by hand") -> None:
        """Hold an operation mode whatever the health is, for a while. Returns at once; the mode changes in a moment.

        Args:
            mode: ``normal``, ``degraded``, ``minimal`` or ``recovery``.
            for_s: seconds after which the health counts again, at most a week; also when this process ends before.
            reason: kept with it.

        Raises:
            SettingsError: there is no such mode, it cannot be held for so long, or the reason is no text.
            NotRunning, AskError: it cannot be put on record now.
        """
        if mode not in tuple(modes.PROFILES):
            raise SettingsError("mode", mode, f"one of {', '.join(modes.PROFILES)}")
        if not is_number(for_s) or not 0 < for_s <= modes.MAX_PIN_S:
            raise SettingsError("for_s", for_s, f"more than 0 and at most {modes.MAX_PIN_S:g} seconds")
        mode, reason = plain_text("mode", mode), storable_text("reason", reason)
        self._engine.tell(modes.NAME, modes.Pin(mode, reason, float(for_s)))

    def unpin_mode(self, reason: str = "by hand") -> None:
        """Let the health choose the operation mode again. Returns at once.

        Raises:
            SettingsError: the reason is no text.
            NotRunning, AskError: it cannot be put on record now.
        """
        self._engine.tell(modes.NAME, modes.Pin(None, storable_text("reason", reason)))

    @property
    def paused(self) -> str:
        """Why a human was called and nothing but ``critical_plus`` work is to be done; empty when all goes its way."""
        running = self._engine.running
        return str(running.system.state(analyzer.NAME).paused) if running is not None else ""

    def go_on(self, reason: str = "by hand") -> None:
        """End the pause: somebody looked after what was called for. Returns at once.

        Raises:
            SettingsError: the reason is no text.
            NotRunning, AskError: it cannot be put on record now.
        """
        self._engine.tell(analyzer.NAME, analyzer.GoOn(storable_text("reason", reason)))

    def call_with(self, function: Callable[[str], Any]) -> None:
        """Call a human with this function, plain or async, which is told why.

        It is called for ``pause_and_call`` and ``stop_and_report``, once in five minutes for one reason.

        Raises:
            SettingsError: it is no function.
        """
        check_function("function", function)
        self._engine.on_call = function

    def register_component(
        self,
        name: str,
        *,
        restart: Callable[[], Any],
        clear_caches: Callable[[], Any] | None = None,
        heartbeat_timeout_s: float | None = None,
        exit_status: Callable[[], int | None] | None = None,
        pid: Callable[[], int | None] | None = None,
    ) -> None:
        """Have a part of the host looked after: it is restarted when it exits, or falls silent.

        Args:
            name: as ``heartbeat`` and ``handle_failure`` name it; the same name again replaces it.
            restart: brings it back from whatever state it is in, or raises. A plain function runs on a thread of its
                own, where it may block; what a coroutine function returns is awaited on the host's loop.
            clear_caches: gives memory back. As ``restart``.
            heartbeat_timeout_s: how long it may say nothing; None: it sends no heartbeats.
            exit_status: None while it lives, then its exit status, negative for a signal. Must answer at once.
            pid: its process, None while it has none; one that is gone, or a zombie, has exited. Must answer at once.

        Raises:
            SettingsError: the name is empty or no text, the timeout is no number above 0, or what is to be called is no
                function.
        """
        self._engine.register(Component(name, restart, clear_caches, heartbeat_timeout_s, exit_status, pid))

    def heartbeat(self, name: str) -> None:
        """The component is alive. Costs next to nothing; call it from any thread, as often as you like.

        Raises:
            NoSuchActor: no component of this name was registered.
        """
        self._engine.registry.heartbeat(name)

    def free_memory_with(self, name: str, function: Callable[[], Any]) -> None:
        """Have this function, plain or async, give memory back when it runs out: drop caches, close idle tabs.

        Functions are asked in the order in which they were given, cheapest first, then the components' caches, until
        enough is free. What each really freed is measured and put on record; one that freed nothing is passed over for
        five minutes. Each has half a minute. If nothing was enough and memory is critical, the process is replaced,
        after an emergency checkpoint, where ``on_exhausted`` says how.

        Args:
            name: of what gives memory back, for the record; the same name again replaces it.
            function: a plain one runs on a thread of its own; what a coroutine function returns is awaited on the
                host's loop.

        Raises:
            SettingsError: the name cannot name anything, or what is to be called is no function.
        """
        check_function("function", function)
        self._engine.reclaiming.free_with(name, function)

    def capture_with(
        self,
        function: Callable[[], Any],
        *,
        version: int = 1,
        shared: Iterable[str] = (),
        redact: Callable[[Any], Any] | None = None,
        changes: str = "compare",
    ) -> None:
        """Take the host's state with this function, plain or async, which returns plain data.

        It is called between two steps, on the host's loop if there is one; in a host without a loop on a thread of
        ours, while no step can begin. Change the state inside steps only, and it is always whole.

        Args:
            function: gives the state.
            version: of the schema of the state, from 1. Kept with each checkpoint; see ``restore_with``.
            shared: keys at the top level of the state whose values other tasks may change at any time, also between
                steps. They are copied in one go, which holds the loop.
            redact: gives the state to be kept in place of the one that was captured: without secrets. Plain; it must
                not change what it is given.
            changes: how what changed since the last checkpoint is found. ``compare`` looks at everything;
                ``identity`` takes a frozen object that is the same for unchanged; ``marks`` goes by ``changed``.

        Raises:
            SettingsError: a value that it cannot have.
        """
        check_function("function", function)
        options = CaptureOptions(version=version, shared=shared, redact=redact, changes=changes)
        self._engine.capturing.capture_with(function, options)

    def changed(self, *path: Any) -> None:
        """Say that a value of the state changed, for ``capture_with(..., changes="marks")``. Returns at once.

        Args:
            path: keys and indexes from the top of the state: ``changed("history", 12)``; none: anything may have. An
                index from the end of a list marks all of the list.

        Raises:
            SettingsError: one of them can be no key.
        """
        self._engine.capturing.changed(path)

    def restore_with(
        self, function: Callable[[Any], Any], *, upcasters: Mapping[int, Callable[[Any], Any]] | None = None
    ) -> None:
        """Give a state back to the host with this function, plain or async. See ``capture_with``.

        Args:
            function: takes the state up.
            upcasters: for each older version of the state, what makes the next version of it: ``{1: from_1_to_2}``.

        Raises:
            SettingsError: something else than functions by version.
        """
        check_function("function", function)
        self._engine.capturing.restore_with(function, upcasters)

    def replay_with(self, function: Callable[[CommittedStep], Any]) -> None:
        """Have the host take up what was done after its checkpoint, with this function, plain or async.

        ``recover_from_checkpoint`` calls it for each step that was committed after the checkpoint, or from the
        beginning where there is none, oldest first, after the state was restored. The steps are done: it must do to
        the state what they did, which their ``result`` says, and nothing outside. They are in ``last_recovery.steps``
        as well, for a host that takes them up by itself.

        Args:
            function: takes a step up: ``lambda step: orders.update(step.result)``.

        Raises:
            SettingsError: it is no function.
        """
        check_function("function", function)
        self._engine.capturing.replay_with(function)

    def classify_with(self, rules: Iterable[Rule]) -> None:
        """Have these rules tried before the built-in ones, on what ``handle_failure`` is given.

        Args:
            rules: in the order in which they are tried; the first that fits decides. They replace earlier ones.

        Raises:
            SettingsError: something else than a rule, or more than a thousand.
        """
        self._engine.rules = RuleTable(rules)

    def get_circuit_breaker(self, service: str, policy: BreakerConfig | None = None) -> CircuitBreaker:
        """The guard of a service, the same one each time. It remembers failures across restarts of the process.

        Args:
            service: its name.
            policy: thresholds and times of its own, in place of those of the settings; None for whatever it has.
        """
        return self._engine.guards.get(service, policy)

    def get_circuit_breakers(
        self, family: str, policy: BreakerConfig | None = None, *, limit: int = 64
    ) -> KeyedBreakers:
        """A guard for each of many of a kind, by a key: ``mode.get_circuit_breakers("host")["example.org"]``.

        Args:
            family: first part of their names.
            policy: thresholds and times of each, as the first who asks for the family says.
            limit: how many are kept, as the first who asks says. See ``KeyedBreakers``.
        """
        return self._engine.guards.family(family, policy, limit=limit)

    @property
    def circuit_breakers(self) -> dict[str, CircuitBreaker]:
        """The guards there are, by service."""
        return self._engine.guards.all()

    def reader(self) -> EventReader:
        """Read the log, also while it is written. Close it after use.

        Raises:
            LogNotFound: there is none yet.
        """
        from eventstore.opening import open_reader
        from lrm_actors.inspect.keys import log_key

        running = self._engine.running
        path = running.path if running is not None else self._engine.settings.log_path
        return open_reader(path, key=log_key())
