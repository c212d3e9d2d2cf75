"""Commands and generators for development; nothing of it is in the wheel."""
