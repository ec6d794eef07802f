"""The root of the tree, which needs no log to decide.

It brings the storage back, restarts the supervisor, and hands every other failure to the supervisor, whose decisions
are events.

Talks to the store, to the shells' control lanes and to the supervisor's mailbox. It is a plain actor: its mailbox
serialises what the threads of all shells report.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any, Protocol

import attrs

from eventstore.errors import Fenced, is_full
from eventstore.frozen import frozen
from eventstore.protocol import EventStore
from lrm_actors.domain.supervisor import ReportEnd, ReportFailure
from lrm_actors.errors import LrmError
from lrm_actors.runtime.actor import Actor, describe
from lrm_actors.runtime.clock import Clock
from lrm_actors.runtime.control import FAILED, StorageBack
from lrm_actors.runtime.root_restarts import RootRestarts

logger = logging.getLogger(__name__)

SETTLE_FIRST_S, SETTLE_MAX_S = 0.05, 1.0
"""Backoff of the attempts to bring the storage back."""
SETTLE_CALM_S = 10.0
"""Seconds without a storage failure after which that backoff begins anew."""
RESPAWN_AGAIN_S = 1.0
"""Seconds until a thread is asked for again, when the machine had none to give."""
LOOK_AGAIN_S = 2.0
"""Seconds until an actor that failed is reported again, if it was not restarted."""
ON_A_MESSAGE = frozenset(("told", "asked", "wired"))
"""Kinds of failures after which the state is as it was. Not after an append, whose outcome is unknown; not in start-up,
which has made no state yet; and not after an effect, which a recovery begins again, and it would fail again at once."""
PROBE = "guardian"
"""The stream whose epoch is bumped to see whether the log can be written."""


class Tree(Protocol):
    """What the guardian may do to the actors of its system."""

    store: EventStore
    clock: Clock

    def command(self, name: str, control: Any) -> None:
        """Put something on an actor's control lane."""

    def supervisor_of(self, name: str) -> str | None:
        """Who decides on an actor's failures; None: the guardian itself."""

    def handled_since_restart(self, name: str) -> int:
        """Messages that an actor handled since it was started or restarted."""

    def report(self, report: ReportFailure | ReportEnd) -> None:
        """Tell the supervisor.

        Raises:
            LrmError: it cannot be told.
        """

    def respawn(self, name: str) -> None:
        """Give a mailbox whose thread died a new shell, which waits to be restarted."""

    def shells(self) -> tuple[str, ...]:
        """Names of all actors."""

    def phase(self, name: str) -> str:
        """What an actor is doing."""

    def store_letters(self) -> None:
        """Store the dead letters that waited for the log, on some other thread."""

    def room_made(self, reason: str) -> None:
        """The disk is full, and what was held back for that is used now: something has to go."""

    def give_up(self, reason: str) -> None:
        """Close every mailbox: the log belongs to another process now."""


@frozen
class _Failed:
    name: str
    kind: str
    error: BaseException
    handling: str


@frozen
class _StorageLost:
    name: str
    error: BaseException


@frozen
class _TrySettling:
    """Time to look whether the log can be written again."""


@frozen
class _LookAgain:
    """Time to see whether every actor that failed has been restarted."""


@frozen
class _Fenced:
    name: str
    error: BaseException


@frozen
class _Ended:
    name: str
    reason: str


@frozen
class _ThreadEnded:
    name: str
    death: BaseException


