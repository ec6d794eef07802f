"""What happens: pure decisions of each actor. Knows no I/O, clock, thread or randomness."""
