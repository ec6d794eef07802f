"""Writes a file over itself, so that the disk gets what a failed fsync may have made the kernel forget."""

from __future__ import annotations

import os
from pathlib import Path

from eventstore.descriptors import open_descriptor

CHUNK_BYTES = 1 << 20


def write_again(path: Path) -> None:
    """Write every byte of a file again where it is, and wait for the disk. Nobody who reads it sees a difference.

    After an fsync has failed, the kernel may call pages clean that never reached the disk: reading finds them, another
    fsync does nothing for them. Once written again they are dirty again.

    This is for a WAL, on which SQLite holds no locks: closing any other file of a live log would drop them.

    Raises:
        OSError: the disk still refuses.
    """
    descriptor = open_descriptor(path, os.O_RDWR)
    try:
        offset = 0
        while data := os.pread(descriptor, CHUNK_BYTES, offset):
            offset += os.pwrite(descriptor, data, offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