class Guardian(Actor):
    """Receives every death and every storage failure of one system."""

    def __init__(self, tree: Tree, restarts: RootRestarts) -> None:
        super().__init__()
        self._tree = tree
        self._restarts = restarts
        self._settling = False
        self._settle_attempt = 0
        self._settled_at_s = -math.inf
        self._room_made = ""
        """Why the log had to give up what it held back; empty when it did not."""
        self._lost: set[str] = set()
        self._failed: dict[str, ReportFailure] = {}
        self._looking = False

    def on_receive(self, message: Any) -> None:
        """Deal with one report."""
        match message:
            case _Failed():
                self._on_failed(message)
            case _StorageLost(name=name, error=error):
                self._on_storage_lost(name, error)
            case _LookAgain():
                self._look_again()
            case _TrySettling():
                self._try_settling()
            case _ThreadEnded():
                self._on_thread_ended(message)
            case _Fenced(name=name, error=error):
                self._on_fenced(name, error)
            case _Ended(name=name, reason=reason):
                logger.info("%s has stopped itself: %s", name, reason)
                self._on_ended(name)

    def _on_failed(self, failed: _Failed) -> None:
        error, text = describe(failed.error)
        if self._tree.supervisor_of(failed.name) is None:
            self._restarts.restart(failed.name)
            return
        failure = ReportFailure(
            f"actor:{failed.name}",
            error,
            text,
            failed.handling,
            kinds=tuple(base.__name__ for base in type(failed.error).__mro__[1:-1]),
            handled=self._tree.handled_since_restart(failed.name),
            resumable=failed.kind in ON_A_MESSAGE,
        )
        self._failed[failed.name] = failure
        self._report(failed.name, failure)
        if not self._looking:
            self._looking = True
            self._later(LOOK_AGAIN_S, _LookAgain())

    def _on_ended(self, name: str) -> None:
        """A permanent child is restarted all the same; its supervisor says so."""
        if self._tree.supervisor_of(name) is None:
            return
        try:
            self._tree.report(ReportEnd(f"actor:{name}", self._tree.handled_since_restart(name)))
        except LrmError as error:  # the system may just be stopping
            logger.warning("the supervisor cannot be told that %s is done: %s", name, error)

    def _on_thread_ended(self, ended: _ThreadEnded) -> None:
        try:
            self._tree.respawn(ended.name)
        except (RuntimeError, MemoryError) as error:  # no thread to be had just now
            logger.warning("%s cannot have a new thread yet: %s", ended.name, error)
            self._later(RESPAWN_AGAIN_S, ended)
            return
        self._on_failed(_Failed(ended.name, "thread", ended.death, "loop"))

    def _report(self, name: str, failure: ReportFailure) -> None:
        try:
            self._tree.report(failure)
        except LrmError:
            logger.exception("the supervisor cannot be told that %s failed", name)
            self._restarts.restart(name)

    def _look_again(self) -> None:
        """Report again who still waits: the supervisor forgets what was reported before its process was announced."""
        self._failed = {name: told for name, told in self._failed.items() if self._tree.phase(name) == FAILED}
        for name, failure in self._failed.items():
            self._report(name, attrs.evolve(failure, again=True))
        self._looking = bool(self._failed)
        if self._looking:
            self._later(LOOK_AGAIN_S, _LookAgain())

    def _on_storage_lost(self, name: str, error: BaseException) -> None:
        self._lost.add(name)
        if self._settling:
            return
        self._settling = True
        logger.error("the log cannot be used: %s", error)
        # A probe may succeed where the next append fails again (a nearly full disk), so the backoff goes on from there.
        if self._tree.clock.monotonic() - self._settled_at_s > SETTLE_CALM_S:
            self._settle_attempt = 0
            self._try_settling()
        else:
            self._try_settling_later()

    def _try_settling(self) -> None:
        try:
            self._tree.store.settle()
            self._tree.store.acquire(PROBE)  # a real write: a definite failure leaves nothing to settle
            self._tree.store.version(PROBE)  # and a real read: out of file descriptors, only the writer still works
        except Fenced:
            logger.exception("this process does not own the log any more")
            self._tree.give_up("the log has a newer owner")
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody else tries again
            logger.debug("the log still cannot be used: %s", error)
            if is_full(error):
                self._make_room(getattr(error, "reason", str(error)))
            self._try_settling_later()
            return
        self._settling = False
        self._settled_at_s = self._tree.clock.monotonic()
        logger.warning("the log can be used again; waiting for it: %s", ", ".join(sorted(self._lost)))
        self._lost.clear()
        for name in self._tree.shells():
            self._tree.command(name, StorageBack())
        self._tree.store_letters()
        if self._room_made:
            self._tree.room_made(self._room_made)
            self._room_made = ""

    def _make_room(self, reason: str) -> None:
        """Have the log give up what it holds back for a full disk, if it does."""
        make_room = getattr(self._tree.store, "make_room", None)  # not every store keeps its events on a disk
        try:
            if make_room is not None and make_room():
                logger.warning("the disk is full: the space that was held back for that is used now")
                self._room_made = reason
        except Exception as error:  # noqa: BLE001 - it stays as full as it was
            logger.debug("no room could be made: %s", error)

    def _try_settling_later(self) -> None:
        delay_s = min(SETTLE_MAX_S, SETTLE_FIRST_S * 2 ** min(self._settle_attempt, 16))
        self._settle_attempt += 1
        self._later(delay_s, _TrySettling())

    def _on_fenced(self, name: str, error: BaseException) -> None:
        # It has ended itself. It is never restarted: a zombie brought back would fight its successor.
        logger.error("%s is fenced and stays down: %s", name, error)

    def _later(self, delay_s: float, message: Any) -> None:
        self._tree.clock.call_later(delay_s, lambda: self.actor_ref.tell(message))


class GuardianFunnel:
    """What the shells see of the guardian: reports that return at once and never raise.

    Args:
        tell: tells the guardian.
        supervisor_of: who decides on an actor's failures; None: nobody, it is restarted.
        restarts: restarts those.
    """

    def __init__(
        self, tell: Callable[[Any], None], supervisor_of: Callable[[str], str | None], restarts: RootRestarts
    ) -> None:
        self._tell_guardian = tell
        self._supervisor_of = supervisor_of
        self._restarts = restarts

    def actor_failed(self, name: str, kind: str, error: BaseException, handling: str) -> None:
        """See ``Funnel``."""
        if self._supervisor_of(name) is not None:
            self._tell(_Failed(name, kind, error, handling))
            return
        try:
            self._restarts.restart(name)
        except Exception:
            logger.exception("%s cannot be restarted", name)

    def storage_failed(self, name: str, error: BaseException) -> None:
        """See ``Funnel``."""
        self._tell(_StorageLost(name, error))

    def fenced(self, name: str, error: BaseException) -> None:
        """See ``Funnel``."""
        self._tell(_Fenced(name, error))

    def ended_normally(self, name: str, reason: str) -> None:
        """See ``Funnel``."""
        self._tell(_Ended(name, reason))

    def thread_ended(self, name: str, death: BaseException | None) -> None:
        """See ``Funnel``."""
        if death is not None:
            self._tell(_ThreadEnded(name, death))

    def _tell(self, report: Any) -> None:
        try:
            self._tell_guardian(report)
        except Exception:
            logger.exception("the guardian cannot be reached: %r is lost", report)
