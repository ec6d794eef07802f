"""Keys, and the sealing of what a log holds."""
