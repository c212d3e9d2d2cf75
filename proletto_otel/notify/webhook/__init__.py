"""JSON to a URL of the user's."""
