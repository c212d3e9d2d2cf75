"""Slack: its client, its messages."""
