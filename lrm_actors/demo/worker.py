"""The demo's browser: a process of its own that fetches pages for the agent, ``python -m lrm_actors.demo.worker``.

It speaks JSON lines: a request ``{"id": 1, "fetch": URL}`` on stdin, an answer with the same id on stdout, and in
between ``{"beat": n}`` several times a second from its main loop. It ends when stdin does and when its parent dies, so
it cannot outlive its agent. Standard library only, and little of it: it has to be back quickly after it was killed.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import hashlib
import html.parser
import http.client
import json
import os
import queue
import select
import signal
import socket
import sys
import threading
import time
import traceback
from typing import Any
from urllib.parse import quote, urldefrag, urljoin, urlsplit

BEAT_S = 0.1
MAX_BODY_BYTES = 1 << 20
MAX_TEXT = 2000
MAX_LINKS = 200
MAX_REDIRECTS = 4
SAFE_IN_TARGET = "/%:?&=+,;@~!$'()*[]-._"
SENT_HEADERS = {"User-Agent": "lrm-demo/1", "Accept": "text/html, */*;q=0.1"}
KEPT_HEADERS = ("content-type", "etag", "last-modified", "location")
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class PageParser(html.parser.HTMLParser):
    """Takes title, links and visible text out of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title = ""
        self.links: list[str] = []
        self._text: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember links, and which of the tags with text of their own kind we are in."""
        if tag in {"title", "script", "style"}:
            self._inside.append(tag)
        elif tag == "a":
            self.links.extend(value for name, value in attrs if name == "href" and value)

    def handle_endtag(self, tag: str) -> None:
        """Leave a tag that was entered."""
        if tag in self._inside:
            self._inside.remove(tag)

    def handle_data(self, data: str) -> None:
        """Keep text, by where it stands."""
        if "title" in self._inside:
            self.title += data
        elif not self._inside:
            self._text.append(data)

    @property
    def text(self) -> str:
        """The visible text, white space folded."""
        return " ".join(" ".join(self._text).split())


class _Deadline:
    """Spreads one timeout over all the blocking parts of a request."""

    def __init__(self, timeout_s: float) -> None:
        self._until = time.monotonic() + timeout_s

    def left_s(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def fetch(url: str, timeout_s: float) -> dict[str, Any]:
    """Fetch one page and say what is on it.

    Args:
        url: ``http`` or ``https``.
        timeout_s: for everything together, redirects and a body that trickles included.

    Returns: ``status``, ``url``, ``headers``, ``digest``, ``title``, ``links``, ``text``; or ``error`` (``timeout``,
        ``connection``, ``bad_url``) and ``message``.
    """
    try:
        deadline = _Deadline(timeout_s)
        for _ in range(MAX_REDIRECTS):
            page = _get(url, deadline)
            target = page["headers"].get("location")
            if page["status"] not in {301, 302, 303, 307, 308} or not target:
                return page
            url = urljoin(url, target)
    except TimeoutError:
        return {"error": "timeout", "message": f"timed out: no answer within {timeout_s:g} s"}
    except http.client.InvalidURL as error:
        return {"error": "bad_url", "message": str(error)}
    except (OSError, http.client.HTTPException) as error:
        return {"error": "connection", "message": f"{type(error).__name__}: {error}"}
    except ValueError as error:
        return {"error": "bad_url", "message": str(error)}
    return {"error": "connection", "message": f"more than {MAX_REDIRECTS} redirects"}


def _get(url: str, deadline: _Deadline) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = f"not an http or https address: {url!r}"
        raise ValueError(msg)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=deadline.left_s())
    try:
        connection.connect()
        sock: socket.socket = connection.sock
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(
            "GET",
            quote(target, safe=SAFE_IN_TARGET),
            headers={"User-Agent": "lrm-demo/1", "Accept": "text/html, */*;q=0.1"},
        )
        sock.settimeout(deadline.left_s())
        response = connection.getresponse()
        body = bytearray()
        while len(body) < MAX_BODY_BYTES:
            sock.settimeout(deadline.left_s())
            chunk = response.read1(65536)
            if not chunk:
                break
            body += chunk
        return _describe(url, response, bytes(body))
    finally:
        connection.close()


def _describe(url: str, response: http.client.HTTPResponse, body: bytes) -> dict[str, Any]:
    headers = {name: value for name in KEPT_HEADERS if (value := response.headers.get(name)) is not None}
    page = {
        "status": response.status,
        "url": url,
        "headers": headers,
        "digest": hashlib.blake2b(body, digest_size=16).hexdigest(),
        "title": "",
        "links": [],
        "text": "",
    }
    if "html" in headers.get("content-type", ""):
        parser = PageParser()
        parser.feed(_decode(body, response.headers.get_content_charset()))
        links = dict.fromkeys(urldefrag(urljoin(url, link)).url for link in parser.links)
        page |= {"title": parser.title.strip(), "links": list(links)[:MAX_LINKS], "text": parser.text[:MAX_TEXT]}
    return page


def _decode(body: bytes, charset: str | None) -> str:
    try:
        return body.decode(charset or "utf-8", errors="replace")
    except LookupError:  # a site may name any charset
        return body.decode("utf-8", errors="replace")


class Worker:
    """The process's main loop: requests in, answers and heartbeats out."""

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._write_lock = threading.Lock()

    def run(self) -> None:
        """Serve until stdin ends."""
        threading.Thread(target=self._fetch_all, name="fetch", daemon=True).start()
        self._say({"ready": os.getpid()})
        pending = b""
        beats, next_beat = 0, time.monotonic()
        while True:
            if (now := time.monotonic()) >= next_beat:
                beats, next_beat = beats + 1, now + BEAT_S
                self._say({"beat": beats})
            readable, _, _ = select.select([0], [], [], max(0.0, next_beat - time.monotonic()))
            if not readable:
                continue
            data = os.read(0, 65536)
            if not data:
                return
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                self._requests.put(json.loads(line))

    def _fetch_all(self) -> None:
        """Fetch on a thread of its own: a site that hangs must not look like a browser that does."""
        try:
            while True:
                request = self._requests.get()
                self._say({"id": request["id"], **fetch(request["fetch"], self._timeout_s)})
        except BaseException:  # noqa: BLE001 - without this thread the process would beat on and never answer
            traceback.print_exc()
            os._exit(1)

    def _say(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        with self._write_lock:
            while data:
                data = data[os.write(1, data) :]


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends: one that is stopped reads no stdin.

    Linux only. Elsewhere a stopped worker relies on being woken as a member of an orphaned process group, which the
    kernel does only for a group that had stopped with all its threads by then.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # no C library to ask: stdin's end must do
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Run the worker; exits 0 when its agent is gone."""
    parser = argparse.ArgumentParser(description="the demo's browser; speaks JSON lines on stdin and stdout")
    parser.add_argument("--timeout-s", type=float, default=0.6)
    options = parser.parse_args()
    die_with_parent()
    try:
        Worker(timeout_s=options.timeout_s).run()
    except BrokenPipeError:
        sys.stderr.close()
    # The fetch thread may sit in a request to a site that hangs; nothing here needs an orderly end.
    os._exit(0)


if __name__ == "__main__":
    main()
