"""Values and texts without secrets, bounded and printable."""
