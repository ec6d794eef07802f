"""How Chromium is started: its command line and environment, and the wait until it can be spoken to.

Talks to the operating system. Everything here blocks: call it on a thread.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import threading
import time
from pathlib import Path

import attrs

from eventstore.frozen import frozen
from lrm_actors.adapters.browser_use import marker as markers
from lrm_actors.adapters.browser_use import processes
from lrm_actors.adapters.browser_use.browser_errors import BrowserInUse, BrowserNotFound, BrowserNotStarted
from lrm_actors.adapters.browser_use.marker import Marker
from lrm_actors.adapters.browser_use.places import Places, find_executable

LOOK_EACH_S = 0.01
SMALL_SHM_BYTES = 512 << 20
"""Containers have 64 MB of shared memory unless told otherwise, which one large page uses up."""
ALWAYS = (
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--disable-search-engine-choice-screen",
    "--disable-session-crashed-bubble",
    "--hide-crash-restore-bubble",
    "--disable-popup-blocking",
    "--disable-hang-monitor",
    "--noerrdialogs",
    "--metrics-recording-only",
    "--password-store=basic",
    "--use-mock-keychain",
    # A tab that nobody looks at must go on as if somebody did.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    # As browser-use starts it: the page is to see the same browser, and to be left alone by it.
    "--disable-blink-features=AutomationControlled",
    "--disk-cache-size=104857600",
    "--log-level=3",
)
DISABLED = (
    *("AutofillServerCommunication", "BackForwardCache", "CertificateTransparencyComponentUpdater"),
    *("DialMediaRouteProvider", "GlobalMediaControls", "HttpsFirstBalancedModeAutoEnable", "HttpsUpgrades"),
    *("LazyFrameLoading", "MediaRouter", "OptimizationHints", "PaintHolding", "Translate"),
)
"""Features of Chromium: what would load something by itself, or show something else than the page."""
FEATURES = "--disable-features="
HINTS = {
    "sandbox": "its sandbox cannot be set up here; allow unprivileged user namespaces, or give args=('--no-sandbox',) "
    "where the pages are trusted or a container is the sandbox",
    "display": "there is no display for a window here; leave headless as it is, or give it one, as xvfb-run does",
}
"""What to try, by a word of what it said last."""


_LEFT: set[int] = set()
"""Children of this process that were left running; each keeps its pid until we ask how it ended."""


@frozen
class Options:
    """How it is to be started."""

    executable: str | None = None
    headless: bool = True
    args: tuple[str, ...] = ()
    window: tuple[int, int] | None = None
    start_timeout_s: float = 30.0


def command_of(options: Options, places: Places, launch: str) -> list[str]:
    """The command line.

    Raises:
        BrowserNotFound: there is no Chromium.
    """
    command = [options.executable or find_executable(), *ALWAYS]
    if options.headless:
        command.append("--headless=new")
    if options.window is not None:
        command.append(f"--window-size={options.window[0]},{options.window[1]}")
    if os.geteuid() == 0:
        command.append("--no-sandbox")  # Chromium's sandbox refuses to run as root
    if _shared_memory_bytes() < SMALL_SHM_BYTES:
        command.append("--disable-dev-shm-usage")
    # Of several switches of a kind Chromium takes the last alone.
    given = [part for part in options.args if part.startswith(FEATURES)]
    disabled = [*DISABLED, *(part.removeprefix(FEATURES) for part in given)]
    return [
        *command,
        *(part for part in options.args if part not in given),
        f"{FEATURES}{','.join(disabled)}",
        "--remote-debugging-port=0",
        f"{processes.PROFILE_SWITCH}{places.profile}",
        f"{processes.LAUNCH_SWITCH}{launch}",
        "about:blank",
    ]


def _shared_memory_bytes() -> int:
    try:
        about = os.statvfs("/dev/shm")  # noqa: S108 - where Chromium would put it
    except OSError:
        return SMALL_SHM_BYTES
    return about.f_frsize * about.f_blocks


def launch(options: Options, places: Places, stop: threading.Event) -> tuple[subprocess.Popen[bytes], Marker]:
    """Start it, and wait until it can be spoken to.

    Args:
        options: how.
        places: where.
        stop: set by another thread that does not want it any more.

    Raises:
        BrowserNotFound, BrowserNotStarted: it could not be started; nothing of it is left.
        BrowserInUse: see ``Places.clear``.
        OSError: the directory cannot be written.
    """
    marker = Marker(secrets.token_hex(8), str(places.profile))
    command = command_of(options, places, marker.launch)
    places.prepare()
    # Before it is started: whoever comes after a kill in this very moment knows by it that there may be one.
    markers.write(places.marker, marker)
    try:
        process = _spawn(command, places, marker.launch)
    except BaseException:
        end(None, None, places)
        raise
    try:
        marker = attrs.evolve(marker, pid=process.pid, started=processes.started_at(process.pid))
        markers.write(places.marker, marker)
        port, path = _wait_for_port(process, places, options.start_timeout_s, stop)
        marker = attrs.evolve(marker, port=port, path=path)
        markers.write(places.marker, marker)
    except BaseException:
        end(process, marker, places)
        raise
    return process, marker


def end(process: subprocess.Popen[bytes] | None, marker: Marker | None, places: Places) -> tuple[int, ...]:
    """Kill the browser with all its processes, and take away what it leaves behind. The profile stays.

    Args:
        process: of our own child, which nobody else can have taken the pid of; None: it is not our child.
        marker: of its launch; None: not known, then any browser of ours on this profile.
        places: where it runs.

    Returns: the processes that were ended.

    Raises:
        TimeoutError: they cannot be ended.
        BrowserInUse: a browser that is not ours has the profile, and everything was left as it is; or see
            ``Places.clear``.
    """
    main = process.pid if process is not None and process.poll() is None else None
    if main is None and marker is not None and processes.lives(marker.pid, marker.started, places.profile):
        main = marker.pid
    # Before anything is ended: its children have the profile on their command lines as well.
    if main is None and (pid := processes.stranger_on(places.profile)) is not None:
        raise BrowserInUse(str(places.profile), f"a browser that is not ours, process {pid}", pid)
    launch, group = (marker.launch, marker.pid) if marker is not None else ("", 0)
    ended = processes.end(main, launch, places.profile, group)
    if process is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(processes.GONE_S)
    elif marker is not None and marker.pid in _LEFT:
        _LEFT.discard(marker.pid)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(marker.pid, os.WNOHANG)
    places.clear()
    markers.remove(places.marker)
    return ended


def leave(process: subprocess.Popen[bytes]) -> None:
    """Let a browser run that is our child, and whose end nobody waits for any more."""
    if process.poll() is None:
        _LEFT.add(process.pid)
        process.returncode = 0  # or its destruction would be taken for an oversight


def _spawn(command: list[str], places: Places, launch: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "TMPDIR": str(places.temporary),
        "BREAKPAD_DUMP_LOCATION": str(places.crashes),
        processes.LAUNCH_VARIABLE: launch,
    }
    log = os.open(places.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    try:
        # In a process group of its own: Ctrl-C is the agent's business, and the group can be ended at once.
        return subprocess.Popen(  # noqa: S603 - no shell, and the executable is the caller's
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=places.directory,
            process_group=0,
        )
    except FileNotFoundError as error:
        raise BrowserNotFound(f"{command[0]} is not there") from error
    except OSError as error:
        raise BrowserNotStarted(f"{command[0]}: {error}") from error
    finally:
        os.close(log)


def _wait_for_port(
    process: subprocess.Popen[bytes], places: Places, timeout_s: float, stop: threading.Event
) -> tuple[int, str]:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if stop.is_set():
            raise BrowserNotStarted("it is not wanted any more")
        if (found := read_port(places.port_file)) is not None:
            return found
        if (status := process.poll()) is not None:
            raise _ended_early(places, status)
        time.sleep(LOOK_EACH_S)
    raise BrowserNotStarted(f"it was not ready within {timeout_s:g} s", said=places.last_words())


def _ended_early(places: Places, status: int) -> BrowserNotStarted:
    said = places.last_words()
    hint = next((hint for word, hint in HINTS.items() if word in said.lower()), None)
    return BrowserNotStarted(f"it ended with status {status}", status, said, hint=hint)


def read_port(file: Path) -> tuple[int, str] | None:
    """Port and path of the websocket as Chromium wrote them; None: not yet, or not whole."""
    try:
        port, path = file.read_text(encoding="ascii").split("\n")
        return (int(port), path.strip()) if path.startswith("/devtools/") else None
    except (OSError, ValueError):
        return None
