"""Rules that say what kind of failure it is: rows of names, codes and words. The first that fits decides.

Talks to nobody. All but the words of the message is looked up in a bounded memory of what was seen before, which is
what makes judging a failure cheap enough to do for each one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import attrs

from eventstore.frozen import frozen
from lrm_actors.domain import categories as kinds
from lrm_actors.domain.facts import FailureFacts
from lrm_actors.errors import SettingsError

MAX_RULES = 1000
"""Rules of a table."""
MAX_PATTERNS = 200
"""Patterns of one field of a rule."""
MAX_PATTERN = 200
"""Characters of a pattern."""
MAX_KNOWN = 1024
"""Combinations of names and codes that a table remembers its answer for."""
WRAPPERS = frozenset(("browser_use.ModelProviderError", "browser_use.ModelRateLimitError"))
"""Errors that only pass on what caused them."""
GROUPS = frozenset(("ExceptionGroup", "BaseExceptionGroup"))
"""Errors that stand for others."""


def _texts(value: Iterable[str] | str) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)


def _numbers(value: Iterable[int] | int) -> frozenset[int]:
    numbers = tuple(value) if isinstance(value, Iterable) else (value,)
    try:
        return frozenset(numbers)
    except TypeError:
        raise SettingsError("statuses or exit_statuses", value, "whole numbers") from None


@frozen(kw_only=True)
class Rule:
    """One row: a failure that fits every field that is given is of this category.

    A field fits if one of its values does. Texts of ``names``, ``raised``, ``codes`` and ``components`` may have ``*``
    and ``?`` in them.

    Raises:
        SettingsError: the category does not exist, a value has the wrong type, or nothing is asked for.
    """

    category: str
    names: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """Classes along the error's chain of causes and their bases: ``RateLimitError``, or with the top package,
    ``openai.RateLimitError``."""
    raised: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """The same, of the error itself and its bases, without what caused it."""
    statuses: frozenset[int] = attrs.field(default=frozenset(), converter=_numbers)
    """HTTP statuses; ``range(500, 600)`` will do."""
    codes: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """Error codes and types that a service gave, in lower case."""
    os_errors: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """``ENOSPC`` …"""
    exit_statuses: frozenset[int] = attrs.field(default=frozenset(), converter=_numbers)
    """Of a child process; negative: ended by that signal."""
    says: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """Parts of the message, in lower case. No pattern: each is looked for as it is."""
    components: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """What of the host failed, in lower case."""
    observations: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """``heartbeat_missed``, ``component_exited``, ``cpu_overload`` or ``breaker_opened``."""

    def __attrs_post_init__(self) -> None:
        """Refuse what could never fit, or not what was meant."""
        if self.category not in kinds.CATEGORIES:
            raise SettingsError("category", self.category, f"one of {', '.join(kinds.CATEGORIES)}")
        asked = False
        for field in ("names", "raised", "codes", "os_errors", "says", "components", "observations"):
            values: tuple[object, ...] = getattr(self, field)
            asked = asked or bool(values)
            if len(values) > MAX_PATTERNS:
                raise SettingsError(field, len(values), f"at most {MAX_PATTERNS} texts")
            for value in values:
                if not isinstance(value, str) or not 0 < len(value) <= MAX_PATTERN:
                    raise SettingsError(field, value, f"texts of 1 to {MAX_PATTERN} characters")
                if field in {"codes", "says", "components"} and value != value.lower():
                    raise SettingsError(field, value, "lower case, as what it is compared with")
        for field in ("statuses", "exit_statuses"):
            numbers: frozenset[object] = getattr(self, field)
            asked = asked or bool(numbers)
            if any(not isinstance(number, int) or isinstance(number, bool) for number in numbers):
                raise SettingsError(field, sorted(numbers, key=str), "whole numbers")
        if not asked:
            raise SettingsError("names", (), "at least one thing that the failure has to have")

    def fits_but_for_words(self, facts: FailureFacts) -> bool:
        """Whether everything fits that is asked of a failure besides its message."""
        if self.statuses and facts.status_code not in self.statuses:
            return False
        if self.exit_statuses and facts.exit_status not in self.exit_statuses:
            return False
        if self.os_errors and facts.os_error not in self.os_errors:
            return False
        if self.observations and facts.observation not in self.observations:
            return False
        if self.codes and not _any_fits((facts.error_code.lower(),), self.codes):
            return False
        if self.components and not _any_fits((facts.component.lower(),), self.components):
            return False
        if self.names and not _any_fits(_both_forms(facts.class_names), self.names):
            return False
        return not self.raised or _any_fits(_both_forms(_of_the_error_itself(facts.class_names)), self.raised)


class RuleTable:
    """Rules in the order in which they are tried. Safe to use from several threads.

    Args:
        rules: the first that fits decides.

    Raises:
        SettingsError: something else than a rule, or more than a thousand.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        if not isinstance(rules, Iterable):
            raise SettingsError("rules", rules, "rules, in a list")
        self.rules: Sequence[Rule] = tuple(rules)
        if len(self.rules) > MAX_RULES:
            raise SettingsError("rules", len(self.rules), f"at most {MAX_RULES} rules")
        for rule in self.rules:
            if not isinstance(rule, Rule):
                raise SettingsError("rules", rule, "rules only")
        self._known: dict[object, tuple[tuple[str, tuple[str, ...]], ...]] = {}

    def category(self, facts: FailureFacts) -> str | None:
        """The category that the first fitting rule gives; None if none fits."""
        key = (facts.class_names, facts.status_code, facts.error_code, facts.os_error, facts.exit_status,
               facts.observation, facts.component)  # fmt: skip
        candidates = self._known.get(key)
        if candidates is None:
            candidates = self._candidates(facts)
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[key] = candidates
        words = facts.message.lower()
        for category, says in candidates:
            if not says:
                return category
            for text in says:
                if text in words:
                    return category
        return None

    def _candidates(self, facts: FailureFacts) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """What is left to be decided by the message: its rules, up to the first that does not ask for it."""
        found: list[tuple[str, tuple[str, ...]]] = []
        for rule in self.rules:
            if rule.fits_but_for_words(facts):
                found.append((rule.category, rule.says))
                if not rule.says:
                    break
        return tuple(found)


def _both_forms(class_names: Iterable[str]) -> list[str]:
    """``openai.RateLimitError`` as that and as ``RateLimitError``; what stands alone, once."""
    return [form for name in class_names for form in {name, name.rpartition(".")[2]}]


def _of_the_error_itself(class_names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the outermost error that is more than a wrapper."""
    first, rest = _cut(class_names)
    while rest and first and first[0] in WRAPPERS | GROUPS:
        first, rest = _cut(rest)
    return first


def _cut(class_names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The first error's names, and those of its causes."""
    if "BaseException" not in class_names:
        return class_names, ()
    end = class_names.index("BaseException") + 1
    return class_names[:end], class_names[end:]


def _any_fits(values: Iterable[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(value, pattern) for value in values for pattern in patterns)
