"""Rule 14: bad input gets a typed error with a code, what was wrong and what to try; nothing stored is lost."""
