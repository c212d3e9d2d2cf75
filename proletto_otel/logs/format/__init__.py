"""Records as lines: of text, of JSON."""
