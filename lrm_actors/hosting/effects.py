"""Effects of a step: what it does outside, on record before and after, and given from the record when it is repeated.

Talks to the journal actor. As with the steps, what happens is written once, as a generator that yields what it waits
for: a command for the journal, or a function of the host to be called. The two drivers only differ in how they wait.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import uuid
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from types import FunctionType, MethodType
from typing import Any, Final

from msgspec import Struct

from eventstore.codec import encode_value
from eventstore.errors import EventRefused
from lrm_actors.actors.analyzer import text_of
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.journal import DoubtEffect, FailEffect, FinishEffect, IntendEffect, JournalState, SettleEffect
from lrm_actors.domain.journaling.book import (
    DONE,
    FAILED,
    FINISHED,
    NOT_HAPPENED,
    SKIPPED,
    UNFINISHED,
    Recorded,
    key_of,
)
from lrm_actors.domain.journaling.effects import idempotency_key
from lrm_actors.effects import UNKNOWN, Found, Happened, Policy, Probe, Retry, Skip, policy_of
from lrm_actors.errors import (
    AskError,
    EffectInDoubt,
    JournalMismatch,
    LrmError,
    ResultNotKept,
    SettingsError,
    StepOrder,
)
from lrm_actors.hosting.host import MAX_LEVELS, check_function, check_name, check_storable
from lrm_actors.hosting.offload import beside
from lrm_actors.hosting.stepping import JOURNAL, Asking, Step, Stepping, current_step
from lrm_actors.hosting.stories import awaited, waited_for

RETRY: Final = Retry()
PLAIN = frozenset((str, int, float, bool, dict, list, type(None)))
"""Types of results that are usual, and cannot be awaited."""
SMALL, CHARACTERS = 2_000, 500
"""Values, or so many characters of their texts each, that take a fraction of a millisecond to look through."""
NOT_CALLED = "its function was not called after all"
NOT_CALLED_AGAIN = "it was in doubt before, and its function was not called again after all"
NO_ANSWER = frozenset(
    ("ReadError", "RemoteProtocolError", "ServerDisconnectedError", "IncompleteRead", "ChunkedEncodingError")
)
"""Classes of HTTP clients for a connection that broke before there was an answer."""


class Call(Struct, frozen=True):
    """A function of the host that is to be called, plain or async."""

    function: Callable[..., Any]
    arguments: tuple[str, ...]


class Effects:
    """Carries out the effects of one mode's steps.

    Args:
        asking: reaches the journal.
        stepping: of the same mode; knows whose steps are its own.
    """

    def __init__(self, asking: Asking, stepping: Stepping) -> None:
        self._asking = asking
        self._stepping = stepping
        self._unlogged_id = uuid.uuid4().hex
        """In place of the journal's own while nothing is kept: each process then has its own keys."""

    def story(
        self, name: str, function: Callable[..., Any], policy: Any = RETRY, given: Any = None
    ) -> Generator[Command | Call, Any, Any]:
        """One effect, from the question whether it is on record to its result."""
        name = check_name("name", name)
        check_function("function", function)
        chosen = RETRY if policy is RETRY else policy_of(policy)
        digest = ""
        if given is not None:
            digest = digest_of(given) if is_small(given) else (yield Call(lambda: digest_of(given), ()))
        step = current_step(self._stepping)
        if step is None:
            about = f"effect {name!r} is outside of any step"
            raise StepOrder(about, actor=JOURNAL, hint="put it inside 'async with mode.step(...)'")
        effect = _One(self, step, name, chosen, digest)
        try:
            return (yield from effect.story(function))
        finally:
            step.effects.leave(name)

    async def carry_out(self, name: str, function: Callable[..., Any], policy: Any, given: Any) -> Any:
        """The story of an effect, for a host with an event loop."""
        return await awaited(self.story(name, function, policy, given), self._answer)

    async def _answer(self, wanted: Command | Call) -> Any:
        if isinstance(wanted, Call):
            return await _called(wanted)
        return await self._asking.ask(JOURNAL, wanted, timeout_s=self._stepping.timeout_s)

    def carry_out_blocking(self, name: str, function: Callable[..., Any], policy: Any, given: Any) -> Any:
        """The same, waited for on this thread."""
        return waited_for(self.story(name, function, policy, given), self._answer_blocking)

    def _answer_blocking(self, wanted: Command | Call) -> Any:
        if not isinstance(wanted, Call):
            return self._asking.ask_blocking(JOURNAL, wanted, timeout_s=self._stepping.timeout_s)
        outcome = wanted.function(*wanted.arguments)
        if type(outcome) not in PLAIN and inspect.isawaitable(outcome):
            return self._stepping.run_async(outcome)
        return outcome

    def state(self) -> JournalState:
        """The journal's, with everything in it that was answered."""
        state: JournalState = self._asking.state(JOURNAL)
        return state

    def key(self, step: Step, name: str, occurrence: int) -> str:
        """The idempotency key of an effect."""
        return idempotency_key(self.state().journal_id or self._unlogged_id, step.keyed, step.name, name, occurrence)

    def note(self, command: Command) -> None:
        """Put something on record without waiting for it: whoever would wait is being cancelled, or has failed."""
        with suppress(LrmError):  # then it has no end on record, and is in doubt: which is the truth
            self._asking.note(JOURNAL, command)


