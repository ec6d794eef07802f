"""All that is asked of any store, asked of an encrypted log. Run by the release profile."""

from __future__ import annotations

from eventstore.testing.conformance import StoreConformance
from tests.eventstore.sealed import EncryptedStore


class TestEncryptedStore(EncryptedStore, StoreConformance):
    """A log file whose data are sealed."""
