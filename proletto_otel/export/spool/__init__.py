"""What could not be delivered waits on disk."""