class _One:
    """One effect of a step on its way."""

    def __init__(self, effects: Effects, step: Step, name: str, policy: Policy, digest: str) -> None:
        self.effects = effects
        self.step = step
        self.name = name
        self.occurrence = step.effects.enter(name)
        self.policy = policy
        self.digest = digest
        self.attempt = 1
        self.settled = "retried"
        self.doubted = False
        """It is in doubt, and is done again without anybody knowing what came of it."""

    @property
    def id(self) -> str:
        return f"{self.step.number}/{key_of(self.name, self.occurrence)}"

    def story(self, function: Callable[..., Any]) -> Generator[Command | Call, Any, Any]:
        key = key_of(self.name, self.occurrence)
        again = self.step.attempt > 1 and not self.step.effects.is_forgotten(key)  # else none can be on record
        recorded = self.effects.state().effects.get(key) if again else None
        if recorded is not None:
            self.step.effects.asked.add(key)
            self._check_given(recorded)
            if recorded.status in FINISHED:
                return self._kept(recorded)
            self.attempt = recorded.attempt + 1
            if recorded.status not in {FAILED, NOT_HAPPENED} or isinstance(self.policy, Probe):
                known = yield from self._find_out(recorded)
                if known is not None:
                    return known.result
                self.doubted = recorded.status in UNFINISHED and self.settled != "probed"
        call = self._call(function)
        yield from self._intend()
        return (yield from self._do(call))

    def _check_given(self, recorded: Recorded) -> None:
        if self.digest and recorded.given and self.digest != recorded.given:
            about = f"effect {self.id} is on record with something else given for it than now"
            raise JournalMismatch(about, self.step.number, (self.id,))

    def _kept(self, recorded: Recorded) -> Any:
        if recorded.error:
            raise ResultNotKept(self.id, recorded.error)
        return recorded.result

    def _find_out(self, recorded: Recorded) -> Generator[Command | Call, Any, Happened | None]:
        """Go by the policy: what it came to, or None for one that is to be done (again)."""
        policy = self.policy
        if isinstance(policy, Probe):
            found = yield self._call(policy.look)
            if isinstance(found, Happened):
                yield from self._doubt(recorded)
                yield from self._settle(DONE, "probed", found.result)
                return found
            if found is Found.NOT_HAPPENED:
                self.settled = "probed"
                return None
            if found is not UNKNOWN:
                raise SettingsError("probe", found, "Happened(result), NOT_HAPPENED or UNKNOWN")
            if recorded.status == NOT_HAPPENED:  # somebody said so
                return None
            policy = policy.otherwise
            if not isinstance(policy, Retry):
                yield from self._doubt(recorded)
        if isinstance(policy, Retry):
            return None
        if isinstance(policy, Skip):
            yield from self._settle(SKIPPED, "skipped", policy.result)
            return Happened(policy.result)
        # It may be another step by the time that somebody has looked into it: its name stays
        effect = f"{self.step.name}/{key_of(self.name, self.occurrence)}" if self.step.by_name else self.id
        raise EffectInDoubt(
            effect, recorded.attempt, recorded.error, self.effects.key(self.step, self.name, self.occurrence)
        )

    def _doubt(self, recorded: Recorded) -> Generator[Command | Call, Any, None]:
        """One that failed may have happened all the same, as its probe says."""
        if recorded.status in {FAILED, NOT_HAPPENED}:
            yield DoubtEffect(
                self.step.number, self.name, self.occurrence, recorded.attempt, recorded.error, self.step.name
            )

    def _settle(self, outcome: str, how: str, result: Any) -> Generator[Command | Call, Any, None]:
        check_storable("journal.effect_settled", "result", result)
        yield SettleEffect(self.id, outcome, result, how)

    def _intend(self) -> Generator[Command | Call, Any, None]:
        """Have it on record that the function is about to be called."""
        progress = self.step.effects
        forget = progress.take_forget()
        policy = self.policy.name
        try:
            which = (self.step.number, self.name, self.occurrence)
            yield IntendEffect(*which, policy, self.digest, self.settled, forget, self.step.name)
        except BaseException:
            progress.forget = progress.forget or forget
            where = (self.step.number, self.name, self.occurrence, self.attempt)
            doubted = self.doubted
            of = self.step.name
            self.effects.note(
                DoubtEffect(*where, NOT_CALLED_AGAIN, of) if doubted else FailEffect(*where, NOT_CALLED, of)
            )
            raise
        progress.remember(key_of(self.name, self.occurrence))

    def _do(self, call: Call) -> Generator[Command | Call, Any, Any]:
        """Call the function, and have on record what came of it."""
        where, of = (self.step.number, self.name, self.occurrence, self.attempt), self.step.name
        try:
            result = yield call
        except Exception as error:
            said = f"{type(error).__name__}: {text_of(error)}"
            with suppress(AskError):  # without an end on record it is in doubt
                yield DoubtEffect(*where, said, of) if is_no_answer(error) else FailEffect(*where, said, of)
            raise
        except BaseException as error:
            self.effects.note(DoubtEffect(*where, f"{type(error).__name__} while its function ran", of))
            raise
        yield from self._finish(result)
        return result

    def _finish(self, result: Any) -> Generator[Command | Call, Any, None]:
        lost, refused = "", None
        try:
            if is_small(result):
                encode_value(result, what="journal.effect_done", field="result", levels=MAX_LEVELS)
            else:
                yield Call(lambda: check_storable("journal.effect_done", "result", result), ())
        except EventRefused as error:
            refused, lost, result = error, error.reason, None
        end = FinishEffect(self.step.number, self.name, self.occurrence, self.attempt, result, lost, self.step.name)
        try:
            yield end
        except BaseException as error:
            self.effects.note(end)  # told twice, it counts once
            error.add_note(f"effect {self.id} has happened, and that may not be on record")
            raise
        if refused is not None:
            raise ResultNotKept(self.id, lost) from refused

    def _call(self, function: Callable[..., Any]) -> Call:
        if not wants_key(function):
            return Call(function, ())
        return Call(function, (self.effects.key(self.step, self.name, self.occurrence),))


