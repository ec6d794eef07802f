"""The parts of the supervisor: what is declared, its words, its decisions. ``domain.supervisor`` puts them together."""
