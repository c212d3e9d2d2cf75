"""Searching the structured log file and its rotated files: bounded in time and memory."""
