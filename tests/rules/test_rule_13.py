"""Rule 13: data never names code: nothing is unpickled, imported or called because a file said so."""
