"""Where a network fails: errors point by point, what they depend on, and what disturbed pictures do to the scores."""
