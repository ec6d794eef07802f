"""Who is at the other end of a Unix socket, where the platform can tell."""

from __future__ import annotations

import os
import socket
import struct
import sys

_MACOS_LOCAL, _MACOS_PEERCRED = 0, 1


def peer_uid(connection: socket.socket) -> int | None:
    """The user id of the process at the other end when it connected; None where the platform does not tell."""
    try:
        if hasattr(socket, "SO_PEERCRED"):
            raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            return int(struct.unpack("3i", raw)[1])
        if sys.platform == "darwin":
            raw = connection.getsockopt(_MACOS_LOCAL, _MACOS_PEERCRED, 128)
            return int(struct.unpack_from("2I", raw)[1])  # struct xucred: version, uid, groups
    except (OSError, struct.error):
        return -1  # it is gone, or nobody that we know
    return None


def may_command(uid: int | None) -> bool:
    """Whether this user may: the one this process runs as, and root. The socket's mode lets no other in anyway."""
    return uid is None or uid in {os.geteuid(), 0}
