"""How a checkpoint's bytes are made and read: cut in slices, kept as what changed, restored from a chain."""
