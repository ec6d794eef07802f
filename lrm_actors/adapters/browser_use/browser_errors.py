"""What can go wrong with a browser, from finding one to asking it something. Addresses are named without secrets."""

from __future__ import annotations

from urllib.parse import urlsplit

from lrm_actors.errors import LrmError


def address_of(cdp_url: str) -> str:
    """Scheme, host and port of an address, which may carry a token in its path or query."""
    try:
        parts = urlsplit(cdp_url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that is none"
    return f"{parts.scheme}://{parts.hostname or ''}{port}"


class BrowserError(LrmError):
    """Base of what goes wrong with a browser."""

    code = "LRM-7000"


class BrowserNotFound(BrowserError, FileNotFoundError):
    """There is no Chromium to be started."""

    code = "LRM-7001"
    hint = "install Chromium or Chrome, or give executable= the path of one"

    def __init__(self, looked_for: str) -> None:
        super().__init__(f"no browser to be started: {looked_for}")
        self.looked_for = looked_for


class BrowserNotStarted(BrowserError):
    """Chromium was started, and ended or stayed silent before it could be spoken to."""

    code = "LRM-7002"
    hint = "its own last words are in the error and in chromium.log of its directory"

    def __init__(self, reason: str, exit_status: int | None = None, said: str = "", *, hint: str | None = None) -> None:
        super().__init__(f"failed to launch the browser: {reason}" + (f"; it said: {said}" if said else ""), hint=hint)
        self.reason, self.exit_status, self.said = reason, exit_status, said


class BrowserInUse(BrowserError):
    """Somebody else has the directory or the profile: another agent, or a browser that was not started by us."""

    code = "LRM-7003"
    hint = "close what uses it, or give this agent a directory of its own; two agents cannot share a profile"

    def __init__(self, directory: str, by: str, pid: int | None = None) -> None:
        super().__init__(f"{directory} is in use by {by}")
        self.directory, self.by, self.pid = directory, by, pid


class BrowserUnreachable(BrowserError, ConnectionError):
    """The browser cannot be connected to, or the connection to it broke."""

    code = "LRM-7004"
    hint = "ensure() brings an owned browser back; a remote one must be brought back where it runs"

    def __init__(self, cdp_url: str, reason: str) -> None:
        super().__init__(f"browser at {address_of(cdp_url)} cannot be reached: {reason}")
        self.address, self.reason = address_of(cdp_url), reason


class BrowserSilent(BrowserError, TimeoutError):
    """The browser did not answer a call in time: it is frozen, or its page is busy."""

    code = "LRM-7005"
    hint = "ensure() ends an owned browser that is frozen, and starts another"

    def __init__(self, method: str, timeout_s: float) -> None:
        super().__init__(f"no answer to {method} within {timeout_s:g} s")
        self.method, self.timeout_s = method, timeout_s


class CdpRefused(BrowserError, RuntimeError):
    """The browser refused a call of its debugging protocol."""

    code = "LRM-7006"
    hint = "the tab may be gone, or the browser too old for this call"

    def __init__(self, method: str, reason: str, number: int = 0) -> None:
        super().__init__(f"{method} was refused: {reason}")
        self.method, self.reason, self.number = method, reason, number


class BadBrowserState(BrowserError, ValueError):
    """What is to be restored is not what ``read_browser`` gave."""

    code = "LRM-7007"
    hint = "give restore_browser() what read_browser() returned"

    def __init__(self, where: str, wanted: str) -> None:
        super().__init__(f"state of a browser: {where} must be {wanted}")
        self.where, self.wanted = where, wanted
