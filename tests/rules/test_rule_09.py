"""Rule 9: unknown is never healthy."""
