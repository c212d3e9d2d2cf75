"""The log files: writing lines, rotation, care of rotated files."""
