"""Error groups: every error once, with its count, its samples and what people decided about it."""
