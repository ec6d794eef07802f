"""Where a browser of ours keeps what: one directory with its profile, its temporary files, its words and the marker.

Talks to the file system. Everything here blocks: call it on a thread.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from eventstore.descriptors import open_descriptor
from eventstore.frozen import frozen
from lrm_actors.adapters.browser_use.browser_errors import BrowserInUse, BrowserNotFound

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
ELSEWHERE = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
PLAYWRIGHT = ("chromium-*/chrome-linux*/chrome", "chromium-*/chrome-mac*/*.app/Contents/MacOS/*")
MAX_TEMPORARY = 60
"""Characters of the path of the temporary directory: Chromium puts a socket 46 characters below it, and 107 are all
that the address of one may have."""
LOG_MAX_BYTES = 1 << 20
LOG_TAIL_BYTES = 2000


@frozen
class Places:
    """The paths."""

    directory: Path

    @property
    def profile(self) -> Path:
        """What Chromium remembers: cookies, storage, caches. Stays when the browser ends."""
        return self.directory / "profile"

    @property
    def marker(self) -> Path:
        """See ``marker``."""
        return self.directory / "browser.json"

    @property
    def lock(self) -> Path:
        """Held by the process that has the browser."""
        return self.directory / "browser.lock"

    @property
    def log(self) -> Path:
        """What Chromium writes to its standard error, from its last start on, a megabyte at most."""
        return self.directory / "chromium.log"

    @property
    def crashes(self) -> Path:
        """Where Chromium puts its dumps when it crashes; emptied at each start."""
        return self.directory / "chromium-crashes"

    @property
    def temporary(self) -> Path:
        """Its ``TMPDIR``: below the directory, or where that is too long for a socket, at a short path made from it."""
        inside = self.directory / "chromium-tmp"
        if len(os.fsencode(inside)) <= MAX_TEMPORARY:
            return inside
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"lrm-{os.getuid()}-{digest}"

    @property
    def port_file(self) -> Path:
        """Where Chromium says at which port it can be spoken to."""
        return self.profile / "DevToolsActivePort"

    def prepare(self) -> None:
        """Make what is missing, and take away what a dead browser left. No browser of ours may be running.

        Raises:
            OSError: it cannot be done.
            BrowserInUse: the temporary directory is somebody else's.
        """
        for path in (self.directory, self.profile):  # one that is there already keeps the mode that it has
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.clear()
        for path in (self.temporary, self.crashes):
            path.mkdir(mode=0o700)
        # A lock names host and process. In a container that was replaced the host is another one, and Chromium would
        # take it for a browser on another computer, for ever. That nobody has the profile we know by our own lock.
        for name in ("SingletonLock", "SingletonCookie", "SingletonSocket", self.port_file.name):
            with contextlib.suppress(FileNotFoundError):
                (self.profile / name).unlink()

    def clear(self) -> None:
        """Take away temporary files and dumps.

        Raises:
            BrowserInUse: the temporary directory is somebody else's.
        """
        try:
            seen = self.temporary.lstat()
        except FileNotFoundError:
            pass
        else:
            if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid():
                raise BrowserInUse(str(self.temporary), "another user")
        for path in (self.temporary, self.crashes):
            shutil.rmtree(path, ignore_errors=True)

    def last_words(self) -> str:
        """The end of what Chromium wrote."""
        try:
            with self.log.open("rb") as stream:
                stream.seek(max(0, self.log.stat().st_size - LOG_TAIL_BYTES))
                return stream.read().decode(errors="replace").strip()
        except OSError:
            return ""

    def bound_log(self) -> None:
        """Begin what Chromium writes anew when it is long. It appends, so it goes on at the new end."""
        with contextlib.suppress(OSError):
            if self.log.stat().st_size > LOG_MAX_BYTES:
                os.truncate(self.log, 0)

    def take_lock(self) -> int:
        """Claim the directory for this process, until the handle that is returned is closed or the process ends.

        Raises:
            BrowserInUse: another process has it, or another browser object of this one.
            OSError: it cannot be locked at all.
        """
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = open_descriptor(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise BrowserInUse(str(self.directory), "another agent") from error
            raise
        return handle


def find_executable(names: Iterable[str] = NAMES) -> str:
    """A Chromium or Chrome on this machine: by the path, then where it is usually put, then what playwright installed.

    Raises:
        BrowserNotFound: there is none.
    """
    for name in names:
        if found := shutil.which(name):
            return found
    for place in ELSEWHERE:
        if os.access(place, os.X_OK):
            return place
    kept = os.environ.get("PLAYWRIGHT_BROWSERS_PATH", "")
    for root in (Path(kept) if kept else None, Path("~/.cache/ms-playwright"), Path("~/Library/Caches/ms-playwright")):
        if root is not None:
            for pattern in PLAYWRIGHT:
                for path in sorted(root.expanduser().glob(pattern), reverse=True):
                    if os.access(path, os.X_OK):
                        return str(path)
    raise BrowserNotFound(f"none of {', '.join(names)} is on the path")
