"""What makes the codec exact: the shapes of values, what may be stored, and what has become of old events."""
