"""What kind of failure it is, from its names, codes and words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm_actors.domain import classify as kinds
from lrm_actors.domain.classify import CATEGORIES, FailureFacts, classify, fingerprint


def facts(*names: str, component: str = "", **known: Any) -> FailureFacts:
    """Facts of an error of these classes, outermost first."""
    return FailureFacts(component, (*names, "Exception", "BaseException") if names else (), **known)


OPENAI = ("openai.APIStatusError", "openai.APIError")
PLAYWRIGHT = ("playwright.Error",)

CASES = [
    # memory, disk, other resources
    (facts("MemoryError"), kinds.MEMORY),
    (facts("OSError", os_error="ENOMEM"), kinds.MEMORY),
    (facts("subprocess.CalledProcessError", exit_status=-9), kinds.MEMORY),
    (facts("subprocess.CalledProcessError", exit_status=137), kinds.MEMORY),
    (facts("OSError", os_error="ENOSPC"), kinds.DISK_FULL),
    (facts("OSError", os_error="EDQUOT"), kinds.DISK_FULL),
    (facts("sqlite3.OperationalError", message="database or disk is full"), kinds.DISK_FULL),
    (facts("OSError", os_error="EMFILE"), kinds.RESOURCE_EXHAUSTION),
    (facts("RuntimeError", message="can't start new thread"), kinds.RESOURCE_EXHAUSTION),
    # services
    (facts("openai.RateLimitError", *OPENAI, status_code=429, error_code="insufficient_quota"), kinds.QUOTA),
    (facts("anthropic.BadRequestError", status_code=400, message="Your credit balance is too low"), kinds.QUOTA),
    (facts("httpx.HTTPStatusError", status_code=402), kinds.QUOTA),
    (facts("anthropic.APIStatusError", status_code=200, error_code="overloaded_error"), kinds.OVERLOADED),
    (facts("openai.InternalServerError", *OPENAI, status_code=529), kinds.OVERLOADED),
    (facts("openai.BadRequestError", status_code=400, error_code="context_length_exceeded"), kinds.REQUEST_TOO_LARGE),
    (facts("anthropic.BadRequestError", status_code=400, message="Prompt is too long"), kinds.REQUEST_TOO_LARGE),
    (facts("litellm.ContextWindowExceededError", status_code=400), kinds.REQUEST_TOO_LARGE),
    (facts("openai.RateLimitError", *OPENAI, status_code=429), kinds.RATE_LIMIT),
    (facts("browser_use.ModelRateLimitError"), kinds.RATE_LIMIT),
    (facts("openai.AuthenticationError", *OPENAI, status_code=401), kinds.AUTH),
    (facts("openai.NotFoundError", *OPENAI, status_code=404), kinds.AUTH),
    (facts("openai.APITimeoutError", "openai.APIConnectionError", *OPENAI), kinds.LLM_TIMEOUT),
    (facts("httpx.ReadTimeout", "httpx.TimeoutException"), kinds.LLM_TIMEOUT),
    (facts("urllib.HTTPError", "urllib.URLError", "OSError", status_code=504), kinds.LLM_TIMEOUT),
    (facts("TimeoutError", "OSError", component="llm"), kinds.LLM_TIMEOUT),
    (facts("openai.InternalServerError", *OPENAI, status_code=500), kinds.SERVER_ERROR),
    (facts("openai.APIError", error_code="server_error"), kinds.SERVER_ERROR),
    (facts("urllib.HTTPError", "urllib.URLError", "OSError", status_code=503), kinds.SERVER_ERROR),
    # a wrapper's made-up status does not hide what its cause says
    (facts("browser_use.ModelProviderError", "BaseException", "httpx.ReadTimeout", status_code=502), kinds.LLM_TIMEOUT),
    (facts("browser_use.ModelProviderError", "BaseException", "openai.APIConnectionError", status_code=502),
     kinds.NETWORK),
    # browser
    (facts("playwright.TargetClosedError", *PLAYWRIGHT, message="Page crashed"), kinds.BROWSER_CRASH),
    (facts(*PLAYWRIGHT, message="Page.evaluate: Target crashed "), kinds.BROWSER_CRASH),
    (facts("RuntimeError", message="{'code': -32000, 'message': 'No target with given id found'}"),
     kinds.BROWSER_CRASH),
    (facts("RuntimeError", message="{'code': -32001, 'message': 'Session with given id not found.'}"),
     kinds.BROWSER_CRASH),
    (facts("ConnectionError", "OSError", message="WebSocket connection closed"), kinds.BROWSER_CRASH),
    (facts("playwright.TimeoutError", *PLAYWRIGHT, message="Timeout 30000ms exceeded."), kinds.BROWSER_TIMEOUT),
    (facts("TimeoutError", "OSError", component="browser"), kinds.BROWSER_TIMEOUT),
    (facts(*PLAYWRIGHT, message="Page.goto: net::ERR_NAME_NOT_RESOLVED at http://x/"), kinds.NETWORK),
    (facts(*PLAYWRIGHT, message="Page.goto: net::ERR_ABORTED at http://x/"), kinds.PAGE_ERROR),
    (facts(*PLAYWRIGHT, message="Page.evaluate: ReferenceError: x is not defined"), kinds.PAGE_ERROR),
    (facts("urllib.HTTPError", "urllib.URLError", "OSError", status_code=404), kinds.PAGE_ERROR),
    # network
    (facts("ConnectionRefusedError", "ConnectionError", "OSError", os_error="ECONNREFUSED"), kinds.NETWORK),
    (facts("socket.gaierror", "OSError", message="[Errno -2] Name or service not known"), kinds.NETWORK),
    (facts("httpx.RemoteProtocolError"), kinds.NETWORK),
    (facts("TimeoutError", "OSError", message="timed out", component="site"), kinds.NETWORK),
    (facts("http.RemoteDisconnected", "ConnectionResetError", "ConnectionError", "OSError"), kinds.NETWORK),
    # observations
    (FailureFacts("worker", observation="heartbeat_missed"), kinds.DEADLOCK),
    (FailureFacts("browser", observation="heartbeat_missed"), kinds.BROWSER_FREEZE),
    (FailureFacts("worker", exit_status=-9, observation="component_exited"), kinds.COMPONENT_EXIT),
    (FailureFacts("machine", observation="cpu_overload"), kinds.CPU_OVERLOAD),
    (FailureFacts("llm", message="5 timeouts in a row", observation="breaker_opened"), kinds.CIRCUIT_OPEN),
    (FailureFacts("checkpointer", ("StorageFull",), observation="checkpoint_failed"), kinds.DISK_FULL),
    (FailureFacts("checkpointer", ("Interrupted",), observation="checkpoint_failed"), kinds.CANCELLED),
    (facts("lrm_actors.AskTimeout", "lrm_actors.AskError", "TimeoutError"), kinds.DEADLOCK),
    (facts("lrm_actors.CircuitOpen"), kinds.CIRCUIT_OPEN),
    # cancellations: only where the error itself is one
    (FailureFacts("", ("asyncio.CancelledError", "BaseException")), kinds.CANCELLED),
    (FailureFacts("", ("KeyboardInterrupt", "BaseException")), kinds.CANCELLED),
    (facts("TimeoutError", "BaseException", "asyncio.CancelledError", "BaseException"), kinds.UNKNOWN),
    # bugs: only where the error itself is one
    (facts("KeyError", "LookupError"), kinds.BUG),
    (facts("json.JSONDecodeError", "ValueError"), kinds.BUG),
    (facts("openai.UnprocessableEntityError", *OPENAI, status_code=422), kinds.BUG),
    (facts("RuntimeError", "BaseException", "KeyError", "LookupError"), kinds.UNKNOWN),
    # what nobody knows
    (facts("custom.StrangeError", message="something odd"), kinds.UNKNOWN),
    (facts("TimeoutError", "OSError", component="site"), kinds.UNKNOWN),
    (FailureFacts(""), kinds.UNKNOWN),
]  # fmt: skip


def misjudged(judge: Any) -> list[FailureFacts]:
    """The checker: failures whose category is another than it should be."""
    return [known for known, category in CASES if judge(known) != category]


@pytest.mark.parametrize(("known", "category"), CASES)
def test_category(known: FailureFacts, category: str) -> None:
    """Each failure has the category that its table says."""
    assert category == classify(known)


def test_every_category_is_reached() -> None:
    """No category is only a word."""
    assert set(CATEGORIES) == {classify(known) for known, _ in CASES}


def test_the_checker_sees_an_unknown_failure_passed_off_as_network() -> None:
    """The planted bug: what nobody knows is called a network failure and is retried for ever."""
    wrong = misjudged(lambda known: kinds.NETWORK if classify(known) == kinds.UNKNOWN else classify(known))
    assert [known for known, category in CASES if category == kinds.UNKNOWN] == wrong
    assert [] == misjudged(classify)


words = st.text(max_size=30)
anything = st.builds(
    FailureFacts,
    words,
    st.lists(words, max_size=5).map(tuple),
    words,
    st.one_of(st.none(), st.integers(-1000, 1000)),
    words,
    words,
    st.one_of(st.none(), st.integers(-64, 255)),
    st.sampled_from(["", "heartbeat_missed", "breaker_opened", "something_new"]),
)


@given(anything)
def test_any_facts_have_a_category_and_a_fingerprint(known: FailureFacts) -> None:
    """Whatever is known, it is one of the categories, and always the same one."""
    category = classify(known)
    assert category in CATEGORIES
    assert category == classify(known)
    assert fingerprint(known, category) == fingerprint(known, category)
    assert 12 == len(fingerprint(known, category))


def test_fingerprint_ignores_numbers_only() -> None:
    """Two failures that differ in an id or a duration look alike; two components, kinds or sentences do not."""

    def mark(component: str, message: str, category: str = kinds.NETWORK) -> str:
        return fingerprint(facts("OSError", component=component, message=message), category)

    first = mark("site", "request 17 to 0x7fA0 (deadbeef42) failed after 3.2 s")
    assert first == mark("site", "request 9 to 0x1 (0123456789) failed   after 11.75 s")
    assert 4 == len(
        {
            first,
            mark("llm", "request 17 to 0x7fA0 (deadbeef42) failed after 3.2 s"),
            mark("site", "request 17 to 0x7fA0 (deadbeef42) failed after 3.2 s", kinds.BUG),
            mark("site", "answer 17 from 0x7fA0 (deadbeef42) failed after 3.2 s"),
        }
    )
