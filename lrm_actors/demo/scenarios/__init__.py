"""One real fault each, from the fault to the recovery: ``lrm demo --chaos --scenario NAME``."""
