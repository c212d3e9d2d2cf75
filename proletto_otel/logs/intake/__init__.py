"""Where records of others come in: the standard library, structlog, uncaught exceptions."""
