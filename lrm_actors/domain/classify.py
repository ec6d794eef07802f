"""What kind of failure it is, judged from names, codes and words alone: no SDK is imported, nothing is looked up.

The rules are tried in order and the first that fits decides, over the whole chain of causes: wrappers often give a
default (``502``) where only the cause knows better. What no rule fits stays ``unknown``.
"""

from __future__ import annotations

import hashlib
import re

from lrm_actors.domain import categories
from lrm_actors.domain.builtin_rules import BUILTIN
from lrm_actors.domain.categories import (
    AUTH,
    BROWSER_CRASH,
    BROWSER_FREEZE,
    BROWSER_TIMEOUT,
    BUG,
    CANCELLED,
    CATEGORIES,
    CIRCUIT_OPEN,
    COMPONENT_EXIT,
    CPU_OVERLOAD,
    DEADLOCK,
    DISK_FULL,
    LLM_TIMEOUT,
    MEMORY,
    NETWORK,
    OVERLOADED,
    PAGE_ERROR,
    QUOTA,
    RATE_LIMIT,
    REQUEST_TOO_LARGE,
    RESOURCE_EXHAUSTION,
    SERVER_ERROR,
    UNKNOWN,
)
from lrm_actors.domain.facts import FailureFacts
from lrm_actors.domain.rules import Rule, RuleTable

__all__ = [
    "AUTH", "BROWSER_CRASH", "BROWSER_FREEZE", "BROWSER_TIMEOUT", "BUG", "CANCELLED", "CATEGORIES", "CIRCUIT_OPEN",
    "COMPONENT_EXIT", "CPU_OVERLOAD", "DEADLOCK", "DISK_FULL", "LLM_TIMEOUT", "MEMORY", "NETWORK", "OVERLOADED",
    "PAGE_ERROR", "QUOTA", "RATE_LIMIT", "REQUEST_TOO_LARGE", "RESOURCE_EXHAUSTION", "SERVER_ERROR", "UNKNOWN",
    "FailureFacts", "Rule", "RuleTable", "classify", "fingerprint",
]  # fmt: skip

_VARIES = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # a UUID
    r"|0x[0-9a-f]+|[0-9a-f]{8,}|(?=[a-z]*\d)[a-z0-9]{6,}|\d+"
)
"""Addresses, ids and numbers: what differs between two failures that are the same."""


def classify(facts: FailureFacts) -> str:
    """The category of a failure: what a rule of the host's said, or else what the built-in ones say."""
    if facts.category in _ALL:
        return facts.category
    return BUILTIN.category(facts) or UNKNOWN


def fingerprint(facts: FailureFacts, category: str) -> str:
    """The same 12 hex digits for failures that look alike: numbers, ids and addresses in the message do not count."""
    words = _VARIES.sub("#", facts.message.lower())
    first = facts.class_names[0] if facts.class_names else facts.observation
    text = "\0".join((category, facts.component, first, " ".join(words.split())))
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=6).hexdigest()


_ALL = frozenset(categories.CATEGORIES)
