"""Where an agent and whoever looks at its log find the key of an encrypted one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventstore.encrypting.keyring import Keyring

KEY_VARIABLE = "LRM_LOG_KEY"
"""Holds a key in hex or base64, or several, the newest first."""


def log_key() -> Keyring | None:
    """The key in ``LRM_LOG_KEY``; None where that is not set.

    Raises:
        BadKey: it is set to something that is no key.
    """
    if not os.environ.get(KEY_VARIABLE, "").strip():
        return None
    from eventstore.encrypting.keyring import key_from_environment

    return key_from_environment(KEY_VARIABLE)
