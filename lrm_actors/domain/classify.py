"""What kind of failure it is, judged from names, codes and words alone: no SDK is imported, nothing is looked up.

The rules are tried in order and the first that fits decides, over the whole chain of causes: wrappers often give a
default (``502``) where only the cause knows better. What no rule fits stays ``unknown``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable

import attrs

BROWSER_CRASH, BROWSER_TIMEOUT, LLM_TIMEOUT = "browser_crash", "browser_timeout", "llm_timeout"
SERVER_ERROR, OVERLOADED, RATE_LIMIT, QUOTA = "server_error", "overloaded", "rate_limit", "quota"
REQUEST_TOO_LARGE, AUTH = "request_too_large", "auth"
MEMORY, DISK_FULL, RESOURCE_EXHAUSTION = "memory", "disk_full", "resource_exhaustion"
NETWORK, DEADLOCK, COMPONENT_EXIT, CPU_OVERLOAD = "network", "deadlock", "component_exit", "cpu_overload"
CIRCUIT_OPEN, PAGE_ERROR, BUG, CANCELLED, UNKNOWN = "circuit_open", "page_error", "bug", "cancelled", "unknown"
CATEGORIES = (
    BROWSER_CRASH, BROWSER_TIMEOUT, LLM_TIMEOUT, SERVER_ERROR, OVERLOADED, RATE_LIMIT, QUOTA, REQUEST_TOO_LARGE, AUTH,
    MEMORY, DISK_FULL, RESOURCE_EXHAUSTION, NETWORK, DEADLOCK, COMPONENT_EXIT, CPU_OVERLOAD, CIRCUIT_OPEN, PAGE_ERROR,
    BUG, CANCELLED, UNKNOWN,
)  # fmt: skip


@attrs.frozen
class FailureFacts:
    """What is known of a failure, without its exception object."""

    component: str
    class_names: tuple[str, ...] = ()
    """Class names along the MRO of the error and of its causes, outermost first, ``openai.RateLimitError``.

    Each MRO ends with ``BaseException``; builtins stand without a module.
    """
    message: str = ""
    status_code: int | None = None
    error_code: str = ""
    os_error: str = ""
    """``ENOSPC`` …"""
    exit_status: int | None = None
    observation: str = ""
    """``heartbeat_missed``, ``component_exited``, ``breaker_opened``; empty for an exception."""
    step: int | None = None


@attrs.frozen
class _Clues:
    """The facts in the forms that rules ask for."""

    facts: FailureFacts
    names: frozenset[str]
    """Class names without their packages."""
    packages: frozenset[str]
    outer: frozenset[str]
    """Class names of the error itself, without those of its causes."""
    words: str
    """The message in lower case."""
    code: str
    status: int | None

    def named(self, *names: str) -> bool:
        return not self.names.isdisjoint(names)

    def name_has(self, *parts: str) -> bool:
        return any(part in name for name in self.names for part in parts)

    def says(self, *texts: str) -> bool:
        return any(text in self.words for text in texts)

    def is_about(self, *texts: str) -> bool:
        return any(text in self.facts.component.lower() for text in texts)


def classify(facts: FailureFacts) -> str:
    """The category of a failure."""
    clues = _clues(facts)
    observed = _OBSERVED.get(facts.observation)
    if observed is not None:
        return observed
    for category, fits in _RULES:
        if fits(clues):
            return category
    return CIRCUIT_OPEN if facts.observation == "breaker_opened" else UNKNOWN


def fingerprint(facts: FailureFacts, category: str) -> str:
    """The same 12 hex digits for failures that look alike: numbers, ids and addresses in the message do not count."""
    words = re.sub(r"0x[0-9a-f]+|[0-9a-f]{8,}|\d+", "#", facts.message.lower())
    first = facts.class_names[0] if facts.class_names else facts.observation
    text = "\0".join((category, facts.component, first, " ".join(words.split())))
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=6).hexdigest()


def _clues(facts: FailureFacts) -> _Clues:
    outer = facts.class_names
    if "BaseException" in outer:
        outer = outer[: outer.index("BaseException")]
    return _Clues(
        facts,
        frozenset(_bare(facts.class_names)),
        frozenset(name.partition(".")[0] for name in facts.class_names if "." in name),
        frozenset(_bare(outer)),
        facts.message.lower(),
        facts.error_code.lower(),
        facts.status_code,
    )


def _bare(names: Iterable[str]) -> Iterable[str]:
    return (name.rpartition(".")[2] for name in names)


# Rules, one per category, in the order in which they are tried

_OBSERVED = {"heartbeat_missed": DEADLOCK, "component_exited": COMPONENT_EXIT, "cpu_overload": CPU_OVERLOAD}

_LLM_PACKAGES = frozenset(("openai", "anthropic", "google", "litellm", "groq", "mistralai", "cohere", "browser_use"))
_HTTP_PACKAGES = frozenset(("httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "requests", "urllib3"))
_QUOTA_CODES = frozenset(("insufficient_quota", "billing_error", "billing_hard_limit_reached", "credit_exhausted",
                          "enforced_spend_limit_reached"))  # fmt: skip
_AUTH_CODES = frozenset(("invalid_api_key", "authentication_error", "permission_error", "model_not_found",
                         "account_deactivated", "unauthorized"))  # fmt: skip
_NET_DOWN = re.compile(
    r"net::err_(name_not_resolved|internet_disconnected|connection_|address_|network_|empty_response|timed_out"
    r"|proxy|tunnel|ssl|cert|http2|quic|socket|socks|dns)"
)
_REFUSED_NUMBERS = frozenset(("ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "EPIPE", "ENETUNREACH", "EHOSTUNREACH",
                              "ENETDOWN", "EHOSTDOWN", "ETIMEDOUT", "ENOTCONN", "EADDRNOTAVAIL"))  # fmt: skip
_PROGRAMMING = ("TypeError", "LookupError", "ValueError", "AssertionError", "AttributeError", "NameError",
                "ArithmeticError", "NotImplementedError", "RecursionError", "ImportError", "SyntaxError",
                "StopIteration", "StopAsyncIteration", "UnboundLocalError", "BufferError")  # fmt: skip


def _cancelled(clues: _Clues) -> bool:
    names = ("CancelledError", "Cancelled", "GeneratorExit", "KeyboardInterrupt", "SystemExit", "Interrupted")
    return not clues.outer.isdisjoint(names)


def _memory(clues: _Clues) -> bool:
    killed = clues.facts.exit_status in {-9, 137}
    return clues.named("MemoryError") or clues.facts.os_error == "ENOMEM" or killed


def _disk_full(clues: _Clues) -> bool:
    if clues.facts.os_error in {"ENOSPC", "EDQUOT", "EROFS"} or clues.named("StorageFull"):
        return True
    return clues.says("disk is full", "no space left on device", "disk quota exceeded", "read-only file system")


def _resource_exhaustion(clues: _Clues) -> bool:
    if clues.facts.os_error in {"EMFILE", "ENFILE"}:
        return True
    return clues.says("can't start new thread", "too many open files", "cannot allocate thread")


def _quota(clues: _Clues) -> bool:
    if clues.status == 402 or clues.code in _QUOTA_CODES:
        return True
    return clues.says("credit balance", "exceeded your current quota", "insufficient_quota", "spend limit reached")


def _overloaded(clues: _Clues) -> bool:
    # Inside a stream the SDK reports it with status 200.
    return clues.code == "overloaded_error" or clues.status == 529 or clues.named("OverloadedError")


def _request_too_large(clues: _Clues) -> bool:
    if clues.status == 413 or clues.code in {"context_length_exceeded", "request_too_large", "string_above_max_length"}:
        return True
    if clues.named("ContentTooLargeError") or clues.name_has("ContextWindow", "RequestTooLarge"):
        return True
    return clues.says("prompt is too long", "maximum context length", "context window")


def _rate_limit(clues: _Clues) -> bool:
    if clues.status == 429 or clues.code.startswith(("rate_limit", "too_many_requests", "throttling")):
        return True
    return clues.name_has("RateLimit", "TooManyRequests", "Throttling") or clues.named("ResourceExhausted")


def _auth(clues: _Clues) -> bool:
    if (
        clues.status in {401, 403}
        or clues.code in _AUTH_CODES
        or clues.named("AuthenticationError", "PermissionDenied")
    ):
        return True
    # A missing model is a wrong setting; a missing page is only a page.
    return clues.status == 404 and not clues.packages.isdisjoint(_LLM_PACKAGES)


def _browser_crash(clues: _Clues) -> bool:
    if clues.named("TargetClosedError", "BrowserDisconnectedError"):
        return True
    return clues.says(
        "target crashed", "page crashed", "browser crashed", "browser has been closed", "target closed",
        "context has been closed", "page has been closed", "no target with given id", "session with given id not found",
        "websocket connection closed", "failed to launch", "browser disconnected", "chrome not reachable",
    )  # fmt: skip


def _browser_timeout(clues: _Clues) -> bool:
    if "playwright" in clues.packages and clues.named("TimeoutError"):
        return True
    if clues.says("navigation timeout") or re.search(r"timeout \d+ms exceeded", clues.words):
        return True
    return clues.named("TimeoutError") and clues.is_about("browser", "page", "tab")


def _llm_timeout(clues: _Clues) -> bool:
    if clues.status in {408, 504} or clues.named("APITimeoutError", "DeadlineExceeded"):
        return True
    if not clues.packages.isdisjoint(_HTTP_PACKAGES) and clues.name_has("Timeout"):
        return True
    return clues.name_has("Timeout") and not clues.named("AskTimeout") and clues.is_about("llm", "model")


def _network(clues: _Clues) -> bool:
    if clues.facts.os_error in _REFUSED_NUMBERS or _NET_DOWN.search(clues.words):
        return True
    if clues.named(
        "APIConnectionError", "ConnectError", "RemoteProtocolError", "gaierror", "ConnectionError", "ReadError",
        "WriteError", "ProxyError", "NetworkError", "ServerDisconnectedError", "ClientConnectionError", "SSLError",
        "RemoteDisconnected", "BadStatusLine", "IncompleteRead", "IncompleteReadError", "ClientPayloadError",
        "ChunkedEncodingError",
    ):  # fmt: skip
        return True
    # A socket's TimeoutError says so; one of asyncio says nothing, and could be anything.
    if clues.named("TimeoutError", "URLError") and clues.says("timed out"):
        return True
    return clues.says("econnrefused", "connection refused", "connection reset", "name or service not known",
                      "temporary failure in name resolution", "network is unreachable")  # fmt: skip


def _page_error(clues: _Clues) -> bool:
    if clues.says("net::err_", "cannot navigate to invalid url", "page.evaluate: ", "element is not attached"):
        return True
    return clues.status in {404, 410} and clues.packages.isdisjoint(_LLM_PACKAGES)


def _server_error(clues: _Clues) -> bool:
    if clues.status is not None and clues.status >= 500:
        return True
    if clues.code in {"server_error", "api_error", "internal_server_error", "service_unavailable"}:
        return True
    return clues.named("InternalServerError", "ServiceUnavailableError", "ServiceUnavailable", "BadGatewayError")


def _bug(clues: _Clues) -> bool:
    if clues.status is not None and 400 <= clues.status < 500:
        return True
    return not clues.outer.isdisjoint(_PROGRAMMING)


def _deadlock(clues: _Clues) -> bool:
    return clues.named("AskTimeout")


def _circuit_open(clues: _Clues) -> bool:
    return clues.named("CircuitOpen", "CircuitBreakerError", "CircuitBreakerOpen")


_RULES: tuple[tuple[str, Callable[[_Clues], bool]], ...] = (
    (CANCELLED, _cancelled),
    (CIRCUIT_OPEN, _circuit_open),
    (DEADLOCK, _deadlock),
    (MEMORY, _memory),
    (DISK_FULL, _disk_full),
    (RESOURCE_EXHAUSTION, _resource_exhaustion),
    (QUOTA, _quota),
    (OVERLOADED, _overloaded),
    (REQUEST_TOO_LARGE, _request_too_large),
    (RATE_LIMIT, _rate_limit),
    (AUTH, _auth),
    (BROWSER_CRASH, _browser_crash),
    (BROWSER_TIMEOUT, _browser_timeout),
    (LLM_TIMEOUT, _llm_timeout),
    (NETWORK, _network),
    (PAGE_ERROR, _page_error),
    (SERVER_ERROR, _server_error),
    (BUG, _bug),
)
