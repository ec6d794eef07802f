"""Rule 11: everything has a finite default: mailboxes, retries, leases, backoff caps, histories."""
