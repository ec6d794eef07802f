"""One stretch of life: a log that is owned, the actors that live on it, and the thread that tells of it in the logs.

Talks to the store and to the actor system. Made and ended by the engine; it knows no settings and no host.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventstore.errors import CorruptEvent, CorruptLog, UnknownEventType
from lrm_actors.actors.supervisor import ComponentRegistry, supervisor_handlers
from lrm_actors.domain import analyzer, checkpointer, journal, modes, monitor, supervisor
from lrm_actors.domain.behavior import Command, Effect, Spec
from lrm_actors.hosting.checkpoint_commands import pin_checkpoint, prune_checkpoints
from lrm_actors.hosting.dumping import dump_command
from lrm_actors.hosting.effect_commands import forget_effects, settle_effect
from lrm_actors.hosting.offload import start_thread
from lrm_actors.hosting.owner.commands import Commands
from lrm_actors.hosting.owner.serving import OwnerSocket
from lrm_actors.hosting.pinning import pin_command
from lrm_actors.hosting.tracing import RemoteTrace
from lrm_actors.inspect.keys import log_key
from lrm_actors.runtime.clock import SystemClock
from lrm_actors.runtime.reports import EXIT_ABANDONED
from lrm_actors.runtime.system import ActorSystem
from lrm_actors.runtime.watchdog import Exhausted
from lrm_actors.telemetry.hooks import SELDOM_TOLD, LogHook, follow
from lrm_actors.telemetry.logging import LogContext
from lrm_actors.wiring import WIRES

if TYPE_CHECKING:
    from eventstore.protocol import EventStore

Handlers = Mapping[type[Effect], Callable[[Any], Command | None]]

SPECS: tuple[Spec[Any], ...] = (
    supervisor.spec(),
    journal.spec(),
    checkpointer.spec(),
    analyzer.spec(),
    modes.spec(),
    monitor.spec(),
)
"""Every actor but the breakers, in start order: the supervisor before those it looks after, the monitor last."""
CHILD_RESTARTED = "supervisor.child_restarted"
DAMAGED_STOP_S = 1.0
"""How long the actors have to end when the log turns out to be damaged."""
LOG_POLL_S = 10.0
"""Seconds between two looks at the log for lines of logging when nobody tells of a commit: one whose outcome was not
known at first is told of by nobody."""
LOG_LAG_S = 0.5
"""How long the end waits for the last lines of logging."""

_log = logging.getLogger("lrm_actors.mode")


class Running:
    """A system that runs from here until ``close``.

    Args:
        path: of its log, which is made where there is none.
        context: what its log lines carry; names the agent.
        registry: the host's components.
        breakers: gives the breakers' specs, given the names of the streams there are.
        handlers: gives how effects other than the supervisor's are carried out, given the store.
        on_exhausted: called when more handlers hang than may.

    Raises:
        OpenError: the log cannot be owned; see its leaves.
        BadKey, CryptographyMissing: there is a key in ``LRM_LOG_KEY``, and it cannot be used.
    """

    def __init__(
        self,
        path: Path,
        *,
        context: LogContext,
        registry: ComponentRegistry,
        breakers: Callable[[Sequence[str]], Sequence[Spec[Any]]],
        handlers: Callable[[EventStore], Handlers],
        on_exhausted: Callable[[Exhausted], None] | None = None,
    ) -> None:
        from eventstore.opening import open_store

        self.path = path
        self.agent_id = context.agent_id
        self.store: EventStore = open_store(path, key=log_key())
        self._context = context
        self._closing = self._closed = False
        self._socket: OwnerSocket | None = None
        self._counting = threading.Lock()
        self._restarts: Counter[str] = Counter()
        self._counted_to = 0
        self._news = threading.Event()
        """There is more to tell of in the logs, or nothing any more."""
        try:
            opened_at = self.store.head
            self.system = ActorSystem(
                self.store,
                [*SPECS, *breakers([info.name for info in self.store.streams()])],
                wires=WIRES,
                handlers={
                    **supervisor_handlers(
                        registry,
                        self._restart_actor,
                        self._stop_actor,
                    ),
                    **handlers(self.store),
                },
                clock=SystemClock(),
                name=f"lrm-{context.agent_id}",
                on_exhausted=on_exhausted,
            )
            self.commands = Commands(
                {
                    "dump": lambda arguments: dump_command(self, arguments),
                    "trace": RemoteTrace(lambda: self.system).command,
                    "pin_checkpoint": lambda arguments: pin_checkpoint(self.system, arguments),
                    "prune_checkpoints": lambda arguments: prune_checkpoints(self.system, arguments),
                    "settle_effect": lambda arguments: settle_effect(self.system, arguments),
                    "forget_effects": lambda arguments: forget_effects(self.system, arguments),
                    "pin_mode": lambda arguments: pin_command(self.system, arguments),
                    "resend": lambda arguments: self.system.resend(str(arguments.get("letter", ""))),
                }
            )
            """What ``lrm`` may have this process do, besides looking at the log."""
            self._socket = self._serve()  # before the actors start: one that hangs in its recovery can be looked at
            self.system.start()
            self._refuse_damage()
        except BaseException:
            self._serve_no_more()
            self.store.close()
            raise
        self._hook = LogHook(self._context)
        self.store.subscribe(self._heard)
        self._followed = start_thread(lambda: self._tell_of_all(opened_at), name="lrm-logging")

    def _refuse_damage(self) -> None:
        """Raise what no restart can mend: an actor that cannot read its own past would never answer.

        Raises:
            CorruptEvent, CorruptLog, UnknownEventType: the first that an actor met.
        """
        for error in self.system.start_errors().values():
            if isinstance(error, (CorruptEvent, CorruptLog, UnknownEventType)):
                self.system.stop(DAMAGED_STOP_S)
                if isinstance(error, CorruptLog):
                    error.in_file(str(self.path))
                else:
                    error.add_note(f"log: {self.path}")  # it says at which position, but not in which
                raise error

    def _serve(self) -> OwnerSocket | None:
        try:
            return OwnerSocket(self.path, self.commands)
        except (OSError, RuntimeError) as error:  # the agent lives without: its log tells everything but this moment
            _log.warning("'lrm dump' cannot ask this process: %s", error, extra=self._context.extra())
            return None

    def _serve_no_more(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _restart_actor(self, name: str) -> float:
        return self.system.restart_actor(name)

    def _stop_actor(self, name: str, reason: str) -> None:
        self.system.stop_actor(name, reason)

    def restarts(self) -> dict[str, int]:
        """Completed restarts of each child since the log began. Reads on from where it was."""
        with self._counting:
            for record in self.store.read(after=self._counted_to, types=(CHILD_RESTARTED,), removed="skip"):
                self._counted_to = record.position
                self._restarts.update(event.child for event in record.events if hasattr(event, "child"))
            return dict(self._restarts)

    def close(self, deadline_s: float, *, between: Callable[[], object] = lambda: None) -> int:
        """Stop the actors, then let go of the log, all within a deadline. Never raises.

        Args:
            deadline_s: seconds for both.
            between: called when nobody writes any more and the log is still open. It takes its own time, and must not
                raise.

        Returns: the exit code, 0 when everything ended in order.
        """
        clock = self.system.clock
        end_s = clock.monotonic() + deadline_s
        report = self.system.stop(deadline_s * 0.75)
        self._serve_no_more()  # after the actors, whose end may hang, and before another process may own the log
        self._closing = True
        self._news.set()
        with suppress(TimeoutError):
            self._followed.exception(min(LOG_LAG_S, deadline_s / 8))
        self._closed = True
        self._news.set()
        between()
        end_s = max(end_s, clock.monotonic() + deadline_s / 8)
        try:
            start_thread(self.store.close, name="lrm-close").result(max(0.05, end_s - clock.monotonic()))
        except Exception:  # noqa: BLE001 - the process must be able to end, whatever the storage says
            _log.exception("the log could not be closed in order", extra=self._context.extra())
            return EXIT_ABANDONED
        return report.exit_code

    def _tell_of_all(self, after: int) -> None:
        hook = self._hook
        follow(
            self.store,
            (hook,),
            after=after,
            stop=self._told_all,
            poll_s=LOG_POLL_S,
            woken=self._news,
            wants=hook.wants,
            passed=hook.passed,
        )

    def _heard(self, _head: int, types: frozenset[str]) -> None:
        """A commit: wake who tells of it, unless there is nothing in it that anybody would be told."""
        if not types <= SELDOM_TOLD or self._hook.wants() is None:
            self._news.set()

    def _told_all(self) -> bool:
        return self._closed or (self._closing and self._context.position >= self.store.head)
