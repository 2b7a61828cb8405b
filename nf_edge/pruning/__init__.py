"""Make a checkpoint smaller: prune it, recover its accuracy, and record its origin."""
