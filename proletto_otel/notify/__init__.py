"""Notifications: channels, a folder per receiver, the outbox, messages for errors and alerts."""
