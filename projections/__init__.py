"""What people look at: views folded from the facts, each in step with a position of the log."""
