"""The rules that come with the system, in the order in which they are tried.

What can never be helped by trying again stands before what can, where one error could be taken for both: an SDK calls a
wrong address a failed connection, and a used-up account too many requests.
"""

from __future__ import annotations

from lrm_actors.domain import categories as kinds
from lrm_actors.domain.rules import Rule, RuleTable

_BROWSER = ("*browser*", "*page*", "*tab", "tab*", "*cdp*", "*chrom*", "*playwright*")
_LLM_COMPONENT = ("*llm*", "*model*")
_LLM = tuple(
    f"{package}.*" for package in ("openai", "anthropic", "google", "litellm", "groq", "mistralai", "cohere",
                                   "browser_use")
)  # fmt: skip
_HTTP = ("httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "requests", "urllib3")
_DRIVERS = ("playwright.*", "cdp_use.*", "selenium.*", "pyppeteer.*")
_SIGNALS_OF_A_CRASH = (-4, -6, -7, -8, -11, -15, 132, 134, 135, 136, 139, 143)
"""Ill, abort, bus, arithmetic, segment, term: as ``subprocess`` says it, and as a shell does."""
_PROGRAMMING = ("TypeError", "LookupError", "ValueError", "AssertionError", "AttributeError", "NameError",
                "ArithmeticError", "NotImplementedError", "RecursionError", "ImportError", "SyntaxError",
                "StopIteration", "StopAsyncIteration", "UnboundLocalError", "BufferError")  # fmt: skip

_OURS = (
    Rule(category=kinds.BROWSER_FREEZE, observations="heartbeat_missed", components=_BROWSER),
    Rule(category=kinds.DEADLOCK, observations="heartbeat_missed"),
    Rule(category=kinds.COMPONENT_EXIT, observations="component_exited"),
    Rule(category=kinds.CPU_OVERLOAD, observations="cpu_overload"),
    Rule(category=kinds.CANCELLED, raised=("CancelledError", "Cancelled", "GeneratorExit", "KeyboardInterrupt",
                                           "SystemExit", "Interrupted")),
    Rule(category=kinds.CANCELLED, raised="sqlite3.*", says="interrupted"),
    Rule(category=kinds.CIRCUIT_OPEN, names=("CircuitOpen", "CircuitBreakerError", "CircuitBreakerOpen")),
    Rule(category=kinds.DEADLOCK, names="AskTimeout"),
)  # fmt: skip

_MACHINE = (
    Rule(category=kinds.MEMORY, names="MemoryError"),
    Rule(category=kinds.MEMORY, os_errors="ENOMEM"),
    Rule(category=kinds.MEMORY, exit_statuses=(-9, 137)),
    Rule(category=kinds.MEMORY, says=("cannot allocate memory", "out of memory")),
    Rule(category=kinds.DISK_FULL, os_errors=("ENOSPC", "EDQUOT", "EROFS")),
    Rule(category=kinds.DISK_FULL, names="StorageFull"),
    Rule(category=kinds.DISK_FULL, says=("disk is full", "no space left on device", "disk quota exceeded",
                                         "read-only file system")),
    Rule(category=kinds.RESOURCE_EXHAUSTION, os_errors=("EMFILE", "ENFILE", "EAGAIN", "ENOBUFS")),
    Rule(category=kinds.RESOURCE_EXHAUSTION, says=("can't start new thread", "too many open files",
                                                   "cannot allocate thread")),
    Rule(category=kinds.DEADLOCK, os_errors="EDEADLK"),
    Rule(category=kinds.DEADLOCK, names="sqlite3.*", says=("is locked",)),
    Rule(category=kinds.COMPONENT_EXIT, exit_statuses=_SIGNALS_OF_A_CRASH),
    Rule(category=kinds.COMPONENT_EXIT, names=("BrokenProcessPool", "BrokenExecutor", "ProcessLookupError",
                                               "ChildProcessError")),
)  # fmt: skip

_HOPELESS = (
    Rule(category=kinds.QUOTA, statuses=402),
    Rule(category=kinds.QUOTA, codes=("insufficient_quota", "billing_*", "credit_exhausted", "*spend_limit_reached")),
    Rule(category=kinds.QUOTA, says=("credit balance", "exceeded your current quota", "insufficient_quota",
                                     "spend limit reached", "billing hard limit")),
    # Inside a stream the SDK reports it with status 200.
    Rule(category=kinds.OVERLOADED, codes="overloaded*"),
    Rule(category=kinds.OVERLOADED, statuses=529),
    Rule(category=kinds.OVERLOADED, names="OverloadedError"),
    Rule(category=kinds.OVERLOADED, says=("currently overloaded", "model is overloaded", "overloaded_error")),
    Rule(category=kinds.REQUEST_TOO_LARGE, statuses=413),
    Rule(category=kinds.REQUEST_TOO_LARGE, codes=("context_length_exceeded", "request_too_large",
                                                  "string_above_max_length")),
    Rule(category=kinds.REQUEST_TOO_LARGE, names=("ContentTooLargeError", "*ContextWindow*", "*RequestTooLarge*")),
    Rule(category=kinds.REQUEST_TOO_LARGE, says=("prompt is too long", "maximum context length", "context window")),
    Rule(category=kinds.RATE_LIMIT, statuses=429),
    Rule(category=kinds.RATE_LIMIT, codes=("rate_limit*", "too_many_requests*", "throttling*")),
    Rule(category=kinds.RATE_LIMIT, names=("*RateLimit*", "*TooManyRequests*", "*Throttling*", "ResourceExhausted")),
    Rule(category=kinds.AUTH, statuses=(401, 403, 407)),
    Rule(category=kinds.AUTH, codes=("invalid_api_key", "authentication_error", "permission_error", "model_not_found",
                                     "not_found_error", "account_deactivated", "unauthorized")),
    Rule(category=kinds.AUTH, names=("AuthenticationError", "PermissionDenied*")),
    # A missing model is a wrong setting; a missing page is only a page.
    Rule(category=kinds.AUTH, statuses=404, names=_LLM),
    Rule(category=kinds.AUTH, names=_LLM, says=("api_key", "authentication method", "api key")),
    Rule(category=kinds.AUTH, raised=("TypeError", "ValueError"), says=("resolve authentication method",)),
    # An SDK calls each of these a failed connection, and would try it again.
    Rule(category=kinds.AUTH, names=("UnsupportedProtocol", "LocalProtocolError", "InvalidURL", "InvalidUrlClientError",
                                     "InvalidSchema", "MissingSchema", "NonHttpUrlClientError", "TooManyRedirects")),
    Rule(category=kinds.AUTH, names=("SSLCertVerificationError", "ClientConnectorCertificateError")),
    Rule(category=kinds.AUTH, says=("certificate_verify_failed", "certificate verify failed",
                                    "executable doesn't exist", "unable to open database file",
                                    "attempt to write a readonly database", "unknown url type")),
    Rule(category=kinds.AUTH, os_errors=("EACCES", "EPERM", "EADDRINUSE", "ENOEXEC")),
    Rule(category=kinds.AUTH, raised=("BrowserNotFound", "BrowserInUse")),
)  # fmt: skip

_BROWSER_RULES = (
    Rule(category=kinds.BROWSER_FREEZE, names="BrowserSilent"),
    Rule(category=kinds.BROWSER_CRASH, names=("BrowserNotStarted", "BrowserUnreachable")),
    Rule(category=kinds.BROWSER_CRASH, names=("TargetClosedError", "BrowserDisconnectedError",
                                              "NoSuchWindowException", "InvalidSessionIdException")),
    Rule(category=kinds.BROWSER_CRASH, says=(
        "target crashed", "page crashed", "browser crashed", "browser has been closed", "target closed",
        "context has been closed", "page has been closed", "no target with given id", "session with given id not found",
        "websocket connection closed", "failed to launch", "browser disconnected", "chrome not reachable",
        "client is not started", "browser closed unexpectedly")),
    Rule(category=kinds.BROWSER_CRASH, names=("playwright.*",), says=("econnrefused", "econnreset", "socket hang up",
                                                                      "browser was not found", "epipe")),
    Rule(category=kinds.BROWSER_CRASH, names=("websockets.*",), components=_BROWSER),
    Rule(category=kinds.BROWSER_CRASH, names=("ConnectionError",), components=("*cdp*", "*chrom*", "*playwright*")),
    Rule(category=kinds.BROWSER_FREEZE, says=("receiving message from renderer", "page unresponsive",
                                              "renderer is unresponsive", "waiting for cdp response")),
    Rule(category=kinds.BROWSER_TIMEOUT, names=("playwright.*TimeoutError", "selenium.TimeoutException")),
    Rule(category=kinds.BROWSER_TIMEOUT, says=("navigation timeout", "ms exceeded")),
    Rule(category=kinds.BROWSER_TIMEOUT, names="TimeoutError", components=_BROWSER),
)  # fmt: skip

_PASSING = (
    Rule(category=kinds.LLM_TIMEOUT, statuses=(408, 504)),
    Rule(category=kinds.LLM_TIMEOUT, names=("APITimeoutError", "DeadlineExceeded")),
    Rule(category=kinds.LLM_TIMEOUT, codes=("timeout_error", "request_timeout")),
    Rule(category=kinds.LLM_TIMEOUT, names=tuple(f"{package}.*Timeout*" for package in _HTTP)),
    Rule(category=kinds.LLM_TIMEOUT, names="*Timeout*", components=_LLM_COMPONENT),
    Rule(category=kinds.NETWORK, os_errors=("ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "EPIPE", "ENETUNREACH",
                                            "EHOSTUNREACH", "ENETDOWN", "EHOSTDOWN", "ETIMEDOUT", "ENOTCONN",
                                            "EADDRNOTAVAIL", "ENETRESET", "ESHUTDOWN")),
    Rule(category=kinds.NETWORK, says=tuple(f"net::err_{what}" for what in (
        "name_not_resolved", "internet_disconnected", "connection_", "address_", "network_", "empty_response",
        "timed_out", "proxy", "tunnel", "ssl", "cert", "http2", "quic", "socket", "socks", "dns"))),
    Rule(category=kinds.NETWORK, names=(
        "APIConnectionError", "ConnectError", "RemoteProtocolError", "gaierror", "ConnectionError", "ReadError",
        "WriteError", "CloseError", "ProxyError", "NetworkError", "ServerDisconnectedError", "ClientConnectionError",
        "SSLError", "RemoteDisconnected", "BadStatusLine", "IncompleteRead", "IncompleteReadError",
        "ClientPayloadError", "ChunkedEncodingError", "websockets.ConnectionClosed*")),
    # A socket's TimeoutError says so; one of asyncio says nothing, and could be anything.
    Rule(category=kinds.NETWORK, names=("TimeoutError", "URLError"), says=("timed out",)),
    Rule(category=kinds.NETWORK, says=("econnrefused", "connection refused", "connection reset",
                                       "name or service not known", "temporary failure in name resolution",
                                       "network is unreachable")),
    Rule(category=kinds.PAGE_ERROR, says=("net::err_", "cannot navigate to invalid url", "page.evaluate: ",
                                          "element is not attached")),
    Rule(category=kinds.BUG, names=_DRIVERS, says=("evaluate: ", "is not a valid selector", "unknown engine")),
    Rule(category=kinds.PAGE_ERROR, statuses=(404, 410)),
    Rule(category=kinds.SERVER_ERROR, statuses=range(500, 600)),
    Rule(category=kinds.SERVER_ERROR, codes=("server_error", "api_error", "internal_server_error",
                                             "service_unavailable")),
    Rule(category=kinds.SERVER_ERROR, names=("InternalServerError", "ServiceUnavailableError", "ServiceUnavailable",
                                             "BadGatewayError")),
    # A page where an answer in JSON was due: a proxy or a maintenance page.
    Rule(category=kinds.SERVER_ERROR, names="aiohttp.ContentTypeError"),
    Rule(category=kinds.BUG, statuses=range(400, 500)),
    Rule(category=kinds.BUG, codes="invalid_request_error"),
    Rule(category=kinds.BUG, raised=_PROGRAMMING),
    Rule(category=kinds.BUG, raised=("sqlite3.IntegrityError", "sqlite3.ProgrammingError", "sqlite3.InterfaceError",
                                     "sqlite3.DataError", "sqlite3.NotSupportedError")),
    Rule(category=kinds.BUG, raised="sqlite3.*", says=("no such ", "syntax error", "has no column", "malformed",
                                                       "not a database", "already exists")),
    Rule(category=kinds.BUG, raised="OSError", os_errors=("EBADF", "EINVAL")),
    Rule(category=kinds.BUG, raised="RuntimeError", says="event loop"),
    Rule(category=kinds.BUG, names="RuntimeError", says="'code': -326"),  # the protocol's own for a wrong call
    Rule(category=kinds.CIRCUIT_OPEN, observations="breaker_opened"),
)  # fmt: skip

BUILTIN = RuleTable((*_OURS, *_MACHINE, *_HOPELESS, *_BROWSER_RULES, *_PASSING))
"""The whole table."""
