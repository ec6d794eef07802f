"""The inside of the analyzer: its words, its decisions, and what its events change."""
