"""What openai and anthropic really raise, from a server on loopback that answers as theirs do."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

from lrm_actors.domain import classify as kinds
from tests.hosts.case import Case, wrapped
from tests.hosts.server import Answer, Server, patience_s, refused_port

HTML = "<html><body><h1>Bad Gateway</h1></body></html>"
MESSAGES = [{"role": "user", "content": "hello"}]


def _openai(message: str, kind: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _anthropic(kind: str, message: str, **more: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message, **more}, "request_id": "req_011CSHoEeqs5C35K2"}


TPM = "Rate limit reached for gpt-4o in organization org-AbC on tokens per min (TPM): Limit 30000, Used 29500."
QUOTA = "You exceeded your current quota, please check your plan and billing details."
LENGTH = "This model's maximum context length is 128000 tokens. However, your messages resulted in 130512 tokens."

OPENAI: dict[str, tuple[str, Answer]] = {
    "rate limit": (kinds.RATE_LIMIT, Answer(429, _openai(TPM, "tokens", "rate_limit_exceeded"), {"retry-after": "7"})),
    "rate limit by a proxy": (kinds.RATE_LIMIT, Answer(429, "Too Many Requests")),
    "quota": (kinds.QUOTA, Answer(429, _openai(QUOTA, "insufficient_quota", "insufficient_quota"))),
    "hard billing limit": (
        kinds.QUOTA,
        Answer(400, _openai("Billing hard limit has been reached", "invalid_request", "billing_hard_limit_reached")),
    ),
    "payment required": (kinds.QUOTA, Answer(402, _openai("Insufficient credits"))),
    "server error": (kinds.SERVER_ERROR, Answer(500, _openai("The server had an error", "server_error"))),
    "bad gateway page": (kinds.SERVER_ERROR, Answer(502, HTML)),
    "unavailable": (kinds.SERVER_ERROR, Answer(503, _openai("Service Unavailable."))),
    "engine overloaded": (
        kinds.OVERLOADED,
        Answer(503, _openai("The engine is currently overloaded, please try again later", "server_error")),
    ),
    "overloaded": (kinds.OVERLOADED, Answer(529, _openai("Overloaded", "overloaded_error"))),
    "wrong key": (kinds.AUTH, Answer(401, _openai("Incorrect API key", "invalid_request_error", "invalid_api_key"))),
    "forbidden country": (
        kinds.AUTH,
        Answer(403, _openai("Country not supported", "request_forbidden", "unsupported_country_region_territory")),
    ),
    "missing model": (
        kinds.AUTH,
        Answer(404, _openai("The model `gpt-9` does not exist", "invalid_request_error", "model_not_found")),
    ),
    "wrong address": (kinds.AUTH, Answer(404, "<html>Not Found</html>")),
    "context too long": (
        kinds.REQUEST_TOO_LARGE,
        Answer(400, _openai(LENGTH, "invalid_request_error", "context_length_exceeded")),
    ),
    "context too long, without a code": (kinds.REQUEST_TOO_LARGE, Answer(400, _openai(LENGTH, "BadRequestError"))),
    "body too large": (kinds.REQUEST_TOO_LARGE, Answer(413, "Payload Too Large")),
    "wrong parameter": (kinds.BUG, Answer(400, _openai("Unknown parameter: 'foo'.", "invalid_request_error"))),
    "unprocessable": (kinds.BUG, Answer(422, {"detail": [{"msg": "field required"}]})),
    "request timeout": (kinds.LLM_TIMEOUT, Answer(408, "stream timeout")),
    "gateway timeout": (kinds.LLM_TIMEOUT, Answer(504, HTML)),
    "silence": (kinds.LLM_TIMEOUT, Answer(then="silent")),
    "connection closed": (kinds.NETWORK, Answer(then="drop")),
    "connection reset": (kinds.NETWORK, Answer(then="reset")),
    "no HTTP": (kinds.NETWORK, Answer(then="garbage")),
}
ANTHROPIC: dict[str, tuple[str, Answer]] = {
    "rate limit": (
        kinds.RATE_LIMIT,
        Answer(429, _anthropic("rate_limit_error", "This request would exceed your limit"), {"retry-after": "12"}),
    ),
    "rate limit by a proxy": (kinds.RATE_LIMIT, Answer(429, "slow down")),
    "low credit": (
        kinds.QUOTA,
        Answer(400, _anthropic("invalid_request_error", "Your credit balance is too low to access the API.")),
    ),
    "billing": (kinds.QUOTA, Answer(403, _anthropic("billing_error", "There is an issue with your billing"))),
    "enforced spend limit": (
        kinds.QUOTA,
        Answer(429, _anthropic("rate_limit_error", "spend limit reached", error_code="enforced_spend_limit_reached")),
    ),
    "server error": (kinds.SERVER_ERROR, Answer(500, _anthropic("api_error", "Internal server error"))),
    "bad gateway page": (kinds.SERVER_ERROR, Answer(502, HTML)),
    "unavailable": (kinds.SERVER_ERROR, Answer(503, "no healthy upstream")),
    "overloaded": (kinds.OVERLOADED, Answer(529, _anthropic("overloaded_error", "Overloaded"))),
    "wrong key": (kinds.AUTH, Answer(401, _anthropic("authentication_error", "invalid x-api-key"))),
    "no permission": (kinds.AUTH, Answer(403, _anthropic("permission_error", "not allowed to use this resource"))),
    "missing model": (kinds.AUTH, Answer(404, _anthropic("not_found_error", "model: claude-9"))),
    "prompt too long": (
        kinds.REQUEST_TOO_LARGE,
        Answer(400, _anthropic("invalid_request_error", "prompt is too long: 204856 tokens > 200000 maximum")),
    ),
    "body too large": (
        kinds.REQUEST_TOO_LARGE,
        Answer(413, _anthropic("request_too_large", "Request exceeds the maximum size")),
    ),
    "wrong parameter": (kinds.BUG, Answer(400, _anthropic("invalid_request_error", "max_tokens: Field required"))),
    "unprocessable": (kinds.BUG, Answer(422, _anthropic("invalid_request_error", "unprocessable"))),
    "request timeout": (kinds.LLM_TIMEOUT, Answer(408, "timeout")),
    "gateway timeout": (kinds.LLM_TIMEOUT, Answer(504, _anthropic("timeout_error", "Request timed out"))),
    "silence": (kinds.LLM_TIMEOUT, Answer(then="silent")),
    "connection closed": (kinds.NETWORK, Answer(then="drop")),
    "connection reset": (kinds.NETWORK, Answer(then="reset")),
    "no HTTP": (kinds.NETWORK, Answer(then="garbage")),
}


def _chunk(text: str) -> str:
    return (
        'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
        f'"delta":{{"content":"{text}"}},"finish_reason":null}}]}}\n\n'
    )


EVENTS = {"content-type": "text/event-stream"}
OPENAI_STREAMS: dict[str, tuple[str, Answer]] = {
    "server error in the stream": (
        kinds.SERVER_ERROR,
        Answer(200, _chunk("a") + 'data: {"error":{"message":"The server had an error","type":"server_error",'
               '"code":"server_error"}}\n\n', EVENTS),
    ),
    "rate limit in the stream": (
        kinds.RATE_LIMIT,
        Answer(200, _chunk("a") + 'data: {"error":{"message":"Rate limit reached","type":"tokens",'
               '"code":"rate_limit_exceeded"}}\n\n', EVENTS),
    ),
    "stream cut": (kinds.NETWORK, Answer(200, _chunk("a"), EVENTS, then="cut")),
}  # fmt: skip
ANTHROPIC_STREAMS: dict[str, tuple[str, Answer]] = {
    f"{kind} in the stream": (
        category,
        Answer(200, f'event: error\ndata: {{"type":"error","error":{{"type":"{kind}","message":"{text}"}}}}\n\n',
               EVENTS),
    )
    for kind, text, category in (
        ("overloaded_error", "Overloaded", kinds.OVERLOADED),
        ("api_error", "Internal server error", kinds.SERVER_ERROR),
        ("rate_limit_error", "too many", kinds.RATE_LIMIT),
    )
}  # fmt: skip
ANTHROPIC_STREAMS["stream cut"] = (kinds.NETWORK, Answer(200, "event: ping\ndata: {}\n\n", EVENTS, then="cut"))


def _key(library: str, situation: str) -> str:
    return f"{library}-{situation}".replace(" ", "-").replace(",", "")


ANSWERS: dict[str, Answer] = {
    _key(library, situation): answer
    for library, table in (
        ("openai", OPENAI | OPENAI_STREAMS),
        ("anthropic", ANTHROPIC | ANTHROPIC_STREAMS),
    )
    for situation, (_, answer) in table.items()
}


def llm_cases(server: Server) -> Iterator[Case]:
    """Every case of both SDKs, raw and as browser-use wraps it."""
    yield from wrapped(_cases("openai", OPENAI, OPENAI_STREAMS, server, _openai_call), how="model")
    yield from wrapped(_cases("anthropic", ANTHROPIC, ANTHROPIC_STREAMS, server, _anthropic_call), how="model")


def _cases(
    library: str,
    answers: dict[str, tuple[str, Answer]],
    streams: dict[str, tuple[str, Answer]],
    server: Server,
    call: Callable[..., Callable[[], Any]],
) -> Iterator[Case]:
    for situation, (category, _) in (answers | streams).items():
        url = server.url(_key(library, situation))
        yield Case(library, situation, "raw", category, call(url, stream=situation in streams), "llm")
    refused = f"http://127.0.0.1:{refused_port()}/v1"
    yield Case(library, "refused", "raw", kinds.NETWORK, call(refused), "llm")
    yield Case(library, "unknown host", "raw", kinds.NETWORK, call("http://nowhere.invalid/v1"), "llm")
    yield Case(library, "address without a scheme", "raw", kinds.AUTH, call("127.0.0.1:1/v1"), "llm")
    listening = server.url(_key(library, "wrong key"))
    yield Case(library, "key with a line break", "raw", kinds.AUTH, call(listening, key="sk-a\nbc"), "llm")
    yield Case(library, "no key", "raw", kinds.AUTH, call(refused, key=None), "llm")


def _openai_call(url: str, *, stream: bool = False, key: str | None = "sk-any") -> Callable[[], Any]:
    def call() -> None:
        sdk: Any = importlib.import_module("openai")
        with sdk.OpenAI(api_key=key, base_url=url, max_retries=0, timeout=patience_s(url)) as client:
            answer = client.chat.completions.create(model="m", messages=MESSAGES, stream=stream)
            if stream:
                list(answer)

    return call


def _anthropic_call(url: str, *, stream: bool = False, key: str | None = "sk-any") -> Callable[[], Any]:
    def call() -> None:
        sdk: Any = importlib.import_module("anthropic")
        with sdk.Anthropic(api_key=key, base_url=url, max_retries=0, timeout=patience_s(url)) as client:
            answer = client.messages.create(model="m", messages=MESSAGES, max_tokens=1, stream=stream)
            if stream:
                list(answer)

    return call
