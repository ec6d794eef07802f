"""How a supervisor is declared: its strategy, its children, and what it does about which error. All of it is data.

The words are those of OTP's ``supervisor`` (strategies, restart types, significant children, ``auto_shutdown``) and of
Akka's deciders (directives by type of error). No value names code: errors are matched by the names of their classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from eventstore.events import float_fields
from eventstore.frozen import frozen
from lrm_actors.domain.children import ACTOR, COMPONENT, RestartPolicy
from lrm_actors.errors import ChildSpecError

ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE = "one_for_one", "one_for_all", "rest_for_one"
STRATEGIES = (ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE)
"""Who is restarted when a child fails: it alone; all of them; it and those that were started after it."""
PERMANENT, TRANSIENT, TEMPORARY = "permanent", "transient", "temporary"
RESTART_TYPES = (PERMANENT, TRANSIENT, TEMPORARY)
"""When a child is restarted: whenever it ends; only when it fails; never."""
RESUME, RESTART, STOP, ESCALATE = "resume", "restart", "stop", "escalate"
DIRECTIVES = (RESUME, RESTART, STOP, ESCALATE)
"""What is done about an error: keep the state and drop the message; restart; stop for good; fail to the parent."""
NEVER, ANY_SIGNIFICANT, ALL_SIGNIFICANT = "never", "any_significant", "all_significant"
AUTO_SHUTDOWNS = (NEVER, ANY_SIGNIFICANT, ALL_SIGNIFICANT)
"""When the end of significant children ends their supervisor."""
GIVE_UP = "give_up"
EXCESSES = (ESCALATE, GIVE_UP)
"""What too many restarts lead to: the supervisor fails to its parent, or the one child is given up."""

MAX_CHILDREN = 1_000
"""Children that one supervisor may declare."""
MAX_RULES = 100
"""Rules that one decider may have."""
MAX_DEADLINE_S = 3600.0
"""Seconds that a child may be given to end."""
MAX_INTENSITY = 1_000_000
MAX_SECONDS = 86_400.0 * 366
"""Longest of any other time in a policy."""


@frozen(field_transformer=float_fields)
class ChildSpec:
    """One child of a supervisor."""

    id: str
    """``actor:<name>``, a supervisor among them, or ``component:<name>``."""
    restart: str = PERMANENT
    """``permanent``, ``transient`` or ``temporary``."""
    deadline_s: float = 5.0
    """Seconds it has to end when it is stopped, more than 0; then it is left behind."""
    significant: bool = False
    """Its end counts for ``auto_shutdown``. Not for a permanent child, which never ends by itself."""
    policy: RestartPolicy | None = None
    """Its own backoff, and where children are given up its own intensity; None: the supervisor's."""


@frozen
class Rule:
    """One line of a decider."""

    error: str
    """Pattern of a class name (``KeyError``, ``*Timeout*``) that the error's class or one of its bases has."""
    directive: str
    """``resume``, ``restart``, ``stop`` or ``escalate``."""


@frozen
class Supervision:
    """What a supervisor is told to do."""

    strategy: str = ONE_FOR_ONE
    children: tuple[ChildSpec, ...] = ()
    """In the order in which they are started."""
    rules: tuple[Rule, ...] = ()
    """The first that matches decides."""
    otherwise: str = RESTART
    """The directive for an error that no rule matches."""
    auto_shutdown: str = NEVER
    excess: str = ESCALATE
    """``escalate``: restarts of all its actors are counted together, and too many fail the supervisor. ``give_up``:
    they are counted for each child, and too many cost that child. Components of the host are always counted so."""


AS_BEFORE = Supervision(excess=GIVE_UP)
"""What a supervisor does that nothing was declared for."""


def directive(supervision: Supervision, names: Iterable[str]) -> str:
    """What is done about an error.

    Args:
        supervision: whose rules hold.
        names: names of the error's class and of its bases, the class first.
    """
    known = tuple(names)
    matching = (rule for rule in supervision.rules if any(fnmatchcase(name, rule.error) for name in known))
    first = next(matching, None)
    return supervision.otherwise if first is None else first.directive


def check_supervision(name: str, supervision: Supervision, policy: RestartPolicy) -> None:
    """See that everything in it can be done, before anything is started.

    Raises:
        ChildSpecError: something cannot; names the child, the field, the value and what is allowed.
    """
    for child, field, value, allowed in _problems(name, supervision, policy):
        raise ChildSpecError(child, field, value, allowed, supervisor=name)


