"""Where log records end: console, files, OTLP, database, Slack."""
