"""Opens files on descriptors that are not those of standard input, output and error.

Talks to the operating system. Where one of those is closed, the next file that is opened would get its number, and what
any library prints would be written into it.
"""

from __future__ import annotations

import os
from pathlib import Path

STANDARD = 2
"""The last of the standard descriptors."""


def open_descriptor(path: str | Path, flags: int, mode: int = 0o777) -> int:
    """As ``os.open``, above the standard descriptors, and closed in whatever is executed.

    Raises:
        OSError: as ``os.open``, or there is no other descriptor.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
    if descriptor > STANDARD:
        return descriptor
    import fcntl  # POSIX only, and importing the package must work everywhere

    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, STANDARD + 1)
    finally:
        os.close(descriptor)