def check_child(supervisor: str, spec: ChildSpec, supervision: Supervision) -> None:
    """See that one more child can be had.

    Raises:
        ChildSpecError: it cannot.
    """
    for field, value, allowed in _child_problems(spec, supervision):
        raise ChildSpecError(spec.id, field, value, allowed, supervisor=supervisor)


_Problem = tuple[str, object, str]


def _problems(name: str, supervision: Supervision, policy: RestartPolicy) -> Iterator[tuple[str, str, object, str]]:
    for field, allowed in (
        ("strategy", STRATEGIES),
        ("otherwise", DIRECTIVES),
        ("auto_shutdown", AUTO_SHUTDOWNS),
        ("excess", EXCESSES),
    ):
        value = getattr(supervision, field)
        if value not in allowed:
            yield "", field, value, f"one of {', '.join(allowed)}"
    for field, kind in (("children", ChildSpec), ("rules", Rule)):
        given: Any = getattr(supervision, field)
        if not isinstance(given, tuple) or not all(isinstance(one, kind) for one in given):
            yield "", field, given, f"a tuple of {kind.__name__}s"
    if len(supervision.children) > MAX_CHILDREN:
        yield "", "children", len(supervision.children), f"at most {MAX_CHILDREN} children"
    if len(supervision.rules) > MAX_RULES:
        yield "", "rules", len(supervision.rules), f"at most {MAX_RULES} rules"
    for rule in supervision.rules:
        pattern: Any = rule.error
        if not isinstance(pattern, str) or not pattern:
            yield "", "rules", pattern, "patterns of class names, as text that is not empty"
        if rule.directive not in DIRECTIVES:
            yield "", "rules", rule.directive, f"one of {', '.join(DIRECTIVES)}"
    for field, value, text in _policy_problems(policy):
        yield "", field, value, text
    seen: set[str] = set()
    for child in supervision.children:
        for field, value, text in _child_problems(child, supervision):
            yield child.id, field, value, text
        if child.id in seen:
            yield child.id, "id", child.id, "the id of one child only"
        if child.id == f"{ACTOR}:{name}":
            yield child.id, "id", child.id, "another actor than the supervisor itself"
        seen.add(child.id)


def _child_problems(child: ChildSpec, supervision: Supervision) -> Iterator[_Problem]:
    kind, _, name = child.id.partition(":")
    if kind not in {ACTOR, COMPONENT} or not name:
        yield "id", child.id, f"'{ACTOR}:<name>' or '{COMPONENT}:<name>'"
    if child.restart not in RESTART_TYPES:
        yield "restart", child.restart, f"one of {', '.join(RESTART_TYPES)}"
    if not _within(child.deadline_s, 0.0, MAX_DEADLINE_S) or child.deadline_s <= 0:
        yield "deadline_s", child.deadline_s, f"more than 0 and at most {MAX_DEADLINE_S:g} seconds"
    if child.significant and child.restart == PERMANENT:
        yield "significant", child.significant, "False for a permanent child, which never ends by itself"
    if child.significant and supervision.auto_shutdown == NEVER:
        yield "significant", child.significant, f"False where auto_shutdown is {NEVER}"
    if child.policy is not None:
        yield from _policy_problems(child.policy)


def _policy_problems(policy: RestartPolicy) -> Iterator[_Problem]:
    for field in ("backoff_initial_s", "backoff_max_s", "reset_after_s"):
        value = getattr(policy, field)
        if not _within(value, 0.0, MAX_SECONDS):
            yield field, value, f"0 to {MAX_SECONDS:g} seconds"
    if not _within(policy.period_s, 0.0, MAX_SECONDS) or policy.period_s <= 0:
        yield "period_s", policy.period_s, f"more than 0 and at most {MAX_SECONDS:g} seconds"
    if not _within(policy.jitter, 0.0, 1.0):
        yield "jitter", policy.jitter, "0 to 1"
    for field in ("intensity", "reset_after_handled"):
        value = getattr(policy, field)
        if type(value) is not int or not 0 <= value <= MAX_INTENSITY:
            yield field, value, f"a whole number from 0 to {MAX_INTENSITY}"


def _within(value: object, least: float, most: float) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and least <= value <= most
    )