def is_small(value: Any) -> bool:
    """Whether a value is looked through in so little time that an event loop may be held for it."""
    left, waiting = SMALL, [value]
    while waiting:
        one = waiting.pop()
        left -= 1
        if isinstance(one, str):
            left -= len(one) // CHARACTERS
        elif isinstance(one, dict | list | tuple):
            if len(one) >= left:
                return False
            waiting.extend(one.values() if isinstance(one, dict) else one)
        if left <= 0:
            return False
    return True


def digest_of(given: Any) -> str:
    """A short text that differs where JSON values differ.

    Raises:
        EventRefused: it is no JSON value.
    """
    return hashlib.blake2b(_canonical(given), digest_size=12).hexdigest()


def _canonical(value: Any) -> bytes:
    import msgspec

    encode_value(value, what="journal.effect_intended", field="given")
    return msgspec.json.encode(value, order="sorted")


def wants_key(function: Callable[..., Any]) -> bool:
    """Whether a function has one argument that must be given: it is handed the idempotency key.

    Raises:
        SettingsError: it has several, or one that can only be given by its name.
    """
    plain = function.__func__ if isinstance(function, MethodType) else function
    if isinstance(plain, FunctionType) and not plain.__code__.co_kwonlyargcount and not _passes_on(plain):
        defaults = plain.__defaults__
        wanted = plain.__code__.co_argcount - (len(defaults) if defaults else 0) - (plain is not function)
    else:
        wanted = _wanted_by_signature(function, follow_wrapped=_passes_on(plain))
    if wanted > 1:
        raise SettingsError("function", function, "a function that needs no argument, or one: the idempotency key")
    return wanted == 1


def _passes_on(function: object) -> bool:
    """Whether it is what a decorator made of another: it takes what that one takes."""
    passes_on = isinstance(function, FunctionType) and function.__code__.co_flags & inspect.CO_VARARGS
    return bool(passes_on) and hasattr(function, "__wrapped__")


def _wanted_by_signature(function: Callable[..., Any], *, follow_wrapped: bool) -> int:
    try:
        parameters = inspect.signature(function, follow_wrapped=follow_wrapped).parameters.values()
    except (TypeError, ValueError):  # of a built-in function without one
        return 0
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [one.kind for one in parameters if one.default is inspect.Parameter.empty]
    if inspect.Parameter.KEYWORD_ONLY in needed:
        raise SettingsError("function", function, "a function that needs no argument by its name")
    return sum(kind in positional for kind in needed)


def is_no_answer(error: BaseException) -> bool:
    """Whether an error leaves it open what came of a call: it was not waited for, or the connection broke."""
    if isinstance(error, ConnectionError) and not isinstance(error, ConnectionRefusedError):
        return True
    return any("timeout" in cls.__name__.lower() or cls.__name__ in NO_ANSWER for cls in type(error).__mro__)


async def _called(call: Call) -> Any:
    function, arguments = call.function, call.arguments
    if inspect.iscoroutinefunction(function):
        return await function(*arguments)
    outcome = beside(lambda: function(*arguments))
    try:
        result = await asyncio.wrap_future(outcome)
    except asyncio.CancelledError:
        outcome.add_done_callback(_close_unawaited)
        raise
    return await result if type(result) not in PLAIN and inspect.isawaitable(result) else result


def _close_unawaited(outcome: Future[Any]) -> None:
    """A plain function gave a coroutine, and whoever would have awaited it was cancelled meanwhile."""
    result = None if outcome.exception() is not None else outcome.result()
    if inspect.iscoroutine(result):
        result.close()
